"""Attacks by the values of tables, with every hash that is over them made anew."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from lagbench.records.episodes import summed
from tests.leaderboard.hostile.attack import (
    OTHER,
    PENDULUM,
    PLACE,
    Attack,
    Change,
    rewrite,
    sign,
    summarize_again,
    table,
)
from tests.leaderboard.submitted import change_final
from tests.records.forge import Columns, change_table

Edit = Callable[[Columns], Any]


def put(name: str, row: int, value: Any, *at: int) -> Edit:
    """A value of a column, ``at`` within its lists."""

    def change(columns: Columns) -> None:
        place, key = columns[name], row
        for inside in at:
            place, key = place[key], inside
        place[key] = value

    return change


def in_turn(*changes: Edit) -> Edit:
    """One change after the other."""

    def edit(columns: Columns) -> None:
        for change in changes:
            change(columns)

    return edit


def listed(change: Callable[[list[Any]], list[Any]]) -> Edit:
    """Every column as a list, so that whole rows are changed."""

    def edit(columns: Columns) -> None:
        for name in columns:
            columns[name] = change(columns[name])

    return edit


def final(change: Edit, place: str = PLACE) -> Change:
    """The final episodes of a run alone."""
    return lambda path: change_final(path / place, change)


def both(change: Edit, place: str = PLACE) -> Change:
    """The final episodes, with what else says the same: evaluations, their hash and the summary."""

    def attack(path: Path) -> None:
        changed: Columns = {}
        change_final(path / place, in_turn(change, changed.update))

        def follow(columns: Columns) -> None:
            last = max(columns["version"])
            rows = [i for i, v in enumerate(columns["version"]) if (v, columns["mode"][i]) == (last, "stochastic")]
            for name in columns:
                for i, value in zip(rows, changed[name], strict=True):
                    columns[name][i] = value

        change_table(path / place, "evaluations", follow)
        summarize_again(path / place)

    return attack


def another(place: str, *names: str) -> Change:
    """Tables of another run, with this run's specification in their metadata, and hashes that are theirs."""

    def attack(path: Path) -> None:
        for name in names:
            file = "final.arrow" if name == "final" else f"{name}/data.arrow"
            own = (path / PLACE / file).read_bytes()
            (path / PLACE / file).write_bytes((path / place / file).read_bytes())
            noted = _metadata(own)
            rewrite(path / PLACE / file, functools.partial(sign, changes=noted))
            if name != "final":
                change_table(path / PLACE, name, lambda columns: None)
        if "evaluations" in names:
            summarize_again(path / PLACE)

    return attack


def _metadata(content: bytes) -> dict[str, str]:
    found = pa.ipc.open_file(content).schema.metadata
    return {key: found[key.encode()].decode() for key in ("spec", "protocol", "task")}


def _every(name: str, change: Callable[[Any], Any]) -> Edit:
    def edit(columns: Columns) -> None:
        columns[name] = [change(value) for value in columns[name]]

    return edit


def resum(columns: Columns) -> None:
    columns["return"] = [summed(np.array(rewards, np.float32)) for rewards in columns["reward"]]


def _shorter(columns: Columns) -> None:
    """A final episode cut before it goes wrong, with all that follows from it."""
    for name in ("action", "reward"):
        columns[name][0] = columns[name][0][:-5]
    columns["length"][0] -= 5
    columns["terminated"][0], columns["truncated"][0] = False, True
    resum(columns)


def _best(columns: Columns) -> None:
    """The best of the scored episodes in the place of each."""
    rows = [i for i, v in enumerate(columns["version"]) if v == max(columns["version"])][:3]
    best = max(rows, key=lambda i: columns["return"][i])
    for name in columns:
        for i in rows:
            columns[name][i] = columns[name][best]


def _earlier(columns: Columns) -> None:
    """The evaluation before the last in the place of the last."""
    size = len(columns["version"])
    for name in ("seed", "return", "length", "terminated", "truncated"):
        for i in range(size - 5, size - 2):
            columns[name][i] = columns[name][i - 5]


def _long(columns: Columns) -> None:
    """As many steps as fit below the limits: sixteen times a million of nothing."""
    columns["reward"][0] = np.zeros(12_000_000, np.float32)


def _packed(file: str, change: Change) -> Change:
    """A change after which a table is compressed, to lie within the limits."""

    def attack(path: Path) -> None:
        change(path)
        rewrite(path / PLACE / file, lambda t: t, compression="zstd")

    return attack


def _wide(columns: Columns) -> None:
    columns["mode"][0] = "mode" * 10_000_000


ATTACKS: dict[str, Attack] = {
    # What a score is.
    "a reward altered": Attack("returns", final(put("reward", 0, 1000.0, 3))),
    "a reward altered by a hair": Attack("returns", final(lambda c: put("reward", 0, c["reward"][0][3] + 1e-5, 3)(c))),
    "a return altered": Attack("returns", both(put("return", 0, 1e6))),
    "a return altered by a hair": Attack("returns", both(lambda c: put("return", 0, c["return"][0] + 1e-6)(c))),
    "a return altered in one place": Attack("final episodes", table("evaluations", put("return", -5, 1e6))),
    "a length altered": Attack("returns", both(put("length", 0, 1))),
    "a length below nothing": Attack("returns", both(put("length", 0, -1))),
    "a flag altered": Attack("returns", both(in_turn(put("terminated", 0, False), put("truncated", 0, True)))),
    "both flags": Attack("returns", both(in_turn(put("terminated", 0, True), put("truncated", 0, True)))),
    "an episode that ends before it goes wrong": Attack("returns", both(_shorter)),
    "an action too few": Attack("returns", final(lambda c: c["action"][0].pop())),
    "a reward too many": Attack("returns", final(lambda c: c["reward"][0].append(0.0))),
    "no step at all": Attack("returns", final(in_turn(put("reward", 0, []), put("action", 0, [])))),
    "an episode of millions of steps": Attack("returns", _packed("final.arrow", final(_long))),
    "a word of megabytes": Attack("evaluation plan", _packed("evaluations/data.arrow", table("evaluations", _wide))),
    "the last of the final episodes dropped": Attack("final episodes", final(listed(lambda v: v[:-1]))),
    "final episodes of the mean action": Attack("final episodes", final(_every("mode", lambda m: "mode"))),
    # Which episodes.
    "an evaluation on another seed": Attack("evaluation plan", both(put("seed", 0, 7))),
    "an evaluation on a seed below nothing": Attack("evaluation plan", both(put("seed", 0, -1))),
    "the best episode thrice": Attack("evaluation plan", table("evaluations", _best)),
    "the best policy for the last": Attack("evaluation plan", table("evaluations", _earlier)),
    "evaluations backwards": Attack("evaluation plan", table("evaluations", listed(lambda v: v[::-1]))),
    "evaluations more often": Attack("tables", table("evaluations", listed(lambda v: v + v))),
    "evaluations left out": Attack("evaluation plan", table("evaluations", listed(lambda v: v[:5] + v[10:]))),
    "no evaluation at all": Attack("evaluation plan", table("evaluations", listed(lambda v: []))),
    "episodes of another run": Attack("evaluation plan", another(OTHER, "evaluations", "final")),
    "episodes of another task": Attack("tables", another(PENDULUM, "evaluations", "final")),
    # Lag and budget.
    "every version the newest": Attack(
        "staleness draws", table("phases", lambda c: c.update(versions=[[p] * 8 for p in c["phase"]]))
    ),
    "one version of the future": Attack("staleness draws", table("phases", put("versions", 3, 9, 2))),
    "a version below nothing": Attack("staleness draws", table("phases", put("versions", 3, -1, 2))),
    "phases of another run": Attack("staleness draws", another(OTHER, "phases")),
    "half of the phases": Attack("staleness draws", table("phases", listed(lambda v: v[:8]))),
    "a phase twice": Attack("staleness draws", table("phases", listed(lambda v: [*v[:5], v[4], *v[6:]]))),
    "phases backwards": Attack("staleness draws", table("phases", listed(lambda v: v[::-1]))),
    "a budget that nobody used": Attack("staleness draws", table("phases", put("budget_used", 15, 1))),
    "updates beyond the protocol": Attack("updates", table("phases", put("updates", 0, 9))),
    "updates below nothing": Attack("updates", table("phases", put("updates", 0, -8))),
    # Numbers.
    "a reward of NaN": Attack("numbers", final(put("reward", 0, float("nan"), -1))),
    "a reward without end": Attack("numbers", final(put("reward", 0, float("inf"), -1))),
    "an action without end": Attack("numbers", final(put("action", 0, float("-inf"), 0, 1))),
    "a return of NaN": Attack("numbers", table("evaluations", put("return", 0, float("nan")))),
    "a return without end": Attack("numbers", table("evaluations", put("return", 0, float("inf")))),
    "a measurement of NaN": Attack("numbers", table("phases", put("tv", 4, float("nan")))),
    "a measurement beyond all sums": Attack("numbers", table("phases", put("tv", 4, 1.7e308))),
    "a return beyond all sums": Attack("numbers", table("evaluations", put("return", 2, -1.7e308))),
    "a measurement left out": Attack("numbers", table("phases", put("ess", 4, None))),
    "rewards that add up to more than a number": Attack(
        "returns", both(in_turn(put("reward", 0, 3e38, 0), put("reward", 0, 3e38, 1)))
    ),
    "a row without a seed": Attack("tables", table("evaluations", put("seed", 0, None))),
    "an episode without rewards": Attack("tables", final(put("reward", 0, None))),
    "a step without a reward": Attack("tables", final(put("reward", 0, None, 2))),
    "a metric with markup": Attack(
        "tables", table("phases", put("metrics", 0, [("<img src=x onerror=alert(1)>_fraction", 0.5)]))
    ),
    "a metric of megabytes": Attack(
        "tables", _packed("phases/data.arrow", table("phases", put("metrics", 0, [("m" * 40_000_000, 0.5)])))
    ),
    "a metric that moves the cursor": Attack("tables", table("phases", put("metrics", 0, [("\x1b[2J_fraction", 0.5)]))),
    # No harm.
    "a metric of NaN": Attack(
        None, table("phases", put("metrics", 0, [("clipped_fraction", float("nan")), ("loss", float("inf"))]))
    ),
    "a metric twice": Attack(
        None, table("phases", put("metrics", 0, [("clipped_fraction", 0.1), ("clipped_fraction", 0.2)]))
    ),
    "a metric beyond all sums": Attack(
        None, table("phases", lambda c: c.update(metrics=[[("clipped_fraction", 1.7e308)] for _ in c["phase"]]))
    ),
    "a denormal": Attack(None, table("phases", put("tv", 4, 5e-324))),
    "a measurement of minus nothing": Attack(None, table("phases", put("kl", 0, -0.0))),
    "no updates": Attack(None, table("phases", _every("updates", lambda u: 0))),
    "a seed's own episodes again": Attack(None, another(PLACE, "evaluations", "final", "phases")),
}
