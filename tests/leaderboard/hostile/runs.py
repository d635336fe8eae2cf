"""Attacks by what a run is said to be: cells, specifications, results."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lagbench import load_suite
from lagbench.records.checksums import sha256
from tests.leaderboard.hostile.attack import OTHER, PLACE, Attack, Change, about, document, respecify, write
from tests.records.forge import change_policy, write_result


def _specified(change: Callable[[dict[str, Any]], Any]) -> Change:
    """Another specification of the run at PLACE, wherever it is written."""
    return lambda path: respecify(path / PLACE, change)


def _protocol(**fields: Any) -> Change:
    return _specified(lambda spec: spec["protocol"].update(fields))


def _of_suite(path: Path) -> None:
    """As if the run were of mujoco-mini-v0, whose budget is another."""
    suite = load_suite("mujoco-mini-v0")
    planned = suite.planned(suite.tasks[0], suite.values[1], 1)
    respecify(path / PLACE, lambda spec: spec.update(planned))


def _moved(path: Path) -> None:
    """Another seed's run with this seed in its specification: its episodes are of other seeds."""
    shutil.rmtree(path / PLACE)
    shutil.copytree(path / OTHER, path / PLACE)
    respecify(path / PLACE, lambda spec: spec.update(seed=0))
    # Not the same file of weights: one of the last bits is another.
    content = bytearray((path / PLACE / "policy.safetensors").read_bytes())
    content[-4] ^= 1
    change_policy(path / PLACE, bytes(content))


def _moved_lag(path: Path) -> None:
    """The run without lag in the place of the one with lag, and said to be it."""
    shutil.rmtree(path / PLACE)
    shutil.copytree(path / "runs/Hopper-v5/lag0-u8-seed0", path / PLACE)
    respecify(path / PLACE, lambda spec: spec["protocol"].update(lag=2))


def _another_source(path: Path) -> None:
    """A source that nobody ran, where the runs have the digest of theirs."""
    ran = {"name": "ppo", "sha256": sha256((path / "algorithm.txt").read_bytes())}
    for file in sorted(path.glob("runs/*/*/spec.json")):
        respecify(file.parent, lambda spec: spec.update(format_version=1, algorithm=ran))
    content = b"# something else\n"
    (path / "algorithm.txt").write_bytes(content)
    about(lambda d: d["algorithm"].update(sha256=sha256(content)))(path)


def _without(pattern: str) -> Change:
    """No runs in such directories."""

    def attack(path: Path) -> None:
        for one in (path / "runs").glob(pattern):
            shutil.rmtree(one)

    return attack


def _result(**fields: Any) -> Change:
    return document("result.json", lambda result: result.update(fields))


def _diverged(path: Path) -> None:
    """A run that came to its end, and is said not to have."""
    (path / PLACE / "final.arrow").unlink()
    run = path / PLACE
    result = json.loads((run / "result.json").read_text())
    summary = {"phases": 16, "budget_used": 2048, "diverged": {}}
    write_result(run, {**result, "status": "diverged", "summary": summary})


def _summary(path: Path) -> None:
    run = path / PLACE
    result = json.loads((run / "result.json").read_text())
    result["summary"]["final"]["stochastic"]["mean"] *= 2
    write_result(run, result)


ATTACKS: dict[str, Attack] = {
    "one seed left out": Attack("grid", _without("*/*-seed1")),
    "one lag left out": Attack("grid", _without("*/lag2-*")),
    "one task left out": Attack("grid", _without("Hopper-v5")),
    "the weights of another seed": Attack(
        "grid", lambda p: change_policy(p / PLACE, (p / OTHER / "policy.safetensors").read_bytes())
    ),
    "all runs another suite's": Attack(
        "grid",
        about(lambda d: d["suite"].update(name="mujoco-mini-v0", sha256=load_suite("mujoco-mini-v0").sha256)),
    ),
    "a source that nobody ran": Attack("one method", _another_source),
    "a source of another algorithm": Attack("source", write("algorithm.txt", "class Mine: ...\n")),
    "a source with a NUL": Attack("source", write("algorithm.txt", "import os\0\n")),
    "a source of nothing": Attack("source", write("algorithm.txt", " \n")),
    "another suite's budget": Attack("specification", _specified(lambda spec: spec.update(budget=spec["budget"] * 8))),
    "another suite's cell": Attack("specification", _of_suite),
    "a run without a suite": Attack("specification", _specified(lambda spec: spec.update(suite=None))),
    "a suite of the same name": Attack("specification", _specified(lambda spec: spec["suite"].update(sha256="0" * 64))),
    "a seed of one's own": Attack("specification", _specified(lambda spec: spec.update(seed=12345))),
    "a seed that is true": Attack("specification", _specified(lambda spec: spec.update(seed=True))),
    "a seed with a fraction": Attack("specification", _specified(lambda spec: spec.update(seed=1.0))),
    "a smaller lag": Attack("specification", _protocol(lag=0)),
    "a lag that is drawn otherwise": Attack("specification", _protocol(lag_mode="fixed")),
    "more updates": Attack("specification", _protocol(updates=80)),
    "an army of actors": Attack("specification", _protocol(actors=2**31, phase_steps=1)),
    "fewer evaluations": Attack(
        "specification", _specified(lambda spec: spec.update(evaluation={"episodes": 1, "intervals": 1}))
    ),
    "an easier world": Attack(
        "specification", _specified(lambda spec: spec.update(task_options={"healthy_reward": 10.0}))
    ),
    "another task": Attack("specification", _specified(lambda spec: spec.update(task="InvertedPendulum-v5"))),
    "a device of two lines": Attack("specification", _specified(lambda spec: spec.update(device="cpu\ncpu"))),
    "threads without number": Attack("specification", _specified(lambda spec: spec.update(torch_threads=10**9))),
    "a record of one's own": Attack("specification", _specified(lambda spec: spec.update(record=["episodes"]))),
    "a format of the future in a run": Attack("specification", _specified(lambda spec: spec.update(format_version=99))),
    "an algorithm that is a list": Attack("specification", _specified(lambda spec: spec.update(algorithm=["ppo"]))),
    "hyperparameters of a list": Attack("specification", _specified(lambda spec: spec.update(config=[1]))),
    "no hyperparameters": Attack("one method", _specified(lambda spec: spec.update(config={}))),
    "one run tuned": Attack("one method", _specified(lambda spec: spec["config"].update(clip=0.3))),
    "one run tuned by a hair": Attack(
        "one method", _specified(lambda spec: spec["config"].update(clip=0.2 + 1e-16 * 3))
    ),
    "one hyperparameter more": Attack("one method", _specified(lambda spec: spec["config"].update(extra=1))),
    "one run of another version": Attack(
        "one method", _specified(lambda spec: spec["algorithm"].update(version="0.0.1"))
    ),
    "a version of two lines": Attack(
        "specification", _specified(lambda spec: spec["algorithm"].update(version="1\n2"))
    ),
    "one run of another algorithm": Attack(
        "one method", _specified(lambda spec: spec["algorithm"].update(name="vaco"))
    ),
    "a run without lag for one with": Attack("staleness draws", _moved_lag),
    "a seed's run for another's": Attack("evaluation plan", _moved),
    "a claimed final that beats its episodes": Attack("content hash", _summary),
    "a result of lists": Attack("result", write(f"{PLACE}/result.json", "[]")),
    "rows that are true": Attack("result", document("result.json", lambda d: d["rows"].update(phases=True))),
    "hashes that are none": Attack("result", _result(content_hash=None)),
    "a policy by another name": Attack("result", _result(files={"../policy.safetensors": "0" * 64})),
    "a summary with markup": Attack("result", document("result.json", lambda d: d["summary"].update({"<b>": 1}))),
    "a run that was given up": Attack("result", _result(status="unfinished")),
    "an end that is said to be none": Attack("evaluation plan", _diverged),
    "an end without its status": Attack("result", _result(status=["completed"])),
}
