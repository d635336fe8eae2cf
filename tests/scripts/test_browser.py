"""Where the tests' browser comes from: what is there, Debian's, Playwright's; and what is said where there is none."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from scripts import browser

SCRIPT = Path(browser.__file__)


def command(directory: Path, name: str, body: str) -> None:
    file = directory / name
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH on which there is nothing yet."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def run(path: Path) -> subprocess.CompletedProcess[str]:
    """The script, where Playwright has downloaded nothing and can download nothing."""
    nothing = {"PLAYWRIGHT_BROWSERS_PATH": str(path / "none"), "PLAYWRIGHT_DOWNLOAD_HOST": "http://127.0.0.1:9"}
    environment = {**os.environ, **nothing, "PATH": str(path)}
    return subprocess.run([sys.executable, SCRIPT], env=environment, capture_output=True, text=True)


def test_one_that_is_there_is_taken(path: Path) -> None:
    command(path, "chromium-browser", "echo this is to be had elsewhere; exit 1")
    command(path, "google-chrome", "echo Chrome 1")
    command(path, "apt-get", "echo called > /dev/stderr")
    done = run(path)
    assert (done.returncode, done.stdout) == (0, f"{path / 'google-chrome'}\n")
    assert "called" not in done.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="installs without sudo")
def test_debians_is_installed(path: Path) -> None:
    install = f"printf '#!/bin/sh\\n' > {path}/chromium && /bin/chmod +x {path}/chromium"
    command(path, "apt-get", f'echo "$@" > /dev/stderr; [ "$1" = update ] || {{ {install}; }}')
    done = run(path)
    assert (done.returncode, done.stdout) == (0, f"{path / 'chromium'}\n"), done.stderr
    assert "update -qq\n" in done.stderr
    assert "install -y -qq chromium\n" in done.stderr
    assert "playwright" not in done.stderr


@pytest.mark.slow
def test_where_none_can_be_had_it_says_how(path: Path) -> None:
    command(path, "apt-get", "exit 100")
    command(path, "sudo", "exit 1")
    done = run(path)
    assert done.returncode == 1
    assert not done.stdout
    assert "playwright install chromium" in done.stderr  # which was tried
    assert done.stderr.endswith(
        "could not be installed; on Debian: apt-get install chromium, elsewhere: "
        f"{sys.executable} -m playwright install chromium\n"
    )
