"""Serve a site to this machine only."""

from __future__ import annotations

import http.server
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lagbench import UsageError
from lagbench.leaderboard.site import directory
from lagbench.leaderboard.site.policy import POLICY

ADDRESS = "127.0.0.1"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".csv": "text/csv; charset=utf-8",
    ".svg": "image/svg+xml",
    ".arrow": "application/vnd.apache.arrow.file",
}


class Server(http.server.ThreadingHTTPServer):
    """Serves only the files of a site, only to this machine. ``port`` 0: any free port."""

    daemon_threads = True

    def __init__(self, site: Path, port: int) -> None:
        listed = directory.read_manifest(site)
        if listed is None:
            raise UsageError(f"{site} is not a lagbench site; make one with: lagbench leaderboard build -o {site}")
        self.files = {f"/{name}": site / name for name in listed if Path(name).suffix in _TYPES}
        try:
            super().__init__((ADDRESS, port), _Handler)
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} is not available ({error}); give another one with --port") from error

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def hosts(self) -> set[str]:
        """By which names a browser may ask for it: a page elsewhere that has a name lead here is not answered."""
        return {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    server_version = "lagbench"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def _answer(self, *, body: bool) -> None:
        if self.headers.get("Host") not in self.server.hosts:
            self.send_error(HTTPStatus.FORBIDDEN)
            return
        path = unquote(urlsplit(self.path).path)
        file = self.server.files.get("/index.html" if path == "/" else path)
        try:
            content = file.read_bytes() if file else None
        except OSError:
            content = None
        if file is None or content is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", _TYPES[file.suffix])
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""
