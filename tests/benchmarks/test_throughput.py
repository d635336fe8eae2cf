"""The throughput ratios at tiny sizes: that they are measured, not what they are."""

import json

import pytest
import torch

from benchmarks import throughput
from benchmarks.earlier import Earlier
from benchmarks.throughput import MEASUREMENTS, Duel, Plan
from lagbench.actors.control import ControlActors
from lagbench.learner import Learner
from lagbench.spec import resolve

TINY = Plan(actors=4, steps=4, minibatch=8, blocks=3, training_blocks=2, warm_up=1)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_each_ratio_is_measured(name: str) -> None:
    if name.startswith("training") and name != "training-cleanrl":
        pytest.importorskip("sbx" if name == "training-sbx" else "stable_baselines3")
    result = MEASUREMENTS[name]("Hopper-v5", TINY)
    low, high = result.quartiles
    assert 0 < low <= result.ratio <= high
    assert result.speed > 0
    assert result.other_speed > 0
    assert (result.name, result.task) == (name, "Hopper-v5")
    assert result.blocks == (TINY.training_blocks if name.startswith(("training", "update")) else TINY.blocks)
    assert result.cpu_ratio is not None
    assert result.cpu_ratio > 0
    assert result.verdict in (("met", "missed") if result.target else ("",))


def test_a_ratio_is_the_median_over_the_blocks_that_count() -> None:
    duel = Duel(blocks=3, warm_up=1)
    assert list(duel) == [0, 1, 2, 3]
    for ours, other in [(9.0, 1.0), (1.0, 2.0), (2.0, 2.0), (1.0, 4.0), (1.0, 1.0)]:  # the last is beyond the plan
        duel.add(0, ours)
        duel.add(1, other)
    result = duel.result("name", "task", "what", 2.5, Plan(actors=3, steps=4))
    assert result.ratio == 2.0
    assert result.quartiles == (1.5, 3.0)
    assert (result.speed, result.other_speed) == (12.0, 6.0)
    assert (result.cpu_ratio, result.verdict) == (None, "missed")


def test_a_target_may_be_for_the_ratio_of_cpu_time() -> None:
    duel = Duel(blocks=2, warm_up=0)
    for _ in range(2):
        duel.add(0, 1.0, 1.0)
        duel.add(1, 1.0, 3.0)
    found = [duel.result("name", "task", "what", 2.5, Plan(), by_cpu=by_cpu) for by_cpu in (True, False)]
    assert [(r.ratio, r.cpu_ratio, r.verdict) for r in found] == [(1.0, 3.0, "met"), (1.0, 3.0, "missed")]


def test_the_earlier_update_learns_what_todays_does() -> None:
    """One epoch of one minibatch, so that nothing depends on the order of the rows: the weights agree to rounding."""
    spec = resolve(algo="ppo", task="Hopper-v5", actors=4, phase_steps=8, minibatch=32, updates=1, budget=32)
    actors = ControlActors(spec, 1)
    policy = actors.make_policy()
    learner = Learner(spec.load_algorithm(), spec.config, policy, spec.protocol, 0, exact_log_prob=True)
    earlier = Earlier(policy.state_dict(), spec.config, minibatches=1, updates=1)
    rollout, _ = learner.begin(actors.collect([policy.version(0)] * 4, 0).rollout, 0, 0.0)
    earlier.update(learner.algorithm.prepare(rollout))
    learner.update(rollout, 0)
    torch.testing.assert_close(
        dict(policy.named_parameters()), dict(earlier.policy.named_parameters()), rtol=0, atol=1e-5
    )


def test_the_table_has_a_line_for_each_ratio_and_task(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(throughput, "QUICK", TINY)
    throughput.main(["--quick", "--only", "lag", "--only", "recording", "--task", "Hopper-v5"])
    lines = capsys.readouterr().out.splitlines()
    assert "envpool" in lines[0]
    assert [line.split("  ")[0] for line in lines[-2:]] == [
        "collect at lag 64 ÷ at lag 0",
        "collect and record ÷ collect",
    ]
    assert all("Hopper-v5" in line and ("met" in line or "missed" in line) for line in lines[-2:])


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(throughput, "QUICK", TINY)
    throughput.main(["--quick", "--only", "lag", "--task", "Hopper-v5", "--json"])
    document = json.loads(capsys.readouterr().out)
    assert document["context"]["cores"] >= 1
    assert document["plan"]["actors"] == TINY.actors
    (result,) = document["results"]
    assert result["name"] == "lag"
    assert result["target"] == 0.95
