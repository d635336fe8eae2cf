"""What other packages tell programmers reaches nobody who types a command, and ends nobody's run."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from lagbench.cli.third_parties import silenced
from tests.cli.run_here import lagbench

MINE = """
import os
import warnings

from lagbench.baselines.ppo import PPO

class Mine(PPO):
    def loss(self, batch):
        for kind in (DeprecationWarning, PendingDeprecationWarning, FutureWarning):
            warnings.warn("it will be removed", kind, stacklevel=2)
        assert os.environ["TRANSFORMERS_VERBOSITY"] == "error"
        return super().loss(batch)
"""


def test_a_run_in_which_something_is_deprecated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests raise for every warning; a user's Python shows the last kind."""
    for name in ("PYTHONWARNINGS", "TRANSFORMERS_VERBOSITY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mine.py").write_text(MINE)
    before = list(warnings.filters)
    done = lagbench(
        *("run", "--algo", f"{tmp_path / 'mine.py'}:Mine", "--actors", "4", "--phase-steps", "64", "--budget", "256"),
        *("--eval-episodes", "1", "--eval-intervals", "1", "-q", "--out", tmp_path / "run"),
    )
    assert (done.code, done.err) == (0, "")
    assert list(warnings.filters) == before
    assert not {"PYTHONWARNINGS", "TRANSFORMERS_VERBOSITY"} & os.environ.keys()


@pytest.mark.parametrize("asked_for", [False, True])
def test_processes_that_are_begun_say_nothing_either(monkeypatch: pytest.MonkeyPatch, asked_for: bool) -> None:
    """Unless that was asked for."""
    monkeypatch.delenv("PYTHONWARNINGS", raising=False)
    if asked_for:
        monkeypatch.setenv("PYTHONWARNINGS", "default")
    with silenced():
        command = [sys.executable, "-c", "import warnings; warnings.warn('it will be removed', FutureWarning)"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("it will be removed" in done.stderr) is asked_for
