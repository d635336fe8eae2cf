"""Standard streams that are closed, or that nothing can be written to."""

import subprocess
import sysconfig
from pathlib import Path

import pytest

from lagbench.records.reader import open_run
from tests.cli.run_here import SMALL

SENTENCE = "Error: the result cannot be written to stdout ({}); redirect it to a file, a pipe or a terminal\n"
FULL, CLOSED = SENTENCE.format("No space left on device"), SENTENCE.format("Bad file descriptor")


def shell(here: Path, line: str) -> subprocess.CompletedProcess[str]:
    """A line for the shell, in which ``lagbench`` is this environment's."""
    script = Path(sysconfig.get_path("scripts"), "lagbench")
    line = f"{script} {line}"
    return subprocess.run(line, shell=True, cwd=here, capture_output=True, encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "code", "out", "err"),
    [
        ("list tasks > /dev/full", 1, "", FULL),
        ("list tasks >&-", 1, "", CLOSED),
        ("list tasks >&- 2>&-", 1, "", ""),
        ("list tasks 2>&- | head -n 1 | cut -c -6", 0, "Ant-v4\n", ""),
        ("list tsks >&-", 2, "", None),
        ("list tsks 2> /dev/full", 2, "", ""),
        (f"run {' '.join(SMALL)} --out run <&- >&- 2>&-", 1, "", ""),
    ],
)
def test_what_cannot_be_written_costs_a_sentence(here: Path, line: str, code: int, out: str, err: str | None) -> None:
    done = shell(here, line)
    assert (done.returncode, done.stdout) == (code, out)
    assert err is None or done.stderr == err
    if line.startswith("run"):
        # Whole: no library wrote into a file of its, which had got a free descriptor.
        assert open_run(here / "run", verify=True).status == "completed"
