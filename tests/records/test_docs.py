"""docs/records.md says what there is: every column, with its type; and its code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from lagbench.records.reader import open_run
from lagbench.records.schema import schemas, type_name
from tests.records.build import ACTION, OBSERVATION, SIZES, TABLES, make_record, make_spec, write, write_finished

TEXT = (Path(__file__).parents[2] / "docs" / "records.md").read_text(encoding="utf-8")


def documented(table: str) -> dict[str, list[str]]:
    """Column → type, unit and meaning, from the table under the heading of that name."""
    (section,) = re.findall(rf"^### {table}\n(.*?)(?=^##)", TEXT, re.MULTILINE | re.DOTALL)
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in section.splitlines() if line.startswith("| `")]
    return {row[0].strip(" `"): [cell.strip() for cell in row[1:]] for row in rows}


def written_type(kind: str) -> str:
    return kind.replace("[obs]", f"[{OBSERVATION}]").replace("[act]", f"[{ACTION}]")


@pytest.mark.parametrize("table", TABLES)
def test_columns_are_documented(table: str) -> None:
    schema = schemas(make_spec(), **SIZES)[table]
    columns = documented(table)
    assert list(columns) == schema.names
    for field in schema:
        kind, unit, meaning = columns[field.name]
        assert written_type(kind) == type_name(field.type), field.name
        assert unit, field.name
        assert meaning, field.name


def test_the_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = write_finished(Path("RUN"), make_spec())
    write(Path("UNFINISHED"), make_spec(), map(make_record, range(3))).close()
    with Path("UNFINISHED/trajectories/00000.arrows").open("r+b") as file:
        file.seek(-8, 2)  # where the end-of-stream marker was, a torn batch
        file.write(b"\xff\xff\xff\xff\x40\x00\x00\x00")
    scope: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        exec(compile(block, "docs/records.md", "exec"), scope)
    assert scope["lag"].num_rows == result["rows"]["trajectories"]
    assert scope["table"].num_rows == sum(len(make_record(k).transitions.columns["step"]) for k in range(3))
    assert scope["policy"].log_std.shape == (ACTION,)
    # The definition of the content hash, as code, gives what was recorded.
    for table in TABLES:
        types = {name: written_type(row[0]) for name, row in documented(table).items()}
        assert scope["table_hash"](getattr(open_run("RUN"), table).to_table(), types) == result["content_hash"][table]
