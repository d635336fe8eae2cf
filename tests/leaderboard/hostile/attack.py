"""What an attack is, and the tools that several use."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench import open as open_run
from lagbench import summarize
from lagbench.leaderboard import manifest
from lagbench.records import schema
from tests.records.forge import Columns, change_table, write_result

Change = Callable[[Path], Any]
"""Changes the submission in a directory."""

PLACE = "runs/Hopper-v5/lag2-u8-seed0"
"""The run that most attacks are on: of TESTING, and of SMALL."""
OTHER = "runs/Hopper-v5/lag2-u8-seed1"
PENDULUM = "runs/InvertedPendulum-v5/lag2-u8-seed0"
HTML = "<script>alert(1)</script>"
DEEP = 10_000


@dataclass(frozen=True)
class Attack:
    """Something done to a submission.

    Attributes:
        by: the check that must find it; None where it is no harm, and the scores must stay what they are.
        change: does it.
        hashed: whether the manifest is hashed again afterwards, so that what is behind the hash is tested.
    """

    by: str | None
    change: Change
    hashed: bool = True


def write(name: str, content: str | bytes) -> Change:
    """A file of the submission with this content."""
    return lambda path: (path / name).write_bytes(content.encode() if isinstance(content, str) else content)


def edit(name: str, change: Callable[[bytes], bytes]) -> Change:
    """A file's bytes, changed."""
    return lambda path: (path / name).write_bytes(change((path / name).read_bytes()))


def about(change: Callable[[dict[str, Any]], Any]) -> Change:
    """What submission.json says, changed and written as it must be; files that are hashed again stay as they are."""

    def attack(path: Path) -> None:
        file = path / manifest.FILE
        data = json.loads(file.read_text())
        change(data)
        file.write_bytes(manifest.dump(data))

    return attack


def document(name: str, change: Callable[[Any], Any]) -> Change:
    """A JSON file of the run at PLACE; what ``change`` returns takes its place, if that is anything."""

    def attack(path: Path) -> None:
        file = path / PLACE / name
        data = json.loads(file.read_text())
        new = change(data)
        if name == "result.json":
            write_result(file.parent, data if new is None else new)
        else:
            file.write_text(json.dumps(data if new is None else new))

    return attack


def table(name: str, change: Callable[[Columns], Any]) -> Change:
    """A table's columns at PLACE, with the content hash and the number of rows in result.json."""
    return lambda path: change_table(path / PLACE, name, change)


def respecify(run: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Another specification of a run, wherever it is written: in spec.json and in the metadata of every table."""
    file = run / "spec.json"
    spec = json.loads(file.read_text())
    change(spec)
    file.write_text(json.dumps(spec, indent=2) + "\n")
    noted = {"spec": json.dumps(spec, sort_keys=True), "protocol": json.dumps(spec["protocol"], sort_keys=True)}
    for one in run.rglob("*.arrow"):
        rewrite(one, lambda t: sign(t, noted))


def summarize_again(run: Path) -> None:
    """The summary of a run's result.json, made anew from its tables."""
    opened = open_run(run)
    assert opened.result is not None
    write_result(run, {**opened.result, "summary": {**opened.summary, **summarize(opened)}})


def rewrite(file: Path, change: Callable[[Any], Any], **options: Any) -> None:
    """A table's file, written anew from what ``change`` makes of it; ``options`` are those of ``IpcWriteOptions``."""
    new = change(pa.ipc.open_file(file.read_bytes()).read_all())
    file.unlink()
    with pa.ipc.new_file(str(file), new.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(new)


def sign(t: Any, changes: dict[str, str] | None = None) -> Any:
    """A table whose metadata has these entries, and the checksum that belongs to it."""
    metadata = {key.decode(): value.decode() for key, value in t.schema.metadata.items()} | (changes or {})
    return t.replace_schema_metadata(
        schema.as_table(t.schema.with_metadata(metadata), metadata["table"], t.schema.names).metadata
    )
