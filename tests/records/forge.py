"""A record changed by somebody who knows how it is checked: only what was simulated gives him away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench.records.checksums import sealed, sha256
from lagbench.records.content_hash import table_hash

Columns = dict[str, list[Any]]


def copied(run: Path, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    shutil.copytree(run, path)
    return path


def change_table(path: Path, table: str, change: Callable[[Columns], Any]) -> None:
    """Change a finished run's table, its content hash and its number of rows with it."""
    file = path / table / "data.arrow"
    with pa.memory_map(str(file)) as source:
        old = pa.ipc.open_file(source).read_all()
    columns = old.to_pydict()
    change(columns)
    new = pa.table(columns, schema=old.schema)
    file.unlink()
    with pa.ipc.new_file(str(file), new.schema) as writer:
        writer.write_table(new)
    result = json.loads((path / "result.json").read_text())
    result["content_hash"][table] = table_hash(new.schema, new.to_batches())
    result["rows"][table] = len(new)
    write_result(path, result)


def change_policy(path: Path, content: bytes) -> None:
    (path / "policy.safetensors").write_bytes(content)
    result = json.loads((path / "result.json").read_text())
    result["files"]["policy.safetensors"] = sha256(content)
    write_result(path, result)


def write_result(path: Path, result: dict[str, Any]) -> None:
    (path / "result.json").write_text(json.dumps(sealed(result)))
