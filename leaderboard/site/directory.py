"""A site's directory: what is in it, and how it is replaced: whole, and never over anything else. Nothing heavy."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lagbench import LagbenchError, UsageError

MANIFEST = "site.json"
FORMAT_VERSION = 1
_KIND = "lagbench leaderboard"


def read_manifest(directory: Path) -> dict[str, str] | None:
    """Path → SHA-256 of the files of a site, as its manifest says; None where there is none of ours."""
    try:
        document: Any = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
        if (document["kind"], document["format_version"]) != (_KIND, FORMAT_VERSION):
            return None
        files = {str(name): str(digest) for name, digest in document["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    inside = all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in files)
    return files if inside else None


def check_free(out: Path) -> bool:
    """Whether a site of before is in a directory, and nothing else; False where nothing is.

    Raises UsageError where anything else is in it, or a file of the site that was changed since.
    """
    if not (out.is_symlink() or out.exists()):
        return False
    if not out.is_dir():
        raise UsageError(f"{out} is not a directory; give another one with -o")
    listed = read_manifest(out)
    if listed is None:
        for path in out.iterdir():
            raise _foreign(out, path.name)
        return False
    folders = {parent.as_posix() for name in listed for parent in Path(name).parents}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        folder = path.is_dir() and not path.is_symlink()
        if name not in (folders if folder else {*listed, MANIFEST}):
            raise _foreign(out, name)
        if name in listed and (path.is_symlink() or digest(path) != listed[name]):
            raise UsageError(
                f"{path} has changed since lagbench wrote it; move it away, or give another directory with -o"
            )
    return True


@contextlib.contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """An empty directory to write a site into, which gets its manifest and takes the place of ``out`` at the end.

    Where that fails, or what is done with it, ``out`` is as it was. Raises as ``check_free``, and LagbenchError where
    writing fails.
    """
    check_free(out)
    out = out.resolve()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            made = Path(temporary) / "made"
            made.mkdir()
            yield made
            _write_manifest(made)
            _swap(made, out, Path(temporary) / "before")
    except OSError as error:
        raise LagbenchError(
            f"{out} cannot be written ({error.strerror or error}); give another directory with -o"
        ) from error


def digest(file: Path) -> str:
    """The SHA-256 of a file."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _foreign(out: Path, name: str) -> UsageError:
    return UsageError(
        f"{out} contains a file that is not part of a lagbench site, {name!r}; give another directory with -o"
    )


def _write_manifest(made: Path) -> None:
    files = {path.relative_to(made).as_posix(): digest(path) for path in sorted(made.rglob("*")) if path.is_file()}
    document = {"kind": _KIND, "format_version": FORMAT_VERSION, "lagbench": version("lagbench"), "files": files}
    (made / MANIFEST).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _swap(made: Path, out: Path, before: Path) -> None:
    """Put what was made in its place; what was there goes to ``before``, and back where that fails."""
    there = out.exists()
    if there:
        os.rename(out, before)
    try:
        os.rename(made, out)
    except OSError:
        if there:
            os.rename(before, out)
        raise
