"""The logs that a run writes on request: JSON lines and TensorBoard."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest

from lagbench.sinks.jsonl import JsonLines
from lagbench.sinks.scalars import scalars
from tests.sinks.conftest import Followed


def strict(text: str) -> Any:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def test_scalars_of_a_phase(followed: Followed) -> None:
    record = followed.results[-1].record
    row = scalars(followed.results[-1])
    assert row["diagnostics/tv"] == record.diagnostics["tv"]
    assert row["metrics/filtered_fraction"] == record.metrics["filtered_fraction"]
    assert row["evaluation/stochastic"] == record.evaluations[0].mean_return
    assert row["evaluation/mode"] == record.evaluations[1].mean_return
    assert row["seconds/collecting"] > 0
    assert row["updates"] == 20
    with_episodes = [r for r in followed.results if r.record.episodes]
    assert with_episodes
    for result in with_episodes:
        returns = [e.episode_return for e in result.record.episodes]
        assert scalars(result)["episodes/return"] == sum(returns) / len(returns)
    assert all(isinstance(x, float) for x in row.values())


def test_json_lines(followed: Followed, tmp_path: Path) -> None:
    sink = JsonLines()
    sink.start(followed.spec, tmp_path, 0)
    for result in followed.results[:3]:
        sink.write(result)
    # Each line is there at once, for whoever follows the file.
    lines = (tmp_path / "log.jsonl").read_text().splitlines()
    sink.close()
    assert [strict(line)["phase"] for line in lines] == [0, 1, 2]
    assert [strict(line)["budget_used"] for line in lines] == [64, 128, 192]
    assert strict(lines[2])["diagnostics/tv"] == followed.results[2].record.diagnostics["tv"]
    # A resumed run goes on.
    sink = JsonLines()
    sink.start(followed.spec, tmp_path, 3)
    sink.write(followed.results[3])
    sink.close()
    assert [strict(x)["phase"] for x in (tmp_path / "log.jsonl").read_text().splitlines()] == [0, 1, 2, 3]


def test_what_is_not_finite_is_null(followed: Followed, tmp_path: Path) -> None:
    result = followed.results[0]
    record = dataclasses.replace(result.record, metrics={"a": math.nan, "b": math.inf, "c": 1.0})
    sink = JsonLines()
    sink.start(followed.spec, tmp_path, 0)
    sink.write(dataclasses.replace(result, record=record))
    sink.close()
    row = strict((tmp_path / "log.jsonl").read_text())
    assert (row["metrics/a"], row["metrics/b"], row["metrics/c"]) == (None, None, 1.0)


def test_a_log_that_was_never_begun_can_be_closed() -> None:
    JsonLines().close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard(followed: Followed, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    from lagbench.sinks.tensorboard import TensorBoard

    def steps() -> list[int]:
        events = EventAccumulator(str(tmp_path / "tensorboard"))
        events.Reload()
        assert set(scalars(followed.results[0])) <= set(events.Tags()["scalars"])
        return [e.step for e in events.Scalars("diagnostics/tv")]

    sink = TensorBoard()
    sink.start(followed.spec, tmp_path, 0)
    for result in followed.results:
        sink.write(result)
    sink.close()
    assert steps() == [64, 128, 192, 256, 320]
    # Resumed after the third phase: what was logged of the others gives way.
    sink = TensorBoard()
    sink.start(followed.spec, tmp_path, 3)
    sink.write(followed.results[3])
    sink.close()
    assert steps() == [64, 128, 192, 256]
