"""Extraction and grading of a completion's answer, by the two rules of lm-evaluation-harness."""

from __future__ import annotations

import re
from dataclasses import dataclass

VERSION = 1
"""Version of both rules, in every record; incremented by any change that can affect a grade."""

_STRICT = re.compile(r"#### (-?[0-9.,]+)")
_FLEXIBLE = re.compile(r"-?[$0-9.,]{2,}|-?[0-9]+")
_DIGIT = re.compile(r"[0-9]")


@dataclass(frozen=True)
class Grade:
    """The number extracted by each rule, in normal form or None, and whether it is the right answer.

    Attributes:
        strict: the first number after ``####`` and a space.
        flexible: the last number anywhere.
        correct: by the strict rule, which gives the training reward.
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
    """The first number after ``####`` and one space, in normal form; None if there is none.

    Text after the number is ignored; a currency sign before it is not allowed.
    """
    found = (match[1] for match in _STRICT.finditer(text))
    return next((answer for number in found if (answer := _found(number))), None)


def extract_flexible(text: str) -> str | None:
    """The last number in the text, currency signs and commas allowed, in normal form; None if there is none.

    Unlike in the harness, an ellipsis at the end is not a number.
    """
    last = None
    for match in _FLEXIBLE.finditer(text):
        last = _found(match[0]) or last
    return last


def normal(number: str) -> str:
    """A number as text, without commas, currency signs and trailing full stops; ``42.0`` differs from ``42``."""
    return re.sub("[,$]", "", number).rstrip(".")


def _found(number: str) -> str | None:
    return normal(number) if _DIGIT.search(number) else None
