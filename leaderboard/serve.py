"""Serve a site on the loopback interface."""

from __future__ import annotations

import functools
import http.server
import io
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from lagbench import UsageError
from lagbench.leaderboard.site import POLICY, SITE

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
    """Serves the files of a site, and nothing else, to this machine. ``port`` 0: any free port."""

    daemon_threads = True

    def __init__(self, site: Path, port: int) -> None:
        listed = SITE.files(site)
        if listed is None:
            raise UsageError(f"{site} is not a lagbench site; make one with: lagbench leaderboard build -o {site}")
        self.paths = {"/", *(f"/{name}" for name in listed if Path(name).suffix in _TYPES)}
        try:
            super().__init__((ADDRESS, port), functools.partial(_Handler, directory=str(site)))
        except (OSError, OverflowError) as error:
            raise UsageError(f"port {port} is not available ({error}); give another one with --port") from error

    @property
    def url(self) -> str:
        """The URL of the site."""
        return f"http://{ADDRESS}:{self.server_port}/"

    @property
    def hosts(self) -> set[str]:
        """The accepted Host headers. Other names are refused, against DNS rebinding."""
        return {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}


class _Handler(http.server.SimpleHTTPRequestHandler):
    server: Server
    server_version = "lagbench"
    sys_version = ""
    extensions_map = _TYPES

    def send_head(self) -> io.BytesIO | BinaryIO | None:
        """Open a file of the site; an error for other hosts and paths."""
        if self.headers.get("Host") not in self.server.hosts:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif unquote(urlsplit(self.path).path) in self.server.paths:
            return super().send_head()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)
        return None

    def list_directory(self, path: Any) -> None:
        """List no directory."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", f"{POLICY}; frame-ancestors 'none'")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""
