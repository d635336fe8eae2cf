"""A source: modules that belong to no installed distribution, and their digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

ALGORITHM, TASK, TRACE, POLICY = COPIES = ("source", "task_source", "trace", "policy_source")
"""The directories of a run's copies: the sources of its algorithm and its task, its trace, and the source of its
network."""


@dataclass(frozen=True)
class Source:
    """Modules by their paths below one root, such as ``mine.py`` and ``networks/trunk.py``.

    Attributes:
        main: the path of the module with the class or function.
        files: path → content.
        read_from: path → the file that it was read from, for messages; not part of the digest.
    """

    main: str
    files: Mapping[str, bytes]
    read_from: Mapping[str, str] = field(compare=False, default_factory=dict)

    @cached_property
    def text(self) -> bytes:
        """The whole source: its only file, or all files, main first, each after a line with its path and size."""
        if len(self.files) == 1:
            return self.files[self.main]
        names = [self.main, *sorted(self.files.keys() - {self.main})]
        heads = {name: os.fsencode(f"# lagbench source: {name}, {len(self.files[name])} bytes\n") for name in names}
        return b"".join(heads[name] + self.files[name] + b"\n" for name in names)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of ``text``; for a single file, that of the file."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def place(self) -> str:
        """The file that the main module was read from."""
        return self.read_from.get(self.main, self.main)


def module_name(path: str) -> str:
    """The dotted name of the module at a path below the root."""
    # A dot in a file name would imply a package.
    parts = [part.replace(".", "_") for part in path.removesuffix(".py").split("/")]
    return ".".join(parts).removesuffix(".__init__")
