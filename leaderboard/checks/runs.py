"""The runs as a whole: every cell once, each run of its own cell, all of them of one method."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from lagbench import RunSpec, Suite
from lagbench.leaderboard import layout, limits, manifest
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.former import File, Submission
from lagbench.leaderboard.text import line_fault, shown

_METHOD = "one method"
_FREE = ("algorithm", "config", "device", "format_version", "record", "torch_threads")
"""What of a specification its suite leaves open."""
_THREADS = 4096


def grid(
    suite: Suite, places: Mapping[str, layout.Place], files: Mapping[str, Any], listed: Mapping[str, File]
) -> Iterator[Problem]:
    """The cells without a run, and runs that are there twice."""
    for name in places:
        if not any(path.startswith(f"{name}/") for path in files):
            yield Problem("grid", name, None, "the run of this cell is missing")
    seen: dict[str, str] = {}
    for name, place in places.items():
        # Under another lag the same seed may come to the same policy: one that learns nothing.
        own = listed.get(f"{name}/{layout.POLICY}")
        if own is None or not suite.task(place.task).seeded_weights:
            continue
        first = seen.setdefault(own.sha256, name)
        if places[first].seed != place.seed:
            yield Problem("grid", f"{name}/{layout.POLICY}", None, f"it is that of {first} too: a run counts once")


def specification(data: Any, place: layout.Place, suite: Suite, file: str) -> Iterator[Problem]:
    """Where a spec.json, as parsed JSON, is not one of its cell."""
    planned, pins = suite.planned(place.task, place.value, place.seed), suite.pins(place.task)
    for fault in _faults(data, planned, pins):
        yield Problem("specification", file, None, fault)


def _faults(data: Any, planned: Mapping[str, Any], pins: Container[str]) -> Iterator[str]:
    if not isinstance(data, dict):
        yield "it is no JSON object"
        return
    if isinstance(options := data.get("task_options"), dict):
        found = {name: value for name, value in options.items() if name in pins}
        data = {**data, "task_options": {name: value for name, value in options.items() if name not in pins}}
        yield from (f"task_options.{name} must be a SHA-256" for name in found if not manifest.is_sha256(found[name]))
    for name in sorted({*planned, *_FREE} ^ data.keys()):
        yield f"{shown(name)} is no field of it" if name in data else f"{name} is missing"
    for name, value in planned.items():
        if name in data and _canonical(data[name]) != _canonical(value):
            yield f"{name} is {shown(_canonical(data[name]))}, and in the suite's cell {shown(_canonical(value))}"
    if "algorithm" in data:
        own = data["algorithm"]
        if isinstance(own, dict) and own.keys() == {"name", "distribution", "version"}:
            yield from _lines("algorithm", own)
        elif not isinstance(own, dict) or own.keys() != {"name", "sha256"} or not manifest.is_sha256(own["sha256"]):
            yield "algorithm must have a name, and a sha256 of 64 hexadecimal digits or a distribution and a version"
        else:
            yield from _lines("algorithm", {"name": own["name"]})
    if "config" in data:
        yield from manifest.config_faults("config", data["config"])
    if "device" in data and (fault := line_fault(data["device"], limits.NAME_LENGTH)):
        yield f"device {fault}"
    if "record" in data and data["record"] not in ("trajectories", "episodes"):
        yield f"record is {shown(data['record'])}, and can be trajectories or episodes"
    threads = data.get("torch_threads", 1)
    if type(threads) is not int or not 1 <= threads <= _THREADS:
        yield f"torch_threads must be a whole number from 1, not {shown(threads)}"


def method(spec: RunSpec, submission: Submission, file: str) -> Iterator[Problem]:
    """Where a run was not made with the algorithm, the source and the hyperparameters of the manifest."""
    own, config = spec.algorithm, dict(spec.config)
    if manifest.public_name(own.name) != submission.algorithm.name:
        name = manifest.public_name(own.name)
        yield Problem(_METHOD, file, None, f"it is of {shown(name)!r}, by the manifest {submission.algorithm.name!r}")
    there = submission.algorithm.sha256
    if (theirs := manifest.source_sha256(spec, there)) != there:
        yield Problem(_METHOD, file, None, f"its source has the SHA-256 {theirs[:12]}…, by the manifest {there[:12]}…")
    for name in sorted(config.keys() | submission.config.keys()):
        ours, theirs = (_canonical(c[name]) if name in c else "missing" for c in (config, submission.config))
        if ours != theirs:
            yield Problem(_METHOD, file, None, f"{name} is {shown(ours)}, by the manifest {shown(theirs)}")


def versions(specs: Mapping[str, RunSpec]) -> Iterator[Problem]:
    """Where runs, by their files, are not all of one version of an installed algorithm."""
    said = {file: spec.to_json()["algorithm"] for file, spec in specs.items()}
    found = {file: f"{own['distribution']} {own['version']}" if "version" in own else "" for file, own in said.items()}
    for file, own in found.items():
        if own != (first := next(iter(found.values()))):
            ours, theirs = shown(own or "no version"), shown(first or "no version")
            yield Problem(_METHOD, file, None, f"its algorithm is of {ours}, and that of the first run of {theirs}")


def source(root: Path, there: Container[str], submission: Submission) -> Iterator[Problem]:
    """Whether the source is text, and that which the runs name."""
    if manifest.SOURCE not in there:
        yield Problem("source", manifest.SOURCE, None, "it is missing")
        return
    content = (root / manifest.SOURCE).read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != submission.algorithm.sha256:
        there = submission.algorithm.sha256[:12]
        yield Problem("source", manifest.SOURCE, None, f"its SHA-256 is {digest[:12]}…, that of the runs' {there}…")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        yield Problem("source", manifest.SOURCE, None, f"it is not UTF-8 text ({error.reason} at byte {error.start})")
        return
    if "\0" in text or not text.strip():
        yield Problem("source", manifest.SOURCE, None, "it is no source: it is empty, or has a NUL character")


def _lines(where: str, said: Mapping[str, Any]) -> Iterator[str]:
    for name, text in said.items():
        if fault := line_fault(text, limits.TEXT_LENGTH):
            yield f"{where}.{name} {fault}"


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
