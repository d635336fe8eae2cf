"""A source: the modules of an algorithm that belong to no installed distribution, and their digest."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

ALGORITHM, TASK, TRACE, POLICY = COPIES = ("source", "task_source", "trace", "policy_source")
"""The directories in which a run keeps copies: of the source of its algorithm and of its task, of the trace that it
plays, and of the source of its network."""


@dataclass(frozen=True)
class Source:
    """Modules by their paths below one root, such as ``mine.py`` and ``networks/trunk.py``.

    Attributes:
        main: the path of the module that has the class.
        files: what is in each.
        read_from: where each was read, for messages: no part of what the source is.
    """

    main: str
    files: Mapping[str, bytes]
    read_from: Mapping[str, str] = field(compare=False, default_factory=dict)

    @cached_property
    def text(self) -> bytes:
        """All of it: the one file, or several, the main one first, each below a line with its path and size."""
        if len(self.files) == 1:
            return self.files[self.main]
        names = [self.main, *sorted(self.files.keys() - {self.main})]
        heads = {name: os.fsencode(f"# lagbench source: {name}, {len(self.files[name])} bytes\n") for name in names}
        return b"".join(heads[name] + self.files[name] + b"\n" for name in names)

    @cached_property
    def sha256(self) -> str:
        """The SHA-256 of ``text``: of a source of one file, that file's."""
        return hashlib.sha256(self.text).hexdigest()

    @property
    def place(self) -> str:
        """Where the main module was read."""
        return self.read_from.get(self.main, self.main)


def module_name(path: str) -> str:
    """The dotted name of the module at a path below the root."""
    # A dot within the name of a file would make a package of it.
    parts = [part.replace(".", "_") for part in path.removesuffix(".py").split("/")]
    return ".".join(parts).removesuffix(".__init__")
