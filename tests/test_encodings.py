"""Paths of any bytes, in a locale of any encoding: files are the same, and are read."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import lagbench
from lagbench.records.reader import open_run
from tests.cli.run_here import SMALL

ROOT = Path(__file__).parents[1]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
MINE = """
from lagbench import Algorithm

class Mine(Algorithm):
    def loss(self, batch):
        new = self.policy.evaluate(batch)
        return -batch.objective(new.log_prob * batch.advantage) + self.auxiliary_loss(new, batch), {"größe": 1.0}
"""
FROM_PYTHON = """
import json, sys, lagbench
from pathlib import Path
from lagbench.records.export import export
from lagbench.scoring.table import collect, from_file, to_file

here = Path(sys.argv[1])
run = lagbench.open(here / "run", verify=True)
again = lagbench.run(spec=run.spec, out=here / "again")
small = dict(actors=4, phase_steps=16, minibatch=32, budget=64, eval_episodes=1, eval_intervals=1)
mine = lagbench.run(algo=f"{here}/mine.py:Mine", out=here / "mine", **small)
for to in ("parquet", "slim"):
    export(mine, to, here / to)
to_file(collect([here / "run", here / "slim"]), here / "table.arrow")
print(json.dumps({
    "rows": run.trajectories.count_rows(),
    "replayed": lagbench.replay(run).passed and lagbench.replay(lagbench.open(here / "mine")).passed,
    "same": run.result["content_hash"] == again.result["content_hash"],
    "metrics": dict(mine.phases.to_table().to_pylist()[0]["metrics"])["gr\\xf6\\xdfe"],
    "scored": from_file(here / "table.arrow").num_rows,
}))
"""


@pytest.fixture
def foreign(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in a locale of ISO 8859-1; of ASCII where the system can make none."""
    name, localedef = "en_US.ISO-8859-1", shutil.which("localedef")
    command = [str(localedef), "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / name)]
    if localedef is None or subprocess.run(command, capture_output=True).returncode:
        return ASCII
    return {"LOCPATH": str(tmp_path), "LC_ALL": name, "PYTHONUTF8": "0"}


@pytest.fixture
def own() -> dict[str, str]:
    return {}


def make(directory: bytes) -> Path:
    """A directory of that name with an algorithm and a finished run in it."""
    here = Path(os.fsdecode(directory))
    try:
        here.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    (here / "mine.py").write_text(MINE, encoding="utf-8")
    lagbench.run(algo="ppo", actors=4, phase_steps=16, minibatch=32, budget=64, eval_episodes=1, out=here / "run")
    return here


@pytest.mark.parametrize(("locale", "name"), [("foreign", "é".encode()), ("own", b"\xe9")])
def test_from_python(request: pytest.FixtureRequest, tmp_path: Path, locale: str, name: bytes) -> None:
    environment = request.getfixturevalue(locale)
    here = make(bytes(tmp_path) + b"/" + name)
    command = [sys.executable, "-c", FROM_PYTHON, str(here)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "rows": open_run(here / "run").trajectories.count_rows(),
        "replayed": True,
        "same": True,
        "metrics": 1.0,
        "scored": 2,
    }


def test_on_the_command_line(tmp_path: Path) -> None:
    """In Python's UTF-8 mode, whatever the locale."""
    here = make(bytes(tmp_path / "é"))
    script = Path(sysconfig.get_path("scripts"), "lagbench")
    command: list[str | Path] = [script, "run", "-q", *SMALL, "--algo", "é/mine.py:Mine", "--out", "é/new"]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | ASCII, capture_output=True, encoding="utf-8")
    assert (done.returncode, done.stdout) == (0, "é/new\n"), done.stderr
    assert '"name": "é/mine.py:Mine"' in (here / "new/spec.json").read_text(encoding="utf-8")


def opens_text(call: ast.Call) -> bool:
    """Whether a call opens text, a file's or a process's, in whatever encoding the locale has."""
    keywords = {k.arg for k in call.keywords}
    name = getattr(call.func, "id", getattr(call.func, "attr", ""))
    constants = [x.value for x in [*call.args, *(k.value for k in call.keywords)] if isinstance(x, ast.Constant)]
    binary = any(isinstance(x, str) and "b" in x for x in constants)
    elsewhere = ast.unparse(call.func) in ("os.open", "lagbench.open", "archive.open")
    return "encoding" not in keywords and (
        (name in ("open", "fdopen") and not binary and not elsewhere)
        or (name == "read_text" and not call.args)
        or name == "write_text"
        or "text" in keywords
    )


def test_every_text_names_its_encoding() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for directory in ("lagbench", "baselines", "leaderboard", "scripts", "benchmarks")
        for file in (ROOT / directory).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and opens_text(node)
    ]
    assert not found, 'name it: encoding="utf-8"'
