"""The nginx of deploy/proxy/ on free ports of the loopback interface, and a small upstream that records its requests."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from support.standin import free_port

REPOSITORY = Path(__file__).parents[2]
TEMPLATE = REPOSITORY / "deploy/proxy/nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
SECONDS_TO_START = 20

needs_nginx = pytest.mark.skipif(NGINX is None, reason="needs nginx: apt-get install nginx-light")


@dataclass(frozen=True)
class Proxy:
    """A running nginx: its ports, and the folder with its configuration and output (`log`)."""

    folder: Path
    port: int
    tls_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def tls_url(self) -> str:
        return f"https://127.0.0.1:{self.tls_port}"

    def connect(self) -> socket.socket:
        """A connection to the port without TLS."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def exchange(self, request: bytes) -> bytes:
        """All that nginx sends to raw bytes before it closes the connection."""
        with self.connect() as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(request)
            return read_to_end(connection)

    def log(self) -> str:
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")


def read_to_end(connection: socket.socket) -> bytes:
    """Everything until the other side closes. A reset ends it too."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65_536):
            received += part
    return received


def rendered(values: Mapping[str, object]) -> str:
    """The template, filled as deploy/proxy/proxy.sh fills it."""
    command = [sys.executable, str(REPOSITORY / "deploy/render.py"), str(TEMPLATE)]
    environment = {name: str(value) for name, value in values.items()}
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def command(folder: Path, *options: str) -> list[str]:
    """nginx with a folder for its files. As root its workers stay root: another user may not enter the folders of tests."""
    assert NGINX is not None
    directives = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    return [NGINX, "-e", "stderr", "-p", f"{folder}/", "-c", str(folder / "nginx.conf"), "-g", directives, *options]


@contextlib.contextmanager
def proxying(folder: Path, upstream: str, changes: Mapping[str, str] | None = None, **values: object) -> Iterator[Proxy]:
    """nginx in front of `upstream` (host:port), with values of the template and changes of the rendered text."""
    folder.mkdir()
    proxy = Proxy(folder, free_port(), free_port())
    text = rendered({"UPSTREAM": upstream, "HTTP_PORT": proxy.port, "HTTPS_PORT": proxy.tls_port, **values})
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(text)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command(folder), stdout=log, stderr=subprocess.STDOUT)
    try:
        _wait_until_listening(proxy, process)
        yield proxy
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _wait_until_listening(proxy: Proxy, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError):
            proxy.connect().close()
            return
        time.sleep(0.02)
    raise AssertionError(f"nginx did not start ({process.poll()}): {proxy.log()}")


@dataclass(frozen=True)
class Received:
    """A request as the upstream received it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """An HTTP server that sends the responses of RESPONSES and records requests and connections."""

    port: int
    requests: list[Received] = field(default_factory=list)
    begun: int = 0
    """Requests whose headers arrived."""
    connections: int = 0
    silent: bool = False
    """Whether it reads requests without a response."""
    closes_idle: bool = False
    """Whether it closes a connection when a second request comes, as if it had done so a moment before."""

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


RESPONSES = {
    "/wrong": (422, {"Content-Type": "application/json"}, b'{"error": "not a photo: send a JPEG"}'),
    "/full": (503, {"Content-Type": "application/json", "Retry-After": "7"}, b'{"error": "repeat in 7 s"}'),
    "/late": (504, {"Content-Type": "application/json"}, b'{"error": "no response after 60 s"}'),
}
OTHERWISE = (
    200,
    {
        "Content-Type": "application/json",
        "Content-Security-Policy": "default-src 'self'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=()",
    },
    b'{"label": "poppy"}',
)


@contextlib.contextmanager
def serving_upstream(port: int = 0) -> Iterator[Upstream]:
    """An Upstream in threads of this process, while the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            upstream.connections += 1
            super().setup()

        def respond(self) -> None:
            self.served = getattr(self, "served", 0) + 1
            if upstream.closes_idle and self.served > 1:
                self.close_connection = True
                return
            upstream.begun += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            upstream.requests.append(Received(self.command, self.path, dict(self.headers.items()), body))
            if upstream.silent:
                self.rfile.read(1)  # until the other side closes
                return
            status, headers, content = RESPONSES.get(self.path, OTHERWISE)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = respond

        def log_message(self, *_: object) -> None:
            """Keep the output of tests free of it."""

    ThreadingHTTPServer.allow_reuse_address = True
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    upstream = Upstream(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield upstream
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key, made by openssl."""
    made, key = folder / "certificate.pem", folder / "key.pem"
    made_by = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    named = ["-subj", "/CN=proxy of a test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*made_by, *named, "-keyout", str(key), "-out", str(made)], check=True, capture_output=True)
    return made, key
