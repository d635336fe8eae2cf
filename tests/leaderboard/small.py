"""A suite of two runs, for what is done thousands of times; nothing but the tests knows it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from unittest.mock import patch

from lagbench import plan_grid, suites
from lagbench.leaderboard import board, manifest, submit, validate
from lagbench.leaderboard.former import Statement, Submission
from lagbench.runner import execute
from lagbench.suites import Suite

SMALL = Suite(
    "SMALL",
    "Two lags of one seed.",
    MappingProxyType(
        {
            "tasks": ["Hopper-v5"],
            "seeds": 1,
            "budget": 512,
            "protocol": {
                "lag": [0, 2],
                "lag_mode": "uniform",
                "updates": 8,
                "updates_fixed": False,
                "forward": "reuse",
                "minibatch": 32,
                "actors": 4,
                "phase_steps": 16,
            },
            "evaluation": {"episodes": 2, "intervals": 2, "mode_episodes": 2},
        }
    ),
)
RUNS = ("runs/Hopper-v5/lag0-u8-seed0", "runs/Hopper-v5/lag2-u8-seed0")


@contextmanager
def known() -> Iterator[None]:
    """In here the suite is one of lagbench's."""
    load, names = suites.load, suites.names

    def found(name: str) -> Suite:
        return SMALL if name == SMALL.name else load(name)

    with ExitStack() as patches:
        patches.enter_context(patch.object(suites, "load", found))
        for module in (board, manifest, submit, validate):
            patches.enter_context(patch.object(module, "load_suite", found))
        patches.enter_context(patch.object(manifest, "suite_names", lambda: [*names(), SMALL.name]))
        yield


def submitted(directory: Path) -> Submission:
    """Its runs by PPO, run now, as a submission."""
    for cell in plan_grid(directory / "made", algo=["ppo"], suite=SMALL.name, record="episodes"):
        execute(cell.spec, cell.path, threads=1)
    words = submit.Words("PPO", ("Somebody",), "https://example.org", "MIT", Statement("none", "none"))
    out = directory / "submissions" / SMALL.name / "mine"
    out.parent.mkdir(parents=True)
    return submit.submit(submit.choose([directory / "made"]), words, out)
