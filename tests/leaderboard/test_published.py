"""Published runs: made from results/ without a trace of the machine, and refused where they cannot be compared with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

from lagbench import LagbenchError, UsageError, load_suite
from lagbench.leaderboard import published
from lagbench.scoring import score, table
from scripts import publish_scores, results
from tests.leaderboard.rows import suite_rows
from tests.scoring import synthetic

SUITE = load_suite("TESTING")


def written(file: Path, **changes: Any) -> Path:
    table.to_file(synthetic.table([{**row, **changes} for row in suite_rows({"ppo": 1.0, "vaco": 2.0})]), file)
    return file


def test_what_is_committed_can_be_read() -> None:
    for file in published.DIRECTORY.glob("*.arrow"):
        assert {row["suite"] for row in table.from_file(file).to_pylist()} == {file.stem}


def test_a_family_has_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "DIRECTORY", tmp_path)
    assert published.suites() == []
    written(tmp_path / "TESTING.arrow")
    written(tmp_path / "mujoco-1m-v1.arrow")
    assert published.suites() == ["TESTING", "mujoco-lite-v1", "mujoco-mini-v1"]


def test_what_is_published_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "TESTING.arrow")
    monkeypatch.setattr(published, "DIRECTORY", tmp_path)
    found = published.load(SUITE)
    assert published.algorithms(found) == ["ppo", "vaco"]
    assert published.choose(found, []).equals(found)
    assert published.algorithms(published.choose(found, ["vaco"])) == ["vaco"]
    with pytest.raises(UsageError, match="'vac' is not one of the baselines; did you mean 'vaco'"):
        published.choose(found, ["ppo", "vac"])


def test_nothing_is_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(published, "DIRECTORY", tmp_path)
    with pytest.raises(LagbenchError, match=r"no scores are published for mujoco-lite-v1 \(published: none yet\); run"):
        published.load(load_suite("mujoco-lite-v1"))
    written(tmp_path / "TESTING.arrow")
    with pytest.raises(LagbenchError) as refused:
        published.load(load_suite("mujoco-lite-v1"))
    for part in (
        "(published: TESTING)",
        "lagbench sweep --suite mujoco-lite-v1 --algo ppo,vaco -o runs/mujoco-lite-v1",
        "lagbench score runs/mujoco-lite-v1 --table mujoco-lite-v1.arrow",
        "--baselines mujoco-lite-v1.arrow",
    ):
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"suite_sha256": "f" * 64}, ("another version of TESTING (ffffffffffff…)", f"({SUITE.sha256[:12]}…)")),
        ({"suite": "mujoco-v0"}, ("runs of mujoco-v0, not of TESTING",)),
        ({"suite": None, "suite_sha256": None}, ("runs of no suite, not of TESTING",)),
        ({"envpool": ["1.1.4"]}, ("EnvPool 1.1", "differ from the installed 1.2", "pip install 'envpool==1.1.*'")),
        ({"envpool": ["1.2.5", "1.10.0"]}, ("EnvPool 1.10", "from the installed 1.2")),
    ],
)
def test_what_cannot_be_compared_is_refused(changes: Mapping[str, Any], parts: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(UsageError) as refused:
        published.read(written(tmp_path / "other.arrow", **changes), SUITE)
    assert str(tmp_path / "other.arrow") in str(refused.value)
    for part in parts:
        assert part in str(refused.value)


def test_another_patch_of_envpool_is_the_same_physics(tmp_path: Path) -> None:
    assert len(published.read(written(tmp_path / "x.arrow", envpool=["1.2.99"]), SUITE)) == 16


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no file '.*none\.arrow'"):
        published.read(tmp_path / "none.arrow", SUITE)
    about = {**table.SCHEMA.metadata, b"format_version": b"99"}
    with pa.ipc.new_file(str(tmp_path / "new.arrow"), table.SCHEMA.with_metadata(about)):
        pass
    with pytest.raises(LagbenchError, match=rf"new\.arrow has format 99; this lagbench reads {table.FORMAT_VERSION}"):
        published.read(tmp_path / "new.arrow", SUITE)


def test_a_table_is_made_without_a_trace_of_the_machine(ppo: Path, tmp_path: Path) -> None:
    """The same bytes, wherever the checkout lies and however often it is made."""
    made = []
    for root in (tmp_path / "here", tmp_path / "elsewhere/deep"):
        shutil.copytree(ppo, root / "results/TESTING")
        table.to_file(published.build(root / "results/TESTING"), root / "x.arrow")
        made.append((root / "x.arrow").read_bytes())
    assert made[0] == made[1]
    found = table.from_file(root / "x.arrow")
    assert "TESTING/Hopper-v5/ppo/lag0-u8-seed0" in found["path"].to_pylist()
    assert str(tmp_path).encode() not in made[0]
    # But for the paths it is what scoring reads from the runs.
    read = table.collect([ppo])
    assert found.drop_columns("path").equals(read.drop_columns("path"))


@pytest.mark.parametrize("case", ["missing", "unfinished", "no environment", "another suite"])
def test_what_is_not_whole_is_not_published(case: str, ppo: Path, tmp_path: Path) -> None:
    runs = tmp_path / ("mujoco-v0" if case == "another suite" else "TESTING")
    shutil.copytree(ppo, runs)
    run = runs / "Hopper-v5/ppo/lag2-u8-seed1"
    if case == "missing":
        shutil.rmtree(run)
        error = "cannot be published: ppo lacks Hopper-v5 at lag 2, seed 1"
    elif case == "unfinished":
        (run / "result.json").unlink()
        error = "lag2-u8-seed1 cannot be published: it is unfinished"
    elif case == "no environment":
        (run / "environment.json").unlink()
        error = "lag2-u8-seed1 cannot be published: it has no environment.json"
    else:
        error = "belongs to TESTING, but mujoco-v0 is named after mujoco-v0"
    with pytest.raises(LagbenchError, match=error):
        published.build(runs)


@pytest.mark.usefixtures("referenced")
def test_the_script_writes_what_the_power_follows_from(ppo: Path, tmp_path: Path) -> None:
    shutil.copytree(ppo, tmp_path / "results/TESTING")
    places = [f"--{name}={tmp_path / name}" for name in ("scores", "powers")]
    (tmp_path / "powers").mkdir()
    done = CliRunner().invoke(publish_scores.main, [str(tmp_path / "results/TESTING"), *places])
    file = tmp_path / "powers/TESTING.power.json"
    assert done.output.splitlines()[1:] == [str(file)]
    data = json.loads(file.read_text())
    assert data["suite"] == {"name": "TESTING", "sha256": SUITE.sha256}
    (line,) = score.score(table.collect([ppo])).lines
    assert data["spreads"] == {"ppo": line.spread}
    assert line.spread is not None


def test_the_script(ppo: Path, tmp_path: Path) -> None:
    shutil.copytree(ppo, tmp_path / "results/TESTING")
    options = [str(tmp_path / "results/TESTING"), f"--scores={tmp_path / 'scores'}"]
    done = CliRunner().invoke(publish_scores.main, options)
    assert done.output == f"{tmp_path / 'scores/TESTING.arrow'}: 8 runs of ppo\n"
    found = table.from_file(tmp_path / "scores/TESTING.arrow")
    assert json.loads(found["config"].to_pylist()[0])["learning_rate"] > 0
    assert found.equals(published.build(tmp_path / "results/TESTING"), check_metadata=True)


def test_the_script_takes_the_table_that_is_kept(ppo: Path, tmp_path: Path) -> None:
    """The same bytes as of the runs themselves; what is not whole is refused alike."""
    kept = tmp_path / "results/TESTING.arrow"
    results.grow(kept, ppo)
    shutil.copytree(ppo, tmp_path / "TESTING")
    for source, out in ((kept, tmp_path / "of-table"), (tmp_path / "TESTING", tmp_path / "of-runs")):
        done = CliRunner().invoke(publish_scores.main, [str(source), f"--scores={out}", f"--powers={out}"])
        assert done.output == f"{out / 'TESTING.arrow'}: 8 runs of ppo\n"
    assert (tmp_path / "of-table/TESTING.arrow").read_bytes() == (tmp_path / "of-runs/TESTING.arrow").read_bytes()
    table.to_file(table.from_file(kept).slice(1), kept)
    with pytest.raises(LagbenchError, match="cannot be published: ppo lacks Hopper-v5 at lag 0, seed 0"):
        published.build(kept)
    kept.rename(other := tmp_path / "mujoco-1m-v1.arrow")
    with pytest.raises(UsageError, match=r"belongs to TESTING, but mujoco-1m-v1\.arrow is named after mujoco-1m-v1"):
        published.build(other)
