"""The site is whole, the same every time, and asks nobody for anything."""

from __future__ import annotations

import functools
import hashlib
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from playwright.sync_api import Browser

from tests.docs.conftest import ROOT, build

NAVIGATION = re.compile(r"^(nav:\n(?: .*\n)+)", flags=re.MULTILINE)
# One with formulas, one with tables and a picture, one with signatures.
PAGES = ("concepts/estimators/", "architecture/", "reference/runs/")


def hashes(site: Path) -> dict[str, str]:
    files = (file for file in site.rglob("*") if file.is_file())
    return {str(file.relative_to(site)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.mark.slow
def test_it_is_built_the_same_every_time(built: Path, tmp_path: Path) -> None:
    assert hashes(build(tmp_path / "again")) == hashes(built)


def test_every_page_is_in_the_navigation() -> None:
    """A strict build says so of Markdown; a notebook is no page to it."""
    found = NAVIGATION.search((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert found
    named = set(re.findall(r"[\w/-]+\.(?:md|ipynb)", str(yaml.safe_load(found[1]))))
    pages = {
        str(file.relative_to(ROOT / "docs")) for kind in ("md", "ipynb") for file in (ROOT / "docs").rglob(f"*.{kind}")
    }
    assert named == pages


def test_nothing_is_loaded_from_elsewhere(built: Path) -> None:
    for page in built.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe|source)\b[^>]*\bsrc=[\"']?([^\"' >]+)", text)
        loaded += re.findall(
            r"<link\b[^>]*\brel=[\"']?(?:stylesheet|preload|preconnect|icon)[^>]*\bhref=[\"']?([^\"' >]+)", text
        )
        assert [one for one in loaded if re.match(r"(https?:)?//", one)] == [], page


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: what is asked for is seen in the browser."""


@pytest.fixture(scope="module")
def url(built: Path) -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(built))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(browser: Browser, url: str, scheme: str) -> None:
    context = browser.new_context(viewport={"width": 360, "height": 800}, color_scheme=scheme)  # type: ignore[arg-type]
    asked: list[str] = []
    complaints: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page = context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    for path in PAGES:
        page.goto(url + path)
        assert page.evaluate("document.documentElement.scrollWidth") == 360, path
        paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    # The search has its words here, too. A query in the address waits for the page's own worker; one typed before
    # that is there is dropped.
    page.goto(url + "?q=normalizer")
    page.locator(".md-search-result__link").first.wait_for(timeout=150_000)
    context.close()
    assert not complaints
    assert asked
    assert [one for one in asked if not one.startswith((url, "data:", "blob:"))] == []
