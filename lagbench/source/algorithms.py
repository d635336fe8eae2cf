"""Algorithms in specifications: identified from a name, a file or a class, and loaded again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lagbench import registry
from lagbench.errors import UsageError, unknown
from lagbench.source import known, loading
from lagbench.source.classes import check_same, source_of_class
from lagbench.source.files import Source
from lagbench.source.imports import collect

_SUFFIX = ".py"


@dataclass(frozen=True)
class InstalledAlgorithm:
    """An installed algorithm: its entry-point name, and its distribution with version."""

    name: str
    distribution: str
    version: str

    @property
    def is_former(self) -> bool:
        """See ``AlgorithmSource``."""
        return False

    @property
    def requirement(self) -> str:
        """The requirement with which pip installs it."""
        return f"{self.distribution}=={self.version}"

    @property
    def source(self) -> str:
        """Identifies its source: distribution and version."""
        return f"{self.distribution} {self.version}"


@dataclass(frozen=True)
class AlgorithmSource:
    """An algorithm by ``path/to/file.py:Class`` and the SHA-256 of its source.

    Older specifications use this for installed algorithms too, by name and the SHA-256 of a file, which is not checked.
    """

    name: str
    sha256: str

    @property
    def source(self) -> str:
        """Identifies its source: the SHA-256."""
        return self.sha256

    @property
    def is_former(self) -> bool:
        """Whether it is an installed algorithm of unknown version, from an older specification."""
        return _SUFFIX not in self.name


def identify(algo: str | type) -> InstalledAlgorithm | AlgorithmSource:
    """Identify an algorithm in its current state, for a specification.

    Args:
        algo: the name of an installed algorithm, ``path/to/file.py:Class``, or a class.

    Raises:
        UsageError: there is none, or a run could not keep a copy of its source.
    """
    loading.refuse_while_importing()
    if isinstance(algo, type):
        return _of_class(algo)
    if _SUFFIX in algo:
        return AlgorithmSource(algo, known.remember(_collected(algo)).sha256)
    return InstalledAlgorithm(algo, *registry.distribution(algo))


def is_there(name: str) -> bool:
    """Whether this is the name of an installed algorithm or names an existing file."""
    return name in registry.algorithms() or _parts(name)[0].is_file()


def renewed(algorithm: InstalledAlgorithm | AlgorithmSource) -> InstalledAlgorithm | AlgorithmSource:
    """The algorithm in the installed version. Raises UsageError if its distribution is not installed."""
    is_file = isinstance(algorithm, AlgorithmSource) and not algorithm.is_former
    return algorithm if is_file else _installed(algorithm)


def may_be(now: InstalledAlgorithm | AlgorithmSource, then: InstalledAlgorithm | AlgorithmSource) -> bool:
    """Whether ``now`` is the algorithm of a specification; older specifications do not tell the version."""
    return now == then or (then.is_former and now.name == then.name)


def load(algorithm: InstalledAlgorithm | AlgorithmSource) -> Any:
    """The class. Raises UsageError if it is not available or not in the specified version."""
    loading.refuse_while_importing()
    source = source_of(algorithm)
    if source is not None:
        return _attribute(source, algorithm.name)
    here = _installed(algorithm)
    if isinstance(algorithm, InstalledAlgorithm) and here != algorithm:
        raise UsageError(
            f"{algorithm.name} is from {algorithm.source}, but {here.source} is installed: pip install "
            f"{algorithm.requirement}, or start a new run"
        )
    return registry.load(registry.algorithms()[algorithm.name])


def source_of(algorithm: InstalledAlgorithm | AlgorithmSource) -> Source | None:
    """The source that a run keeps a copy of; None for an installed algorithm. Raises UsageError as ``known.find``."""
    if isinstance(algorithm, InstalledAlgorithm) or algorithm.is_former:
        return None
    return known.find(algorithm.name, algorithm.sha256, _parts(algorithm.name)[0], collect)


def _parts(name: str) -> tuple[Path, str]:
    """File and class of a name; the file's name may contain colons."""
    path, _, attribute = name.rpartition(f"{_SUFFIX}:")
    return (Path(path + _SUFFIX), attribute) if path else (Path(name), "")


def _collected(name: str) -> Source:
    path, attribute = _parts(name)
    if not path.is_file():
        raise UsageError(f"there is no file {str(path)!r}; name your own algorithm as path/to/file.py:Class")
    source = collect(path)
    if not attribute:
        classes = _classes(source) or ["Class"]
        raise UsageError(f"{str(path)!r} needs the name of its class: {path}:{classes[0]}")
    return source


def _attribute(source: Source, name: str) -> Any:
    path, attribute = _parts(name)
    module = vars(loading.load(source))
    if attribute not in module:
        raise unknown(f"class in {path}", attribute, _classes(source))
    return module[attribute]


def _classes(source: Source) -> list[str]:
    module = loading.load(source)
    return [k for k, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]


def _installed(algorithm: InstalledAlgorithm | AlgorithmSource) -> InstalledAlgorithm:
    """The installed algorithm of that name. Raises UsageError if there is none, or one of another distribution."""
    name = algorithm.name
    if isinstance(algorithm, AlgorithmSource):
        return InstalledAlgorithm(name, *registry.distribution(name))
    here = InstalledAlgorithm(name, *registry.distribution(name)) if name in registry.algorithms() else None
    if here is None or here.distribution != algorithm.distribution:
        found = f"another {name}, from {here.source}, is installed" if here else "it is not installed"
        raise UsageError(f"{name} is from {algorithm.source}, but {found}: pip install {algorithm.requirement}")
    return here


def _of_class(cls: type) -> InstalledAlgorithm | AlgorithmSource:
    installed = _installed_name(cls)
    if installed is not None:
        return InstalledAlgorithm(installed, *registry.distribution(installed))
    name, source = source_of_class(cls)
    algorithm = AlgorithmSource(name, known.remember(source).sha256)
    check_same(cls, name, load(algorithm))
    return algorithm


def _installed_name(cls: type) -> str | None:
    """A class's entry-point name, or None. Only entry points of the same package are loaded for comparison."""
    top = cls.__module__.partition(".")[0]
    for name, target in registry.algorithms().items():
        if target.partition(":")[0].partition(".")[0] == top and registry.load(target) is cls:
            return name
    return None
