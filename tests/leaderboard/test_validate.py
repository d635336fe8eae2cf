from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lagbench import Source
from lagbench.leaderboard import sandbox, submission, validate
from lagbench.leaderboard.submission import Claim, Submission
from tests.cli.run_here import lagbench


def changed(
    submitted: Submission,
    path: Path,
    *,
    claim: dict[str, Any] | None = None,
    source: Source | None = None,
    **manifest: Any,
) -> Path:
    """A submission like another, whole but for what was changed."""
    source = source or submitted.source
    algorithm = msgspec.structs.replace(submitted.manifest.algorithm, sha256=source.sha256)
    path.mkdir(parents=True)
    submission.write(
        path,
        msgspec.structs.replace(submitted.manifest, **{"algorithm": algorithm, **manifest}),
        msgspec.structs.replace(submitted.claim, **(claim or {})),
        source,
    )
    return path


def cells(**fields: Any) -> Callable[[Claim], dict[str, Any]]:
    """The same with other fields of the first cell."""
    return lambda claim: {"cells": (msgspec.structs.replace(claim.cells[0], **fields), *claim.cells[1:])}


def test_what_submit_makes_is_valid(submitted: Submission) -> None:
    found = validate.validate(submitted.path)
    assert found.passed, found.problems
    assert found.sha256 == submitted.sha256


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        (
            lambda claim: {"cells": claim.cells[1:]},
            "cells[0] is not that of TESTING: InvertedPendulum-v5 at lag 0, ",
        ),
        (
            lambda claim: {"cells": claim.cells[:-1]},
            "cells[7] is not that of TESTING: Hopper-v5 at lag 2, ",
        ),
        (lambda claim: {"cells": (*claim.cells, claim.cells[-1])}, "cells[8] is not that of TESTING: it has no other"),
        (lambda claim: {"cells": (*claim.cells[:-1], claim.cells[0])}, "cells[7] is not that of TESTING"),
        (lambda claim: {"episodes": 100}, "episodes is 100, but 3 in TESTING"),
        (lambda claim: {"budget": 1}, "budget is 1, but 2048 in TESTING"),
        (cells(returns=(1.0, 2.0)), "it completed with 2 of 3 evaluations"),
        (cells(status="diverged"), "it diverged with 3 of 3 evaluations"),
        (cells(errors=(1.0, 1.0)), "the numbers of standard errors"),
        (cells(returns=(1.0, 1e99, 1.0)), "a mean return is not between -1,000,000 and 1,000,000"),
        (cells(mode_returns=(1.0, -1e7, 1.0)), "a mean return is not between"),
        (cells(errors=(1.0, -1.0, 1.0)), "a standard error is impossible for 3 episodes"),
        (cells(errors=(1.0, None, 1.0)), "a standard error is impossible for 3 episodes"),
        (cells(mode_errors=(1.0, 1e99, 1.0)), "a standard error is impossible for 2 episodes"),
    ],
)
def test_results_are_those_of_the_suite_and_can_be(
    submitted: Submission, tmp_path: Path, claim: Callable[[Claim], dict[str, Any]], told: str
) -> None:
    path = changed(submitted, tmp_path / "mine", claim=claim(submitted.claim))
    _, problems = validate.examine(path)
    assert any(told in problem for problem in problems), problems
    assert all(problem.startswith("results.json: ") for problem in problems)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        ({"suite": submission.SuiteName(name="TESTNIG", sha256="0" * 64)}, "suite: there is no suite TESTNIG; known: "),
        (
            {"suite": submission.SuiteName(name="TESTING", sha256="0" * 64)},
            "suite: it belongs to another version of",
        ),
        (
            {"suite": submission.SuiteName(name="mujoco-mini-v0", sha256="0" * 64)},
            "suite: mujoco-mini-v0 is retired; mujoco-mini-v1 replaces it",
        ),
        ({"slug": "yours"}, "slug: it is yours, but the directory is named mine"),
        ({"name": "V A C 0"}, "name: it is confusable with vaco, which comes with lagbench; choose another"),
        ({"name": "Τhe 0ther"}, "name: it is confusable with that of the-other; choose another"),
    ],
)
def test_a_manifest_fits_where_it_lies(
    submitted: Submission, tmp_path: Path, manifest: dict[str, Any], told: str
) -> None:
    changed(submitted, tmp_path / "TESTING/the-other", name="The other", slug="the-other")
    (tmp_path / "TESTING/nothing").mkdir()
    path = changed(submitted, tmp_path / "TESTING/mine", **manifest)
    _, problems = validate.examine(path)
    assert [problem for problem in problems if problem.startswith(told)] == problems[-1:]


def test_it_lies_with_those_of_its_suite(submitted: Submission, tmp_path: Path) -> None:
    path = changed(submitted, tmp_path / "mujoco-mini-v1/mine")
    assert validate.examine(path)[1] == ["suite: it is TESTING, but it is in the directory of mujoco-mini-v1"]


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"helpers.py": b"def"}, "source: 'helpers.py' cannot be imported: SyntaxError"),
        ({"helpers.py": b"\x00"}, "source: 'helpers.py' cannot be imported: SyntaxError: source code string cannot"),
        ({"unused.py": b""}, "source: nothing imports unused.py"),
    ],
)
def test_a_source_is_whole_and_python(
    submitted: Submission, tmp_path: Path, files: dict[str, bytes], told: str
) -> None:
    source = Source("mine.py", {**submitted.source.files, **files})
    (problem,) = validate.examine(changed(submitted, tmp_path / "mine", source=source))[1]
    assert problem.startswith(told)
    assert problem.isprintable()


def test_a_source_that_the_parser_dies_of_is_not_valid(submitted: Submission, tmp_path: Path) -> None:
    source = Source("mine.py", {**submitted.source.files, "helpers.py": b"x = " + b"-" * 200_000 + b"1"})
    (problem,) = validate.validate(changed(submitted, tmp_path / "mine", source=source)).problems
    assert problem.isprintable()


def test_what_reads_it_may_use_only_so_much(submitted: Submission, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate, "READING", sandbox.Limits(seconds=0.01))
    assert validate.validate(submitted.path).problems == ("it cannot be read: it took more than 0 seconds",)


def test_the_command_lists_every_problem(submitted: Submission, tmp_path: Path) -> None:
    path = changed(submitted, tmp_path / "mine", name="PPO", slug="yours")
    done = lagbench("leaderboard", "validate", submitted.path, path)
    assert done.code == 1
    assert done.out.splitlines() == [
        f"{submitted.path}: valid",
        f"{path}: slug: it is yours, but the directory is named mine",
        f"{path}: name: it is confusable with ppo, which comes with lagbench; choose another",
        f"{path}: not valid, 2 problems",
    ]
    (one,) = lagbench("leaderboard", "validate", submitted.path, "--json").json
    assert one == {"path": str(submitted.path), "valid": True, "submission": submitted.sha256, "problems": []}


def test_no_directory_is_no_submission(tmp_path: Path) -> None:
    assert validate.validate(tmp_path / "none").problems == (f"{tmp_path}/none is not a directory",)
    (tmp_path / "link").symlink_to(tmp_path)
    assert validate.validate(tmp_path / "link").problems == (f"{tmp_path}/link is not a directory",)


def test_check_runs_the_source(submitted: Submission, tmp_path: Path) -> None:
    done = lagbench("leaderboard", "validate", "--check", submitted.path)
    assert done.code == 0, done.out
    source = Source("mine.py", {"mine.py": b"from lagbench import Algorithm\nclass Mine(Algorithm): ...\n"})
    path = changed(submitted, tmp_path / "mine", source=source, config={})
    done = lagbench("leaderboard", "validate", "--check", path, "-q")
    assert done.code == 1
    assert re.fullmatch(rf"{path}: check: class: it has no `loss`; write loss.* in Mine\n", done.out)


def test_a_report_that_is_none_is_no_report(submitted: Submission, tmp_path: Path) -> None:
    """Deep JSON on its stdout, and what a terminal would obey on its stderr."""
    program = b"import sys\nprint('[' * 100_000)\nsys.stdout.flush()\nsys.exit('\\x1b[2J\\nError: \\x1b[31mred')\n"
    path = changed(submitted, tmp_path / "mine", source=Source("mine.py", {"mine.py": program}))
    assert validate.check(submission.read(path), sandbox.choose()) == ["check: \\x1b[31mred"]


def test_sizes_hold_before_anything_is_read(submitted: Submission, tmp_path: Path) -> None:
    shutil.copytree(submitted.path, tmp_path / "mine")
    with (tmp_path / "mine/results.json").open("wb") as file:
        file.truncate(1 << 40)
    assert validate.validate(tmp_path / "mine").problems == (
        "results.json has 1,099,511,627,776 bytes; at most 4,194,304 are allowed",
    )
    assert json.loads((submitted.path / "results.json").read_bytes())["format_version"] == 2
