"""Errors: one sentence that says what to do, with an exit code for the command line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LagbenchError(Exception):
    """Something failed. The message is one sentence for the user, shown without a traceback.

    Attributes:
        exit_code: exit code of the command line: 1; 2 for a UsageError, 3 for a diverged run.
    """

    exit_code = 1


class UsageError(LagbenchError):
    """The request is not valid: exit code 2."""

    exit_code = 2


class AlgorithmError(UsageError):
    """An algorithm violates the interface (docs/algorithms.md)."""


class UpdateLimitError(AlgorithmError):
    """An algorithm attempted more optimizer updates in a phase than its protocol allows."""


class MismatchError(LagbenchError):
    """The learner does not reproduce the recorded log-probabilities of its own version."""


class DivergedError(LagbenchError):
    """A loss, gradient or weight stopped being finite (``what``): a valid, recorded end of a run, exit code 3."""

    exit_code = 3

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} is not finite")
        self.what = what


class RecordError(LagbenchError):
    """A record cannot be written, or is not valid."""


def reason(error: BaseException) -> str:
    """An error's reason for use within a sentence: the message of a LagbenchError, else type and message on one line.

    Args:
        error: any exception.

    Returns:
        The text.
    """
    if isinstance(error, LagbenchError):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".split())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest in spelling to ``name``, or None if none is close."""
    by_fold = {k.casefold(): k for k in known}
    found = difflib.get_close_matches(name.casefold(), by_fold, n=1, cutoff=0.5)
    return by_fold[found[0]] if found else None


def unknown(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for an unknown name, with the nearest known name and all known names."""
    names = sorted(known)
    close = nearest(name, names)
    hint = f"; did you mean {close!r}?" if close else "."
    listing = f" Known: {', '.join(names)}." if names else ""
    return UsageError(f"unknown {kind} {name!r}{hint}{listing}")
