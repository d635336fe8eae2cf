"""submission.json: what it must say, and what a submission's files are called."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lagbench import RunSpec, UsageError, load_suite, suite_names
from lagbench.leaderboard import limits
from lagbench.leaderboard.text import line_fault, prose_fault, shown

FILE = "submission.json"
SOURCE = "algorithm.txt"
RUNS = "runs"
FORMAT_VERSION = 1
FIELDS = (
    "algorithm",
    "authors",
    "config",
    "files",
    "format_version",
    "lagbench",
    "license",
    "name",
    "statement",
    "suite",
    "url",
)
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,63}", re.ASCII)
"""What a submission's directory is called."""
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_URL = re.compile(r"https://[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*(:[0-9]{1,5})?(/[!#-;=?-\[\]_a-z~]*)?", re.ASCII)
_LICENSE = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*", re.ASCII)
_VERSION = re.compile(r"[0-9A-Za-z.+!_-]{1,60}", re.ASCII)
_WHOLE = 1 << 53
"""Beyond it, JSON of other languages rounds."""


def dump(data: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest: canonical JSON, so that the same submission has the same hash."""
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False).encode() + b"\n"


def slug(name: str) -> str:
    """The directory that a submission of this name has by default; empty for a name without letter and digit."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].rstrip("-")


def public_name(algorithm: str) -> str:
    """An algorithm's name without the path on somebody's machine: ``mine.py:Mine`` of ``/home/me/mine.py:Mine``."""
    return re.split(r"[/\\]", algorithm)[-1]


def source_sha256(spec: RunSpec, installed: str) -> str:
    """The SHA-256 of the source that a run names; ``installed`` where it names a version of a distribution."""
    return str(spec.to_json()["algorithm"].get("sha256", installed))


def is_sha256(value: Any) -> bool:
    """Whether it is a SHA-256 in hex."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_version(value: Any) -> bool:
    """Whether it may be the version of a package."""
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None


def faults(data: Any, content: bytes) -> Iterator[str]:
    """What is wrong with a manifest, given as parsed JSON and as the bytes that it was parsed from; each a sentence."""
    if not isinstance(data, dict):
        yield "it is no JSON object"
        return
    none = True
    for fault in _faults(data):
        none = False
        yield fault
    if none and dump(data) != content:
        yield "it is not written as submit writes it: with sorted keys, an indent of 2 and a newline at the end"


def _faults(data: dict[str, Any]) -> Iterator[str]:
    yield from _keys("", data, FIELDS)
    if "format_version" in data and (
        type(data["format_version"]) is not int or data["format_version"] != FORMAT_VERSION
    ):
        yield f"format_version must be {FORMAT_VERSION}, not {shown(data['format_version'])}"
    yield from _named("suite", data, limits.NAME_LENGTH)
    yield from _suite(data.get("suite"))
    yield from _named("algorithm", data, limits.TEXT_LENGTH)
    own = data.get("algorithm")
    name = own.get("name") if isinstance(own, dict) else None
    if isinstance(name, str) and public_name(name) != name:
        yield f"algorithm.name must be without a path: {shown(public_name(name))!r}"
    yield from word_faults(data)
    yield from _matching("lagbench", data, _VERSION, limits.NAME_LENGTH, "a version")
    yield from config_faults("config", data.get("config", {}))
    yield from _files(data)


def word_faults(data: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong with what the authors say, as far as it is there."""
    yield from _line("name", data, limits.NAME_LENGTH)
    yield from _authors(data)
    yield from _matching("url", data, _URL, limits.URL_LENGTH, "an https address")
    yield from _matching("license", data, _LICENSE, limits.LICENSE_LENGTH, "an SPDX licence expression")
    yield from _statement(data)


def config_faults(where: str, config: Any) -> Iterator[str]:
    """What is wrong with a set of hyperparameters."""
    if not isinstance(config, dict):
        yield f"{where} must be an object, not {shown(config)}"
        return
    if len(config) > limits.CONFIG_ENTRIES:
        yield f"{where} has {len(config):,} entries, and {limits.CONFIG_ENTRIES} are allowed"
        return
    for name, value in config.items():
        if fault := line_fault(name, limits.NAME_LENGTH):
            yield f"{where}: the name of an entry {fault}"
        elif isinstance(value, str):
            if value and (fault := line_fault(value, limits.TEXT_LENGTH)):
                yield f"{where}.{name} {fault}"
        elif not (value is None or isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))):
            yield f"{where}.{name} must be a number, true, false, text or null, not {shown(value)}"


def _keys(where: str, data: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[str]:
    prefix = f"{where}." if where else ""
    for name in wanted:
        if name not in data:
            yield f"{prefix}{name} is missing"
    for name in data:
        if name not in wanted:
            yield f"{prefix}{shown(name)} is no field of it"


def _object(where: str, data: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[str]:
    if where not in data:
        return
    if not isinstance(data[where], dict):
        yield f"{where} must be an object, not {shown(data[where])}"
    else:
        yield from _keys(where, data[where], wanted)


def _named(where: str, data: Mapping[str, Any], longest: int) -> Iterator[str]:
    yield from _object(where, data, ("name", "sha256"))
    if isinstance(own := data.get(where), dict):
        if "name" in own and (fault := line_fault(own["name"], longest)):
            yield f"{where}.name {fault}"
        if "sha256" in own and not is_sha256(own["sha256"]):
            yield f"{where}.sha256 must be 64 hexadecimal digits, not {shown(own['sha256'])}"


def _suite(own: Any) -> Iterator[str]:
    if not (isinstance(own, dict) and isinstance(own.get("name"), str) and is_sha256(own.get("sha256"))):
        return
    try:
        suite = load_suite(own["name"])
    except UsageError:
        yield f"suite.name: there is no suite {shown(own['name'])!r}; known: {', '.join(suite_names())}"
        return
    if own["sha256"] != (there := suite.sha256):
        mine = own["sha256"][:12]
        yield f"suite.sha256 is of another version of {own['name']} ({mine}…) than this one's ({there[:12]}…)"


def _line(where: str, data: Mapping[str, Any], longest: int) -> Iterator[str]:
    if where in data and (fault := line_fault(data[where], longest)):
        yield f"{where} {fault}"


def _authors(data: Mapping[str, Any]) -> Iterator[str]:
    if "authors" not in data:
        return
    authors = data["authors"]
    if not isinstance(authors, list) or not 1 <= len(authors) <= limits.AUTHORS:
        yield f"authors must be a list of 1 to {limits.AUTHORS} names, not {shown(authors)}"
        return
    for i, author in enumerate(authors):
        if fault := line_fault(author, limits.NAME_LENGTH):
            yield f"authors[{i}] {fault}"


def _matching(where: str, data: Mapping[str, Any], form: re.Pattern[str], longest: int, what: str) -> Iterator[str]:
    if where not in data:
        return
    if fault := line_fault(data[where], longest):
        yield f"{where} {fault}"
    elif not form.fullmatch(data[where]):
        yield f"{where} must be {what}, not {shown(data[where])!r}"


def _statement(data: Mapping[str, Any]) -> Iterator[str]:
    parts = ("discarded", "tuning")
    yield from _object("statement", data, parts)
    if isinstance(own := data.get("statement"), dict):
        for name in parts:
            if name in own and (fault := prose_fault(own[name], limits.STATEMENT_LENGTH)):
                yield f"statement.{name} {fault}"


def _files(data: Mapping[str, Any]) -> Iterator[str]:
    files = data.get("files", {})
    if not isinstance(files, dict):
        yield f"files must be an object, not {shown(files)}"
        return
    if len(files) > limits.FILES:
        yield f"files has {len(files):,} entries, and {limits.FILES:,} are allowed"
        return
    for path, own in files.items():
        if not _PATH.fullmatch(path) or len(path) > limits.PATH_LENGTH or path == FILE:
            yield f"files: {shown(path)!r} is no path of a file of a submission"
        elif not isinstance(own, dict) or not {"sha256", "bytes"} <= own.keys() <= {"sha256", "bytes", "rows"}:
            yield f"files.{path} must have sha256 and bytes, of a table rows too, and nothing else"
        elif not is_sha256(own["sha256"]):
            yield f"files.{path}.sha256 must be 64 hexadecimal digits, not {shown(own['sha256'])}"
        else:
            for name in own.keys() - {"sha256"}:
                if type(own[name]) is not int or not 0 <= own[name] < _WHOLE:
                    yield f"files.{path}.{name} must be a whole number, 0 or more, not {shown(own[name])}"
            if (path[-6:] == ".arrow") != ("rows" in own):
                yield f"files.{path}: a table, and nothing else, has rows"
