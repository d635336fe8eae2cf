"""Attacks by what lies in the directory."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

from lagbench.leaderboard import limits
from tests.leaderboard.hostile.attack import OTHER, PLACE, Attack, Change, write


def _instead(name: str, make: Callable[[Path], object]) -> Change:
    """Something else in the place of a file."""

    def attack(path: Path) -> None:
        (path / name).unlink()
        make(path / name)

    return attack


def _socket(file: Path) -> None:
    # The name of a socket is short: it is made elsewhere, and moved.
    place = file.parents[4] / "s"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(place))
    place.rename(file)


def _sparse(*names: str, size: int = 1 << 40) -> Change:
    """Files of a terabyte that take no room."""

    def attack(path: Path) -> None:
        for name in names:
            os.truncate(path / name, size)

    return attack


def _tower(path: Path) -> None:
    for _ in range(400):
        path /= "runs"
        path.mkdir(exist_ok=True)


def _filled(path: Path) -> None:
    for file in path.rglob("*.arrow"):
        os.truncate(file, limits.FILE_BYTES)


def _file_for_directory(path: Path) -> None:
    shutil.rmtree(path / PLACE / "phases")
    (path / PLACE / "phases").write_text("1")


def _hook(path: Path) -> None:
    (path / ".git").mkdir()
    (path / ".git/config").write_text("[core]\n")


def _link(file: str, target: str) -> Change:
    return _instead(file, lambda path: path.symlink_to(target))


ATTACKS: dict[str, Attack] = {
    "a link to an endless device": Attack("files", _link(f"{PLACE}/final.arrow", "/dev/zero")),
    "a link to itself": Attack("files", _link(f"{PLACE}/result.json", "result.json")),
    "a link that leads nowhere": Attack("files", _link("algorithm.txt", "/nowhere")),
    "the manifest is a link": Attack("files", _link("submission.json", "/dev/zero"), hashed=False),
    "a directory that leads to its own parent": Attack("files", lambda p: (p / "runs/again").symlink_to("..")),
    "a pipe for a specification": Attack("files", _instead(f"{PLACE}/spec.json", os.mkfifo)),
    "a pipe for a table": Attack("files", _instead(f"{PLACE}/final.arrow", os.mkfifo)),
    "a pipe for a manifest": Attack("files", _instead("submission.json", os.mkfifo), hashed=False),
    "a socket for a policy": Attack("files", _instead(f"{PLACE}/policy.safetensors", _socket)),
    "a directory for a specification": Attack("files", _instead(f"{PLACE}/spec.json", Path.mkdir)),
    "a directory for a table": Attack("files", _instead(f"{PLACE}/phases/data.arrow", Path.mkdir)),
    "a directory for the manifest": Attack("files", _instead("submission.json", Path.mkdir), hashed=False),
    "a file for a directory": Attack("files", _file_for_directory),
    "a tower of directories": Attack("files", _tower),
    "a table of a terabyte": Attack("files", _sparse(f"{PLACE}/final.arrow"), hashed=False),
    "a source of a terabyte": Attack("files", _sparse("algorithm.txt"), hashed=False),
    "a manifest of a terabyte": Attack("files", _sparse("submission.json"), hashed=False),
    "tables that are too large together": Attack("files", _filled, hashed=False),
    "a program to be run": Attack("files", write("conftest.py", "import os\nos.abort()\n")),
    "a hook of git's": Attack("files", _hook, hashed=False),
    "a name that moves the cursor": Attack("files", write("runs/\x1b[2J\x07", "1"), hashed=False),
    "a name that reads backwards": Attack("files", write("runs/\u202enosj.ceps", "1"), hashed=False),
    "the same name in capitals": Attack("files", write("Algorithm.TXT", "1")),
    "a run of another suite besides": Attack(
        "files", lambda p: shutil.copytree(p / PLACE, p / "runs/Hopper-v5/lag64-u8-seed0")
    ),
    "a hard link to another run's table": Attack(
        "tables",
        _instead(
            f"{PLACE}/final.arrow",
            lambda file: os.link(file.parents[3] / OTHER / "final.arrow", file),
        ),
    ),
}
