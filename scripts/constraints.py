"""Write the versions that `make` installs: run.txt and test.txt from this environment, floors.txt from pyproject.toml.

    python scripts/constraints.py

`make constraints` calls it after all tests have passed with the newest versions. floors.txt has each direct dependency
at the lower end of its range, and compatible versions of all others, which uv resolves without installing.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
DIRECTORY = ROOT / "constraints"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
BUILD = PROJECT["build-system"]["requires"]
BASE = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
WANTED = {"run": [*BUILD, *BASE], "test": [*BUILD, *BASE, *EXTRAS["test"]]}
DIRECT = [
    requirement
    for texts in ({"build": BUILD, "base": BASE, **EXTRAS} | {"bench": []}).values()
    for requirement in map(Requirement, texts)
    if requirement.name != PROJECT["project"]["name"]
]


def main() -> None:
    """Write the files."""
    for name, requirements in WANTED.items():
        try:
            write(name, pinned(requirements))
        except PackageNotFoundError as error:
            sys.exit(f"{error.name} is not installed here; run this in the environment that `make test` made")
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-annotate", "--no-header", "-"]
    floors = "\n".join(map(lowest, DIRECT))
    done = subprocess.run(command, cwd=ROOT, input=floors, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        sys.exit(f"the lowest versions cannot be installed together, or uv is missing (pip install uv):\n{done.stderr}")
    write("floors", done.stdout.splitlines())


def write(name: str, lines: list[str]) -> None:
    """Write one file of ``name==version`` lines."""
    file = DIRECTORY / f"{name}.txt"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{file.relative_to(ROOT)}: {len(lines)} packages")


def lowest(requirement: Requirement) -> str:
    """A requirement at the lower end of its range, ``name[extra]==version``."""
    (floor,) = (s.version for s in requirement.specifier if s.operator in (">=", "~="))
    extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
    return f"{requirement.name}{extras}=={floor}"


def pinned(requirements: Iterable[str]) -> list[str]:
    """``name==version`` of these requirements and their dependencies as installed in this environment, sorted.

    Local labels (torch's ``+cpu``) are dropped: they name platform-specific builds. Raises PackageNotFoundError if a
    requirement is not installed.
    """
    found: dict[str, str] = {}
    seen: set[str] = set()
    waiting = [Requirement(r) for r in requirements]
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        name = canonicalize_name(requirement.name)
        installed = distribution(name)
        if name != PROJECT["project"]["name"]:
            found[name] = Version(installed.version).public
        waiting.extend(_required(installed.requires or (), requirement.extras))
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def _required(texts: Iterable[str], extras: set[str]) -> Iterator[Requirement]:
    """The requirements that apply to this platform with these extras."""
    for requirement in map(Requirement, texts):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras or {""}):
            requirement.marker = None
            yield requirement


if __name__ == "__main__":
    main()
