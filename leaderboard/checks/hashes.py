"""The files held to the manifest: the manifest's hash is the submission's, so that it binds every byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from lagbench.leaderboard import manifest
from lagbench.leaderboard.findings import Problem
from lagbench.leaderboard.former import File
from lagbench.leaderboard.text import shown

CHECK = "hashes"


def check(root: Path, there: Mapping[str, int], listed: Mapping[str, File]) -> Iterator[Problem]:
    """The files that are not those that the manifest lists."""
    for path in sorted((there.keys() | listed.keys()) - {manifest.FILE}):
        if path not in there:
            yield Problem(CHECK, path, None, "the manifest lists it, and it is not there")
        elif path not in listed:
            yield Problem(CHECK, shown(path), None, "it is there, and the manifest does not list it")
        elif there[path] != listed[path].bytes:
            yield Problem(CHECK, path, None, f"it has {there[path]:,} bytes, by the manifest {listed[path].bytes:,}")
        elif (digest := hashlib.sha256((root / path).read_bytes()).hexdigest()) != listed[path].sha256:
            yield Problem(
                CHECK, path, None, f"its SHA-256 is {digest[:12]}…, by the manifest {listed[path].sha256[:12]}…"
            )
