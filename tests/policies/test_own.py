"""Networks of a user's own: what they compute, runs with them, and where they are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import lagbench as package
from lagbench import runner, suites
from lagbench.errors import UsageError
from lagbench.policies import gaussian
from lagbench.policies.own import OwnPolicy
from lagbench.spec import RunSpec
from tests.cli.run_here import SMALL, content_hash, lagbench
from tests.ends import cut_off
from tests.refusals import refusal

NETWORKS = """
import torch
from torch import nn

class Shared(nn.Module):
    '''One trunk, two heads.'''

    def __init__(self, size, outputs):
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(size, 16), nn.ReLU())
        self.output, self.value = nn.Linear(16, outputs), nn.Linear(16, 1)

    def forward(self, x):
        x = self.trunk(x)
        return self.output(x), self.value(x).squeeze(-1)

def build(observation_space, action_space, generator):
    outputs = getattr(action_space, "n", None) or action_space.shape[0]
    return Shared(observation_space.shape[0], outputs)

def model(observation_space, action_space, generator):
    from transformers import LlamaConfig, LlamaForCausalLM
    sizes = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    return LlamaForCausalLM(LlamaConfig(vocab_size=int(action_space.n), max_position_embeddings=512, **sizes))

def number(observation_space, action_space, generator):
    return 3

def broken(observation_space, action_space, generator):
    return nn.Linear(observation_space.low, 1)

def valueless(observation_space, action_space, generator):
    return nn.Linear(observation_space.shape[0], 1)
"""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nets.py").write_text(NETWORKS)


def spec(task: str = "Hopper-v5", policy: str = "nets.py:build", **options: Any) -> RunSpec:
    sizes: dict[str, Any] = {"actors": 4, "phase_steps": 16, "minibatch": 32, "budget": 320, "eval_episodes": 1}
    return package.resolve(task=task, algo="vaco", lag=2, policy=policy, **{**sizes, **options})


def test_it_is_a_gaussian_around_the_networks_outputs() -> None:
    policy = spec().network(torch.Generator().manual_seed(1))
    assert isinstance(policy, OwnPolicy)
    rollout = next(iter(package.train(spec()))).rollout
    new = policy.evaluate(rollout)
    output, value = policy.network(policy.normalizer(rollout.observation).flatten(0, 1))
    mean = output.view(17, 4, 3)[:-1]
    assert policy.log_std is not None
    torch.testing.assert_close(new.log_prob, gaussian.log_prob(rollout.action, mean, policy.log_std))
    assert new.next_value is not None
    torch.testing.assert_close(new.next_value, value.view(17, 4)[1:])
    # Drawn from the generator alone, wherever torch's own stands.
    torch.manual_seed(5)
    again = spec().network(torch.Generator().manual_seed(1))
    assert all(torch.equal(x, again.state_dict()[name]) for name, x in policy.state_dict().items())
    other = spec().network(torch.Generator().manual_seed(2))
    name = "network.trunk.0.weight"
    assert not torch.equal(other.state_dict()[name], policy.state_dict()[name])


def test_each_actor_computes_alone() -> None:
    policies = [spec().network(torch.Generator().manual_seed(k)) for k in range(3)]
    versions = [policies[k].version(k) for k in (0, 1, 0, 2)]
    observation = np.random.default_rng(0).standard_normal((4, 11))
    together = policies[0].acting(versions).output(observation).copy()
    alone = [policies[0].acting([v]).output(o[None])[0].copy() for v, o in zip(versions, observation, strict=True)]
    assert together.tobytes() == np.stack(alone).tobytes()


@pytest.mark.parametrize("task", ["Hopper-v5", "CartPole-v1"])
def test_a_run_keeps_its_source_and_is_resumed_and_replayed(task: str) -> None:
    line = ("run", "--task", task, "--policy", "nets.py:build", "--algo", "vaco", "--lag", "2", *SMALL, "-q", "--out")
    assert lagbench(*line, "run").code == 0
    Path("nets.py").unlink()
    run = package.open("run")
    assert json.loads(Path("run/spec.json").read_text())["policy"]["name"] == "nets.py:build"
    assert Path("run/policy_source/nets.py").read_text() == NETWORKS
    cut_off(run.spec, Path("cut"))
    assert lagbench("resume", "cut", "-q").code == 0
    assert content_hash(Path("cut")) == content_hash(Path("run"))
    assert lagbench("replay", "run", "--training", "-q").code == 0
    assert isinstance(run.policy(), OwnPolicy)
    shown = lagbench("show", "run").out
    assert f"nets.py:build {run.spec.policy.sha256[:12]}…, not the benchmark's" in shown  # type: ignore[union-attr]
    assert RunSpec.from_json(run.spec.to_json()) == run.spec
    scored = lagbench("score", "run")
    assert "the networks are those of nets.py:build, which are not the benchmark's" in scored.out + scored.err


def test_a_language_model_of_ones_own() -> None:
    plan = spec(
        "GSM8kMini-v0", "nets.py:model", actors=2, phase_steps=None, minibatch=16, budget=32, eval_episodes=2,
        eval_intervals=1, task_options={"max_new_tokens": 8},
    )  # fmt: skip
    run = runner.execute(plan, Path("run"))
    assert run.status == "completed"
    assert type(run.policy().model).__name__ == "LlamaForCausalLM"
    assert package.replay(run).passed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"policy": "nets.py"}, "a function is named as path/to/file.py:function or module:function, not 'nets.py'"),
        ({"policy": "nets.py:bild"}, "unknown function in nets.py 'bild'; did you mean 'build'? Known: broken, "),
        (
            {"policy": "nowhere.py:build"},
            "there is no file 'nowhere.py'; name your own function as path/to/file.py:func",
        ),
        ({"policy": "nets.py:number"}, "the function number must return a torch.nn.Module, and returned 3"),
        ({"policy": "nets.py:broken"}, "the function broken cannot create a network for these spaces: TypeError: "),
        ({"policy": "nets.py:valueless"}, "the network must return (outputs [n, 3], values [n]) for obs"),
        ({"hidden": (32, 32)}, "--hidden is for lagbench's own networks, and nets.py:build creates another"),
    ],
)
def test_refusals(options: dict[str, Any], sentence: str) -> None:
    assert refusal(spec, **options).startswith(sentence)


def test_no_suite_has_it() -> None:
    line = (
        "run",
        "--suite",
        "TESTING",
        "--task",
        "Hopper-v5",
        "--algo",
        "ppo",
        "--lag",
        "0",
        "--seed",
        "0",
        "--policy",
        "nets.py:build",
    )
    done = lagbench(*line)
    assert (done.code, done.sentence) == (
        2,
        "Error: TESTING measures lagbench's own networks, so a run with nets.py:build is not one of its cells; leave "
        "out --policy or --suite",
    )
    assert not Path("runs").exists()
    suite = suites.load("TESTING")
    cell = suite.resolve(algo="ppo", task=suite.tasks[0], lag=0, seed=0)
    data = {**cell.to_json(), "policy": {"name": "nets.py:build", "sha256": "0" * 64}}
    with pytest.raises(UsageError, match="TESTING measures lagbench's own networks"):
        RunSpec.from_json(data)


def test_specifications_without_one_are_as_they_were() -> None:
    assert "policy" not in package.resolve(budget=20_480).to_json()
