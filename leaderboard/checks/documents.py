"""result.json and environment.json: whole, and in agreement with the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from lagbench import Run, RunSpec, records, summarize
from lagbench.leaderboard import layout, limits
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.former import File
from lagbench.leaderboard.manifest import is_sha256, is_version
from lagbench.leaderboard.text import line_fault, shown

CHECK, HASH = "result", "content hash"
_FIELDS = {"format_version", "status", "content_hash", "rows", "files", "summary", "checksum"}
_SUMMARY = {"phases", "budget_used", "final", "area_under_curve", "diverged"}
_STATUSES = ("completed", "diverged")
_CLOSE = 1e-9
_ENTRY = {"started", "python", "platform", "cpu", "device", "determinism"}
"""Texts of an entry of environment.json."""
_PACKAGES = ("lagbench", "envpool")


def status(result: Any) -> str | None:
    """``completed`` or ``diverged``; None where it is neither."""
    found = result.get("status") if isinstance(result, dict) else None
    return found if found in _STATUSES else None


def result(data: Any, spec: RunSpec, policy: File | None, file: str) -> Iterator[Problem]:
    """What is wrong with a result.json by itself, as parsed JSON; ``policy`` is the policy file by the manifest."""
    for fault in _result_faults(data, spec, policy):
        yield Problem(CHECK, file, None, fault)


def _result_faults(data: Any, spec: RunSpec, policy: File | None) -> Iterator[str]:
    if not isinstance(data, dict) or data.keys() != _FIELDS:
        yield f"it must be an object with {', '.join(sorted(_FIELDS))}, and nothing else"
        return
    if type(data["format_version"]) is not int or data["format_version"] != records.schema.FORMAT_VERSION:
        yield f"format_version must be {records.schema.FORMAT_VERSION}, not {shown(data['format_version'])}"
    if not records.checksums.is_whole(data):
        yield "its checksum is not that of its values"
    if status(data) is None:
        yield f"status is {shown(data['status'])}; a run counts that is completed, or diverged"
    tables = set(records.schema.tables_of(spec))
    for name, good in (("content_hash", is_sha256), ("rows", _is_count)):
        own = data[name]
        if not isinstance(own, dict) or own.keys() != tables or not all(map(good, own.values())):
            yield f"{name} must have an entry for each of {', '.join(sorted(tables))}"
    files = data["files"]
    if not isinstance(files, dict) or not files.keys() <= {layout.POLICY} or not all(map(is_sha256, files.values())):
        yield f"files must be the SHA-256 of {layout.POLICY}, and nothing else"
    elif status(data) == "completed" and layout.POLICY not in files:
        yield f"files lacks {layout.POLICY}, though the run was completed"
    elif files and policy is not None and policy.sha256 != files[layout.POLICY]:
        own, there = files[layout.POLICY][:12], policy.sha256[:12]
        yield f"the SHA-256 of {layout.POLICY} is {own}… in it, by the manifest {there}…"
    if not isinstance(data["summary"], dict) or not data["summary"].keys() <= _SUMMARY:
        yield f"summary must have no other fields than {', '.join(sorted(_SUMMARY))}"


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def tables(run: Run, found: Mapping[str, Any], place: str) -> Iterator[Problem]:
    """Where a run's result.json does not say of its tables what they hold."""
    assert run.result is not None
    files = {name: f"{place}/{file}" for name, file in layout.tables(run.spec).items()}
    for name, file in files.items():
        rows, said = len(found[name]), run.result["rows"][name]
        if name in layout.KEPT and rows != said:
            yield Problem(HASH, file, None, f"it has {rows:,} rows, by {layout.RESULT} {said:,}")
        own = records.content_hash.table_hash(found[name].schema, found[name].to_batches())
        if own != (there := run.result["content_hash"][name]):
            yield Problem(HASH, file, None, f"its content hash is {own[:12]}…, recorded {there[:12]}…")
    for name, value in _summary(run, found).items():
        if not _agrees(said := run.summary.get(name), value):
            message = f"summary.{name} is {shown(said)}, recomputed {shown(value)}"
            yield Problem(HASH, f"{place}/{layout.RESULT}", None, message)


def _summary(run: Run, found: Mapping[str, Any]) -> dict[str, Any]:
    phases = len(found["phases"])
    rows = {"phases": phases, "budget_used": phases * run.spec.protocol.samples}
    return {**rows, **summarize(run)}


def _agrees(said: Any, value: Any) -> bool:
    if isinstance(value, dict):
        return isinstance(said, dict) and said.keys() == value.keys() and all(_agrees(said[k], value[k]) for k in value)
    if isinstance(said, bool) or not isinstance(said, int | float):
        return False
    return math.isclose(said, value, rel_tol=_CLOSE, abs_tol=_CLOSE)


def environment(data: Any, file: str) -> Iterator[Problem]:
    """What is wrong with an environment.json, given as parsed JSON."""
    for fault in _environment_faults(data):
        yield Problem(CHECK, file, None, fault)


def _environment_faults(data: Any) -> Iterator[str]:
    if not isinstance(data, list) or not 1 <= len(data) <= limits.ENTRIES:
        yield f"it must be a list of 1 to {limits.ENTRIES:,} entries"
        return
    for i, entry in enumerate(data):
        if not isinstance(entry, dict) or not records.checksums.is_whole(entry):
            yield f"entry {i} is not as it was written: its checksum does not match"
            continue
        packages = entry.get("packages")
        if not isinstance(packages, dict) or not all(v is None or is_version(v) for v in packages.values()):
            yield f"entry {i} must have packages with a version each"
        elif not all(is_version(packages.get(name)) for name in _PACKAGES):
            yield f"entry {i} must have the versions of lagbench and of EnvPool"
        elif any(line_fault(name, limits.NAME_LENGTH) for name in packages):
            yield f"entry {i} has a package whose name is none"
        for name in sorted(_ENTRY):
            if fault := line_fault(entry.get(name), limits.TEXT_LENGTH):
                yield f"entry {i}: {name} {fault}"
