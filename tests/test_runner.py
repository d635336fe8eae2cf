"""A run from Python: its directory, its end whatever it is, and who is told."""

import dataclasses
import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

import lagbench
from lagbench import runner
from lagbench.checkpoint import Checkpoint
from lagbench.errors import RecordError, UsageError
from lagbench.records.files import resume_command
from lagbench.records.reader import Run, open_run
from lagbench.records.writer import RunWriter
from lagbench.runner import Interrupted, execute, new_directory, resume
from lagbench.sinks.base import Sink
from lagbench.spec import RunSpec, resolve
from tests.ends import CutOff, Scissors

SMALL: dict[str, Any] = {"actors": 4, "phase_steps": 16, "minibatch": 32, "budget": 320, "eval_episodes": 1}


class At(Sink):
    """Does something after the phase ``at``, and writes down what it is told."""

    def __init__(self, at: int, do: Any) -> None:
        self.at, self.do = at, do
        self.told: list[Any] = []

    def start(self, spec: RunSpec, path: Path, phases_done: int) -> None:
        self.told.append(("start", phases_done))

    def write(self, result: lagbench.PhaseResult) -> None:
        self.told.append(result.record.phase)
        if result.record.phase == self.at:
            self.do()

    def stopping(self) -> None:
        self.told.append("stopping")

    def finish(self, run: Run) -> None:
        self.told.append(("finish", run.status))

    def close(self) -> None:
        self.told.append("close")


@pytest.fixture(scope="module")
def spec() -> RunSpec:
    return resolve(algo="ppo-kl", lag=3, **SMALL)


@pytest.fixture(scope="module")
def alone(spec: RunSpec, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing happened to. Read it; do not change it."""
    return execute(spec, tmp_path_factory.mktemp("alone") / "run", threads=1)


def same(run: Run, alone: Run) -> bool:
    return (run.path / "result.json").read_bytes() == (alone.path / "result.json").read_bytes()


def handlers() -> list[Any]:
    return [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]


def test_a_finished_run(alone: Run, spec: RunSpec) -> None:
    assert alone.status == "completed"
    assert alone.spec == spec
    assert alone.summary["phases"] == 5
    assert alone.summary["budget_used"] == 320
    assert alone.summary["final"].keys() == {"mode", "stochastic"}
    assert {f.name for f in alone.path.iterdir()} == {
        "spec.json",
        "environment.json",
        "result.json",
        "policy.safetensors",
        "trajectories",
        "episodes",
        "phases",
        "evaluations",
    }


def test_who_follows_a_run_is_told_after_each_commit(spec: RunSpec, alone: Run, tmp_path: Path) -> None:
    path = tmp_path / "run"
    committed: list[int] = []
    sink = At(2, lambda: committed.append(open_run(path).phases.count_rows()))
    broken = At(1, lambda: 1 / 0)
    before = handlers()
    run = execute(spec, path, threads=2, sinks=[broken, sink])
    assert sink.told == [("start", 0), 0, 1, 2, 3, 4, "close", ("finish", "completed")]
    assert broken.told == [("start", 0), 0, 1, "close"]
    assert committed == [3]
    assert handlers() == before
    # A sink decides nothing, and neither do EnvPool's threads.
    assert same(run, alone)


def test_a_directory_for_a_run(tmp_path: Path, spec: RunSpec) -> None:
    root = tmp_path / "runs"
    first, second = new_directory(spec, root), new_directory(spec, root)
    assert first == root / "Hopper-v5/ppo-kl/lag3-u20-seed0-0"
    assert second == root / "Hopper-v5/ppo-kl/lag3-u20-seed0-1"
    assert first.is_dir()
    mine = dataclasses.replace(
        spec, algorithm=dataclasses.replace(spec.algorithm, name="some/where/mine.py:Mine"), seed=7
    )
    assert new_directory(mine, root) == root / "Hopper-v5/Mine/lag3-u20-seed7-0"


def test_runs_that_start_together_get_a_directory_each(tmp_path: Path, spec: RunSpec) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(new_directory(spec, tmp_path))) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(p.name.rpartition("-")[2]) for p in found) == list(range(16))


def test_a_directory_that_cannot_be_made(tmp_path: Path, spec: RunSpec) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RecordError, match=r"^cannot make .*runs/Hopper-v5/.* \(Not a directory\); run in another"):
        new_directory(spec, tmp_path / "runs")


def test_run_resolves_and_names_the_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: RunSpec) -> None:
    monkeypatch.chdir(tmp_path)
    small = {**SMALL, "budget": 64}
    run = lagbench.run(task="InvertedPendulum-v5", **small, threads=1, config={"clip": 0.1})
    assert run.path == Path("runs/InvertedPendulum-v5/ppo/lag0-u20-seed0-0")
    assert run.spec.config["clip"] == 0.1
    with pytest.raises(UsageError, match="give a spec or options, not both"):
        lagbench.run(spec=spec, lag=3)
    with pytest.raises(UsageError, match="already contains a run"):
        lagbench.run(**small, out=str(run.path))


def test_a_signal_is_taken_at_the_end_of_the_phase(spec: RunSpec, alone: Run, tmp_path: Path) -> None:
    path = tmp_path / "a run"
    sink = At(1, lambda: os.kill(os.getpid(), signal.SIGINT))
    before = handlers()
    with pytest.raises(Interrupted) as caught:
        execute(spec, path, threads=1, sinks=[sink])
    assert handlers() == before
    assert caught.value.exit_code == 130
    assert str(caught.value) == f"interrupted after 2 of 5 phases; resume with: lagbench resume '{path}'"
    assert sink.told == [("start", 0), 0, 1, "stopping", "close"]
    assert open_run(path).status == "unfinished"
    later = At(4, lambda: os.kill(os.getpid(), signal.SIGINT))
    # After the last phase there is nothing left to interrupt.
    run = resume(path, threads=1, sinks=[later])
    assert later.told == [("start", 2), 2, 3, 4, "stopping", "close", ("finish", "completed")]
    assert same(run, alone)


def test_a_second_signal_is_taken_at_once(spec: RunSpec, alone: Run, tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted) as caught:
        execute(spec, tmp_path / "run", threads=1, sinks=[At(2, twice)])
    assert caught.value.exit_code == 143
    assert "after 3 of 5 phases" in str(caught.value)
    assert same(resume(tmp_path / "run", threads=1), alone)


def test_a_host_that_interrupts_in_its_own_way(spec: RunSpec, alone: Run, tmp_path: Path) -> None:
    """As a notebook does."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        execute(spec, tmp_path / "run", threads=1, sinks=[At(0, interrupt)])
    assert caught.value.exit_code == 130
    assert same(resume(tmp_path / "run", threads=1), alone)


def test_in_a_thread_signals_are_the_hosts(spec: RunSpec, alone: Run, tmp_path: Path) -> None:
    before, seen, runs = handlers(), [], []
    sink = At(1, lambda: seen.append(handlers()))
    thread = threading.Thread(target=lambda: runs.append(execute(spec, tmp_path / "run", threads=1, sinks=[sink])))
    thread.start()
    thread.join()
    assert seen == [before]
    assert same(runs[0], alone)


@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError(12, "Cannot allocate memory")])
def test_what_is_no_fault_of_the_algorithm_can_be_resumed(
    error: Exception, spec: RunSpec, alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lagbench.actors.control import ControlActors

    collect = ControlActors.collect

    def fail(self: Any, versions: Any, phase: int) -> Any:
        if phase == 3:
            raise error
        return collect(self, versions, phase)

    path = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(ControlActors, "collect", fail)
        with pytest.raises(type(error)) as caught:
            execute(spec, path, threads=1)
    assert caught.value is error
    assert error.__notes__ == [f"after 3 of 5 phases, which are kept; resume with: lagbench resume {path}"]
    assert open_run(path).status == "unfinished"
    assert same(resume(path, threads=1), alone)


@pytest.mark.parametrize("where", ["commit", "finish"])
def test_a_record_that_cannot_be_written_ends_the_run(
    where: str, spec: RunSpec, alone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sink = tmp_path / "run", At(9, None)

    def fail(*_: Any) -> None:
        raise RecordError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, where, fail)
        with pytest.raises(RecordError, match="no room"):
            execute(spec, path, threads=1, sinks=[sink])
    assert sink.told[-1] == "close"
    assert open_run(path).status == "unfinished"
    assert same(resume(path, threads=1), alone)


class Tamper(Sink):
    """Changes the learner behind the loop's back."""

    def write(self, result: lagbench.PhaseResult) -> None:
        if result.record.phase == 1:
            with torch.no_grad():
                for weight in result.policy.parameters():
                    weight.mul_(1.1)


def test_a_mismatch_is_recorded_as_failed(tmp_path: Path) -> None:
    """The learner is not the policy that acted: the run is over, and says why."""
    path = tmp_path / "run"
    with pytest.raises(lagbench.LagbenchError, match="do not use these records") as caught:
        execute(resolve(**SMALL), path, threads=1, sinks=[Tamper()])
    assert caught.value.exit_code == 1
    assert caught.value.__notes__ == [f"in phase 2; {path} is recorded as failed"]
    run = open_run(path)
    assert (run.status, run.summary["phases"]) == ("failed", 2)
    assert run.summary["reason"].startswith(
        "MismatchError: phase 2: the learner's log-probabilities of actions of its own version"
    )
    assert run.phases.count_rows() == 2
    assert run.policy() is not None


def test_a_spec_that_was_edited_is_refused_with_the_difference(spec: RunSpec, alone: Run, tmp_path: Path) -> None:
    path = tmp_path / "run"
    with pytest.raises(Interrupted):
        execute(spec, path, threads=1, sinks=[At(1, lambda: os.kill(os.getpid(), signal.SIGINT))])
    file = path / "spec.json"
    published = file.read_text()
    edited = json.loads(published)
    edited["protocol"]["lag"] = 0
    file.write_text(json.dumps(edited))
    with pytest.raises(
        UsageError, match=r"is not the specification with which this run was started \(protocol.lag is 0, was 3\)"
    ):
        resume(path, threads=1)
    file.write_text(published)
    assert same(resume(path, threads=1), alone)


def test_the_resume_line_can_be_pasted() -> None:
    assert resume_command(Path("runs/a/b-0")) == "lagbench resume runs/a/b-0"
    assert resume_command(Path("my runs/it's")) == "lagbench resume 'my runs/it'\"'\"'s'"


def test_a_finished_run_is_not_resumed(alone: Run) -> None:
    with pytest.raises(UsageError, match="is finished: there is nothing to resume"):
        resume(alone.path)
    assert runner.CHECKPOINT not in {f.name for f in alone.path.iterdir()}


@pytest.mark.parametrize(
    ("seconds", "kept"), [(1e9, [*(done - done % 2 for done in range(1, 20)), 18]), (0.0, [*range(1, 20), 19])]
)
def test_when_a_checkpoint_is_written(seconds: float, kept: list[int], tmp_path: Path) -> None:
    """At least every tenth of a run, here of 20 phases; none after the last."""
    found: list[int] = []

    class Look(Sink):
        def write(self, result: lagbench.PhaseResult) -> None:
            saved = Checkpoint(tmp_path / "run/checkpoint").load()
            found.append(0 if saved is None else saved.state["phases"])

    spec = resolve(**{**SMALL, "budget": 1280, "eval_intervals": 1})
    execute(spec, tmp_path / "run", threads=1, checkpoint_every=seconds, sinks=[Look()])
    assert found == kept


def test_phases_after_the_last_checkpoint_are_made_again(tmp_path: Path) -> None:
    # An algorithm with a state of its own, old versions in the buffer, and an evaluation in what is cut off.
    spec = resolve(algo="ppo-kl", lag=3, **{**SMALL, "budget": 1280, "eval_intervals": 3})
    path = tmp_path / "run"
    with pytest.raises(CutOff):
        execute(spec, path, threads=1, sinks=[Scissors(6)])
    saved = Checkpoint(path / "checkpoint").load()
    assert saved is not None
    assert (saved.state["phases"], open_run(path).phases.count_rows()) == (6, 7)
    resumed = resume(path, threads=1)
    assert same(resumed, execute(spec, tmp_path / "alone", threads=1))
    assert [entry["phase"] for entry in json.loads((path / "environment.json").read_text())] == [0, 6]


def test_a_signal_has_the_phase_kept(tmp_path: Path) -> None:
    spec = resolve(**{**SMALL, "budget": 1280, "eval_intervals": 1})
    path = tmp_path / "run"
    with pytest.raises(Interrupted, match="interrupted after 3 of 20 phases"):
        execute(spec, path, threads=1, sinks=[At(2, lambda: os.kill(os.getpid(), signal.SIGINT))])
    saved = Checkpoint(path / "checkpoint").load()
    assert saved is not None
    assert saved.state["phases"] == 3
