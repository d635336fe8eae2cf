"""Hundreds of submissions, each changed at random and hashed again: none has another score, and none crashes anything.

What found them (`pytest -s` prints it for every part).
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lagbench.leaderboard.findings import CHECKS
from lagbench.leaderboard.former import Submission
from tests.leaderboard import small

ROOT = Path(__file__).parents[2]
MUTATIONS = 240


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Submission:
    with small.known():
        return small.submitted(tmp_path_factory.mktemp("small"))


def mutated(valid: Submission, work: Path, first: int, last: int) -> Iterator[dict[str, Any]]:
    """What became of every mutation from ``first`` on; after a crash it goes on with the next one."""
    while first < last:
        line = [sys.executable, "-m", "tests.leaderboard.hostile.mutations", str(valid.path), str(work)]
        done = subprocess.run([*line, str(first), str(last)], cwd=ROOT, capture_output=True, text=True, timeout=900)
        lines = [json.loads(one) for one in done.stdout.splitlines()]
        yield from (one for one in lines if "outcome" in one)
        if done.returncode == 0:
            return
        code = done.returncode
        name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        assert lines, done.stderr
        yield {"kind": "", "outcome": f"BROKE: {name}: {done.stderr[-2000:]}", "checks": [], **lines[-1]}
        first = int(lines[-1]["number"]) + 1


@pytest.mark.slow
def test_mutations(valid: Submission, tmp_path: Path) -> None:
    results = list(mutated(valid, tmp_path, 0, MUTATIONS))
    assert [one["number"] for one in results] == list(range(MUTATIONS))
    kinds = sorted({one["kind"] for one in results})
    counts = {kind: Counter(one["outcome"] for one in results if one["kind"] == kind) for kind in kinds}
    checks = Counter(check for one in results for check in one["checks"])
    print(f"\n{MUTATIONS} mutations")
    for kind, counter in counts.items():
        print(f"{kind:<16} {', '.join(f'{name}: {n}' for name, n in counter.most_common())}")
    for check in CHECKS:
        print(f"{check.name:<16} found {checks[check.name]:>4}")
    wrong = [one for one in results if one["outcome"].startswith(("BROKE", "ANOTHER SCORE"))]
    assert not wrong, "\n".join(f"{one['number']}, {one['kind']}: {one['outcome']}" for one in wrong)
    # Were nothing ever changed, or all of it refused for nothing, this would not be a test.
    assert 0.5 * MUTATIONS < sum(one["outcome"] == "found" for one in results) < 0.98 * MUTATIONS
