"""The webhook of Alertmanager: it prints alerts, and starts a job for those with the label `action: retrain`.

A small HTTP server of the standard library: `POST /alerts`, `GET /health`. With BITBLOOM_WEBHOOK_TOKEN, a notification needs
`Authorization: Bearer <token>`.
"""

from __future__ import annotations

import contextlib
import hmac
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.stack.notifications import RETRAIN, parse
from bitbloom.serving import settings

if TYPE_CHECKING:
    from bitbloom.monitoring.stack.job import Job

TOKEN_VARIABLE = "BITBLOOM_WEBHOOK_TOKEN"  # noqa: S105 -- the name of a variable
MAX_BYTES = 4_000_000
"""Of a notification; 100 alerts take about 100 kB."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")
SECONDS = 20
"""How long a client may take to send a notification."""


@contextlib.contextmanager
def listening(host: str, port: int, say: Callable[[str], None], job: Job | None = None) -> Iterator[str]:
    """Receive notifications in a thread while the block runs, and yield the address, host and port.

    Args:
        host: an address of this machine; loopback unless Alertmanager runs elsewhere.
        port: 0 for a free one.
        say: receives one line for each alert.
        job: what alerts with `action: retrain` start; None for nothing.

    Raises:
        BitBloomError: the address cannot be used, or others could start the job.
    """
    token = settings.token(TOKEN_VARIABLE)
    if job and not token and host not in LOOPBACK:
        raise BitBloomError(f"{host} is open to others, who could start the command: set {TOKEN_VARIABLE}, or listen on loopback")
    try:
        server = _Server((host, port), _handler(say, job, token))
    except OSError as error:
        raise BitBloomError(f"{host}:{port} cannot receive alerts ({error.strerror}): give another port") from error
    thread = threading.Thread(target=server.serve_forever, name="alerts", daemon=True)
    thread.start()
    try:
        yield f"{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing for a client that breaks its connection."""


def _handler(say: Callable[[str], None], job: Job | None, token: str) -> type[BaseHTTPRequestHandler]:
    """The class of the server's requests."""
    expected = f"Bearer {token}".encode()

    class Handler(BaseHTTPRequestHandler):
        timeout = SECONDS

        def do_GET(self) -> None:
            self._send(*((200, "ok") if self.path == "/health" else (404, "there is only /alerts and /health")))

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if self.path != "/alerts":
                self._send(404, "notifications go to /alerts")
            elif token and not hmac.compare_digest(self.headers.get("Authorization", "").encode(), expected):
                self._send(401, f"the notification needs the token of {TOKEN_VARIABLE}")
            elif not length.isdecimal() or int(length) > MAX_BYTES:
                self._send(413 if length.isdecimal() else 411, f"a notification has a Content-Length of at most {MAX_BYTES}")
            else:
                self._receive(self.rfile.read(int(length)))

        def _receive(self, body: bytes) -> None:
            try:
                alerts = parse(body)
            except BitBloomError as error:
                self._send(400, str(error))
                return
            for alert in alerts:
                say(alert.line)
                if job and alert.action == RETRAIN:
                    job.notice(alert)
            self._send(200, "ok")

        def _send(self, status: int, text: str) -> None:
            body = f"{text}\n".encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            """Print nothing for each request: alerts have their own lines."""

    return Handler
