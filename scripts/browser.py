"""Find the browser that the leaderboard's tests use, or install one; print its path.

    python scripts/browser.py

Tries a browser on the PATH, then one that Playwright downloaded before; else installs Debian's package if permitted, or
else downloads Playwright's.
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
    """Return an installed browser that runs, or None."""
    for name in NAMES:
        found = shutil.which(name)
        # Ubuntu's chromium-browser may be a stub that only refers to a snap.
        if found and subprocess.run([found, "--version"], capture_output=True).returncode == 0:
            return Path(found)
    return _playwrights()


def install() -> Path | None:
    """Install a browser; None if that fails."""
    for commands in (_debian(), [_PLAYWRIGHT]):
        for command in commands:
            print(" ".join(command), file=sys.stderr)
            subprocess.run(command, stdout=sys.stderr)
        if commands and (found := find()):
            return found
    return None


def main() -> None:
    """Print the browser's path, or instructions."""
    found = find() or install()
    if found is None:
        sys.exit(HELP)
    print(found)


def _debian() -> list[list[str]]:
    """The commands that install Debian's package; none on other systems or without permission."""
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
