"""Attacks by what a manifest and other JSON say, and how."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from lagbench.leaderboard import limits
from lagbench.records.checksums import sealed
from tests.leaderboard.hostile.attack import DEEP, HTML, PLACE, Attack, about, document, edit, write

MANIFEST = "submission.json"


def _named(path: str) -> Attack:
    """A file of that name in the manifest."""
    return Attack(
        "manifest", about(lambda d: d["files"].update({path: {"sha256": "0" * 64, "bytes": 1}})), hashed=False
    )


def _said(**fields: Any) -> Attack:
    return Attack("manifest", about(lambda d: d.update(fields)))


def _replaced(old: str, new: str | bytes, by: str = "json") -> Attack:
    """Bytes of the manifest, replaced where they are first."""
    with_ = new.encode() if isinstance(new, str) else new
    return Attack(by, edit(MANIFEST, lambda content: content.replace(old.encode(), with_, 1)), hashed=False)


def _entry(name: str, change: Callable[[Any], Any]) -> Attack:
    """Something else of a file's entry in the manifest."""
    return Attack(
        "manifest", about(lambda d: d["files"][f"{PLACE}/{name}"].update(change(d["files"][f"{PLACE}/{name}"]))), False
    )


def _swapped(data: dict[str, Any]) -> None:
    one, other = (data["files"][f"{PLACE}/{name}"] for name in ("spec.json", "result.json"))
    one["sha256"], other["sha256"] = other["sha256"], one["sha256"]


ATTACKS: dict[str, Attack] = {
    # Paths.
    "a path out of the directory": _named("runs/../../../etc/passwd"),
    "a path from the root": _named("/etc/passwd"),
    "a path of Windows": _named("C:\\Windows\\x"),
    "a path with a dot": _named("runs/./x"),
    "a path with nothing between": _named("runs//x"),
    "a path to the home directory": _named("~/.ssh/id_rsa"),
    "a path of two lines": _named("runs/x\ny"),
    "a path with markup": _named(f"runs/{HTML}"),
    "a path of a thousand characters": _named("r" * 1000),
    "the manifest in itself": _named(MANIFEST),
    "a hundred thousand files": Attack(
        "manifest",
        about(lambda d: d.update(files={f"r{i}": {} for i in range(100_000)})),
        hashed=False,
    ),
    # Hashes.
    "the hashes of two files swapped": Attack("hashes", about(_swapped), hashed=False),
    "a hash of another file": Attack(
        "hashes", about(lambda d: d["files"][f"{PLACE}/spec.json"].update(sha256="0" * 64)), hashed=False
    ),
    "a hash in capitals": _entry("spec.json", lambda e: {"sha256": e["sha256"].upper()}),
    "a hash that is a list": _entry("spec.json", lambda e: {"sha256": [e["sha256"]]}),
    "a size below nothing": _entry("spec.json", lambda e: {"bytes": -e["bytes"]}),
    "a size that is true": _entry("spec.json", lambda e: {"bytes": True}),
    "a size with a fraction": _entry("spec.json", lambda e: {"bytes": float(e["bytes"])}),
    "rows of what is no table": _entry("spec.json", lambda e: {"rows": 0}),
    "rows that are no number": _entry("final.arrow", lambda e: {"rows": "2"}),
    # What is shown.
    "markup in the name": _said(name="<b>Mine</b>"),
    "a name that reads backwards": _said(name="enim \u202e"),
    "a name without width": _said(name="VA\u200bCO"),
    "a name of half a character": Attack(
        "manifest", edit(MANIFEST, lambda c: c.replace(b'"name": "PPO"', b'"name": "\\ud800"')), hashed=False
    ),
    "a name of a control character": _said(name="\x1b]0;owned\x07"),
    "a name of two lines": _said(name="Mine\nrank: 1"),
    "a name of nothing": _said(name="\u2003"),
    "a very long name": _said(name="W" * 61),
    "markup in an author": _said(authors=["Somebody", '<img src="x" onerror="alert(1)">']),
    "no author": _said(authors=[]),
    "an author that is an object": _said(authors=[{"name": "Somebody"}]),
    "a crowd of authors": _said(authors=["Somebody"] * 51),
    "an address that is a script": _said(url="javascript:alert(1)"),
    "an address that is data": _said(url="data:text/html,<script>alert(1)</script>"),
    "an address with a name in it": _said(url="https://github.com@example.org/"),
    "an address that leaves its quotes": _said(url='https://example.org/"onmouseover="alert(1)'),
    "an address of other letters": _said(url="https://g\u0456thub.com/"),
    "an address without encryption": _said(url="http://example.org"),
    "markup in the license": _said(license=f"MIT {HTML}"),
    "a statement that moves the cursor": _said(statement={"tuning": "\x1b[2J", "discarded": "none"}),
    "a statement that reads backwards": _said(statement={"tuning": "none", "discarded": "\u202enone"}),
    "a statement of a book": _said(statement={"tuning": "x " * 5000 + "x", "discarded": "none"}),
    "half a statement": Attack("manifest", about(lambda d: d["statement"].pop("tuning")), hashed=False),
    "an algorithm with a path": _said(algorithm={"name": "/home/me/mine.py:Mine", "sha256": "0" * 64}),
    "a version with markup": _said(lagbench=HTML),
    "hyperparameters of objects": _said(config={"x": {"y": 1}}),
    "hyperparameters with markup": _said(config={"x": HTML}),
    "hyperparameters named with markup": _said(config={HTML: 1}),
    "a thousand hyperparameters": _said(config={f"x{i}": i for i in range(1000)}),
    "a field too many": _said(score=1e9),
    "a state of one's own": _said(state="reproduced"),
    "a format of the future": _said(format_version=2),
    "a format that is true": _said(format_version=True),
    "a suite outside of the package": _said(suite={"name": "../../TESTING", "sha256": "0" * 64}),
    "a suite that was changed": _said(suite={"name": "TESTING", "sha256": "0" * 64}),
    "another line ending": Attack("manifest", edit(MANIFEST, lambda c: c.replace(b"\n", b"\r\n")), hashed=False),
    "something behind the end": Attack("manifest", edit(MANIFEST, lambda c: c + b" "), hashed=False),
    # JSON itself.
    "objects nested ten thousand deep": Attack(
        "json", write(MANIFEST, '{"a":' * DEEP + "1" + "}" * DEEP), hashed=False
    ),
    "nesting behind a quoted quote": Attack("json", write(MANIFEST, '["\\"", "\\\\",' + "[" * DEEP), hashed=False),
    "a string that does not end": Attack(
        "json", write(MANIFEST, '"' + "[" * (limits.MANIFEST_BYTES - 1)), hashed=False
    ),
    "millions of lists": Attack(
        "manifest", write(MANIFEST, "[" + "[]," * (limits.MANIFEST_BYTES // 3 - 2) + "[]]"), hashed=False
    ),
    "a million backslashes": Attack("json", write(MANIFEST, '"' + "\\" * 4_000_000), hashed=False),
    "a number of a million digits": _replaced('"format_version": 1', '"format_version": ' + "1" * 1_000_000),
    "a number that is none": _replaced('"format_version": 1', '"format_version": NaN'),
    "a number beyond all": _replaced('"format_version": 1', '"format_version": -1e400'),
    "a field twice": _replaced('"format_version": 1', '"format_version": 1, "format_version": 1'),
    "a mark before the beginning": _replaced("{", b"\xef\xbb\xbf{"),
    "bytes that are no text": _replaced('"PPO"', b'"\xc3\x28"'),
    "an overlong slash": _replaced('"PPO"', b'"\xc0\xaf"'),
    "another encoding": Attack("json", edit(MANIFEST, lambda c: c.decode().encode("utf-16")), hashed=False),
    "a manifest cut short": Attack("json", edit(MANIFEST, lambda c: c[: len(c) // 2]), hashed=False),
    "a result cut short": Attack("json", edit(f"{PLACE}/result.json", lambda c: c[: len(c) // 2])),
    "an endless number in the result": Attack(
        "json", edit(f"{PLACE}/result.json", lambda c: c.replace(b'"budget_used": ', b'"budget_used": Infinity, "x": '))
    ),
    "a specification of nothing": Attack("json", write(f"{PLACE}/spec.json", "")),
    # environment.json.
    "an environment nested ten thousand deep": Attack(
        "json", write(f"{PLACE}/environment.json", "[" * DEEP + "]" * DEEP)
    ),
    "a package with markup": Attack(
        "result",
        document("environment.json", lambda d: [sealed({**d[0], "packages": {**d[0]["packages"], HTML: "1"}})]),
    ),
    "a version of a package with markup": Attack(
        "result",
        document("environment.json", lambda d: [sealed({**d[0], "packages": {**d[0]["packages"], "x": HTML}})]),
    ),
    "a platform of two lines": Attack(
        "result", document("environment.json", lambda d: [sealed({**d[0], "platform": "Linux\nrank: 1"})])
    ),
    "a million starts": Attack("files", write(f"{PLACE}/environment.json", json.dumps([{}] * 1_000_000)[:-1] + "]")),
    "thousands of starts": Attack("result", document("environment.json", lambda d: d * (limits.ENTRIES + 1))),
    "a start that is a list": Attack("result", document("environment.json", lambda d: [[]])),
}
