"""What a completion answered, and whether that is right: by two rules, as lm-evaluation-harness has them."""

from __future__ import annotations

import re
from dataclasses import dataclass

VERSION = 1
"""Of both rules together; in every record. A change that can turn a grade makes another version."""

_STRICT = re.compile(r"#### (-?[0-9.,]+)")
_FLEXIBLE = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")
_DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True)
class Grade:
    """What was extracted by each rule, in normal form or None, and whether it is the answer.

    Attributes:
        strict: the first number after ``####`` and a space.
        flexible: the last number anywhere.
        correct: by the strict rule, which pays in training.
        correct_flexible: by the flexible rule.
    """

    strict: str | None
    flexible: str | None
    correct: bool
    correct_flexible: bool


def grade(completion: str, target: str) -> Grade:
    """Grade a completion against ``target``, the answer in normal form."""
    strict, flexible = extract_strict(completion), extract_flexible(completion)
    return Grade(strict, flexible, strict == target, flexible == target)


def extract_strict(text: str) -> str | None:
    """The first number after ``####`` and one space, in normal form; None where there is none.

    What follows the number does not matter; a currency sign before it does.
    """
    found = (match[1] for match in _STRICT.finditer(text))
    return next((normal for number in found if (normal := _normal(number))), None)


def extract_flexible(text: str) -> str | None:
    """The last number in the text, currency signs and commas allowed, in normal form; None where there is none.

    Unlike the harness, which takes an ellipsis at the end for a number.
    """
    last = None
    for match in _FLEXIBLE.finditer(text):
        last = _normal(match[0]) or last
    return last


def _normal(number: str) -> str | None:
    """Without commas, currency signs and points at the end, as text: ``42.0`` is not ``42``. None without a digit."""
    return re.sub("[,$]", "", number).rstrip(".") if _DIGIT.search(number) else None
