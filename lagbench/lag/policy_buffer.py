"""The last L + 1 policy versions."""

from __future__ import annotations

import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Iterable, Iterator

import torch

from lagbench import machine
from lagbench.errors import AlgorithmError, RecordError
from lagbench.policies.base import Version


class PolicyBuffer:
    """Versions k−L … k as they were pushed, with their acting weights only.

    If they would take more than ``memory`` bytes, by default half of the machine's, all but the newest are kept in
    memory-mapped temporary files (in TMPDIR).
    """

    def __init__(self, lag: int, memory: int | None = None) -> None:
        self._lag = lag
        self._memory = memory
        self._in_files: bool | None = None
        self._versions: OrderedDict[int, Version] = OrderedDict()
        self._sha256: dict[int, str] = {}

    def push(self, version: Version) -> None:
        """Add the newest version and drop the one that is now more than L behind it.

        Raises ValueError if out of order, and RecordError if neither memory nor files can hold them all.
        """
        if self._versions and version.number != self.newest + 1:
            raise ValueError(f"version {version.number} cannot follow version {self.newest}")
        if self._in_files is None:
            self._in_files = self._must_be_in_files(version)
        if self._in_files and self._versions and self._lag:
            self._versions[self.newest] = _in_file(self._versions[self.newest])
        self._versions[version.number] = version
        self._sha256[version.number] = version.sha256()
        while len(self._versions) > self._lag + 1:
            gone, _ = self._versions.popitem(last=False)
            del self._sha256[gone]

    def _must_be_in_files(self, version: Version) -> bool:
        size = sum({x.data_ptr(): x.nbytes for x in version.state.values()}.values())
        memory = machine.memory() // 2 if self._memory is None else self._memory
        if size * (self._lag + 1) <= memory:
            return False
        directory = tempfile.gettempdir()
        free = shutil.disk_usage(directory).free
        if size * self._lag > free:
            raise RecordError(
                f"{self._lag + 1} policy versions of {size / 2**30:.1f} GiB fit neither into {memory / 2**30:.1f} GiB "
                f"of memory nor into {free / 2**30:.1f} GiB in {directory}; set TMPDIR to a directory with room, or "
                "choose a smaller --lag"
            )
        return True

    @property
    def newest(self) -> int:
        """The number of the newest version."""
        return next(reversed(self._versions))

    def sha256(self, number: int) -> str:
        """``Version.sha256`` of a version when it was pushed."""
        return self._sha256[number]

    def acting(self, numbers: Iterable[int]) -> list[Version]:
        """The versions of these numbers, for acting. Raises KeyError if one is not in the buffer.

        Raises AlgorithmError if one has changed since it was pushed: the recorded lag would be wrong.
        """
        wanted = [int(number) for number in numbers]
        for number in sorted(set(wanted)):
            if self._versions[number].sha256() != self._sha256[number]:
                raise AlgorithmError(
                    f"phase {self.newest}: policy version {number} has changed since it entered the buffer; an "
                    f"algorithm may change its policy, but not stored versions"
                )
        return [self._versions[number] for number in wanted]

    def __iter__(self) -> Iterator[Version]:
        """Oldest first."""
        return iter(self._versions.values())

    def __len__(self) -> int:
        return len(self._versions)


def _in_file(version: Version) -> Version:
    """The same version with tensors in an unnamed file, which is deleted with them."""
    with tempfile.NamedTemporaryFile(suffix=".pt") as file:
        try:
            torch.save(dict(version.state), file)
            file.flush()
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for any error of the disk
            raise RecordError(
                f"cannot write policy version {version.number} to {file.name}; set TMPDIR to a directory with room"
            ) from error
        return Version(version.number, torch.load(file.name, mmap=True, weights_only=True))
