"""What holds for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from scripts.browser import HELP, find

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# One thread a worker and a subprocess: the tests run side by side. It counts only before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A Ray of this process's own leaves a token in the user's home, with which each later cluster asks for one.
os.environ["RAY_AUTH_MODE"] = "disabled"

# No deadline, for a busy machine is no failure; the same examples every time, so that a failure is found again.
settings.register_profile("lagbench", deadline=None, derandomize=True)
settings.load_profile("lagbench")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser that `make test` sees to."""
    from playwright.sync_api import sync_playwright

    path = find()
    assert path is not None, HELP
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path)
        yield opened
        opened.close()
