"""A browser."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from scripts.browser import HELP, find


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The browser that `make test` sees to."""
    path = find()
    assert path is not None, HELP
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path)
        yield opened
        opened.close()
