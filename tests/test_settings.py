"""Whatever a notebook has set of torch changes nothing of a run, and is as before afterwards."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lagbench
from lagbench.check import check
from lagbench.records.reader import Run
from lagbench.runner import resume
from lagbench.settings import own_settings
from tests.ends import Stop

SMALL: dict[str, Any] = {"actors": 4, "phase_steps": 16, "minibatch": 32, "budget": 192, "eval_episodes": 1}


def settings() -> list[Any]:
    return [
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.get_float32_matmul_precision(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.get_rng_state().tolist(),
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002
    ]


@contextlib.contextmanager
def notebook() -> Iterator[None]:
    """A host that has set everything otherwise."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.random.fork_rng(), torch.inference_mode(), torch.autocast("cpu"), torch.device("meta"):
            torch.manual_seed(1)
            yield
    finally:
        torch.set_num_threads(before)
        torch.set_default_dtype(torch.float32)
        torch.set_float32_matmul_precision("highest")


@own_settings()
def fails() -> None:
    torch.set_default_dtype(torch.float16)
    raise ZeroDivisionError


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in a process where nothing was set. Read it; do not change it."""
    return lagbench.run(algo="vaco", lag=2, **SMALL, out=tmp_path_factory.mktemp("alone") / "run")


def test_inside_they_are_those_of_a_fresh_process() -> None:
    with notebook():
        before = settings()
        with own_settings(threads=1):
            found = settings()
            assert found[:7] == [1, torch.float32, torch.device("cpu"), "highest", True, False, False]
            assert not torch.nn.Linear(2, 2)(torch.zeros(2)).is_inference()
            torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
        assert settings() == before
        with pytest.raises(ZeroDivisionError):
            fails()
        assert settings() == before


def test_a_run_is_the_same_and_leaves_them(alone: Run, tmp_path: Path) -> None:
    with notebook():
        before = settings()
        run = lagbench.run(algo="vaco", lag=2, **SMALL, out=tmp_path / "run")
        assert settings() == before
    assert run.result is not None
    assert alone.result is not None
    assert run.result["content_hash"] == alone.result["content_hash"]


def test_a_run_that_raises_leaves_them(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import lagbench\nclass Mine(lagbench.Algorithm):\n    def loss(self, batch):\n        return 1 / 0\n"
    )
    with notebook():
        before = settings()
        with pytest.raises(ZeroDivisionError):
            lagbench.run(algo=f"{mine}:Mine", **SMALL, out=tmp_path / "run")
        assert settings() == before


def test_a_resumed_run_is_the_same_and_leaves_them(alone: Run, tmp_path: Path) -> None:
    with notebook():
        before = settings()
        with pytest.raises(lagbench.LagbenchError):
            lagbench.run(spec=alone.spec, out=tmp_path / "run", sinks=[Stop(2)])
        run = resume(tmp_path / "run")
        assert settings() == before
    assert run.result is not None
    assert alone.result is not None
    assert run.result["content_hash"] == alone.result["content_hash"]


def test_training_leaves_them_between_phases_too(alone: Run) -> None:
    phases = alone.phases.to_table(columns=["tv"])["tv"].to_pylist()
    with notebook():
        before = settings()
        for result, recorded in zip(lagbench.train(alone.spec), phases, strict=True):
            assert settings() == before
            assert result.record.diagnostics["tv"] == recorded
        assert settings() == before


def test_looking_at_a_run_leaves_them(alone: Run) -> None:
    episode = next(
        e
        for e in alone.evaluation_episodes()
        if e.version == alone.spec.phases and e.mode == alone.spec.evaluation.measure
    )
    with notebook():
        before = settings()
        report = lagbench.replay(alone, training=True)
        assert report.passed
        assert report.action_difference == 0
        (played,) = lagbench.evaluate(alone, [episode.seed])
        assert played.episode_return == episode.episode_return
        assert {p.dtype for p in alone.policy().parameters()} == {torch.float32}
        assert settings() == before


def test_checking_leaves_them() -> None:
    with notebook():
        before = settings()
        assert check("vaco").passed
        assert settings() == before
