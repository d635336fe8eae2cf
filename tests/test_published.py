"""What is published is loaded: policies that a checkout keeps, evaluations that the package has; own runs likewise."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import torch
from click.testing import CliRunner

import lagbench
from lagbench import LagbenchError, UsageError, plan_grid, published, registry
from lagbench.domain import ActionMode
from lagbench.errors import RecordError
from lagbench.leaderboard import published as shipped
from lagbench.policies.gaussian import GaussianPolicy
from lagbench.runner import execute
from lagbench.scoring import table
from scripts import results


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds at two lags of one task of TESTING. Read it; do not change it."""
    out = tmp_path_factory.mktemp("sweep") / "TESTING"
    for cell in plan_grid(out, algo=["ppo"], suite="TESTING", task="Hopper-v5", seeds=[0, 1], record="episodes"):
        execute(cell.spec, cell.path, threads=1)
    return out


@pytest.fixture(scope="module")
def kept(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the maintainers' script makes of them."""
    directory = tmp_path_factory.mktemp("kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "RESULTS", directory)
        for new in (2, 0):
            done = CliRunner().invoke(results.main, ["TESTING", "--from", str(runs), "--policies"])
            assert (done.exit_code, done.stderr) == (0, f"{new} policies more\n4 runs\n")
        assert CliRunner().invoke(results.main, ["TESTING", "--policies"]).exit_code == 2
    return directory


@pytest.fixture
def checkout(kept: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which they are published."""
    monkeypatch.setattr(published, "POLICIES", kept / "policies")
    monkeypatch.setattr(shipped, "DIRECTORY", kept)
    return kept


def load(name: Any = "ppo", suite: str | None = "TESTING", **cell: Any) -> GaussianPolicy:
    policy = lagbench.load_policy(name, suite, **cell)
    assert isinstance(policy, GaussianPolicy)
    return policy


def test_a_published_policy_acts_as_the_run_s(checkout: Path, runs: Path) -> None:
    files = sorted(file.relative_to(checkout).as_posix() for file in checkout.rglob("*.safetensors"))
    assert files == [f"policies/TESTING/Hopper-v5/ppo/lag{lag}-u8-seed0.safetensors" for lag in (0, 2)]
    assert all((checkout / file).stat().st_size < 25_000 for file in files)
    trained = lagbench.open(runs / "Hopper-v5/ppo/lag2-u8-seed0").policy()
    policy = load(task="Hopper-v5", lag=2)
    found, expected = policy.acting_state(), trained.acting_state()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    # The critic is one that was never trained.
    weight, other = policy.state_dict(), load(task="lagbench/Hopper-v5", lag=0).state_dict()
    assert not torch.equal(weight["critic.4.weight"], trained.state_dict()["critic.4.weight"])
    assert not torch.equal(weight["actor.4.weight"], other["actor.4.weight"])


def test_the_policy_of_a_run_of_one_s_own(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = runs / "Hopper-v5/ppo/lag2-u8-seed1"
    expected = lagbench.open(run).policy().state_dict()
    (runs.parent / "runs").symlink_to(runs)
    monkeypatch.chdir(runs.parent)
    for name in (run, str(run), "lag2-u8-seed1"):
        found = load(name, None).state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected)


@pytest.mark.parametrize(
    ("name", "cell", "kind", "says"),
    [
        ("ppo", {"task": "Hopper-v5"}, UsageError, r"TESTING is a grid; choose a cell's lag \(--lag\): 0, 2"),
        ("ppo", {"task": "Hoper-v5", "lag": 2}, UsageError, "TESTING has no task Hoper-v5; choose one of: "),
        ("ppo", {"task": "Hopper-v5", "lag": 3}, UsageError, "TESTING has no lag 3; choose one of: 0, 2"),
        ("ppo", {"task": "Hopper-v5", "updates": 8}, UsageError, "varies lag: choose a cell by it, not by updates=8"),
        ("pppo", {"task": "Hopper-v5", "lag": 2}, UsageError, "unknown published algorithm 'pppo'; did you mean 'ppo'"),
        ("ppo", {"task": "InvertedPendulum-v5", "lag": 2}, LagbenchError, "no policy of ppo on Inv"),
        ("ppo", {"suite": "TESTIN", "task": "Hopper-v5", "lag": 2}, UsageError, "unknown suite 'TESTIN'; did"),
        ("ppo", {"suite": None, "task": "Hopper-v5"}, UsageError, "task='Hopper-v5' chooses a cell of a suite"),
        ("no-run", {"suite": None}, RecordError, "there is no run 'no-run'"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("checkout")
def test_what_is_not_published_costs_a_sentence(
    name: str, cell: dict[str, Any], kind: type[Exception], says: str
) -> None:
    with pytest.raises(kind, match=says) as refused:
        load(name, **cell)
    assert "\n" not in str(refused.value)


def test_a_package_alone_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "POLICIES", tmp_path / "results/policies")
    with pytest.raises(LagbenchError) as refused:
        load("vaco", "mujoco-mini-v1", task="Hopper-v5", lag=8)
    assert str(refused.value) == (
        f"no policy of vaco on Hopper-v5 at lag 8 lies in {tmp_path}/results/policies, where a checkout has "
        "those that are published; train one, lagbench run --suite mujoco-mini-v1 --task Hopper-v5 --lag 8 --algo vaco "
        "-o RUN, and load that: lagbench.load_policy('RUN')"
    )


@pytest.mark.parametrize("damage", [b"", b"not what was written", None])
def test_a_damaged_file_is_named(
    checkout: Path, damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = next((checkout / "policies").rglob("lag2-*.safetensors")).read_bytes()
    file = tmp_path / "TESTING/Hopper-v5/ppo/lag2-u8-seed0.safetensors"
    file.parent.mkdir(parents=True)
    # None: as of a network that is none of this task's.
    file.write_bytes(kept.replace(b"actor.4.bias", b"actor.6.bias") if damage is None else damage)
    monkeypatch.setattr(published, "POLICIES", tmp_path)
    with pytest.raises(RecordError, match=r"lag2-u8-seed0.safetensors cannot be read \(.*\); restore it"):
        load(task="Hopper-v5", lag=2)


def test_every_evaluation_of_a_suite(checkout: Path, runs: Path, tmp_path: Path) -> None:
    found = lagbench.results("TESTING")
    assert found.num_rows == 4 * 3
    assert found["fraction"].to_pylist() == [0.0, 0.5, 1.0] * 4
    run = lagbench.open(runs / "Hopper-v5/ppo/lag2-u8-seed1")
    own = found.filter(pc.and_(pc.equal(found["lag"], 2), pc.equal(found["seed"], 1)))
    modes: dict[ActionMode, str] = {"stochastic": "", "mode": "mode_"}
    for mode, prefix in modes.items():
        curve = run.curve(mode)
        assert own[f"{prefix}mean_return"].to_pylist() == [point.mean for point in curve]
        assert own[f"{prefix}standard_error"].to_pylist() == [point.standard_error for point in curve]
    # Of runs of one's own alike: a directory, or a table.
    assert lagbench.results(runs).equals(found)
    assert lagbench.results(str(checkout / "TESTING.arrow")).equals(found)


def test_of_a_family_the_cells_of_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.leaderboard.rows import suite_rows
    from tests.scoring import synthetic

    large = suite_rows({"ppo": 1.0}, suite=lagbench.load_suite("mujoco-lite-v1"))
    table.to_file(synthetic.table(large), tmp_path / "mujoco-1m-v1.arrow")
    monkeypatch.setattr(shipped, "DIRECTORY", tmp_path)
    for name, runs in (("mujoco-lite-v1", 4 * 5 * 10), ("mujoco-mini-v1", 3 * 3 * 5)):
        assert lagbench.results(name).num_rows == runs * 11
    with pytest.raises(LagbenchError) as refused:
        lagbench.results("mujoco-reuse-mini-v1")
    assert str(refused.value) == (
        "no results are published for mujoco-reuse-mini-v1 (published: mujoco-lite-v1, mujoco-mini-v1); run the "
        "baselines, lagbench sweep --suite mujoco-reuse-mini-v1 --algo ppo,vaco -o RUNS, and read those: "
        "lagbench.results('RUNS')"
    )
    with pytest.raises(UsageError, match="unknown suite 'mujoco-mini-v2'; did you mean"):
        lagbench.results("mujoco-mini-v2")


@pytest.mark.usefixtures("checkout")
def test_the_code_of_the_page_runs() -> None:
    text = (Path(__file__).parents[1] / "docs/results.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    scope: dict[str, Any] = {}
    exec(block.replace("vaco", "ppo").replace("mujoco-mini-v1", "TESTING").replace("lag=8", "lag=2"), scope)
    assert len(scope["evaluations"]) == 12
    assert scope["mean"].shape == (8, 3)


def test_where_the_package_has_its_tables() -> None:
    assert [registry.load(target) for target in registry.results().values()] == [shipped.DIRECTORY]
