"""Hostile submissions: what a cheater or a vandal would hand in, by what they tamper with."""

from __future__ import annotations

from tests.leaderboard.hostile import arrow, files, policies, rows, runs, words
from tests.leaderboard.hostile.attack import Attack

CORPUS: dict[str, dict[str, Attack]] = {
    "files": files.ATTACKS,
    "words": words.ATTACKS,
    "runs": runs.ATTACKS,
    "rows": rows.ATTACKS,
    "arrow": arrow.ATTACKS,
    "policies": policies.ATTACKS,
}
"""What is tampered with → name → attack, each on a copy of a valid submission of TESTING."""
