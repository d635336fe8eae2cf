"""What a verifier draws: fresh seeds, and which episodes to go through again.

All follows from SHA-256(the submission's hash ‖ a nonce ‖ the run's name). The hash is there, so that a draw belongs to
one submission; the nonce, drawn when the hash is fixed, so that it cannot be foreseen: who knew the seeds could vary a
text in a submission until they were lucky. It stands in the report, so that anybody can draw the same again.
"""

from __future__ import annotations

import hashlib
import re
import secrets

from lagbench import UsageError

_NONCE = re.compile("[0-9a-f]{64}")
_SAMPLE = b"sample"


def nonce() -> str:
    """A new one: 32 random bytes, in hex."""
    return secrets.token_hex(32)


def is_nonce(text: object) -> bool:
    """Whether it is 32 bytes, in lower-case hex."""
    return isinstance(text, str) and _NONCE.fullmatch(text) is not None


def check_nonce(text: str) -> str:
    """The nonce. Raises UsageError for what is none."""
    if not is_nonce(text):
        raise UsageError(f'a nonce is 64 digits of lower-case hex, as a report has it under "nonce", not {text!r}')
    return text


def seeds(submission: str, drawn: str, run: str, n: int) -> tuple[int, ...]:
    """Seeds [n] for a run's policy, each in [0, 2³¹).

    Seed j is the first 31 bits of SHA-256(submission ‖ nonce ‖ run ‖ j): of hashes and nonce the 32 bytes each, of the
    run's name UTF-8, of j four bytes, the highest first.

    Args:
        submission: SHA-256 of the submission, in hex.
        drawn: the nonce, in hex.
        run: the run's name.
        n: how many.
    """
    start = _start(submission, drawn, run)
    return tuple(int.from_bytes(_digest(start, j)[:4], "big") >> 1 for j in range(n))


def episodes(submission: str, drawn: str, run: str, of: int, n: int) -> tuple[int, ...]:
    """Which n of a run's ``of`` episodes to look at, rising: those with the least SHA-256(… ‖ ``sample`` ‖ j)."""
    start = _start(submission, drawn, run) + _SAMPLE
    return tuple(sorted(sorted(range(of), key=lambda j: _digest(start, j))[:n]))


def _start(submission: str, drawn: str, run: str) -> bytes:
    return bytes.fromhex(submission) + bytes.fromhex(drawn) + run.encode()


def _digest(start: bytes, j: int) -> bytes:
    return hashlib.sha256(start + j.to_bytes(4, "big")).digest()
