"""``lagbench lag``: what a mode gives, in text, as a figure and as JSON."""

from pathlib import Path

import numpy as np
import pytest

from lagbench.lag.staleness import draw
from lagbench.protocol import Protocol
from tests.cli.run_here import lagbench


def test_the_histogram_is_that_of_the_draws() -> None:
    done = lagbench("lag", "uniform", "--lag", "3", "--actors", "8", "--phases", "50", "--seed", "4", "--json")
    protocol = Protocol.resolve(lag=3, minibatch=8, actors=8, phase_steps=2)
    lags = np.concatenate([phase - draw(protocol, 4, phase) for phase in range(50)])
    assert done.json["counts"] == np.bincount(lags).tolist()
    assert (done.json["mean"], done.json["max"]) == (pytest.approx(lags.mean()), 3)
    assert done.json["protocol"]["lag"] == 3


def test_it_is_printed_and_drawn(here: Path) -> None:
    done = lagbench("lag", "queue:cleanba", "--actors", "4", "--phases", "100", "-o", "lag.svg")
    assert (done.code, done.err) == (0, "")
    head, _, first, second = done.out.splitlines()
    assert head == "queue:cleanba, 4 actors, 100 phases, seed 0: lag mean 0.99, 95% at most 1, largest 1"
    assert first.split() == ["0", "1.0%"]
    assert second.split() == ["1", "99.0%", "█" * 40]
    assert "<svg" in (here / "lag.svg").read_text()


def test_in_flight_lags_are_counted_by_step() -> None:
    """Each phase but the first: version phase−1 for half of the time of a segment, then the learner's own."""
    queue = ("queue", "--lag-set", "learner=0.5", "--actors", "4", "--phases", "10", "--json")
    counts = lagbench("lag", *queue, "--lag-set", "inflight=true").json["counts"]
    assert [n / sum(counts) for n in counts] == pytest.approx([0.55, 0.45])
    assert lagbench("lag", *queue).json["counts"] == [4, 36]


def test_a_traces_actors_and_phases_are_its_own(finished: Path) -> None:
    found = lagbench("lag", f"trace:{finished}", "--json").json
    assert (sum(found["counts"]), found["phases"]) == (20, 5)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("unifrom", "unknown lag mode 'unifrom'; did you mean 'uniform'? Known: asynchronous, fixed, queue, trace, u"),
        ("queue --lag 9", "the lag of queue is determined by the mode and is 1, not 9; leave --lag out"),
        ("queue --lag-set eta=many", "eta must be a whole number in [0, 2147483647], not 'many'"),
        ("trace", "no trace was given; give --lag-mode trace:RUN"),
        ("uniform -o lag.gif", "lag.gif has no suffix of a known format; use one of pdf, png, svg"),
        ("uniform --actors 0", "--actors"),
        ("uniform --phases 0", "--phases"),
    ],
)
def test_what_cannot_be_shown_is_refused(arguments: str, sentence: str, here: Path) -> None:
    done = lagbench("lag", *arguments.split())
    assert done.code == 2
    assert sentence in done.sentence
    assert not list(here.glob("lag.*"))
