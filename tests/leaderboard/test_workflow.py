"""The workflow that validates pull requests: what it may do, and what strangers' file names do to its shell."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lagbench.leaderboard.former import Submission

FILE = Path(__file__).parents[2] / ".github" / "workflows" / "submission.yml"
PLACE = "leaderboard/submissions/TESTING"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_it_reads_and_nothing_else(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    # YAML takes the key for a truth value. pull_request_target would have the repository's secrets.
    assert list(workflow[True]) == ["pull_request"]
    assert "secrets." not in FILE.read_text()
    checkouts = [step["with"] for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout")]
    assert [one["persist-credentials"] for one in checkouts] == [False, False]
    # What is installed is the branch's own.
    assert next(step["run"] for step in steps(workflow) if step.get("name") == "install").endswith("./trusted")
    assert checkouts[0] == {
        "ref": "${{ github.event.pull_request.base.sha }}",
        "path": "trusted",
        "persist-credentials": False,
    }


def test_no_text_of_a_pull_request_gets_into_a_shell(workflow: dict[Any, Any]) -> None:
    assert not any("${{" in step.get("run", "") for step in steps(workflow))
    given = [value for step in steps(workflow) for value in step.get("env", {}).values()]
    assert given == ["${{ github.event.pull_request.base.sha }}"]


def validated(workflow: dict[Any, Any], where: Path) -> subprocess.CompletedProcess[str]:
    """What the last step does, in a checkout whose first commit is the base."""
    script = steps(workflow)[-1]["run"]
    base = git(where / "proposed", "rev-list", "--max-parents=0", "HEAD").strip()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "BASE": base, "PATH": path}
    return subprocess.run(
        ["bash", "-c", script], cwd=where, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def git(where: Path, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *own, *words], cwd=where, check=True, capture_output=True, text=True).stdout


def propose(where: Path, submission: Submission, names: list[str]) -> None:
    """A repository with two commits, of which the second adds the submission under these names."""
    there = where / "proposed"
    there.mkdir()
    git(there, "init")
    (there / "README").write_text("base")
    git(there, "add", "-A")
    git(there, "commit", "-m", "base")
    for name in names:
        shutil.copytree(submission.path, there / PLACE / name)
    (there / "README").write_text("proposed")
    git(there, "add", "-A")
    git(there, "commit", "-m", "submission")


def test_what_is_submitted_is_validated(workflow: dict[Any, Any], whole: Submission, tmp_path: Path) -> None:
    propose(tmp_path, whole, ["ppo"])
    done = validated(workflow, tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{PLACE}/ppo: valid\n")


def test_names_are_no_commands(workflow: dict[Any, Any], whole: Submission, tmp_path: Path) -> None:
    names = ["$(touch pwned); `touch pwned`", "-q", "a\nb", "ppo"]
    propose(tmp_path, whole, names)
    done = validated(workflow, tmp_path)
    assert done.returncode != 0
    assert not list(tmp_path.rglob("pwned"))
    assert f"{PLACE}/ppo: valid\n" in done.stdout
    for name in names[:-1]:
        assert f"{PLACE}/{name}: valid\n" not in done.stdout


def test_a_pull_request_without_a_submission_passes(
    workflow: dict[Any, Any], whole: Submission, tmp_path: Path
) -> None:
    propose(tmp_path, whole, [])
    done = validated(workflow, tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
