"""The last L + 1 policy versions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator

from lagbench.errors import AlgorithmError
from lagbench.policies.base import Version


class PolicyBuffer:
    """Versions k−L … k, each as it was pushed. A version costs its acting weights and nothing else."""

    def __init__(self, lag: int) -> None:
        self._lag = lag
        self._versions: OrderedDict[int, Version] = OrderedDict()
        self._sha256: dict[int, str] = {}

    def push(self, version: Version) -> None:
        """Add the newest version; the one that is now more than L behind it goes. Raises ValueError out of order."""
        if self._versions and version.number != self.newest + 1:
            raise ValueError(f"version {version.number} cannot follow version {self.newest}")
        self._versions[version.number] = version
        self._sha256[version.number] = version.sha256()
        while len(self._versions) > self._lag + 1:
            gone, _ = self._versions.popitem(last=False)
            del self._sha256[gone]

    @property
    def newest(self) -> int:
        """The number of the newest version."""
        return next(reversed(self._versions))

    def sha256(self, number: int) -> str:
        """``Version.sha256`` of a version when it was pushed."""
        return self._sha256[number]

    def acting(self, numbers: Iterable[int]) -> list[Version]:
        """The versions of these numbers, to act. Raises KeyError where one is not held.

        Raises AlgorithmError where one is not what it was when it was pushed: lag would be a label only.
        """
        wanted = [int(number) for number in numbers]
        for number in sorted(set(wanted)):
            if self._versions[number].sha256() != self._sha256[number]:
                raise AlgorithmError(
                    f"phase {self.newest}: policy version {number} is not what it was when it was pushed; an algorithm "
                    "may change its policy, and no version that acts"
                )
        return [self._versions[number] for number in wanted]

    def __iter__(self) -> Iterator[Version]:
        """Oldest first."""
        return iter(self._versions.values())

    def __len__(self) -> int:
        return len(self._versions)
