"""docs/start.md as somebody types it, with a smaller budget and one seed: words are held to it, and no numbers."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from tests.cli.run_here import lagbench
from tests.docs.conftest import ROOT

TEXT = (ROOT / "docs/start.md").read_text(encoding="utf-8")
CONSOLE = re.findall(r"^```console\n\$ lagbench (.*)\n((?:.*\n)*?)^```", TEXT, flags=re.MULTILINE)
QUICK = {"40k": "4096", "0-2": "0"}


def words(printed: str) -> list[str]:
    """The lines that have no number."""
    return [line.rstrip() for line in printed.splitlines() if line.strip(" ─") and not re.search(r"\d", line)]


@pytest.mark.slow
def test_it_is_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert [shlex.split(line)[0] for line, _ in CONSOLE] == ["run", "sweep", "score", "report"]
    for line, printed in CONSOLE:
        more = ("--replications", "20") if line.startswith("report") else ()
        done = lagbench(*(QUICK.get(word, word) for word in shlex.split(line)), *more)
        assert done.code == 0, done.err
        assert set(words(printed)) <= set(words(done.out)), line
        if line.startswith("run"):
            ending = TEXT.partition("ends with\n\n```\n")[2].partition("```")[0]
            assert [row.split("  ")[0] for row in ending.splitlines()] == [
                row.split("  ")[0] for row in done.err.splitlines() if row.startswith(("status", "final", "not scored"))
            ]
    assert (tmp_path / "report/tasks.svg").is_file()
