"""Find the browser that the tests of the leaderboard drive, or install one; print where it is.

    python scripts/browser.py

Taken is one on the PATH, else the one that Playwright downloaded before; else Debian's package is installed where it
may be, else Playwright's own is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_DEBIAN = [["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", "chromium"]]
_PLAYWRIGHT = [sys.executable, "-m", "playwright", "install", "chromium"]
HELP = (
    "the tests of the leaderboard need Chromium, and it could not be installed; on Debian: apt-get install chromium, "
    f"elsewhere: {' '.join(_PLAYWRIGHT)}"
)


def find() -> Path | None:
    """A browser that is there and runs; None where there is none."""
    for name in NAMES:
        found = shutil.which(name)
        # Ubuntu's chromium-browser is a note that it is to be had elsewhere.
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return Path(found)
    return _playwrights()


def install() -> Path | None:
    """Install one; None where none can be had."""
    for commands in (_debian(), [_PLAYWRIGHT]):
        for command in commands:
            print(" ".join(command), file=sys.stderr)
            subprocess.run(command, stdout=sys.stderr)
        if commands and (found := find()):
            return found
    return None


def main() -> None:
    """Print where it is, or what to do."""
    found = find() or install()
    if found is None:
        sys.exit(HELP)
    print(found)


def _debian() -> list[list[str]]:
    """What installs Debian's package; nothing where that is none, or may not be."""
    if shutil.which("apt-get") is None:
        return []
    if os.geteuid() == 0:
        return _DEBIAN
    allowed = shutil.which("sudo") and subprocess.run(["sudo", "-n", "true"], capture_output=True).returncode == 0
    return [["sudo", "-n", *command] for command in _DEBIAN] if allowed else []


def _playwrights() -> Path | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return path if path.is_file() else None


if __name__ == "__main__":
    main()
