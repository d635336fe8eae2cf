"""``lagbench export``: what it says on either stream, and its refusals."""

from pathlib import Path

import minari
import pyarrow.parquet

from lagbench.records.reader import open_run
from tests.cli.run_here import SMALL, lagbench


def test_parquet(finished: Path, tmp_path: Path) -> None:
    run = open_run(finished)
    assert run.result is not None
    done = lagbench("export", finished, "--to", "parquet", "-o", tmp_path / "tables")
    assert (done.code, done.out) == (0, f"{tmp_path / 'tables'}\n")
    counts = ", ".join(f"{n:,} {table}" for table, n in run.result["rows"].items())
    assert done.err == f"exported: {counts}\n"
    table = pyarrow.parquet.read_table(tmp_path / "tables" / "trajectories.parquet")
    assert table.num_rows == run.result["rows"]["trajectories"]


def test_minari_as_json(finished: Path, tmp_path: Path) -> None:
    done = lagbench("export", finished, "--to", "minari", "--out", tmp_path, "--json")
    assert (done.code, done.err) == (0, "")
    about = done.json
    dataset = minari.MinariDataset(Path(about["path"]) / "data")
    assert about["path"] == str(tmp_path / dataset.id)
    assert about["dataset_id"] == dataset.id
    assert about["rows"] == {"episodes": dataset.total_episodes, "steps": dataset.total_steps}
    (note,) = about["notes"]
    assert note.startswith("left out: ")


def test_quiet(finished: Path, tmp_path: Path) -> None:
    done = lagbench("export", finished, "--to", "parquet", "-o", tmp_path / "tables", "-q")
    assert (done.code, done.err) == (0, "")


def test_refusals(finished: Path, here: Path) -> None:
    refused = lagbench("export", finished, "--to", "parket", "-o", "out")
    assert refused.code == 2
    assert "'parket'; did you mean 'parquet'?" in refused.sentence
    assert lagbench("export", finished, "--to", "parquet").code == 2
    (here / "out").mkdir()
    (here / "out" / "mine").touch()
    refused = lagbench("export", finished, "--to", "parquet", "-o", "out")
    assert (refused.code, refused.sentence) == (
        2,
        "Error: out already exists; delete it, or give another directory with --out",
    )
    refused = lagbench("export", finished, "--to", "huggingface", "-o", "new")
    assert refused.code == 2
    assert "is for language models, which the policy of Hopper-v5 is not" in refused.sentence
    assert lagbench("export", "nowhere", "--to", "parquet", "-o", "new").code == 2
    assert lagbench("run", "--algo", "ppo", *SMALL, "--record", "episodes", "-o", "bare", "-q").code == 0
    refused = lagbench("export", "bare", "--to", "minari", "-o", "new")
    assert (refused.code, refused.sentence) == (
        1,
        "Error: bare has no trajectories: it was run with --record episodes",
    )
    assert not (here / "new").exists()
