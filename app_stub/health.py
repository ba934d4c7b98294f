"""`/healthz` on loopback: 200 when both services answer, 503 when one does not, JSON either way."""

from __future__ import annotations

import json
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from app_stub.checks import alive
from app_stub.environment import Environment

HOST = "127.0.0.1"


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, environment: Environment, *args: object) -> None:
        self.environment = environment
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer /healthz; everything else is not found."""
        if self.path.partition("?")[0] != "/healthz":
            self._send(HTTPStatus.NOT_FOUND, {"status": "not found", "try": "/healthz"})
            return
        services = alive(self.environment)
        healthy = all(answer == "ok" for answer in services.values())
        status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
        self._send(status, {"status": "ok" if healthy else "unavailable", "services": services})

    def _send(self, status: HTTPStatus, body: dict[str, Any]) -> None:
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, format: str, *args: object) -> None:
        """Logs nothing: health checks arrive every second."""


def server(environment: Environment, port: int) -> ThreadingHTTPServer:
    """A server bound to loopback, not yet serving. port: 0 for any free one. Raises OSError when it is in use."""
    bound = ThreadingHTTPServer((HOST, port), partial(_Handler, environment))
    bound.daemon_threads = True
    return bound
