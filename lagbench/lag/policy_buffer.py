"""The last L + 1 policy versions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from lagbench.policies.base import Version


class PolicyBuffer:
    """Versions k−L … k. A version costs its acting weights and nothing else."""

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._versions: OrderedDict[int, Version] = OrderedDict()

    def push(self, version: Version) -> None:
        """Add the newest version; the one that is now more than L behind it goes. Raises ValueError out of order."""
        if self._versions and version.number != self.newest + 1:
            raise ValueError(f"version {version.number} cannot follow version {self.newest}")
        self._versions[version.number] = version
        while len(self._versions) > self._lag + 1:
            self._versions.popitem(last=False)

    @property
    def newest(self) -> int:
        """The number of the newest version."""
        return next(reversed(self._versions))

    def __getitem__(self, number: int) -> Version:
        """The version of that number. Raises KeyError where it is not held."""
        return self._versions[number]

    def __iter__(self) -> Iterator[Version]:
        """Oldest first."""
        return iter(self._versions.values())

    def __len__(self) -> int:
        return len(self._versions)
