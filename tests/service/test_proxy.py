"""The proxy of deploy/proxy/, a real nginx: bounds on headers, bodies, time and connections, TLS, and unchanged responses."""

from __future__ import annotations

import json
import os
import shutil
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from urllib.parse import urlsplit

import httpx
import pytest

from support import proxy as nginx
from support.commands import Desk
from support.proxy import Proxy, Upstream, certificate, proxying, read_to_end, serving_upstream
from support.standin import LIMITS, Served, free_port, photo

pytestmark = nginx.needs_nginx
needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl: apt-get install openssl")

HEADER_BYTES = 16_384
BODY_BYTES = 300_000
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: a\r\n"
MANY = b"X-Many: " + b"b" * 200 + b"\r\n"
"""One of many headers, so long that their number within HEADER_BYTES is below the bound of some releases of nginx."""
BY_NGINX = {"server", "date", "connection"}
"""Headers that each server writes for itself."""

Start = Callable[..., Proxy]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with serving_upstream() as upstream:
        yield upstream


@pytest.fixture(autouse=True)
def clear_requests(request: pytest.FixtureRequest) -> None:
    """Remove the requests of earlier tests from the upstream."""
    if "upstream" in request.fixturenames:
        request.getfixturevalue("upstream").requests.clear()


@pytest.fixture(scope="module")
def proxy(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with a small bound on bodies, and the default times."""
    with proxying(tmp_path_factory.mktemp("proxy") / "nginx", upstream.address, BODY_BYTES=BODY_BYTES) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def hasty(upstream: Upstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """A proxy with one second for headers, for a pause in a body, and for an idle connection."""
    with proxying(tmp_path_factory.mktemp("hasty") / "nginx", upstream.address, BODY_SECONDS=1) as proxy:
        yield proxy


@pytest.fixture
def start(tmp_path) -> Iterator[Start]:
    """A function that starts a proxy with other values until the end of the test."""
    with ExitStack() as stack:

        def started(upstream: str, **options: object) -> Proxy:
            running: AbstractContextManager[Proxy] = proxying(tmp_path / "nginx", upstream, **options)
            return stack.enter_context(running)

        yield started


def error(response: bytes, status: int) -> str:
    """The message of a raw response, which is JSON with this status and nothing else."""
    headers, _, body = response.partition(b"\r\n\r\n")
    assert headers.startswith(f"HTTP/1.1 {status} ".encode()), response
    assert b"Content-Type: application/json" in headers
    (message,) = json.loads(body).values()
    return message


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether a condition holds within some seconds."""
    end = time.monotonic() + 10
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


# The configuration


@pytest.mark.parametrize("values", [{}, {"REQUESTS_PER_ADDRESS": 16, "METRICS_FROM": "10.0.0.0/8"}], ids=["defaults", "limits"])
def test_nginx_accepts_the_configuration_without_a_warning(tmp_path, values):
    (tmp_path / "nginx.conf").write_text(nginx.rendered(values))
    done = subprocess.run(nginx.command(tmp_path, "-t"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "[" not in done.stderr


@needs_openssl
def test_nginx_accepts_the_configuration_with_tls(tmp_path):
    chain, key = certificate(tmp_path)
    values = {"TLS_CERTIFICATE": chain, "TLS_KEY": key, "HSTS_SECONDS": 60, "PUBLIC_HOST": "flowers.example"}
    (tmp_path / "nginx.conf").write_text(nginx.rendered(values))
    done = subprocess.run(nginx.command(tmp_path, "-t"), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "[" not in done.stderr


def test_rejects_certificate_without_a_key():
    with pytest.raises(subprocess.CalledProcessError) as raised:
        nginx.rendered({"TLS_CERTIFICATE": "/certificate.pem"})
    assert "not set: TLS_KEY" in raised.value.stderr


def test_script_starts_nginx_in_the_foreground_with_the_rendered_file(tmp_path):
    desk = Desk(tmp_path)
    desk.stand_in("nginx")
    desk.stand_in("id", "#!/bin/sh\necho 1000\n")
    done = desk.run("proxy/proxy.sh", names={"HTTP_PORT": "9090"})
    assert done.code == 0, done.err
    folder = f"{desk.folder}/.bitbloom"
    configuration = f"{folder}/deploy/nginx.conf"
    assert done.calls == [["nginx", "-e", "stderr", "-p", f"{folder}/proxy/", "-c", configuration, "-g", "daemon off;"]]
    assert "listen 9090 default_server;" in desk.rendered("nginx.conf")


def test_dry_run_starts_nothing(tmp_path):
    desk = Desk(tmp_path)
    desk.stand_in("nginx")
    done = desk.run("proxy/proxy.sh", "--dry-run")
    assert [words[0] for words in done.commands] == ["mkdir", "nginx"]
    assert done.calls == []


# Requests and responses


@pytest.mark.parametrize("path", ["/predict", "/wrong", "/full", "/late"])
def test_passes_responses_unchanged(proxy, upstream, path):
    through, direct = (httpx.post(f"{url}{path}", content=b"x") for url in (proxy.url, f"http://{upstream.address}"))
    assert through.status_code == direct.status_code
    assert through.content == direct.content
    kept = [{name: value for name, value in each.headers.items() if name not in BY_NGINX} for each in (through, direct)]
    assert kept[0] == kept[1]


def test_nginx_does_not_name_its_version(proxy):
    assert httpx.get(proxy.url).headers["server"] == "nginx"


def test_forwards_host_and_client_and_replaces_forged_ones(proxy, upstream):
    forged = {"X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}
    httpx.post(f"{proxy.url}/predict?attention=true", content=b"photo", headers={"Authorization": "Bearer t", **forged})
    (received,) = upstream.requests
    assert (received.method, received.path, received.body) == ("POST", "/predict?attention=true", b"photo")
    host = f"127.0.0.1:{proxy.port}"
    expected = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "http"}
    assert {name: received.headers[name] for name in expected} == expected
    assert received.headers["Authorization"] == "Bearer t"


def test_keeps_connections_to_the_service(proxy, upstream):
    before = upstream.connections
    with httpx.Client() as client:
        assert [client.get(proxy.url).status_code for _ in range(5)] == [200] * 5
    assert upstream.connections <= before + 1


def test_logs_each_request_with_its_time(proxy):
    httpx.get(f"{proxy.url}/logged")
    assert eventually(lambda: '"GET /logged HTTP/1.1" 200 ' in proxy.log())
    (line,) = [line for line in proxy.log().splitlines() if "/logged" in line]
    assert " request=0." in line
    assert " service=0." in line


METRICS = ["/metrics", "/metrics?a=b", "/metrics/", "//metrics", "/%6detrics", "/a/../metrics", "/./metrics"]


@pytest.mark.parametrize("path", METRICS)
def test_rejects_requests_for_metrics(proxy, upstream, path):
    response = proxy.exchange(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    assert "read /metrics from the service itself" in error(response, 403)
    assert upstream.requests == []


def test_serves_metrics_to_an_allowed_address(start, upstream):
    assert httpx.get(f"{start(upstream.address, METRICS_FROM='127.0.0.1').url}/metrics").status_code == 200


# Headers


@pytest.mark.parametrize("header", [b"X-Long: ", MANY], ids=["one-long", "many"])
@pytest.mark.parametrize("before", [0, 1], ids=["first", "after-a-response"])
def test_rejects_endless_headers_and_closes_the_connection(proxy, upstream, header, before):
    with proxy.connect() as connection:
        for _ in range(before):
            connection.sendall(GET)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall((POST + header * (HEADER_BYTES // len(header))).ljust(HEADER_BYTES + 1, b"a"))
        response = read_to_end(connection)
    assert "16 KB" in error(response, 431)
    assert len(upstream.requests) == before


@pytest.mark.parametrize("size", [HEADER_BYTES, 10 * HEADER_BYTES, 100 * HEADER_BYTES])
def test_rejects_large_headers_in_one_piece(proxy, upstream, size):
    response = proxy.exchange(POST + MANY * (size // len(MANY)) + b"\r\n")
    assert response == b"" or error(response, 431)  # unread bytes reset the connection
    assert upstream.requests == []


def test_passes_headers_within_the_bound(proxy, upstream):
    many = "".join(f"X-{number}: {'a' * 700}\r\n" for number in range(20)).encode()
    assert HEADER_BYTES * 0.8 < len(many) < HEADER_BYTES
    response = proxy.exchange(GET[:-2] + many + b"Connection: close\r\n\r\n")
    assert response.startswith(b"HTTP/1.1 200")
    (received,) = upstream.requests
    assert sum(name.startswith("X-") and value == "a" * 700 for name, value in received.headers.items()) == 20


def test_rejects_long_request_line(proxy, upstream):
    response = proxy.exchange(b"GET /" + b"a" * HEADER_BYTES + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    assert "in the body" in error(response, 414)
    assert upstream.requests == []


def test_rejects_slow_headers_that_continue(hasty, upstream):
    with hasty.connect() as connection:
        connection.sendall(POST + b"X-Slow: ")
        connection.settimeout(0.1)
        received = trickle(connection)
    assert received == b""
    assert eventually(lambda: '" 408 ' in hasty.log())
    assert upstream.requests == []


def trickle(connection) -> bytes:
    """Send a byte at intervals until the other side closes the connection. Returns what it sent before."""
    received = b""
    for _ in range(300):
        try:
            connection.sendall(b"a")
            part = connection.recv(65_536)
        except TimeoutError:
            continue
        except ConnectionError:
            return received
        if not part:
            return received
        received += part
    raise AssertionError("the connection stays open")


@pytest.mark.parametrize("before", [0, 1], ids=["first", "after-a-response"])
@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G", GET[:-2]], ids=["nothing", "empty-line", "one-letter", "no-end"])
def test_closes_connection_without_a_whole_request(hasty, upstream, before, sent):
    with hasty.connect() as connection:
        for _ in range(before):
            connection.sendall(GET)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        connection.sendall(sent)
        assert read_to_end(connection) == b""
    assert len(upstream.requests) == before


def test_serves_requests_in_pieces_on_one_connection(hasty):
    with hasty.connect() as connection:
        for _ in range(3):
            for piece in (GET[:5], GET[5:20], GET[20:]):
                connection.sendall(piece)
                time.sleep(0.02)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 5\r\n\r\nabcde",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(HEADER_BYTES),
    ],
    ids=["negative", "two-lengths", "length-and-chunks", "broken-chunks", "no-host", "tls", "zeros"],
)
def test_rejects_wrong_lengths_and_bytes_that_are_not_http(proxy, upstream, request_):
    assert "not valid HTTP" in error(proxy.exchange(request_), 400)
    assert upstream.requests == []


# Bodies


def test_rejects_body_over_the_bound_in_json(proxy, upstream):
    response = httpx.post(f"{proxy.url}/predict", content=bytes(BODY_BYTES + 1))
    assert response.status_code == 413
    assert response.json() == {"error": f"the body has more than {BODY_BYTES} bytes: send less at a time"}
    assert upstream.requests == []


def test_rejects_body_of_unknown_length_over_the_bound_in_json(proxy, upstream):
    response = httpx.post(f"{proxy.url}/predict", content=(bytes(10_000) for _ in range(BODY_BYTES // 10_000 + 2)))
    assert response.status_code == 413
    assert "send less" in response.json()["error"]
    assert upstream.requests == []


@pytest.mark.parametrize("size", [0, 1_000, BODY_BYTES])
def test_passes_body_within_the_bound(proxy, upstream, size):
    body = os.urandom(size)
    assert httpx.post(f"{proxy.url}/predict", content=body).status_code == 200
    assert [received.body for received in upstream.requests] == [body]


def test_buffers_slow_body_until_it_is_whole(proxy, upstream):
    with proxy.connect() as connection:
        before = upstream.begun
        connection.sendall(POST + b"Content-Length: 4\r\n\r\nab")
        for _ in range(5):
            assert httpx.get(f"{proxy.url}/meanwhile").status_code == 200
        assert upstream.begun == before + 5
        connection.sendall(b"cd")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    assert upstream.requests[-1].body == b"abcd"


def test_closes_connection_of_a_body_that_stops(hasty, upstream):
    with hasty.connect() as connection:
        connection.sendall(POST + b"Content-Length: 4\r\n\r\nab")
        assert read_to_end(connection) == b""
    assert upstream.requests == []


def test_drops_trailers(proxy, upstream):
    chunks = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nab\r\n0\r\n"
    response = proxy.exchange(chunks + b"X-Trailer: b\r\n" * 20_000 + b"\r\n")
    assert response.startswith(b"HTTP/1.1 200")
    (received,) = upstream.requests
    assert received.body == b"ab"
    assert "X-Trailer" not in received.headers


@pytest.mark.parametrize("limit", ["REQUESTS", "REQUESTS_PER_ADDRESS"])
def test_rejects_requests_over_the_limit_with_retry_after(start, upstream, limit):
    proxy = start(upstream.address, **{limit: 1})
    with proxy.connect() as connection:
        connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert b"100 Continue" in connection.recv(65_536)  # the request counts from now on
        rejected = httpx.get(proxy.url)
        assert (rejected.status_code, rejected.headers["retry-after"]) == (503, "5")
        assert "too many requests" in rejected.json()["error"]
        connection.sendall(b"ab")
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
    assert httpx.get(proxy.url).status_code == 200


# A service that fails


def test_responds_502_in_json_until_the_service_runs(start):
    port = free_port()
    proxy = start(f"127.0.0.1:{port}")
    rejected = httpx.post(f"{proxy.url}/predict", content=b"x")
    assert (rejected.status_code, rejected.headers["retry-after"]) == (502, "5")
    assert rejected.headers["content-type"] == "application/json"
    assert "try again" in rejected.json()["error"]
    with serving_upstream(port):
        assert httpx.post(f"{proxy.url}/predict", content=b"x").status_code == 200


def test_responds_504_in_json_after_one_request_to_a_silent_service(start):
    with serving_upstream() as upstream:
        upstream.silent = True
        proxy = start(upstream.address, changes={"proxy_read_timeout 90s": "proxy_read_timeout 300ms"})
        rejected = httpx.post(f"{proxy.url}/predict", content=b"x", timeout=30)
        assert rejected.status_code == 504
        assert "no response in time" in rejected.json()["error"]
        assert len(upstream.requests) == 1


def test_loses_no_request_when_the_service_closes_idle_connections(start):
    with serving_upstream() as upstream:
        upstream.closes_idle = True
        proxy = start(upstream.address)
        with httpx.Client() as client:
            assert [client.post(f"{proxy.url}/predict", content=b"x").status_code for _ in range(3)] == [200] * 3


# TLS


@pytest.fixture
def encrypted(start, upstream, tmp_path) -> tuple[Proxy, ssl.SSLContext]:
    """A proxy with a self-signed certificate, and a context that trusts no other."""
    chain, key = certificate(tmp_path)
    return start(upstream.address, TLS_CERTIFICATE=chain, TLS_KEY=key, HSTS_SECONDS=60), ssl.create_default_context(cafile=chain)


@needs_openssl
def test_terminates_tls(encrypted, upstream):
    proxy, trust = encrypted
    response = httpx.post(f"{proxy.tls_url}/predict", content=b"photo", verify=trust)
    assert (response.status_code, response.json()) == (200, {"label": "poppy"})
    assert response.headers["strict-transport-security"] == "max-age=60"
    (received,) = upstream.requests
    assert received.headers["X-Forwarded-Proto"] == "https"
    assert received.body == b"photo"


@needs_openssl
def test_redirects_request_without_tls_and_keeps_its_method(encrypted, upstream):
    proxy, _ = encrypted
    response = httpx.post(f"{proxy.url}/predict?attention=true", content=b"photo")
    assert (response.status_code, response.headers["location"]) == (308, "https://127.0.0.1/predict?attention=true")
    assert upstream.requests == []


@needs_openssl
def test_rejects_plain_http_on_the_port_of_tls_in_json(encrypted):
    proxy, _ = encrypted
    response = httpx.get(f"http://127.0.0.1:{proxy.tls_port}/")
    assert response.status_code == 400
    assert "https://" in response.json()["error"]


@needs_openssl
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_keeps_the_status_of_errors_with_tls(encrypted, scheme):
    proxy, trust = encrypted
    url = proxy.tls_url if scheme == "https" else proxy.url
    response = httpx.get(f"{url}/metrics", verify=trust)
    assert response.status_code == 403
    assert "/metrics" in response.json()["error"]


# The packaged service


def address(served: Served) -> str:
    return urlsplit(served.url).netloc


@pytest.mark.slow
def test_service_responds_through_the_proxy_as_without_it(served, start):
    proxy = start(address(served))
    requests = [
        ("/predict", photo((220, 30, 30))),
        ("/v1/predict", photo((40, 170, 50), kind="PNG")),
        ("/predict", b"no photo"),
        ("/predict", bytes(LIMITS.max_bytes + 1)),
        ("/predict", bytes(20 * LIMITS.max_bytes)),
        ("/nowhere", b""),
    ]
    for path, body in requests:
        through, direct = (httpx.post(f"{url}{path}", content=body) for url in (proxy.url, served.url))
        assert (through.status_code, through.content) == (direct.status_code, direct.content)
        kept = [{name: value for name, value in each.headers.items() if name not in BY_NGINX} for each in (through, direct)]
        assert kept[0] == kept[1]


@pytest.mark.slow
def test_slow_bodies_take_no_permit_of_the_service(served, start):
    proxy = start(address(served))
    with ExitStack() as stack:
        for _ in range(2 * LIMITS.max_requests):
            connection = stack.enter_context(proxy.connect())
            connection.sendall(POST + b"Expect: 100-continue\r\nContent-Length: 1000\r\n\r\n")
            assert b"100 Continue" in connection.recv(65_536)
            connection.sendall(b"slow")
        for url in (proxy.url, served.url):
            assert httpx.post(f"{url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"


@pytest.mark.slow
def test_passes_retry_after_of_a_full_service(served, start):
    proxy = start(address(served))
    where = urlsplit(served.url)
    slow = POST + b"Content-Length: 1000\r\n\r\nslow"
    full = Proxy(proxy.folder, where.port or 0, 0)  # past the proxy
    with ExitStack() as stack:
        for _ in range(LIMITS.max_requests):
            stack.enter_context(full.connect()).sendall(slow)
        seen = [httpx.post(f"{proxy.url}/predict", content=photo((220, 30, 30))) for _ in range(20)]
        rejected = [each for each in seen if each.status_code == 503]
        assert rejected
        assert int(rejected[0].headers["retry-after"]) >= 1
        assert "content-security-policy" in rejected[0].headers  # the service's own response, not one of nginx


@pytest.mark.slow
def test_rejects_requests_for_metrics_of_the_service(served, start):
    proxy = start(address(served))
    assert httpx.get(f"{served.url}/metrics").status_code == 200
    assert httpx.get(f"{proxy.url}/metrics").status_code == 403


@pytest.mark.slow
def test_rejects_thousands_of_broken_headers(served, start):
    proxy = start(address(served))
    broken = [POST + b"X-Long: " + b"a" * HEADER_BYTES, POST + b"Content-Length: -1\r\n\r\n", bytes(100) + b"\r\n\r\n"]
    for number in range(1_500):
        assert error(proxy.exchange(broken[number % len(broken)]), 431 if number % len(broken) == 0 else 400)
    assert httpx.post(f"{proxy.url}/predict", content=photo((220, 30, 30))).json()["label"] == "poppy"
