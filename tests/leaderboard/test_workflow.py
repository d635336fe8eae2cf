"""The workflow that validates pull requests: what it may do, and what strangers' file names do to its shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lagbench.leaderboard.cli import rerun
from lagbench.leaderboard.submission import Submission

FILE = Path(__file__).parents[2] / ".github" / "workflows" / "submission.yml"
PLACE = "leaderboard/submissions/TESTING"


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    return dict(yaml.safe_load(FILE.read_text()))


def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def script(workflow: dict[Any, Any], name: str) -> str:
    (step,) = (step for step in steps(workflow) if step.get("name") == name)
    return str(step["run"])


def test_it_reads_and_nothing_else(workflow: dict[Any, Any]) -> None:
    assert workflow["permissions"] == {"contents": "read"}
    # YAML takes the key for a truth value. pull_request_target would have the repository's secrets.
    assert list(workflow[True]) == ["pull_request"]
    assert "secrets." not in FILE.read_text()
    checkouts = [step["with"] for step in steps(workflow) if step.get("uses", "").startswith("actions/checkout")]
    assert [one["persist-credentials"] for one in checkouts] == [False, False]
    # What is installed is the branch's own.
    assert script(workflow, "install").endswith("./trusted\n")
    assert checkouts[0]["ref"] == "${{ github.event.pull_request.base.sha }}"
    # The source runs in the sandbox alone.
    assert "--trust-source" not in FILE.read_text()


def test_no_text_of_a_pull_request_gets_into_a_shell(workflow: dict[Any, Any]) -> None:
    assert not any("${{" in step.get("run", "") for step in steps(workflow))
    given = [value for step in steps(workflow) for value in step.get("env", {}).values()]
    assert given == ["${{ github.event.pull_request.base.sha }}"]


def run(workflow: dict[Any, Any], step: str, where: Path) -> subprocess.CompletedProcess[str]:
    """What a step does, in a checkout whose first commit is the base."""
    base = git(where / "proposed", "rev-list", "--max-parents=0", "HEAD").strip()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "BASE": base, "PATH": path, "RUNNER_TEMP": str(where)}
    return subprocess.run(
        ["bash", "-c", script(workflow, step)], cwd=where, env=environment, capture_output=True, text=True, check=False
    )


def git(where: Path, *words: str) -> str:
    own = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *own, *words], cwd=where, check=True, capture_output=True, text=True).stdout


def propose(where: Path, found: Submission, names: list[str], changes: dict[str, str | None] | None = None) -> None:
    """A repository with two commits, of which the second adds the submission under these names, and changes files."""
    there = where / "proposed"
    (there / PLACE / "theirs").mkdir(parents=True)
    git(there, "init")
    (there / "README").write_text("base")
    (there / PLACE / "theirs/submission.json").write_text("{}")
    git(there, "add", "-A")
    git(there, "commit", "-m", "base")
    for name in names:
        shutil.copytree(found.path, there / PLACE / name)
    for name, text in (changes or {}).items():
        if text is None:
            (there / name).unlink()
        else:
            (there / name).write_text(text)
    git(there, "add", "-A")
    git(there, "commit", "-m", "submission")


def test_what_is_submitted_is_validated(workflow: dict[Any, Any], submitted: Submission, tmp_path: Path) -> None:
    propose(tmp_path, submitted, ["mine"])
    done = run(workflow, "validate", tmp_path)
    assert (done.returncode, done.stdout) == (0, f"{PLACE}/mine: valid\n"), done.stderr
    assert (tmp_path / "place").read_text() == f"{PLACE}/mine"


@pytest.mark.parametrize(
    ("names", "changes"),
    [
        (["mine", "other"], {}),
        (["mine"], {"README": "changed"}),
        (["mine"], {".github": "added"}),
        (["mine"], {f"{PLACE}/theirs/submission.json": None}),
        ([], {f"{PLACE}/theirs/submission.json": "changed"}),
        ([], {f"{PLACE}/theirs/submission.json": None}),
        ([], {"leaderboard/submissions/file": "no suite"}),
        ([], {"leaderboard/reruns.arrow": "a table"}),
    ],
)
def test_a_pull_request_touches_its_own_directory_alone(
    workflow: dict[Any, Any], submitted: Submission, tmp_path: Path, names: list[str], changes: dict[str, str | None]
) -> None:
    propose(tmp_path, submitted, names, changes)
    done = run(workflow, "validate", tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "a pull request with a submission adds leaderboard/submissions/<suite>/<name>/ and changes nothing else\n"
    )
    assert not (tmp_path / "place").exists()


@pytest.mark.parametrize("name", ["$(touch pwned); `touch pwned`", "-q", "a\nb"])
def test_names_are_no_commands(workflow: dict[Any, Any], submitted: Submission, tmp_path: Path, name: str) -> None:
    propose(tmp_path, submitted, [name])
    done = run(workflow, "validate", tmp_path)
    assert done.returncode == 1
    assert "slug: it is mine, but the directory is named" in done.stdout
    assert not list(tmp_path.rglob("pwned"))


def test_only_what_takes_seconds_is_rerun(workflow: dict[Any, Any], submitted: Submission, tmp_path: Path) -> None:
    propose(tmp_path, submitted, ["mine"])
    (tmp_path / "place").write_text("leaderboard/submissions/mujoco-v1/mine")
    assert run(workflow, "rerun", tmp_path).returncode == 0
    (line,) = (line.strip() for line in script(workflow, "rerun").splitlines() if "lagbench" in line)
    _, _, name, *arguments = shlex.split(line)
    assert name == "rerun"
    assert rerun.command.make_context(name, arguments).params
