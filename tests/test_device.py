"""``--device cuda``: what is computed there stays there, and the records are those of the CPU."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lagbench import resolve, runner
from lagbench.policies import pretrained
from lagbench.policies.pretrained import Pretrained
from lagbench.records.reader import Run
from tests.ends import interrupt
from tests.second_device import There, second_device
from tests.tasks.gsm8k.tiny import make_data, make_model

CONTROL: dict[str, Any] = {
    "task": "Hopper-v5",
    "actors": 4,
    "phase_steps": 32,
    "minibatch": 32,
    "updates": 8,
    "budget": 384,
}
LANGUAGE: dict[str, Any] = {"task": "GSM8k-v0", "actors": 2, "minibatch": 16, "updates": 2, "budget": 32}
COLUMNS = {
    "phases": ["tv", "kl", "ess", "entropy"],
    "trajectories": ["reward", "behaviour_log_prob"],
    "evaluations": ["return", "length"],
}
EVERY: dict[str, Any] = {"lag": 1, "seed": 3, "eval_episodes": 2, "eval_intervals": 1, "record": "trajectories"}


def test_the_device_is_another() -> None:
    """It holds what was moved there, and what is made of both raises."""
    with second_device():
        layer = torch.nn.Linear(3, 2).to("cuda")
        x = torch.ones(4, 3)
        with pytest.raises(RuntimeError, match="same device"):
            layer(x)
        y = layer(x.to("cuda"))
        y.sum().backward()
        assert isinstance(layer.weight.grad, There)
        assert layer.weight.grad.device.type == y.device.type == "cuda"
        assert torch.equal(layer.weight.grad.cpu(), torch.full((2, 3), 4.0))
        with pytest.raises(TypeError, match="numpy"):
            y.detach().numpy()
        assert y.detach().cpu().numpy().shape == (4, 2)
        for made in (torch.zeros(2, device="cuda"), torch.tensor([1, 2], device=y.device)):
            assert isinstance(made, There)
            with pytest.raises(RuntimeError, match="same device"):
                made + torch.ones(2)


def test_a_run_in_sequences_is_that_of_the_cpu(tmp_path: Path) -> None:
    assert_same(*on_both(tmp_path, algo="impala", **CONTROL))


def test_a_run_of_a_language_model_is_that_of_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where transformers reads weights, it uses "meta" for what is not there yet.
    data, model = str(make_data(tmp_path / "data")), str(make_model(tmp_path / "model"))
    made = pretrained.find(model).model()
    monkeypatch.setattr(Pretrained, "model", lambda self, weights=True: copy.deepcopy(made))
    options = {"data": data, "model": model, "prompt": "plain", "max_new_tokens": 8}
    assert_same(*on_both(tmp_path, algo="vaco", task_options=options, **LANGUAGE))


def test_a_run_is_that_of_the_cpu_and_goes_on_there(tmp_path: Path) -> None:
    """What was saved, of the algorithm too, moves back to the device that it came from."""
    whole, here = on_both(tmp_path, algo="ppo-ewma", **CONTROL)
    assert_same(whole, here)
    with second_device():
        spec = resolve(algo="ppo-ewma", device="cuda", **EVERY, **CONTROL)
        interrupt(spec, tmp_path / "cut", 1)
        resumed = runner.resume(tmp_path / "cut", threads=1)
    assert_same(resumed, whole)


def on_both(where: Path, **options: Any) -> tuple[Run, Run]:
    """The run with the learner on the second device, and on the CPU."""
    with second_device():
        there = runner.execute(resolve(device="cuda", **EVERY, **options), where / "there", threads=1)
    return there, runner.execute(resolve(device="cpu", **EVERY, **options), where / "here", threads=1)


def assert_same(found: Run, expected: Run) -> None:
    """Up to rounding, of which a few updates make more: other minibatches are computed together there."""
    assert found.status == expected.status == "completed"
    for table, columns in COLUMNS.items():
        one, other = (getattr(run, table).to_table(columns=columns).to_pydict() for run in (found, expected))
        for name in columns:
            assert len(other[name]) > 0
            left, right = (np.hstack(side[name]) for side in (one, other))
            np.testing.assert_allclose(left, right, rtol=0.02, atol=1e-4, err_msg=f"{table}: {name}")
