from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from lagbench import LagbenchError, Source, load_suite
from lagbench.leaderboard import submission
from lagbench.leaderboard.submission import Algorithm, Cell, Claim, Manifest, Statement, SuiteName

SOURCE = Source("mine.py", {"mine.py": b"import helpers\nclass Mine: ...\n", "helpers.py": b""})
SUITE = load_suite("TESTING")
MANIFEST = Manifest(
    format_version=2,
    name="λ-Mine",
    slug="mine",
    authors=("A. Body", "王"),
    url="https://example.org/mine",
    license="MIT OR Apache-2.0",
    algorithm=Algorithm(main="mine.py", cls="Mine", sha256=SOURCE.sha256, installed=None),
    config={"learning_rate": 0.1, "filter": True, "updates": None, "reference": "behaviour"},
    suite=SuiteName(name=SUITE.name, sha256=SUITE.sha256),
    statement=Statement(tuning="None.\nOf nothing.", discarded="None."),
    results="",
    lagbench="0.1.0",
)
CELLS = tuple(
    Cell(
        task=cell.task,
        lag=cell.protocol.lag,
        updates=cell.protocol.updates,
        seed=cell.seed,
        status="completed",
        returns=(1.0, 2.5, 1e-9),
        errors=(0.5, None, 0.0),
        mode_returns=(1.0, 2.0, 3.0),
        mode_errors=(0.5, 0.5, 0.5),
    )
    for cell in SUITE.cells()
)
CLAIM = Claim(
    format_version=2,
    budget=SUITE.budget,
    episodes=3,
    mode_episodes=2,
    intervals=2,
    device="cpu",
    torch_threads=1,
    packages={"lagbench": ("0.1.0",), "envpool": ("1.2.5",)},
    cells=CELLS,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    submission.write(tmp_path / "mine", MANIFEST, CLAIM, SOURCE)
    return tmp_path / "mine"


def test_what_is_written_is_read(path: Path) -> None:
    found = submission.read(path)
    assert found.manifest == msgspec.structs.replace(MANIFEST, results=found.manifest.results)
    assert found.claim == CLAIM
    assert found.source == SOURCE
    assert found.manifest.algorithm.name == "mine.py:Mine"
    assert found.bytes == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "a\u202eb"}, "name has an unprintable character: 'a\\u202eb'"),
        ({"name": "<b>"}, "name has a < or >"),
        ({"name": "РРО"}, "name has 'Р', which is not a Latin or Greek letter"),
        ({"name": "x" * 61}, "name: expected str of length <= 60"),
        ({"name": ""}, "name: expected str of length >= 1"),
        ({"slug": "Mine"}, "slug must be a-z, 0-9 and -, at most 64, not 'Mine'"),
        ({"slug": "../x"}, "slug must be a-z"),
        ({"slug": "con"}, "slug is a reserved name on some systems"),
        ({"authors": ()}, "authors: expected array of length >= 1"),
        ({"authors": ("\x1b[31mred",)}, "authors[0] has an unprintable character"),
        ({"url": "javascript:alert(1)"}, "url is not an https address"),
        ({"license": "do what you want"}, "license is not an SPDX licence expression"),
        ({"config": {"x\n": 1}}, "config has leading or trailing spaces"),
        ({"statement": Statement(tuning="\x07", discarded="-")}, "statement.tuning has an unprintable character"),
        (
            {"algorithm": msgspec.structs.replace(MANIFEST.algorithm, main="../up.py")},
            "algorithm.main is not a module path",
        ),
        ({"algorithm": msgspec.structs.replace(MANIFEST.algorithm, sha256="0" * 64)}, "says 000000000000…"),
        (
            {"algorithm": msgspec.structs.replace(MANIFEST.algorithm, sha256="0" * 64 + "\n")},
            "sha256: expected",
        ),
    ],
)
def test_a_manifest_is_held_to_its_form(tmp_path: Path, change: dict[str, object], told: str) -> None:
    with pytest.raises(LagbenchError, match=re.escape(told)) as raised:
        submission.write(tmp_path, msgspec.structs.replace(MANIFEST, **change), CLAIM, SOURCE)
    assert str(raised.value).isprintable()


def damage(name: str, *, old: bytes, new: bytes) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        content = (path / name).read_bytes()
        assert old in content
        (path / name).write_bytes(content.replace(old, new, 1))

    return change


def link(path: Path) -> None:
    (path / "source/helpers.py").unlink()
    (path / "source/helpers.py").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (damage("submission.json", old=b'"name": "\xce', new=b'"nam": "\xce'), "object contains unknown field nam"),
        (
            damage("submission.json", old=b'{\n "algorithm"', new=b'{\n "name": "x",\n "algorithm"'),
            "not formatted as by submit",
        ),
        (damage("submission.json", old=b": 0.1,", new=b": NaN,"), "JSON is malformed"),
        (damage("submission.json", old=b"0.1,", new=b"[" * 60_000), "config[...]: expected"),
        (damage("submission.json", old=b"{", new=b"[" * (1 << 17)), "submission.json has 131,"),
        (damage("submission.json", old=b"mine.py", new=b"none.py"), "source/none.py is missing"),
        (damage("results.json", old=b"2.5", new=b"1e999"), "cells[0].returns[1]: number out of range"),
        (damage("results.json", old=b"2.5", new=b"2.6"), "results.json has the SHA-256"),
        (damage("source/mine.py", old=b"Mine", new=b"Mime"), "source/ has the SHA-256"),
        (lambda path: (path / "results.json").unlink(), "results.json is missing"),
        (lambda path: (path / "policy.pkl").touch(), "'policy.pkl' does not belong in a submission"),
        (lambda path: (path / "source/x.so").touch(), "'source/x.so' does not belong in a submission"),
        (lambda path: (path / "source/nul.py").touch(), "'source/nul.py' does not belong in a submission"),
        (lambda path: (path / "source/\x1b[2J.py").touch(), "'source/\\x1b[2J.py' does not belong in a submission"),
        (lambda path: (path / "source/Mine.py").touch(), "names differ only in case"),
        (lambda path: (path / "source/huge.py").write_bytes(b"#" * (1 << 21)), "source/huge.py has 2,097,152 bytes"),
        (lambda path: [(path / f"source/m{i}.py").touch() for i in range(200)], "too many files"),
        (link, "'source/helpers.py' is not a regular file"),
    ],
)
def test_a_directory_is_held_to_its_form(path: Path, change: Callable[[Path], object], told: str) -> None:
    change(path)
    with pytest.raises(LagbenchError, match=re.escape(told)) as raised:
        submission.read(path)
    assert str(raised.value).isprintable()
