"""What make installs is what pyproject.toml allows, and its lowest versions are those that it says."""

from __future__ import annotations

import pytest
from packaging.utils import canonicalize_name
from packaging.version import Version

from scripts import constraints
from scripts.constraints import DIRECTORY, lowest, pinned

DIRECT = {canonicalize_name(r.name): r for r in constraints.DIRECT}


def read(name: str) -> dict[str, str]:
    lines = (DIRECTORY / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines)


@pytest.mark.parametrize("name", ["test", "floors"])
def test_every_direct_dependency_is_pinned_within_its_range(name: str) -> None:
    versions = read(name)
    for dependency, requirement in DIRECT.items():
        assert requirement.specifier.contains(versions[dependency]), f"make constraints: {requirement}"


def test_the_floors_are_those_of_pyproject() -> None:
    """A lower bound with which the others cannot be installed was never tried: it must be raised."""
    versions = read("floors")
    for dependency, requirement in DIRECT.items():
        floor = Version(lowest(requirement).partition("==")[2])
        assert Version(versions[dependency]) == floor, f"raise {requirement}, or make constraints"


def test_what_run_needs_is_among_what_the_tests_need() -> None:
    assert read("run").items() < read("test").items()


def test_pinned_follows_requirements_and_extras() -> None:
    base, extra = pinned(["minari"]), pinned(["minari[hdf5]"])
    assert set(base) < set(extra)
    assert any(line.startswith("h5py==") for line in extra)
    assert not any("+" in line for line in pinned(["torch"]))
