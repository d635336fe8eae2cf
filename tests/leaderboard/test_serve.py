"""The server: the files of a site, to this machine, and nothing else to anybody."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lagbench import UsageError
from lagbench.leaderboard.serve import Server
from lagbench.leaderboard.site import build

Answer = tuple[int, dict[str, str], bytes]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    build.build([], tmp_path / "site")
    (tmp_path / "site/secret.html").write_text("not of the site")
    (tmp_path / "beside.html").write_text("outside")
    with Server(tmp_path / "site", 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def ask(server: Server, path: str, method: str = "GET", host: str | None = None) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers={"Host": host} if host else {})
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_the_files_of_the_site(server: Server, tmp_path: Path) -> None:
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/index.html?x#y", "text/html; charset=utf-8"),
        ("/static/board.js", "text/javascript; charset=utf-8"),
    ):
        status, headers, content = ask(server, path)
        assert (status, headers["Content-type"]) == (200, kind)
        name = "index.html" if path == "/" else path[1:].partition("?")[0]
        assert content == (tmp_path / "site" / name).read_bytes()
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
    status, headers, content = ask(server, "/", "HEAD")
    assert (status, content) == (200, b"")
    assert int(headers["Content-Length"]) == (tmp_path / "site/index.html").stat().st_size


@pytest.mark.parametrize(
    "path",
    [
        "/secret.html",
        "/../beside.html",
        "/%2e%2e/beside.html",
        "//etc/passwd",
        "/static/",
        "/static/../secret.html",
        "/x%00",
    ],
)
def test_nothing_else(server: Server, path: str) -> None:
    status, _, content = ask(server, path)
    assert status == 404
    assert b"outside" not in content
    assert b"not of the site" not in content


def test_a_file_that_went_away(server: Server, tmp_path: Path) -> None:
    (tmp_path / "site/index.html").unlink()
    assert ask(server, "/")[0] == 404


def test_only_by_its_own_name(server: Server) -> None:
    """A page elsewhere whose name was made to lead to this machine reads nothing."""
    assert ask(server, "/", host=f"localhost:{server.server_port}")[0] == 200
    for host in ("evil.example", f"evil.example:{server.server_port}", "127.0.0.1", "localhost:1"):
        assert ask(server, "/", host=host)[0] == 403


def test_it_only_reads(server: Server) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert ask(server, "/", method)[0] == 501


def test_it_listens_to_this_machine_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1"
    assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_what_is_refused(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"port {server.server_port} is not available .*give another one with --port"):
        Server(tmp_path / "site", server.server_port)
    with pytest.raises(UsageError, match="is not a lagbench site; make one with: lagbench leaderboard build -o"):
        Server(tmp_path, 0)


def test_a_manifest_cannot_lead_outside(tmp_path: Path) -> None:
    build.build([], tmp_path / "site")
    document = json.loads((tmp_path / "site/site.json").read_text())
    document["files"]["../beside.html"] = "0" * 64
    (tmp_path / "site/site.json").write_text(json.dumps(document))
    (tmp_path / "beside.html").write_text("outside")
    with pytest.raises(UsageError, match="is not a lagbench site"):
        Server(tmp_path / "site", 0)
