"""Output directories with a manifest, replaced atomically; other files are never overwritten. Imports nothing heavy."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lagbench.errors import UsageError
from lagbench.records.checksums import sha256
from lagbench.records.files import check_writable, explained

FORMAT_VERSION = 2


@dataclass(frozen=True)
class Kind:
    """A kind of output directory: its ``name`` in messages and the file name of its ``manifest``."""

    name: str
    manifest: str

    def files(self, directory: Path) -> dict[str, str] | None:
        """Path → SHA-256 of a directory's files, from its manifest; None without a manifest of this kind."""
        try:
            document: Any = json.loads((directory / self.manifest).read_text(encoding="utf-8"))
            if (document["kind"], document["format_version"]) != (f"lagbench {self.name}", FORMAT_VERSION):
                return None
            files = {str(name): str(digest) for name, digest in document["files"].items()}
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None
        inside = all(not Path(name).is_absolute() and ".." not in Path(name).parts for name in files)
        return files if inside else None

    def check_free(self, out: Path) -> bool:
        """Whether ``out`` is an earlier output of this kind, which may be replaced; False if nothing is there.

        Raises UsageError if it contains other or modified files, and RecordError if it cannot be replaced.
        """
        check_writable(out.resolve(), f"make the {self.name} again")
        if not (out.is_symlink() or out.exists()):
            return False
        if not out.is_dir():
            raise UsageError(f"{out} is not a directory; give another one with -o")
        listed = self.files(out)
        known = {} if listed is None else listed
        folders = {parent.as_posix() for name in known for parent in Path(name).parents}
        for path in sorted(out.rglob("*")):
            name = path.relative_to(out).as_posix()
            folder = path.is_dir() and not path.is_symlink()
            if listed is None or name not in (folders if folder else {*known, self.manifest}):
                raise UsageError(
                    f"{out} contains a file that is not part of a lagbench {self.name}, {name!r}; give another "
                    "directory with -o"
                )
            if name in known and (path.is_symlink() or sha256(path.read_bytes()) != known[name]):
                raise UsageError(
                    f"{path} has changed since lagbench wrote it; move it away, or give another directory with -o"
                )
        return listed is not None

    def write(self, out: Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
        """Write files by path, replacing an earlier output; ``about`` is added to the manifest.

        On failure or interruption the earlier output stays. Raises as ``check_free``.
        """
        self.check_free(out)
        digests = {name: sha256(data) for name, data in sorted(files.items())}
        manifest = {
            "kind": f"lagbench {self.name}",
            "format_version": FORMAT_VERSION,
            "lagbench": version("lagbench"),
            **about,
            "files": digests,
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False).encode(errors="backslashreplace")
        with explained(out, f"make the {self.name} again"):
            out = out.resolve()
            out.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
                made = Path(temporary, "made")
                for name, data in {**files, self.manifest: text + b"\n"}.items():
                    (made / name).parent.mkdir(parents=True, exist_ok=True)
                    (made / name).write_bytes(data)
                _swap(made, out, Path(temporary, "before"))


def _swap(made: Path, out: Path, before: Path) -> None:
    """Move ``made`` to ``out``; the previous content moves to ``before``, and back on failure."""
    there = out.exists()
    if there:
        os.rename(out, before)
    try:
        os.rename(made, out)
    except BaseException:
        if there:
            os.rename(before, out)
        raise
