"""What recording costs, at tiny sizes: that it is measured, not what it is."""

from __future__ import annotations

import dataclasses
import json

import pytest

from benchmarks import recording
from benchmarks.throughput import Plan

TINY = Plan(actors=4, steps=8, minibatch=16, blocks=3, warm_up=1)


@pytest.fixture(scope="module")
def cost() -> recording.Cost:
    return recording.cost("Hopper-v5", TINY)


def test_bytes_of_a_transition(cost: recording.Cost) -> None:
    """As arrays: 11 observations of 8 bytes, 3 actions of 4, one of 8, seven of 4, two of 1, and final observations."""
    least = 11 * 8 + 3 * 4 + 8 + 7 * 4 + 2
    assert least <= cost.raw < least + 88
    assert cost.arrow > least
    assert cost.parquet > 50


def test_speed_and_memory(cost: recording.Cost) -> None:
    assert cost.speed.blocks == 3
    assert cost.speed.target == 0.95
    assert 0 < cost.speed.quartiles[0] <= cost.speed.ratio <= cost.speed.quartiles[1]
    assert cost.commit_ms > 0
    transitions = TINY.blocks * TINY.actors * TINY.steps
    assert 0 < cost.recorded_mib <= cost.raw * transitions / 2**20
    assert cost.grown_mib >= 0
    still = dataclasses.replace(cost, recorded_mib=100.0, grown_mib=5.0)
    assert still.memory_verdict == "met"
    assert dataclasses.replace(still, grown_mib=5.1).memory_verdict == "missed"


def test_command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(recording, "QUICK", TINY)
    recording.main(["--quick", "--task", "Hopper-v5"])
    *_, headings, row = capsys.readouterr().out.splitlines()
    assert headings.split()[:2] == ["task", "target"]
    assert row.split()[:2] == ["Hopper-v5", "0.95"]
    recording.main(["--quick", "--task", "Reacher-v5", "--json"])
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert result["speed"]["target"] is None
    assert result["verdict"] == ""
