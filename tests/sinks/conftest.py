"""A run that the sinks follow."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from lagbench.records.reader import Run
from lagbench.runner import execute
from lagbench.sinks.base import Sink
from lagbench.spec import RunSpec, resolve
from lagbench.training import PhaseResult


@dataclass(frozen=True)
class Followed:
    """What a sink is told of a run."""

    spec: RunSpec
    path: Path
    results: list[PhaseResult]
    run: Run

    def tell(self, sink: Sink) -> None:
        sink.start(self.spec, self.path, 0)
        for result in self.results:
            sink.write(result)
        sink.close()
        sink.finish(self.run)


class Keep(Sink):
    def __init__(self) -> None:
        self.results: list[PhaseResult] = []

    def write(self, result: PhaseResult) -> None:
        self.results.append(result)


@pytest.fixture(scope="session")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    """A run of five phases with an evaluation after every second or third."""
    path, keep = tmp_path_factory.mktemp("followed") / "run", Keep()
    spec = resolve(
        algo="vaco",
        config={"delta": 0.2},
        lag=3,
        task_options={"max_episode_steps": 200},
        actors=4,
        phase_steps=16,
        minibatch=32,
        budget=330,
        eval_episodes=2,
        eval_intervals=2,
    )
    return Followed(spec, path, keep.results, execute(spec, path, threads=1, sinks=[keep]))
