"""Every public name is documented, with all of its arguments and fields, and in the reference."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import griffe
import pytest

import lagbench
from lagbench import scoring
from lagbench.cli.main import cli

# Public names of what has another name where it is defined.
RENAMED = {
    "open": "records.reader.open_run",
    "load_suite": "suites.load",
    "suite_names": "suites.names",
    "plan_grid": "sweep.grid.plan",
    "drawn_seeds": "seeding.drawn",
}
PUBLIC = {
    **{f"lagbench.{name}": RENAMED.get(name, name) for name in lagbench.__all__},
    **{f"lagbench.scoring.{name}": f"scoring.{name}" for name in scoring.__all__},
}


@pytest.fixture(scope="module")
def package() -> Any:
    return griffe.load("lagbench", search_paths=[str(Path(lagbench.__file__).parents[1])])


def sections(found: Any) -> dict[str, Any]:
    parsed = found.docstring.parse(griffe.Parser.google) if found.docstring else []
    return {section.kind.value: section.value for section in parsed}


def undocumented(name: str, found: Any) -> Iterator[str]:
    """What is missing of the documentation of an object and of its public members."""
    found = found.final_target if found.is_alias else found
    if not found.docstring:
        yield name
    elif found.is_function:
        told = sections(found)
        arguments = {one.name for one in found.parameters} - {"self", "cls"}
        explained = {one.name.lstrip("*") for one in told.get("parameters", ())}
        yield from (f"{name}({argument})" for argument in sorted(arguments ^ explained))
        if str(found.returns) != "None" and not told.keys() & {"returns", "yields"}:
            yield f"{name} returns"
        if "raises" not in told and "Raises" in found.docstring.value:
            yield f"{name} raises, in a section of its own"
    elif found.is_class:
        above = [one for base in found.mro() for one in sections(base).get("attributes", ())]
        explained = {one.name for one in [*sections(found).get("attributes", ()), *above]}
        yield from (
            f"{name}.{member}"
            for member, one in found.members.items()
            if not member.startswith("_") and not one.docstring and member not in explained
        )
    elif found.is_module:
        for member, one in found.members.items():
            if not (member.startswith("_") or one.is_alias or one.is_module):
                yield from undocumented(f"{name}.{member}", one)


@pytest.mark.parametrize("name", PUBLIC)
def test_it_is_documented(package: Any, name: str) -> None:
    assert list(undocumented(name, package[PUBLIC[name]])) == []


def test_what_is_not_documented_is_found(tmp_path: Path) -> None:
    (tmp_path / "small.py").write_text(
        '"""M."""\n\ndef f(x: int, y: int) -> int:\n    """F.\n\n    Args:\n        x: one.\n    """\n    return x\n\n'
        "def g() -> None: ...\n\nclass C:\n    '''C.'''\n    field: int\n"
    )
    found = griffe.load("small", search_paths=[str(tmp_path)])
    assert list(undocumented("m", found)) == ["m.f(y)", "m.f returns", "m.g", "m.C.field"]


def test_it_is_in_the_reference(built: Path) -> None:
    pages = "".join(file.read_text(encoding="utf-8") for file in (built / "reference").rglob("*.html"))
    shown = set(re.findall(r'id="?(lagbench\.[\w.]+)', pages))
    wanted = {f"lagbench.{place}" for place in PUBLIC.values()}
    for module in ("estimators", "divergence"):
        wanted |= {f"lagbench.{module}.{name}" for name in getattr(lagbench, module).__all__}
    assert sorted(wanted - shown - {"lagbench.scoring", "lagbench.estimators", "lagbench.divergence"}) == []


def test_every_command_is_in_the_reference() -> None:
    def commands(one: click.Group, name: str) -> Iterator[str]:
        context = click.Context(one)
        for word in one.list_commands(context):
            command = one.get_command(context, word)
            assert command is not None
            if isinstance(command, click.Group):
                yield from commands(command, f"{name} {word}")
            else:
                yield f"{name} {word}"

    page = (Path(__file__).parents[2] / "docs/reference/command-line.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^## (lagbench .+)", page, flags=re.MULTILINE)) == set(commands(cli, "lagbench"))
