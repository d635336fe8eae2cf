"""Submissions of cheaters and vandals: each is found by the check that is there for it, in bounded time and memory.

What found what (`pytest -s` prints it):
"""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lagbench.leaderboard import board, manifest
from lagbench.leaderboard.findings import CHECKS
from lagbench.leaderboard.former import Submission
from lagbench.leaderboard.site import build
from lagbench.leaderboard.validate import validate
from lagbench.leaderboard.verify import verify
from lagbench.records.checksums import sealed, sha256
from tests.leaderboard import small
from tests.leaderboard.hostile import CORPUS, episodes
from tests.leaderboard.hostile.attack import Attack, about, respecify
from tests.leaderboard.hostile.judge import Verdict, judging
from tests.leaderboard.site.test_pages import Page
from tests.leaderboard.submitted import hash_again
from tests.records.forge import Columns, change_table

SECONDS = 20
"""Of computing, of a machine that does other things too; most take a fraction of one."""
MEMORY = 640 << 20


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Submission]:
    with small.known():
        yield small.submitted(tmp_path_factory.mktemp("small"))


def _wrong(attack: Attack, verdict: Verdict, honest: Verdict) -> str:
    """What is not as it must be of what was found; empty where nothing is."""
    by = attack.by
    if verdict.broke:
        return f"it broke: {verdict.broke}"
    if verdict.seconds > SECONDS or verdict.peak - honest.peak > MEMORY:
        return f"it took {verdict.seconds:.1f} s and {verdict.peak >> 20} MiB"
    if by is None:
        return "" if (verdict.passed, verdict.scores) == (True, honest.scores) else f"it is not as good: {verdict}"
    if verdict.passed:
        return "it is valid"
    if by not in verdict.checks:
        return f"{by} did not find it: {verdict.messages}"
    if unchecked := [message for message in verdict.messages if re.search(r"cannot be checked \(\w+:", message)]:
        return f"nobody thought of it: {unchecked}"
    return ""


@pytest.mark.slow
@pytest.mark.parametrize("what", CORPUS)
def test_what_finds_what(request: pytest.FixtureRequest, tmp_path: Path, what: str) -> None:
    suite, attacks = CORPUS[what]
    valid: Submission = request.getfixturevalue("whole" if suite == "TESTING" else "two_runs")
    path = tmp_path / "mine"
    wrong: list[str] = []
    found = Counter[str]()
    with judging(valid.path) as judge:
        honest = judge(valid.path)
        assert honest.passed, honest
        for name, attack in attacks.items():
            shutil.copytree(valid.path, path)
            attack.change(path)
            if attack.hashed:
                hash_again(path)
            verdict = judge(path)
            shutil.rmtree(path)
            found.update(verdict.checks)
            cost = f"{verdict.seconds:5.2f} s {verdict.peak - honest.peak >> 20:>5} MiB"
            print(f"{name:<50} {attack.by or '':<16} {cost}  {', '.join(verdict.checks)}")
            if fault := _wrong(attack, verdict, honest):
                wrong.append(f"{name}: {fault}")
    for check in CHECKS:
        print(f"{what}: {check.name:<16} meant for {_meant(what)[check.name]:>3}, found {found[check.name]:>3}")
    assert not wrong, "\n".join(wrong)


def test_every_check_has_attacks() -> None:
    meant = sum(map(_meant, CORPUS), Counter[str | None]())
    assert meant.keys() == {check.name for check in CHECKS} | {None}
    assert meant.total() >= 60


def _meant(what: str) -> Counter[str | None]:
    """By which check how many are to be found; by None those that do no harm."""
    return Counter(attack.by for attack in CORPUS[what][1].values())


# ------------------------------------------------------------------------------------------ what only a replay can find


@pytest.mark.slow
@pytest.mark.parametrize("name", episodes.ATTACKS)
def test_valid_files_are_not_believed(two_runs: Submission, tmp_path: Path, name: str) -> None:
    checks, change = episodes.ATTACKS[name]
    path = tmp_path / "mine"
    shutil.copytree(two_runs.path, path)
    change(path)
    submission = hash_again(path)
    assert validate(path).problems == ()
    found = verify(submission, episodes=2)
    assert {(check.run, check.name) for check in found.failures} == {(episodes.RUN, check) for check in checks}
    assert found.exact


# ------------------------------------------------------------------------------------------------------ what is shown

QUOTES = "\"'><!--".replace("><", "")
SCRIPT = f"</code></pre></blockquote></bdi></title><script>alert(1)</script><img src=x onerror=alert(1)>{QUOTES}&lt;"
TEMPLATE = "{{ 7*7 }}{% raw %}${7*7}#{7*7}"
MARKDOWN = "[x](javascript:alert(1)) ![x](https://example.org/x.png) `x`"
RIGHT_TO_LEFT = "مرحبا"
MARKS = "e" + "\u0301" * 20


def _hostile_words(path: Path) -> None:
    """As much of markup as each text may have, in every text that is shown."""
    source = f"# {SCRIPT}\n# {TEMPLATE}\n# \u202e\x1b[2J\u2066\n".encode()
    (path / "algorithm.txt").write_bytes(source)
    algorithm = {"name": f"/home/me/x\"'&{TEMPLATE}.py:Mine", "sha256": sha256(source)}
    texts = iter([f'" onmouseover="alert(1)" x=\'{TEMPLATE}', MARKDOWN, "W" * 1000, MARKS])
    config: dict[str, Any] = {}
    for run in small.RUNS:

        def specify(spec: dict[str, Any]) -> None:
            nonlocal config
            config = config or {**spec["config"], **{name: next(texts) for name in ("clip", "anneal", "gamma", "lam")}}
            spec.update(format_version=1, algorithm=algorithm, config=config)

        respecify(path / run, specify)
        change_table(path / run, "phases", _hostile_metrics)
        file = path / run / "environment.json"
        entries = json.loads(file.read_text())
        file.write_text(json.dumps([sealed({**entry, "cpu": f"\"'&{TEMPLATE}", "html": SCRIPT}) for entry in entries]))
    data = json.loads((path / manifest.FILE).read_text())
    data |= {
        "name": f"\"'&lt;script{TEMPLATE}",
        "authors": [f'{RIGHT_TO_LEFT} "onload="alert(1)', MARKS, "W" * 60],
        "url": "https://example.org/?a=1&amp;b=[x];c=%3Cscript%3E;javascript:alert(1)//",
        "license": "A" * 60,
        "algorithm": {"name": manifest.public_name(algorithm["name"]), "sha256": algorithm["sha256"]},
        "config": config,
        "statement": {"tuning": f"{SCRIPT}\n\n{TEMPLATE}\n{MARKDOWN}", "discarded": "W" * 4000},
    }
    (path / manifest.FILE).write_bytes(manifest.dump(data))


def _hostile_metrics(columns: Columns) -> None:
    name = 'x" onmouseover="alert(1)" {{ 7*7 }}_fraction'
    # The largest numbers, twice: their sum is none.
    values = [[(name, value), (name, value)] for value in (0.1, 1.7e308, float("inf"), float("nan"))]
    columns["metrics"] = [values[i % 4] for i, _ in enumerate(columns["metrics"])]


def _pages(path: Path, out: Path) -> dict[str, Page]:
    checked = board.check(small.SMALL.name, [path])
    build.build([board.board(small.SMALL.name, checked, replications=50)], out)
    return {one.relative_to(out).as_posix(): Page(one.read_bytes()) for one in out.rglob("*.html")}


@pytest.mark.slow
@pytest.mark.usefixtures("referenced")
def test_markup_stays_text(two_runs: Submission, tmp_path: Path) -> None:
    """A site of a submission with markup wherever it is taken has the tags and attributes of one without."""
    for name in ("plain", "hostile"):
        shutil.copytree(two_runs.path, tmp_path / name / "mine")
    path = tmp_path / "plain/mine"
    about(lambda data: data.update(authors=["a", "b", "c"]))(path)
    for run in small.RUNS:
        change_table(path / run, "phases", lambda c: c.update(metrics=[[("x_fraction", 0.1)] for _ in c["metrics"]]))
    hash_again(path)
    _hostile_words(tmp_path / "hostile/mine")
    hash_again(tmp_path / "hostile/mine")
    plain, hostile = (_pages(tmp_path / name / "mine", tmp_path / name / "site") for name in ("plain", "hostile"))
    assert plain.keys() == hostile.keys() == {"index.html", "SMALL/mine.html"}
    for name, page in hostile.items():
        assert _shape(page) == _shape(plain[name])
        assert not [tag for tag, attributes in page.tags if tag in {"img", "iframe", "style"} or "onload" in attributes]
        assert not [value for value in page.values("href") if value.startswith("javascript")]
        assert "\u202e" not in page.text
        assert "\x1b" not in page.text
        assert TEMPLATE in page.text
    own = hostile["SMALL/mine.html"].text
    assert "<script>alert(1)</script><img src=x onerror=alert(1)>" in own
    assert "⟨U+202E⟩" in own


def _shape(page: Page) -> list[tuple[str, tuple[str, ...]]]:
    """Tags and attributes, but for the points and ticks of curves, which are as many as there are numbers."""
    return [one for one in page.shape() if one[0] not in {"circle", "path", "text", "g"}]
