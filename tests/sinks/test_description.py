"""Descriptions of a run, as text."""

import dataclasses
from types import MappingProxyType

import pytest

from lagbench.protocol import Protocol
from lagbench.records.reader import Run
from lagbench.sinks import description
from tests.sinks.conftest import Followed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.6, "1 s"),
        (59.6, "1 min 00 s"),
        (3599.6, "1 h 00 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_a_duration(seconds: float, text: str) -> None:
    assert description.duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(4321.4, "4,321/s"), (4.62, "4.6/s"), (1.0, "1.0/s"), (0.083, "5/min")],
)
def test_a_rate(per_second: float, text: str) -> None:
    """A large language model makes few completions a minute: nothing a second would say nothing."""
    assert description.rate(per_second) == text


def test_another_protocol_and_device(followed: Followed) -> None:
    protocol = Protocol.resolve(lag=0, forward="split", updates=4, minibatch=32, actors=4, phase_steps=None)
    spec = dataclasses.replace(
        followed.spec, protocol=protocol, device="cuda:1", task_options=MappingProxyType({}), budget=1_000_000
    )
    rows = description.about(spec)
    assert rows["lag"] == "0 (synchronous)"
    assert rows["updates"] == "4 per phase (split: one pass, minibatches of 32)"
    assert rows["budget"] == "1,000,000 actor steps: 7,812 phases of 4 actors × 32 steps"
    assert rows["task"] == "Hopper-v5"
    assert rows["device"] == "cuda:1"
    assert "device" not in description.about(followed.spec)


def test_the_files_of_a_task(followed: Followed) -> None:
    """Enough of a digest to tell it from another."""
    options = {"data": "questions", "data_sha256": "0123456789abcdef" * 4}
    spec = dataclasses.replace(followed.spec, task_options=MappingProxyType(options))
    assert description.about(spec)["task"] == "Hopper-v5 data=questions data_sha256=0123456789ab…"


def test_a_divergence(followed: Followed) -> None:
    at = {"phase": 3, "update": 7, "what": "the loss"}

    def told(**more: object) -> str:
        summary = {"diverged": {**at, **more}}
        return description.divergence(Run(followed.path, followed.spec, {"status": "diverged", "summary": summary}))

    assert told() == told(last_logged={}) == "diverged in phase 3, update 7: the loss is not finite"
    # result.json has null for what was not finite itself.
    last = {"phase": 2, "metrics": {"loss": 0.123456, "gradient_norm": None, "kept": 1e-7}}
    assert told(last_logged=last).endswith(" is not finite; last logged, in phase 2: loss 0.1235, kept 1e-07")


def test_an_algorithms_own_words_are_only_printed() -> None:
    assert description.plain("a\x1b[31mb\nμ") == r"a\x1b[31mb\nμ"
