"""Real runs, killed with SIGKILL in every stage: nothing committed is lost, and a resume makes them whole."""

import signal
from pathlib import Path

import pyarrow
import pyarrow.ipc
import pytest

from lagbench.records.reader import open_run
from tests.cli.intact import RESUME, RUN, Rows, check_finished, phases
from tests.cli.moments import ACTORS, OPEN, RENAME, STAGES, STEP, UNLINK, VERIFY, WRITE, Moment, held
from tests.cli.run_here import lagbench

POOL = "lagbench.tasks.mujoco:EnvPoolVectorEnv"
POLICY = "lagbench.policies.gaussian:GaussianPolicy"
ADAM = "torch.optim:Adam.step"
CUT = "trajectories/00000.arrows.tmp"

COLLECTING = [
    Moment("collecting", "after the first step of all", 0, STEP, where="after"),
    Moment("collecting", "before the last step of the first phase", 0, STEP, call=16),
    Moment("collecting", "before a policy is asked for actions", 2, "lagbench.policies.mlp:StackedNetworks.__call__"),
    Moment("collecting", "in the middle of a phase", 5, STEP, call=8),
    Moment("collecting", "before the rows are numbered", 7, f"{ACTORS}._account"),
    Moment("collecting", "when the actors have moved on", 8, f"{ACTORS}._advance", where="after"),
    Moment("collecting", "before the reward scale takes them in", 9, "lagbench.actors.reward_scale:RewardScale.update"),
    Moment("collecting", "after a step of the last phase", 11, STEP, call=5, where="after"),
]
UPDATING = [
    Moment("updating", "before the first optimizer step of all", 0, ADAM),
    Moment("updating", "as the phase begins", 3, f"{POLICY}.evaluate"),
    Moment("updating", "before the data are prepared", 4, "lagbench.algorithm:Algorithm.estimate"),
    Moment("updating", "between gradient and step", 5, "torch:Tensor.backward", call=2, where="after"),
    Moment("updating", "after the last optimizer step of a phase", 6, ADAM, call=4, where="after"),
    Moment("updating", "before the algorithm takes note of the phase", 8, "lagbench.baselines.ppo_kl:PPOKL.end_phase"),
    Moment("updating", "when the normalizer has taken it in", 9, f"{POLICY}.observe", where="after"),
    Moment("updating", "in the last phase", 11, ADAM, call=3),
]
COMMITTING = [
    Moment("committing", "in the middle of the first rows of all", 0, WRITE, "trajectories/*.arrows", "half"),
    Moment("committing", "before the rows are put into Arrow", 1, "lagbench.records.writer:encode"),
    Moment("committing", "in the middle of a line of the sums", 2, WRITE, "trajectories/*.sums", "half"),
    Moment("committing", "between the sums and the rows", 3, WRITE, "trajectories/*.arrows"),
    Moment("committing", "in the middle of the transitions", 4, WRITE, "trajectories/*.arrows", "half"),
    Moment("committing", "between two tables", 5, WRITE, "episodes/*.sums"),
    Moment("committing", "in the middle of the evaluations", 7, WRITE, "evaluations/*.arrows", "half"),
    Moment("committing", "when only the phase's own row is missing", 8, WRITE, "phases/*.sums"),
    Moment("committing", "in the middle of the phase's own row", 9, WRITE, "phases/*.arrows", "half"),
    Moment("committing", "when all is written", 10, WRITE, "phases/*.arrows", "after", readable=11),
    Moment("committing", "in the middle of the last rows of all", 11, WRITE, "trajectories/*.arrows", "half"),
]
# The version before the first phase is saved with the first.
CHECKPOINTING = [
    Moment("checkpointing", "before there is a directory", 1, "os:mkdir", "checkpoint"),
    Moment("checkpointing", "in the middle of the first state of all", 1, OPEN, "checkpoint/state.tmp", "half"),
    Moment("checkpointing", "in the middle of a version", 3, OPEN, "checkpoint/version-3.tmp", "half"),
    Moment("checkpointing", "before a version is in place", 4, RENAME, "checkpoint/version-4.tmp"),
    Moment("checkpointing", "when a version is in place", 5, RENAME, "checkpoint/version-5.tmp", "after"),
    Moment("checkpointing", "in the middle of the state", 6, OPEN, "checkpoint/state.tmp", "half"),
    Moment("checkpointing", "before the state is in place", 8, RENAME, "checkpoint/state.tmp"),
    Moment("checkpointing", "when the state is in place", 9, RENAME, "checkpoint/state.tmp", "after"),
    Moment("checkpointing", "when an old version is gone", 10, UNLINK, "checkpoint/version-6.pt", "after"),
    Moment("checkpointing", "in the middle of the last state", 11, OPEN, "checkpoint/state.tmp", "half"),
]
EVALUATING = [
    Moment("evaluating", "in the first of all", 0, STEP, call=10),
    Moment("evaluating", "before its environments are made", 1, "lagbench.tasks.mujoco:EnvPoolTask.make"),
    Moment("evaluating", "before its first reset", 3, f"{POOL}.reset"),
    Moment("evaluating", "in the middle of an episode", 4, STEP, call=10, where="after"),
    Moment("evaluating", "when all its episodes have ended", 8, f"{POOL}.close"),
    Moment("evaluating", "in the last of the mode", 11, STEP, call=10),
    Moment("evaluating", "between the mode and the sample", 11, f"{POOL}.close", where="after"),
]
FINALISING = [
    Moment("finalising", "before it is summed up", 12, "lagbench.runner:summarize"),
    Moment("finalising", "when two of the streams are closed", 12, "lagbench.records.streams:Stream.close", call=3),
    Moment("finalising", "in the middle of the policy", 12, OPEN, "policy.safetensors.tmp", "half"),
    Moment("finalising", "before the policy is in place", 12, RENAME, "policy.safetensors.tmp"),
    Moment("finalising", "when the policy is in place", 12, RENAME, "policy.safetensors.tmp", "after"),
    Moment("finalising", "in the middle of a table", 12, OPEN, "trajectories/data.arrow.tmp", "half"),
    Moment("finalising", "before a table is in place", 12, RENAME, "trajectories/data.arrow.tmp"),
    Moment("finalising", "when a table is in place", 12, RENAME, "episodes/data.arrow.tmp", "after"),
    Moment("finalising", "before the last table is in place", 12, RENAME, "phases/data.arrow.tmp"),
    Moment("finalising", "in the middle of the result", 12, OPEN, "result.json.tmp", "half"),
    Moment("finalising", "before the result is in place", 12, RENAME, "result.json.tmp"),
    Moment("finalising", "when the result is in place", 12, RENAME, "result.json.tmp", "after"),
    Moment("finalising", "among the shards that go", 12, UNLINK, "episodes/00000.arrows", "after"),
    Moment("finalising", "before the lock goes", 12, UNLINK, ".lock"),
    Moment("finalising", "before the checkpoint goes", 12, "shutil:rmtree", "checkpoint"),
    Moment("finalising", "when half of the checkpoint is gone", 12, UNLINK, "version-*.pt", "after", call=2),
]
MOMENTS = [*COLLECTING, *UPDATING, *COMMITTING, *CHECKPOINTING, *EVALUATING, *FINALISING]
BEGINNING = [
    Moment("beginning", "before the specification is in place", 0, RENAME, "spec.json.tmp"),
    Moment("beginning", "when the specification is in place", 0, RENAME, "spec.json.tmp", "after"),
    Moment("beginning", "before all tables have a directory", 0, "os:mkdir", "evaluations"),
    Moment("beginning", "between a shard and its sums", 0, OPEN, "evaluations/00000.sums"),
    Moment("beginning", "in the middle of a schema", 0, WRITE, "trajectories/00000.arrows", "half"),
    Moment("beginning", "before the environment is in place", 0, RENAME, "environment.json.tmp"),
]
# Of a run that was killed in the middle of its fifth phase's transitions; each comes after the kill at the one before.
RESUMING = [
    Moment("resuming", "before what is to stay is checked", 0, VERIFY, readable=4),
    Moment("resuming", "in the middle of the copy that is cut", 0, OPEN, CUT, "half", readable=4),
    Moment("resuming", "before the copy is in place", 0, RENAME, CUT, readable=4),
    Moment("resuming", "when the copy is in place", 0, RENAME, CUT, "after", readable=4),
    Moment("resuming", "between a new shard and its sums", 0, OPEN, "episodes/00001.sums", readable=4),
    Moment("resuming", "in the middle of a schema", 0, WRITE, "episodes/00001.arrows", "half", readable=4),
    Moment(
        "resuming",
        "when a shard that came to nothing is gone",
        0,
        UNLINK,
        "trajectories/00001.arrows",
        "after",
        readable=4,
    ),
    Moment("resuming", "before the environment is in place", 0, RENAME, "environment.json.tmp", readable=4),
    Moment("resuming", "before the open episodes are stepped again", 4, f"{POOL}.restore"),
    Moment("collecting", "after the first step of the first phase again", 4, STEP, where="after"),
    Moment("committing", "in the middle of a later shard", 5, WRITE, "evaluations/00001.arrows", "half"),
    Moment("committing", "when all is written and nothing saved", 6, WRITE, "phases/*.arrows", "after", readable=7),
    Moment("resuming", "before that is cut off", 0, RENAME, "trajectories/00002.arrows.tmp", readable=7),
]


def kill(here: Path, moment: Moment, *arguments: str) -> None:
    with held(here, moment, *arguments) as process:
        process.child.signal(signal.SIGKILL)
        assert process.child.wait() == -signal.SIGKILL


# Moments in the order in which one run comes to them, killed at each and resumed; each of the last five ends a run.
IN_TURN = sorted([*MOMENTS[:-5]], key=lambda moment: (moment.committed, moment.stage != "checkpointing"))
CHAINS = [[*IN_TURN[number::5], last] for number, last in enumerate(MOMENTS[-5:])]


def test_the_moments_are_enough() -> None:
    assert len({*map(str, MOMENTS)}) == len(MOMENTS) >= 30
    for stage in STAGES.keys() - {"beginning", "resuming"}:
        assert sum(moment.stage == stage for moment in MOMENTS) >= 5


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: str(chain[-1]))
def test_a_kill_loses_no_more_than_the_phase_under_way(
    chain: list[Moment], here: Path, alone: Path, reference: Rows
) -> None:
    for kills, moment in enumerate(chain):
        kill(here, moment, *(RESUME if kills else RUN))
        assert phases(here / "run", reference) == moment.whole, moment
        assert open_run(here / "run").phases.count_rows() == moment.whole, moment
    done = lagbench("resume", "run")
    assert (done.code, done.sentence) == (
        2,
        "Error: run is finished: there is nothing to resume; see: lagbench show run",
    )
    check_finished(here / "run", alone, reference, starts=len(chain))


@pytest.mark.parametrize("moment", BEGINNING, ids=str)
def test_a_run_killed_as_it_begins(moment: Moment, here: Path, alone: Path, reference: Rows) -> None:
    kill(here, moment, *RUN)
    assert phases(here / "run", reference) == 0
    # Without a specification there is no run, and the directory is as good as empty.
    done = lagbench(*(RESUME if (here / "run/spec.json").exists() else RUN))
    assert (done.code, done.out, done.err) == (0, "run\n", "")
    check_finished(here / "run", alone, reference, starts=1)


def test_a_run_killed_again_and_again_as_it_is_resumed(here: Path, alone: Path, reference: Rows) -> None:
    kill(here, next(moment for moment in COMMITTING if moment.committed == 4), *RUN)
    for moment in RESUMING:
        kill(here, moment, *RESUME)
        assert phases(here / "run", reference) == moment.whole
    assert lagbench(*RESUME).code == 0
    # Those that came so far wrote down that they had started.
    starts = 2 + sum(moment.committed > 0 for moment in RESUMING)
    check_finished(here / "run", alone, reference, starts)


SIGNALLED = [
    Moment("collecting", "in the middle of a phase", 5, STEP, call=8),
    Moment("updating", "before an optimizer step", 5, ADAM, call=2),
    Moment("committing", "in the middle of the transitions", 5, WRITE, "trajectories/*.arrows", "half"),
    Moment("checkpointing", "in the middle of the state", 6, OPEN, "checkpoint/state.tmp", "half"),
    Moment("evaluating", "in the middle of an episode", 5, STEP, call=10),
]


@pytest.mark.parametrize("signals", [["SIGTERM"], ["SIGINT", "SIGTERM"]], ids=str)
@pytest.mark.parametrize("moment", SIGNALLED, ids=str)
def test_a_signal_ends_the_writing_cleanly(moment: Moment, signals: list[str], here: Path, reference: Rows) -> None:
    """One lets the phase under way, the sixth, be finished; another ends it where it is, and leaves nothing torn."""
    with held(here, moment, *RUN) as process:
        for name in signals:
            process.child.signal(signal.Signals[name])
        process.release()
        assert process.child.wait() == 128 + signal.Signals[signals[0]]
        done = 6 if len(signals) == 1 else 5
        assert (process.child.out, process.child.err) == (
            "",
            f"interrupted after {done} of 12 phases; resume with: lagbench resume run\n",
        )
    assert phases(here / "run", reference) == max(done, moment.committed)
    for shard in (here / "run").glob("*/*.arrows"):
        with pyarrow.OSFile(str(shard)) as source:
            pyarrow.ipc.open_stream(source).read_all()
