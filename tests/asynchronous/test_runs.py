"""An asynchronous run of real Ray processes: an actor is killed, the run is ended, and what is left is held to itself.

One run, in two processes, for Ray takes seconds to start: in the first an actor process is killed and the run is
interrupted, in the second it is resumed. All tests look at what came of it.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.compute as pc
import pytest
from numpy.typing import NDArray

from lagbench.errors import LagbenchError
from lagbench.lag.histogram import Histogram
from lagbench.policies.base import Version
from lagbench.records.reader import Run, open_run
from lagbench.spec import resolve
from lagbench.training import train
from tests.cli.processes import Child, started, until
from tests.cli.run_here import content_hash, lagbench
from tests.tasks.gsm8k.tiny import make_data, make_model
from tests.test_training import in_float64, log_density

pytest.importorskip("ray")

ACTORS, STEPS, PHASES, QUEUE = 8, 16, 32, 2
BUDGET = ACTORS * STEPS * PHASES
SMALL = ("--task", "InvertedPendulum-v5", "--actors", str(ACTORS), "--phase-steps", str(STEPS), "--minibatch", "32",
         "--updates", "4", "--budget", str(BUDGET), "--eval-episodes", "1", "--eval-intervals", "2", "--seed", "7",
         "--set", "learning_rate=0.003")  # fmt: skip
RUN = ("run", "--algo", "vaco", "--asynchronous", "--actor-processes", "2", "--queue", str(QUEUE), *SMALL,
       "--checkpoint-every", "0", "--out", "run")  # fmt: skip
PATIENCE = 600
"""Seconds: on a busy machine Ray takes its time."""
LOOKS = 0.1
"""Seconds between two looks, which take time from Ray."""


def phases(path: Path) -> int:
    """How many are committed."""
    try:
        return int(open_run(path).phases.count_rows())
    except (LagbenchError, OSError):
        return 0  # not yet


def actor_processes(child: Child) -> list[psutil.Process]:
    """Those that have begun: Ray names them by their task."""
    found = []
    for process in psutil.Process(child.process.pid).children(recursive=True):
        try:
            if process.name().startswith("ray::act"):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The finished run, and what the interrupted process said."""
    here = tmp_path_factory.mktemp("asynchronous")
    path = here / "run"
    with started(here, *RUN) as child:
        until(lambda: phases(path) >= 2, PATIENCE, LOOKS)
        before = {process.pid for process in actor_processes(child)}
        assert len(before) == 2
        victim = psutil.Process(min(before))
        victim.kill()
        victim.wait(PATIENCE)
        # It is replaced: phases go on only with data of both.
        since = phases(path)
        until(lambda: phases(path) >= since + QUEUE + 3, PATIENCE, LOOKS)
        left = psutil.Process(child.process.pid).children(recursive=True)
        child.signal(signal.SIGTERM)  # which Ray would take for itself
        assert child.wait(PATIENCE) == 128 + signal.SIGTERM, child.err
        said = child.err
        # Its processes end with it.
        until(lambda: not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in left), PATIENCE, LOOKS)
    assert not (path / "result.json").exists()
    with started(here, "resume", "run", "-q") as child:
        assert child.wait(PATIENCE) == 0, child.err
        assert child.out == "run\n"
    return path, said


@pytest.fixture(scope="module")
def run(outcome: tuple[Path, str]) -> Run:
    return open_run(outcome[0], verify=True)


@pytest.fixture(scope="module")
def rows(run: Run) -> dict[str, NDArray[Any]]:
    table = run.trajectories.to_table()
    return {
        name: np.stack(table[name].to_numpy()) if name in ("observation", "action") else table[name].to_numpy()
        for name in table.column_names
        if name != "final_observation"
    }


def test_it_is_marked_and_complete(run: Run) -> None:
    protocol = run.spec.protocol
    assert (run.status, run.spec.is_asynchronous) == ("completed", True)
    assert (protocol.lag, protocol.lag_mode) == (QUEUE + 1, "asynchronous")
    assert protocol.lag_options == {"actor_processes": 2, "queue": QUEUE}
    assert run.phases.count_rows() == PHASES
    assert len(run.environment) == 2
    assert all(entry["determinism"].startswith("none: which policy versions act") for entry in run.environment)


def test_no_row_is_lost_or_there_twice(run: Run, rows: dict[str, NDArray[Any]]) -> None:
    """Each environment's steps and episodes follow one another without a gap, through deaths and resumes."""
    for actor in range(ACTORS):
        own = rows["actor"] == actor
        number, step, phase = (rows[name][own] for name in ("episode_id", "step", "phase"))
        assert (np.diff(phase) >= 0).all()
        first = np.flatnonzero(step == 0)
        assert first[0] == 0
        assert number[first].tolist() == [actor + ACTORS * i for i in range(len(first))]
        within = np.ones(len(step), dtype=bool)
        within[first] = False
        assert (np.diff(step)[within[1:]] == 1).all()
        # What is no row is a reset: one after each episode that ended, but for one that ended last of all.
        done = rows["terminated"][own] | rows["truncated"][own]
        assert STEPS * PHASES - own.sum() in (done.sum(), done.sum() - 1)
    assert run.episodes.count_rows() == (rows["terminated"] | rows["truncated"]).sum()


def test_versions_are_bounded_by_the_queue_and_no_actor_goes_back(run: Run, rows: dict[str, NDArray[Any]]) -> None:
    assert (rows["learner_version"] == rows["phase"]).all()
    lag = rows["learner_version"] - rows["behaviour_version"]
    assert lag.min() >= 0
    assert 0 < lag.max() <= QUEUE + 1
    for actor in range(ACTORS):
        assert (np.diff(rows["behaviour_version"][rows["actor"] == actor]) >= 0).all()
    held = np.array(run.phases.to_table()["versions"].to_pylist())
    assert (rows["behaviour_version"] == held[rows["phase"], rows["actor"]]).all()
    assert (held[:, :4] == held[:, :1]).all()  # a process has one version in a segment


def test_lag_is_measured_in_versions_and_in_updates(run: Run, rows: dict[str, NDArray[Any]]) -> None:
    table = run.phases.to_table().to_pydict()
    made = np.cumsum([0, *table["updates"]])
    dropped = 0
    for phase in range(PHASES):
        versions = np.array(table["versions"][phase])
        updates = made[phase] - made[versions]
        assert table["backward_lag_updates_mean"][phase] == pytest.approx(updates.mean())
        assert table["backward_lag_updates_max"][phase] == updates.max()
        assert table["backward_lag_updates_p95"][phase] == updates.max()  # of two processes
        assert table["backward_lag_p95"][phase] == (phase - versions).max()
        for name in ("waiting", "acting", "blocked", "fetching"):
            assert table[f"seconds_{name}"][phase] >= 0
        dropped += int(table["segments_dropped"][phase])
    assert dropped == 1
    assert (rows["seconds_queued"] >= 0).all()


def test_the_trace_of_it_gives_the_same_rows_and_each_is_its_versions(
    run: Run, rows: dict[str, NDArray[Any]], tmp_path: Path
) -> None:
    """The loop with the versions that acted gives every row again, bit for bit, and the weights of every version.

    Each row's log-probability is that of the weights of its version, written out in NumPy, and of no other's.
    """
    out = tmp_path / "traced"
    mode = f"trace:{run.path}"
    assert lagbench("run", "--algo", "vaco", *SMALL, "--lag-mode", mode, "--out", out, "-q").code == 0
    found, expected = content_hash(out), content_hash(run.path)
    assert {t: found[t] for t in found if t != "phases"} == {t: expected[t] for t in found if t != "phases"}
    versions: dict[int, dict[str, NDArray[Any]]] = {}
    for phase, result in enumerate(train(open_run(out).spec, threads=1)):
        if phase == 0:
            versions[0] = in_float64(Version(0, result.state()["versions"][0]))
        versions[phase + 1] = in_float64(result.policy.version(phase + 1))
    others = []
    for number in np.unique(rows["behaviour_version"]):
        own = rows["behaviour_version"] == number
        seen, action, recorded = (rows[name][own] for name in ("observation", "action", "behaviour_log_prob"))
        np.testing.assert_allclose(recorded, log_density(versions[number], seen, action), atol=1e-4, rtol=0)
        others.append(np.abs(log_density(versions[number + 1], seen, action) - recorded))
    assert np.mean(np.concatenate(others) > 1e-3) > 0.9


def test_it_can_be_replayed_and_what_could_not_be_is_found(run: Run, tmp_path: Path) -> None:
    done = lagbench("replay", run.path, "--training")
    assert done.code == 0, done.out
    assert f"the versions held in {PHASES} phases are possible for asynchronous processes" in done.out


def test_it_shows_its_lag(outcome: tuple[Path, str], run: Run) -> None:
    """While it goes on, and when it is over."""
    path, said = outcome
    assert f"at most {QUEUE + 1} (asynchronous: 2 actor processes, a queue of {QUEUE})" in said
    assert " · lags 0 " in said
    assert f"of {PHASES} phases; resume with: lagbench resume run" in said
    shown = lagbench("show", path)
    held = np.array(run.phases.to_table()["versions"].to_pylist())
    histogram = Histogram.of(np.arange(PHASES)[:, None] - held)
    assert f"measured lag      {histogram.summary()}, in versions" in shown.out
    assert "dropped           1 segments, by actor processes that died" in shown.out
    assert "actor steps without evaluations; idle: learner " in shown.out
    assert all(line in shown.out.splitlines() for line in histogram.lines())
    assert lagbench("show", path, "--json").json["lags"] == json.loads(json.dumps(histogram.to_json()))


def test_a_language_model_too(tmp_path: Path) -> None:
    """It can be replayed, and the loop with the versions that acted gives its completions again.

    Log-probabilities to within rounding: the loop completes all groups of a version in one batch.
    """
    tiny = {"data": make_data(tmp_path / "data"), "model": make_model(tmp_path / "model"), "prompt": "plain",
            "max_new_tokens": 8, "group_size": 4}  # fmt: skip
    options = [x for name, value in tiny.items() for x in ("--task-set", f"{name}={value}")]
    line = ("run", "--task", "GSM8k-v0", *options, "--minibatch", "16", "--updates", "2", "--actors", "4", "--budget",
            "256", "--eval-episodes", "4", "--eval-intervals", "1", "-q", "--out")  # fmt: skip
    with started(tmp_path, *line, "run", "--asynchronous", "--actor-processes", "2", "--queue", "2") as child:
        assert child.wait(PATIENCE) == 0, child.err
    run = open_run(tmp_path / "run", verify=True)
    assert (run.status, run.phases.count_rows(), run.trajectories.count_rows()) == ("completed", 8, 256)
    table = run.trajectories.to_table()
    held = run.phases.to_table()["versions"].to_pylist()
    columns = (table[name].to_pylist() for name in ("phase", "actor", "behaviour_version", "seconds_queued"))
    for phase, actor, versions, queued in zip(*columns, strict=True):
        assert {*versions} == {held[phase][actor]}
        assert phase - held[phase][actor] <= 3
        assert queued >= 0
    assert max(phase - min(versions) for phase, versions in enumerate(held)) > 0
    done = lagbench("replay", tmp_path / "run", "--training")
    assert done.code == 0, done.out
    assert "completions without evaluations; idle: learner" in lagbench("show", tmp_path / "run").out
    assert lagbench(*line, tmp_path / "traced", "--lag-mode", f"trace:{tmp_path / 'run'}").code == 0
    again = open_run(tmp_path / "traced").trajectories.to_table()
    for name in ("actor", "group", "prompt"):
        assert again[name].equals(table[name]), name
    assert open_run(tmp_path / "traced").phases.to_table()["versions"].to_pylist() == held
    first = pc.less(table["phase"], 2)
    assert again.filter(first)["token"].equals(table.filter(first)["token"])
    recorded, found = (np.concatenate(one.filter(first)["behaviour_log_prob"].to_numpy()) for one in (table, again))
    np.testing.assert_allclose(found, recorded, atol=1e-4)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--actor-processes 3", "8 actors cannot be divided evenly among 3 processes; give --actor-processes 2"),
        ("--actor-processes 0", "actor_processes must be in [1, 2147483647], not 0"),
        ("--queue 0", "queue must be in [1, 2147483647], not 0"),
        ("--lag 8", "the lag of asynchronous is determined by the mode and is 2, not 8; leave --lag out"),
        ("--lag-mode fixed", "the lag of an asynchronous run cannot be set; leave --lag-mode fixed out"),
        ("--ray 127.0.0.1:9", "there is no Ray cluster at 127.0.0.1:9 ([Errno 111] Connection refused); start one wi"),
    ],
)
def test_what_cannot_be_run_apart_is_refused(arguments: str, sentence: str, tmp_path: Path) -> None:
    done = lagbench("run", "--asynchronous", *SMALL, "--out", tmp_path / "run", "-q", *arguments.split())
    assert done.code == 2
    assert sentence in done.sentence
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("run --queue 2", "queue is an option of asynchronous runs; add --asynchronous, or leave it out"),
        ("run --actor-processes 2", "actor_processes is an option of asynchronous runs; add --asynchronous, or leave"),
        ("run --ray auto", "--ray names the cluster of an asynchronous run; add --asynchronous, or leave it out"),
        (
            "run --asynchronous --task GSM8kMini-v0 --task-set resample_uniform_groups=true",
            "resample_uniform_groups looks at all samples of a phase together, which asynchronous actors never have",
        ),
        (
            "run --asynchronous --suite TESTING --task Hopper-v5 --lag 0",
            "cannot be set, so it is not a cell of TESTING",
        ),
        (
            "lag asynchronous",
            "the lag of an asynchronous run is known only afterwards; run it, then: lagbench lag trace:RUN",
        ),
    ],
)
def test_what_is_not_apart_is_refused(arguments: str, sentence: str, here: Path) -> None:
    done = lagbench(*arguments.split())
    assert done.code == 2
    assert sentence in done.sentence
    assert not (here / "runs").exists()


def test_it_needs_ray(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    done = lagbench("run", "--asynchronous", *SMALL, "--out", tmp_path / "run", "-q")
    assert (done.code, done.sentence) == (2, "Error: --asynchronous needs an extra: pip install 'lagbench[ray]'")
    assert not (tmp_path / "run").exists()


def test_the_default_is_a_process_for_each_further_core(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, actors, expected in ((1, 8, 1), (2, 8, 1), (4, 8, 2), (16, 6, 6)):
        monkeypatch.setattr("lagbench.spec.cores", lambda n=cores: n)
        spec = resolve(execution="asynchronous", actors=actors, phase_steps=8, minibatch=2 * actors)
        assert spec.protocol.lag_options == {"actor_processes": expected, "queue": 1}
