"""Hostile submissions: what a cheater or a vandal would hand in, by what they tamper with."""

from __future__ import annotations

from tests.leaderboard.hostile import arrow, files, policies, rows, runs, words
from tests.leaderboard.hostile.attack import Attack

CORPUS: dict[str, tuple[str, dict[str, Attack]]] = {
    "files": ("TESTING", files.ATTACKS),
    "words": ("SMALL", words.ATTACKS),
    "runs": ("TESTING", runs.ATTACKS),
    "rows": ("TESTING", rows.ATTACKS),
    "arrow": ("SMALL", arrow.ATTACKS),
    "policies": ("SMALL", policies.ATTACKS),
}
"""What is tampered with → a suite, of which a copy of a valid submission is attacked; name → attack."""
