"""submission.json: what it must say, and what is wrong with one, each fault by its name."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from lagbench import LagbenchError, load_suite
from lagbench.leaderboard import former as submission
from lagbench.leaderboard import limits, manifest
from lagbench.leaderboard.former import Submission


def good() -> dict[str, Any]:
    return {
        "format_version": 1,
        "suite": {"name": "TESTING", "sha256": load_suite("TESTING").sha256},
        "name": "Mine (δ = 0.2)",
        "algorithm": {"name": "mine.py:Mine", "sha256": "0" * 64},
        "authors": ["A. Body", "Ünal Şahin"],
        "url": "https://github.com/a/body#readme",
        "license": "MIT OR Apache-2.0",
        "statement": {"tuning": "Two of them:\n\tx < 1 & x > 2", "discarded": "none"},
        "config": {
            "learning_rate": 1e-3,
            "anneal": True,
            "updates": None,
            "mode": "fast",
            "seedless": 2**40,
            "note": "",
        },
        "lagbench": "0.1.0",
        "files": {
            "algorithm.txt": {"sha256": "0" * 64, "bytes": 3},
            "runs/Hopper-v5/lag0-u8-seed0/final.arrow": {"sha256": "1" * 64, "bytes": 3, "rows": 10},
        },
    }


def faults(data: Any) -> list[str]:
    return list(manifest.faults(data, manifest.dump(data) if isinstance(data, dict) else b""))


def test_a_good_one() -> None:
    assert faults(good()) == []


def test_it_is_written_in_one_way() -> None:
    content = manifest.dump(good())
    assert content == manifest.dump(json.loads(content))
    assert content.endswith(b"}\n")
    assert "Ünal".encode() in content
    for other in (content[:-1], content.replace(b"  ", b" "), json.dumps(good(), indent=2).encode()):
        assert list(manifest.faults(good(), other)) == [
            "it is not written as submit writes it: with sorted keys, an indent of 2 and a newline at the end"
        ]


def put(*path: str | int, value: Any) -> Callable[[Any], None]:
    def change(data: Any) -> None:
        *before, last = path
        for step in before:
            data = data[step]
        data[last] = value

    return change


FILE = "runs/Hopper-v5/lag0-u8-seed0/final.arrow"
HTML = "<img src=x onerror=alert(1)>"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda d: d.pop("license"), "license is missing"),
        (put("score", value=9.9), "score is no field of it"),
        (put(HTML, value=1), f"{HTML} is no field of it"),
        (put("format_version", value=2), "format_version must be 1, not 2"),
        (put("format_version", value=True), "format_version must be 1, not True"),
        (put("suite", value="TESTING"), "suite must be an object, not TESTING"),
        (put("suite", "name", value="mini"), "suite.name: there is no suite 'mini'; known: TESTING, "),
        (put("suite", "name", value="../TESTING"), "suite.name: there is no suite '../TESTING'"),
        (put("suite", "sha256", value="0" * 64), "suite.sha256 is of another version of TESTING (000000000000…) than"),
        (put("suite", "sha256", value="0" * 63), "suite.sha256 must be 64 hexadecimal digits"),
        (put("suite", "sha256", value="0" * 63 + "\n"), "suite.sha256 must be 64 hexadecimal digits"),
        (lambda d: d["suite"].pop("name"), "suite.name is missing"),
        (put("algorithm", "sha256", value=None), "algorithm.sha256 must be 64 hexadecimal digits, not None"),
        (put("algorithm", "name", value="/home/me/mine.py:Mine"), "must be without a path: 'mine.py:Mine'"),
        (put("algorithm", "name", value="C:\\me\\mine.py:Mine"), "must be without a path: 'mine.py:Mine'"),
        (put("name", value=""), "name is empty"),
        (put("name", value=HTML), "name has a < or >"),
        (put("name", value="x" * 61), "name has 61 characters, and 60 are allowed"),
        (put("name", value=["a"]), "name must be text"),
        (put("authors", value="A. Body"), "authors must be a list of 1 to 50 names"),
        (put("authors", value=[]), "authors must be a list of 1 to 50 names"),
        (put("authors", value=["a"] * 51), "authors must be a list of 1 to 50 names"),
        (put("authors", 1, value=HTML), "authors[1] has a < or >"),
        (put("authors", 0, value={}), "authors[0] must be text"),
        (put("url", value="http://a.b"), "url must be an https address"),
        (put("url", value="javascript:alert(1)"), "url must be an https address"),
        (put("url", value='https://a.b/"onclick="x'), "url must be an https address"),
        (put("url", value="https://a.b@evil.example/"), "url must be an https address"),
        (put("url", value="https://a b"), "url must be an https address"),
        (put("url", value="https://a.b/" + "x" * 300), "url has 312 characters, and 300 are allowed"),
        (put("license", value="do what you want"), "license must be an SPDX licence expression"),
        (put("lagbench", value="0.1; rm"), "lagbench must be a version"),
        (put("statement", value="none"), "statement must be an object"),
        (put("statement", "tuning", value=" "), "statement.tuning is empty"),
        (put("statement", "tuning", value="x" * 4001), "statement.tuning has 4,001 characters"),
        (put("statement", "discarded", value="a\x1b[2J"), "statement.discarded has a character that cannot be printed"),
        (put("statement", "best", value="ours"), "statement.best is no field of it"),
        (put("config", value=[]), "config must be an object, not []"),
        (put("config", value={f"x{i}": 0 for i in range(101)}), "config has 101 entries, and 100 are allowed"),
        (put("config", HTML, value=1), "config: the name of an entry has a < or >"),
        (put("config", "mode", value=HTML), "config.mode has a < or >"),
        (put("config", "mode", value=[1]), "config.mode must be a number, true, false, text or null, not [1]"),
        (put("files", value=[]), "files must be an object, not []"),
        (put("files", "../x", value={"sha256": "0" * 64, "bytes": 1}), "files: '../x' is no path of a file"),
        (put("files", "/etc/passwd", value={"sha256": "0" * 64, "bytes": 1}), "files: '/etc/passwd' is no path"),
        (put("files", "runs//x", value={"sha256": "0" * 64, "bytes": 1}), "files: 'runs//x' is no path"),
        (put("files", "runs/./x", value={"sha256": "0" * 64, "bytes": 1}), "files: 'runs/./x' is no path"),
        (put("files", "runs\\x", value={"sha256": "0" * 64, "bytes": 1}), "is no path"),
        (put("files", "a\n", value={"sha256": "0" * 64, "bytes": 1}), r"files: 'a\\n' is no path"),
        (put("files", "x" * 201, value={"sha256": "0" * 64, "bytes": 1}), "is no path"),
        (put("files", "submission.json", value={"sha256": "0" * 64, "bytes": 1}), "'submission.json' is no path"),
        (put("files", FILE, value={"sha256": "0" * 64}), f"files.{FILE} must have sha256 and bytes"),
        (put("files", FILE, "sha256", value="0"), f"files.{FILE}.sha256 must be 64 hexadecimal digits"),
        (put("files", FILE, "bytes", value=-1), f"files.{FILE}.bytes must be a whole number, 0 or more, not -1"),
        (put("files", FILE, "rows", value=1.5), f"files.{FILE}.rows must be a whole number"),
        (put("files", FILE, "rows", value=True), f"files.{FILE}.rows must be a whole number"),
        (lambda d: d["files"][FILE].pop("rows"), f"files.{FILE}: a table, and nothing else, has rows"),
        (put("files", "algorithm.txt", "rows", value=1), "files.algorithm.txt: a table, and nothing else, has rows"),
    ],
)
def test_what_is_wrong_with_one(change: Callable[[Any], None], fault: str) -> None:
    data = copy.deepcopy(good())
    change(data)
    (found,) = faults(data)
    assert fault in found
    assert found.isprintable()


def test_every_fault_is_named() -> None:
    assert len(faults({})) == len(manifest.FIELDS)
    assert faults([]) == faults("x") == faults(None) == ["it is no JSON object"]
    nonsense = dict.fromkeys(manifest.FIELDS, None)
    assert len(faults(nonsense)) >= len(manifest.FIELDS)


def test_files_are_no_more_than_a_submission_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FILES", 1)
    assert faults(good()) == ["files has 2 entries, and 1 are allowed"]


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("PPO", "ppo"),
        ("Decoupled PPO", "decoupled-ppo"),
        ("VACO (δ = 0.2)", "vaco-0-2"),
        ("  ../x", "x"),
        ("x" * 100, "x" * 64),
        ("x" * 63 + " y", "x" * 63),
        ("李明", ""),
    ],
)
def test_a_directory_is_named_by_the_name(name: str, slug: str) -> None:
    assert manifest.slug(name) == slug
    assert bool(manifest.SLUG.fullmatch(slug)) == bool(slug)


@pytest.mark.parametrize("slug", ["", "-a", "A", "a_b", "a/b", "..", "a" * 65, "a\n", "ä"])
def test_what_is_no_name_of_a_directory(slug: str) -> None:
    assert not manifest.SLUG.fullmatch(slug)


def test_a_manifest_is_read_alone(whole: Submission) -> None:
    found = submission.read(whole.path)
    assert found == whole
    assert (found.slug, found.suite.name, found.algorithm.name) == ("ppo", "TESTING", "ppo")
    assert found.source.startswith('"""')
    assert found.bytes == sum(file.stat().st_size for file in whole.path.rglob("*") if file.is_file())
    runs = found.runs()
    assert [run.name for run in runs] == sorted(run.name for run in runs)
    assert len(runs) == len(list(load_suite("TESTING").cells()))
    for run in runs:
        assert run.has_final
        assert [e.episode for e in run.final_episodes()] == [0, 1, 2]
        assert run.run.spec.protocol.lag == int(run.name.partition("/lag")[2][0])


def test_what_is_no_submission_is_refused(tmp_path: Any) -> None:
    with pytest.raises(LagbenchError, match=r"submission\.json cannot be read"):
        submission.read(tmp_path)
    (tmp_path / "submission.json").write_text("{")
    with pytest.raises(LagbenchError, match=r"submission\.json is not JSON"):
        submission.read(tmp_path)
    (tmp_path / "submission.json").write_text("{}")
    with pytest.raises(LagbenchError, match=r"submission\.json: algorithm is missing"):
        submission.read(tmp_path)
