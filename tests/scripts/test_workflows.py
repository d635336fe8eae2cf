"""The workflows run what the Makefile has, and nothing that a checkout could not."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def jobs(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8"))["jobs"].values())


@pytest.mark.parametrize(
    ("name", "targets"), [("tests", {"test", "test-quick"}), ("versions", {"test-floors", "test-latest"})]
)
def test_the_steps_are_the_makefiles(name: str, targets: set[str]) -> None:
    (job,) = jobs(name)
    *runner, run = (step["run"] for step in job["steps"] if "run" in step)
    assert run == "make ${{ matrix.target }} PYTHON=python"
    # What a runner of Ubuntu forbids, and bubblewrap needs.
    assert all(step.startswith("sudo sysctl ") for step in runner)
    matrix = job["strategy"]["matrix"]
    assert {row["target"] for row in matrix.get("include", [])} | set(matrix.get("target", [])) == targets
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize(("name", "target"), [("docs", "docs"), ("release", "dist")])
def test_what_is_published_is_what_the_makefile_builds(name: str, target: str) -> None:
    build, *publish = jobs(name)
    assert f"make {target} PYTHON=python" in [step.get("run") for step in build["steps"]]
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    # Only what publishes may do more than read, each one thing; nothing there has a secret, or code of the checkout.
    assert "permissions" not in build
    assert [set(job["permissions"]) for job in publish] == (
        [{"pages", "id-token"}] if name == "docs" else [{"id-token"}, {"contents"}]
    )
    text = (ROOT / f".github/workflows/{name}.yml").read_text(encoding="utf-8")
    assert "secrets." not in text
    assert not any("checkout" in step.get("uses", "") for job in publish for step in job["steps"])


def test_what_zenodo_archives_is_what_is_cited() -> None:
    archived = json.loads((ROOT / ".zenodo.json").read_text(encoding="utf-8"))
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert archived["title"] == cited["title"]
    assert archived["description"] == cited["abstract"]
    assert archived["keywords"] == cited["keywords"]
    assert archived["license"] == cited["license"]
    assert [one["name"] for one in archived["creators"]] == [one["name"] for one in cited["authors"]]


def test_the_quick_tests_are_there() -> None:
    done = subprocess.run(["make", "--dry-run", "test-quick"], cwd=ROOT, check=True, capture_output=True, text=True)
    named = re.findall(r"tests/\S+", done.stdout)
    assert len(named) > 10
    assert all((ROOT / path).exists() for path in named)


def test_everything_the_makefile_says_it_does_is_listed() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    listed = re.findall(r"^([a-z-]+):.*## ", text, flags=re.MULTILINE)
    phony = set(itertools.chain(*(line.split() for line in re.findall(r"^\.PHONY: (.*)", text, flags=re.MULTILINE))))
    assert phony - set(listed) == {"system", "browser"}
