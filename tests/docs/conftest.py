"""The site, built once for all tests, by a process that cannot reach any network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
# The build is strict: a warning ends it with 1.
BUILD = """
import socket, sys

def refuse(*_):
    raise OSError("the site is built without network")

socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli(["build", "--quiet", "--site-dir", sys.argv[1]])
"""


def build(out: Path) -> Path:
    """Build the site into a directory."""
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1", "SOURCE_DATE_EPOCH": "1700000000"}
    command = [sys.executable, "-c", BUILD, str(out)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site. Several workers share one."""
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with FileLock(shared / "docs.lock"):
        site = shared / "docs"
        if not (site / "index.html").exists():
            build(site)
    return site
