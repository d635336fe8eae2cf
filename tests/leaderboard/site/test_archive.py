"""An archive's bytes follow from names and contents alone."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

from lagbench.leaderboard.site import archive


def test_the_same_bytes_whenever_and_by_whomever(tmp_path: Path) -> None:
    made = []
    for i, umask in enumerate((0o022, 0o077)):
        root = tmp_path / str(i)
        root.mkdir()
        for name in ("b.arrow", "a.json"):
            file = root / name
            file.write_bytes(name.encode() * 1_000)
            file.chmod(0o666 & ~umask)
            os.utime(file, (i * 10**9, i * 10**9))
        files = {"mine/runs/b.arrow": root / "b.arrow", "mine/a.json": root / "a.json"}
        archive.write(tmp_path / f"{i}.zip", files if i else dict(reversed(files.items())))
        made.append((tmp_path / f"{i}.zip").read_bytes())
    assert made[0] == made[1]


def test_anybody_can_unpack_it(tmp_path: Path) -> None:
    file = tmp_path / "data"
    file.write_bytes(os.urandom(100_000))
    archive.write(tmp_path / "x.zip", {"mine/a/data": file, "mine.json": file})
    assert zipfile.ZipFile(tmp_path / "x.zip").testzip() is None
    subprocess.run([sys.executable, "-m", "zipfile", "-e", tmp_path / "x.zip", tmp_path / "out"], check=True)
    assert (tmp_path / "out/mine/a/data").read_bytes() == (tmp_path / "out/mine.json").read_bytes() == file.read_bytes()
    # Nothing is compressed, so that no compressor's version is in the bytes.
    assert (tmp_path / "x.zip").read_bytes().count(file.read_bytes()) == 2
