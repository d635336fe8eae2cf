"""Submissions of whatever runs there are, and how one is changed by somebody who hashes everything again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from lagbench.leaderboard import arrow_guard, layout, manifest
from lagbench.leaderboard import former as submission
from lagbench.leaderboard.former import Submission
from lagbench.records import export, final
from lagbench.records.reader import open_run
from tests.records.forge import Columns

_ABOUT: Mapping[str, Any] = {
    "format_version": manifest.FORMAT_VERSION,
    "suite": {"name": "TESTING", "sha256": "0" * 64},
    "name": "Mine",
    "algorithm": {"name": "mine", "sha256": "0" * 64},
    "authors": ["Somebody"],
    "url": "https://example.org",
    "license": "Apache-2.0",
    "statement": {"tuning": "none", "discarded": "none"},
    "config": {},
    "lagbench": "0.1.0",
}


def lay_out(runs: Iterable[Path], out: Path) -> Submission:
    """A submission of runs, each where its cell belongs; whether they are a whole grid is not asked."""
    for path in runs:
        run = open_run(path)
        directory = out / layout.directory(run.spec.task, run.spec.protocol, run.spec.seed)
        directory.parent.mkdir(parents=True, exist_ok=True)
        export.export(run, "slim", directory)
        if final.expected(run):
            final.write(run, directory / final.FILE)
    (out / manifest.FILE).write_bytes(manifest.dump({**_ABOUT, "files": {}}))
    return hash_again(out)


def hash_again(path: Path) -> Submission:
    """The submission in a directory, after its manifest is made to have the hashes that its files have now."""
    file = path / manifest.FILE
    before = json.loads(file.read_text())
    files = {
        (name := one.relative_to(path).as_posix()): _entry(one, before["files"].get(name, {}))
        for one in sorted(path.rglob("*"))
        if one.is_file() and one != file
    }
    content = manifest.dump(before | {"files": files})
    file.write_bytes(content)
    return submission.of(path, content, json.loads(content))


def _entry(file: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    content = file.read_bytes()
    entry = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    if file.suffix != ".arrow":
        return entry
    try:
        return {**entry, "rows": arrow_guard.declared(file).rows}
    except arrow_guard.GuardError:
        return {**entry, "rows": before.get("rows", 0)}


def change_final(run: Path, change: Callable[[Columns], Any]) -> None:
    """Change the episodes of a run's final evaluation."""
    file = run / final.FILE
    old = pa.ipc.open_file(file.read_bytes()).read_all()
    columns = old.to_pydict()
    change(columns)
    with pa.ipc.new_file(str(file), old.schema) as writer:
        writer.write_table(pa.table(columns, schema=old.schema))
