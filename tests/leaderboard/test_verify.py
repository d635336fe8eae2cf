"""What a verification finds in real runs, and in runs that were changed by somebody who hashed all of it again."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
import pytest
import safetensors.torch
import torch

from lagbench import UsageError, load_suite
from lagbench.leaderboard import draws, manifest, verification
from lagbench.leaderboard import former as submission
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.verification import Verification
from lagbench.leaderboard.verify import verify
from lagbench.records import environment
from lagbench.records.checksums import sealed, sha256
from lagbench.records.episodes import summed
from lagbench.runner import execute
from lagbench.seeding import Stream, generator
from lagbench.tasks.mujoco import ControlTask, EnvPoolVectorEnv
from lagbench.tasks.spec import load_task
from tests.cli.run_here import lagbench
from tests.leaderboard.submitted import change_final, hash_again, lay_out
from tests.records.forge import Columns, change_policy, change_table

RUNS = ("runs/Hopper-v5/lag0-u8-seed0", "runs/Hopper-v5/lag2-u8-seed0")
NONCE = "5a" * 32
REPLAYED = [
    "content hash",
    "evaluation plan",
    "staleness draws",
    "behaviour versions",
    "episode sums",
    "evaluation episodes",
    "policy",
]


def failures(found: Verification, run: str = RUNS[0]) -> dict[str, str]:
    assert {check.run for check in found.failures} <= {run}
    return {check.name: check.message for check in found.failures}


def test_honest_runs(laid_out: Submission, verified: Verification) -> None:
    assert verified.passed
    assert (verified.submission, verified.nonce, verified.episodes) == (laid_out.sha256, NONCE, 4)
    assert (verified.sample, verified.exact) == (None, True)
    assert [(check.run, check.name) for check in verified.checks] == [
        (run, name) for run in RUNS for name in (*REPLAYED, "re-evaluation")
    ]
    assert {c.name for c in verified.checks if c.outcome != "ok"} == {"behaviour versions", "episode sums"}
    assert verified.tolerance == {"action": 1e-4, "elsewhere_reward": 1e-3, "elsewhere_steps": 25}
    assert verified.environment == environment.here()
    for one, submitted in zip(verified.reevaluated, laid_out.runs(), strict=True):
        spec = submitted.run.spec
        assert (one.run, one.task, one.lag) == (submitted.name, spec.task, spec.protocol.lag)
        assert (one.updates, one.seed) == (spec.protocol.updates, spec.seed)
        assert one.seeds == draws.seeds(laid_out.sha256, NONCE, one.run, 4)
        final = submitted.run.summary["final"]["stochastic"]
        assert one.claimed.mean == pytest.approx(final["mean"], rel=1e-12)
        assert one.claimed.episodes == final["episodes"]
        # As the standard deviation is defined here: with the divisor n − 1.
        assert one.claimed.std == pytest.approx(final["standard_error"] * math.sqrt(3), rel=1e-9)
        assert verified.finals[one.run] == one.mean == pytest.approx(np.mean(one.returns))


def test_fresh_returns_are_those_of_the_policy(laid_out: Submission, verified: Verification) -> None:
    """Played by hand: the policy's actions with the run's noise, an environment a seed, until it ends."""
    submitted = laid_out.runs()[1]
    one = verified.reevaluated[1]
    policy = submitted.run.policy()
    task = load_task("Hopper-v5")
    assert isinstance(task, ControlTask)
    spec = submitted.run.spec
    rng = generator(spec.seed, Stream.EVALUATION_ACTION, spec.phases)
    noise = torch.from_numpy(rng.standard_normal((1000, len(one.seeds), 3), dtype=np.float32))
    for j, (seed, value) in enumerate(zip(one.seeds, one.returns, strict=True)):
        env = task.make([seed], 1)
        observation, _ = env.reset()
        rewards: list[float] = []
        done = False
        while not done:
            with torch.no_grad():
                mean = policy.actor(policy.normalizer(torch.from_numpy(observation)))  # type: ignore[operator]
                action = mean + policy.log_std.exp() * noise[len(rewards), j]  # type: ignore[operator]
            observation, reward, terminated, truncated, _ = env.step(action.numpy())
            rewards.append(reward[0])
            done = bool(terminated[0] or truncated[0])
        env.close()
        # One at a time, products round otherwise.
        assert value == pytest.approx(summed(np.array(rewards)), rel=1e-3)


def test_the_same_nonce_gives_the_same_report(laid_out: Submission, verified: Verification) -> None:
    """Whatever EnvPool's threads, and in however many processes."""
    told: list[tuple[int, int]] = []
    again = verify(
        laid_out, episodes=4, nonce=NONCE, threads=3, jobs=2, progress=lambda done, total: told.append((done, total))
    )
    assert json.dumps(again.to_json()) == json.dumps(verified.to_json())
    assert told == [(1, 2), (2, 2)]


def test_another_nonce_draws_other_seeds(laid_out: Submission, verified: Verification) -> None:
    again = verify(laid_out, episodes=2)
    assert again.passed
    assert again.nonce != verified.nonce
    assert not {s for one in again.reevaluated for s in one.seeds} & {s for o in verified.reevaluated for s in o.seeds}


def test_a_sample(laid_out: Submission, verified: Verification) -> None:
    again = verify(laid_out, episodes=4, sample=1, nonce=NONCE)
    assert again.passed
    assert again.reevaluated == verified.reevaluated
    for own in (check.message for check in again.checks if check.name == "evaluation episodes"):
        assert own.startswith("1 episode, ")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 1}, "a mean of 1 episodes has no standard error; play at least 2"),
        ({"sample": 0}, "a sample of 0 episodes shows nothing; take at least 1"),
        ({"nonce": "luck"}, "a nonce is 64 digits of lower-case hex"),
    ],
)
def test_what_cannot_be_asked(options: dict[str, Any], message: str, laid_out: Submission) -> None:
    with pytest.raises(UsageError, match=message):
        verify(laid_out, **options)


# ------------------------------------------------------------------------------------------------------------ forgeries


class Forge(Protocol):
    """``forged``."""

    def __call__(self, change: Callable[[Path], Any], episodes: int = 4) -> Verification: ...


@pytest.fixture
def forged(laid_out: Submission, tmp_path: Path) -> Forge:
    """A function that has the first run changed, and verifies what it makes."""

    def forge(change: Callable[[Path], Any], episodes: int = 4) -> Verification:
        path = tmp_path / "mine"
        shutil.copytree(laid_out.path, path)
        change(path / RUNS[0])
        return verify(hash_again(path), episodes=episodes, nonce=NONCE)

    return forge


def test_an_altered_reward(forged: Forge) -> None:
    def change(columns: Columns) -> None:
        columns["reward"][1][7] += 0.25
        columns["return"][1] = summed(np.array(columns["reward"][1], np.float32))

    found = forged(lambda run: change_final(run, change))
    (message,) = failures(found).values()
    assert failures(found).keys() == {"evaluation episodes"}
    assert re.match(r"evaluations, evaluation 2, mode stochastic, episode 1, step 7: reward is .*, replayed ", message)


def test_an_altered_action(forged: Forge) -> None:
    def change(columns: Columns) -> None:
        columns["action"][0][5][2] += 0.01

    messages = failures(forged(lambda run: change_final(run, change)))
    assert messages.keys() == {"evaluation episodes", "policy"}
    assert re.search(r"episode 0, step 5: action\[2\] is .*, by the policy file ", messages["policy"])


def test_open_loop_actions_that_no_policy_chose(forged: Forge) -> None:
    """Real rewards of real episodes, so that they replay to the last bit."""
    task = load_task("Hopper-v5")
    assert isinstance(task, ControlTask)

    def change(columns: Columns) -> None:
        rng = np.random.default_rng(0)
        for i, seed in enumerate(columns["seed"]):
            env = task.make([seed], 1)
            env.reset()
            actions, rewards, done = [], [], False
            while not done:
                actions.append(rng.uniform(-1, 1, 3).astype(np.float32))
                _, reward, terminated, truncated, _ = env.step(actions[-1][None])
                rewards.append(reward[0])
                done = bool(terminated[0] or truncated[0])
            env.close()
            columns["action"][i] = [action.tolist() for action in actions]
            columns["reward"][i] = [float(reward) for reward in rewards]
            columns["length"][i], columns["return"][i] = len(rewards), summed(np.array(rewards, np.float32))
            columns["terminated"][i], columns["truncated"][i] = bool(terminated[0]), bool(truncated[0])

    found = forged(lambda run: change_final(run, change))
    assert failures(found).keys() == {"policy"}
    assert [c.outcome for c in found.checks if c.name == "evaluation episodes"] == ["ok", "ok"]


def test_a_swapped_policy(forged: Forge, baseline: Path) -> None:
    (other,) = baseline.glob("Hopper-v5/*/lag2-u8-seed1")
    found = forged(lambda run: change_policy(run, (other / "policy.safetensors").read_bytes()))
    assert failures(found).keys() == {"policy"}
    # What is played is the policy that was submitted, and no other.
    assert len(found.reevaluated) == 2


def test_an_inflated_mean(forged: Forge) -> None:
    """Every table says so: the rewards that make it up never came, and fresh episodes have nothing of it."""

    def final(columns: Columns) -> None:
        columns["reward"] = [[r + 3 for r in rewards] for rewards in columns["reward"]]
        columns["return"] = [summed(np.array(rewards, np.float32)) for rewards in columns["reward"]]
        inflated.extend(columns["return"])

    def evaluations(columns: Columns) -> None:
        rows = [i for i, (v, m) in enumerate(zip(columns["version"], columns["mode"], strict=True)) if (v, m) == last]
        for i, value in zip(rows, inflated, strict=True):
            columns["return"][i] = value

    inflated: list[float] = []
    last = (16, "stochastic")

    def change(run: Path) -> None:
        change_final(run, final)
        change_table(run, "evaluations", evaluations)

    # Three claimed episodes, unlike in length, spread widely: it takes more fresh ones to tell.
    found = forged(change, episodes=32)
    assert failures(found).keys() == {"evaluation episodes"}
    assert [one.run for one in found.flagged] == [RUNS[0]]
    (one,) = found.flagged
    assert one.z is not None
    assert one.z > 3
    # Ranked it is by what came out, which no table says.
    assert found.finals[one.run] == one.mean < one.claimed.mean - 50


def test_a_seed_of_ones_own(forged: Forge) -> None:
    """Other seeds in both tables are real episodes of seeds that are not the suite's."""

    def change(columns: Columns) -> None:
        columns["seed"] = [seed + 1 for seed in columns["seed"]]

    def both(run: Path) -> None:
        change_table(run, "evaluations", change)
        change_final(run, change)

    assert failures(forged(both)).keys() == {"evaluation plan", "evaluation episodes", "policy"}


def test_versions_that_the_seed_did_not_draw(forged: Forge) -> None:
    def change(columns: Columns) -> None:
        columns["versions"][5][3] = 0

    (message,) = failures(forged(lambda run: change_table(run, "phases", change))).values()
    assert message.startswith("phases, phase 5: versions[3] is 0, drawn 5")


def test_a_policy_that_chooses_no_numbers(forged: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its weights are finite, what they come to is not."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it stands

    def change(run: Path) -> None:
        state = safetensors.torch.load((run / "policy.safetensors").read_bytes())
        # Two observations so far from their means that each product overflows, one up and one down.
        state["normalizer.mean"][:2] -= 1e6
        state["actor.0.weight"][:, 0], state["actor.0.weight"][:, 1] = 3e38, -3e38
        change_policy(run, safetensors.torch.save(state))

    messages = failures(forged(change))
    assert messages.keys() == {"policy", "re-evaluation"}
    assert messages["re-evaluation"] == "its policy chose actions whose returns are no numbers"


def test_a_policy_that_cannot_be_read(forged: Forge) -> None:
    messages = failures(forged(lambda run: change_policy(run, b"no policy")))
    assert messages.keys() == {"policy", "re-evaluation"}
    assert all("policy.safetensors cannot be read" in message for message in messages.values())


def test_a_run_without_its_policy(forged: Forge) -> None:
    """As a large model's: it is rescored, and that is all."""
    found = forged(lambda run: (run / "policy.safetensors").unlink())
    assert found.passed
    assert found.outcomes("policy")[RUNS[0]] == found.outcomes("re-evaluation")[RUNS[0]] == "skipped"
    assert found.finals.keys() == {RUNS[1]}


# -------------------------------------------------------------------------------------------------- diverged, elsewhere

FAULTY = """
import torch
from lagbench.baselines.ppo import PPO

class Faulty(PPO):
    def loss(self, batch):
        loss, metrics = super().loss(batch)
        return loss * (float("nan") if self.progress > 0.6 else 1.0), metrics
"""


def test_a_run_that_diverged_is_not_played(baseline: Path, tmp_path: Path) -> None:
    (tmp_path / "faulty.py").write_text(FAULTY)
    algorithm = f"{tmp_path / 'faulty.py'}:Faulty"
    spec = load_suite("TESTING").resolve(algo=algorithm, task="Hopper-v5", lag=0, record="episodes")
    assert execute(spec, tmp_path / "diverged", threads=1).status == "diverged"
    (healthy,) = baseline.glob("Hopper-v5/*/lag2-u8-seed0")
    submitted = lay_out([tmp_path / "diverged", healthy], tmp_path / "mine")
    found = verify(submitted, episodes=2)
    assert found.passed
    assert found.finals.keys() == {RUNS[1]}
    own = {check.name: check for check in found.checks if check.run == RUNS[0]}
    assert own["re-evaluation"].outcome == "skipped"
    assert own["re-evaluation"].message == "it diverged: its final scores as random"
    assert own["policy"].message == "the run diverged: no evaluation is of its last policy"
    assert own["staleness draws"].outcome == "ok"
    verification.write(found, tmp_path / "report.json")
    assert verification.read(tmp_path / "report.json", submitted) == found


def recorded_elsewhere(run: Path) -> None:
    """Its environment.json says so, with checksums that are right."""
    file = run / "environment.json"
    entries = [{k: v for k, v in entry.items() if k != "checksum"} for entry in json.loads(file.read_text())]
    file.write_text(json.dumps([sealed({**entry, "cpu": "an abacus"}) for entry in entries]))


@pytest.fixture
def other_last_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that rounds its actions otherwise, and coarsely, so that it is seen in short episodes."""
    step = EnvPoolVectorEnv._step

    def otherwise(self: EnvPoolVectorEnv, actions: Any, ids: Any) -> Any:
        pool = self._pool
        self._pool = SimpleNamespace(step=lambda stepped, own: pool.step(stepped * (1 + 1e-7), own))
        try:
            return step(self, actions, ids)
        finally:
            self._pool = pool

    monkeypatch.setattr(EnvPoolVectorEnv, "_step", otherwise)


@pytest.mark.usefixtures("other_last_bits")
def test_last_bits_must_be_the_same_where_the_machine_is(laid_out: Submission) -> None:
    found = verify(laid_out, episodes=2)
    assert not found.passed
    assert {check.name for check in found.failures} == {"evaluation episodes"}


@pytest.mark.usefixtures("other_last_bits")
def test_elsewhere_the_first_steps_are_held_to_a_tolerance(forged: Forge, laid_out: Submission) -> None:
    found = forged(recorded_elsewhere)
    assert {check.run for check in found.failures} == {RUNS[1]}
    (message,) = (c.message for c in found.checks if (c.run, c.name) == (RUNS[0], "evaluation episodes"))
    assert re.fullmatch(
        r"3 episodes, \d+ steps, bit for bit but for \d episodes?, whose rewards agree to 0.001 in the first 25 steps: "
        r"recorded with the CPU an abacus \(here .*\)",
        message,
    )
    assert not found.exact
    (policy,) = (c for c in found.checks if (c.run, c.name) == (RUNS[0], "policy"))
    assert policy.outcome == "ok"


def test_what_came_out_bit_for_bit_is_so_wherever_it_was_recorded(forged: Forge) -> None:
    found = forged(recorded_elsewhere)
    assert found.passed
    assert found.exact


@pytest.mark.parametrize(("step", "found"), [(24, {"evaluation episodes"}), (25, set())])
def test_who_says_that_it_was_elsewhere_gains_little(step: int, found: set[str], forged: Forge) -> None:
    """A reward beyond the first steps is taken then, which the report says: it is the fresh episodes that count."""

    def change(columns: Columns) -> None:
        columns["reward"][0][step] += 0.25
        columns["return"][0] = summed(np.array(columns["reward"][0], np.float32))

    def both(run: Path) -> None:
        recorded_elsewhere(run)
        change_final(run, change)

    report = forged(both)
    assert failures(report).keys() == found
    assert not report.exact


# ---------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def mine(whole: Submission, tmp_path: Path) -> Path:
    """A copy of a valid submission, where submissions lie."""
    path = tmp_path / "leaderboard" / "submissions" / "TESTING" / "mine"
    shutil.copytree(whole.path, path)
    return path


VERIFY = ("leaderboard", "verify")
FEW = ("--episodes", "3", "--sample", "1")


def test_the_command(mine: Path, tmp_path: Path) -> None:
    done = lagbench(*VERIFY, mine, *FEW)
    assert done.code == 0
    lines = done.out.splitlines()
    assert "ok    evaluation episodes  8 of 8 runs" in lines
    assert "ok    re-evaluation        8 of 8 runs" in lines
    assert "skip  episode sums         8 of 8 runs: the run recorded no transitions" in lines
    assert re.search(
        r"^\d of 8 claimed means flagged, where \d\.\d\d are to be expected by chance of normal returns$",
        done.out,
        re.M,
    )
    assert any(line.startswith("re-evaluated: this policy scores like this on seeds that") for line in lines)
    assert lines[-1] == "missing for more: nobody has run its code"
    file = tmp_path / "leaderboard" / "verifications" / "TESTING" / "mine.json"
    assert f"wrote {file}" in done.err
    found = verification.read(file, submission.read(mine))
    assert (found.episodes, found.sample, found.passed) == (3, 1, True)
    # Once more with its nonce it is the same to the last byte, and is not written over what is there.
    again = (*VERIFY, mine, *FEW, "--nonce", found.nonce)
    refused = lagbench(*again)
    assert refused.code == 2
    assert "is there already; give --overwrite to replace it" in refused.sentence
    before = file.read_bytes()
    quiet = lagbench(*again, "--overwrite", "-q", "--threads", "1")
    assert (quiet.code, [line for line in quiet.out.splitlines() if not line.startswith("flagged: ")]) == (0, [])
    assert file.read_bytes() == before


def test_one_document(mine: Path, tmp_path: Path) -> None:
    done = lagbench(*VERIFY, mine, *FEW, "--json", "-o", tmp_path / "report.json")
    assert (done.code, done.err) == (0, "")
    assert done.json["file"] == str(tmp_path / "report.json")
    assert done.json["passed"] is True
    assert done.json["state"]["name"] == "re-evaluated"
    assert done.json["report"] == json.loads((tmp_path / "report.json").read_text())
    assert not (tmp_path / "leaderboard" / "verifications").exists()


def test_what_does_not_agree_is_told(mine: Path, baseline: Path) -> None:
    """Of a policy that did not play these episodes, which nothing can show but to play them."""
    (other,) = baseline.glob("Hopper-v5/*/lag2-u8-seed1")
    state = safetensors.torch.load((other / "policy.safetensors").read_bytes())
    state["critic.4.bias"] += 1.0  # a file that is there twice is refused before
    change_policy(mine / RUNS[0], safetensors.torch.save(state))
    manifest_again(mine)
    done = lagbench(*VERIFY, mine, *FEW)
    assert done.code == 1
    (line,) = (line for line in done.out.splitlines() if line.startswith("FAIL"))
    assert line == "FAIL  policy               1 of 8 runs"
    assert re.search(rf"^      {RUNS[0]}: evaluations, .*: action\[\d\] is .*, by the policy file ", done.out, re.M)
    assert "\nrescored: the scores follow from the episodes; not proven: that the episodes happened\n" in done.out
    # The report says so too.
    file = verification.file_of(mine)
    assert [check.run for check in verification.read(file, submission.read(mine)).failures] == [RUNS[0]]


def manifest_again(path: Path) -> None:
    """Hashes and sizes as the files have them now."""
    file = path / "submission.json"
    data = json.loads(file.read_text())
    for name, about in data["files"].items():
        content = (path / name).read_bytes()
        about.update(sha256=sha256(content), bytes=len(content))
    file.write_bytes(manifest.dump(data))


def test_what_is_not_valid_is_not_verified(mine: Path, tmp_path: Path) -> None:
    (mine / RUNS[0] / "final.arrow").unlink()
    done = lagbench(*VERIFY, mine)
    assert done.code == 1
    assert re.fullmatch(
        rf"Error: {mine} is not valid: .*; all of it: lagbench leaderboard validate {mine}", done.sentence
    )
    assert not verification.file_of(mine).exists()
    assert lagbench(*VERIFY, tmp_path / "none").code in (1, 2)
