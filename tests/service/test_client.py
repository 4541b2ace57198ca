"""The client with a server that fails as networks fail, and with the packaged service."""

from __future__ import annotations

import http.server
import io
import json
import threading
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from bitbloom.cli import app
from bitbloom.serving import client as module
from bitbloom.serving.client import Client, ServiceError
from bitbloom.serving.files import predict_files, print_predictions
from bitbloom.serving.settings import TOKEN_VARIABLE
from support.standin import free_port, photo

RED = (210, 40, 40)


class Scripted:
    """A server with a script of responses: (status, headers, body), or None to close the connection without one."""

    def __init__(self) -> None:
        self.script: list[tuple[int, dict[str, str], bytes] | None] = []
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                outer.bodies.append(self.rfile.read(int(self.headers.get("content-length", 0))))
                outer.requests.append((self.path, self.headers.get("authorization", "")))
                step = outer.script.pop(0)
                if step is None:
                    self.connection.close()
                    return
                status, headers, body = step
                self.send_response(status)
                length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))}
                for name, value in (headers | length).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Scripted]:
    scripted = Scripted()
    yield scripted
    scripted.server.shutdown()
    scripted.server.server_close()


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """The seconds of each wait; the client does not sleep."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    return slept


GOOD = (200, {}, json.dumps({"label": "poppy"}).encode())
BUSY = (503, {"Retry-After": "3"}, b'{"error": "too many"}')


def test_retries_after_the_time_that_a_busy_service_names(server, waits):
    server.script = [BUSY, BUSY, GOOD]
    with Client(server.url) as service:
        assert service.predict(b"x") == {"label": "poppy"}
    assert len(waits) == 2
    assert all(3 <= seconds <= 4.5 for seconds in waits)


def test_retries_a_broken_connection_after_increasing_waits(server, waits):
    server.script = [None, None, None, GOOD]
    with Client(server.url) as service:
        assert service.predict(b"x")["label"] == "poppy"
    assert len(waits) == 3
    for number, seconds in enumerate(waits):
        least = module.FIRST_WAIT * 2**number
        assert least <= seconds <= 1.5 * least


def test_does_not_retry_a_rejected_photo(server, waits):
    server.script = [(415, {}, b'{"error": "not an image"}')]
    with Client(server.url) as service, pytest.raises(ServiceError, match="not an image") as raised:
        service.predict(b"x")
    assert raised.value.status == 415
    assert waits == []


def test_raises_the_rejection_after_the_last_attempt(server):
    server.script = [BUSY, BUSY]
    with Client(server.url, attempts=2) as service, pytest.raises(ServiceError, match="too many") as raised:
        service.predict(b"x")
    assert raised.value.status == 503


def test_error_without_a_connection_says_that_the_service_may_not_run():
    with Client(f"http://127.0.0.1:{free_port()}", attempts=2) as service, pytest.raises(ServiceError, match="running"):
        service.predict(b"x")


@pytest.mark.parametrize("url", ["127.0.0.1:3000", "http://127.0.0.1:three", "gopher://127.0.0.1"])
def test_rejects_invalid_address_without_a_wait(url, waits):
    with pytest.raises(ServiceError, match="give"), Client(url) as service:
        service.predict(b"x")
    assert waits == []


def test_limits_the_wait_that_a_service_names(server, waits):
    server.script = [(503, {"Retry-After": "86400"}, b"{}"), GOOD]
    with Client(server.url) as service:
        service.predict(b"x")
    assert waits[0] <= 1.5 * module.LONGEST_WAIT


def test_limits_the_wait_until_a_date(server, waits):
    server.script = [(503, {"Retry-After": "Fri, 01 Jan 2999 00:00:00 GMT"}, b"{}"), GOOD]
    with Client(server.url) as service:
        service.predict(b"x")
    assert module.LONGEST_WAIT <= waits[0] <= 1.5 * module.LONGEST_WAIT


def test_spreads_the_waits_after_equal_rejections(server, waits):
    server.script = [BUSY, BUSY, BUSY, GOOD]
    with Client(server.url) as service:
        service.predict(b"x")
    assert len(set(waits)) == 3


def test_retries_a_response_that_breaks_off(server, waits):
    server.script = [(200, {"Transfer-Encoding": "chunked"}, b"fff\r\n{"), GOOD]
    with Client(server.url) as service:
        assert service.predict(b"x") == {"label": "poppy"}
    assert len(waits) == 1


def test_sends_all_files_at_every_attempt(server):
    server.script = [None, (200, {}, b"[]")]
    with Client(server.url) as service:
        service.predict_batch([b"first photo", b"second photo"])
    first, second = server.bodies
    assert first == second
    assert b"second photo" in second


def test_rejects_zero_attempts():
    with pytest.raises(ServiceError, match="attempts=1"):
        Client("http://127.0.0.1", attempts=0)


def test_retries_through_the_proxy_of_the_environment(server, monkeypatch, waits):
    monkeypatch.setenv("http_proxy", server.url)
    server.script = [None, BUSY, GOOD]
    with Client("http://service.invalid") as service:
        assert service.predict(b"x") == {"label": "poppy"}
    assert {path for path, _ in server.requests} == {"http://service.invalid/v1/predict?attention=false"}
    assert len(waits) == 2


def test_bypasses_the_proxy_for_excluded_hosts(server, monkeypatch):
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server.script = [GOOD]
    with Client(server.url, attempts=1) as service:
        assert service.predict(b"x") == {"label": "poppy"}


def test_rejects_response_without_json(server):
    server.script = [(200, {}, b"<html>")]
    with Client(server.url) as service, pytest.raises(ServiceError, match="without JSON"):
        service.predict(b"x")


def test_sends_the_token_of_the_environment(server, monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    server.script = [GOOD]
    with Client(server.url) as service:
        service.predict(b"x")
    assert server.requests == [("/v1/predict?attention=false", "Bearer secret")]


def test_command_prints_the_predictions_of_the_local_model(served, tmp_path):
    (tmp_path / "red.jpg").write_bytes(photo(RED))
    (tmp_path / "words.jpg").write_bytes(b"words")
    paths = [tmp_path / "red.jpg", tmp_path / "words.jpg"]
    stream = io.StringIO()
    code = print_predictions(predict_files(served.model.parent, paths), stream)
    result = CliRunner().invoke(app, ["ask", served.url, *map(str, paths)])
    assert result.exit_code == code == 1
    local, served_ = ([json.loads(line) for line in text.splitlines()] for text in (stream.getvalue(), result.stdout))
    assert served_[0] == local[0]
    assert "not an image" in served_[1]["error"]


def test_returns_batch_and_provenance_of_the_service(served):
    with Client(served.url) as service:
        first, second = service.predict_batch([photo(RED), b"words"])
        assert first["label"] == "poppy"
        assert "error" in second
        assert service.provenance()["digests"]["bento"] == served.report["digest"]


def test_command_predicts_texts_row_by_row(served_texts, tmp_path):
    (tmp_path / "rows.csv").write_text("id,text\na,The flood destroyed it\nb,   \n")
    result = CliRunner().invoke(app, ["ask", served_texts.url, str(tmp_path / "rows.csv")])
    first, second = [json.loads(line) for line in result.stdout.splitlines()]
    assert (first["id"], first["label"]) == ("a", "disaster")
    assert second["id"] == "b"
    assert "error" in second


def test_captions_searches_and_compares(served_captions):
    with Client(served_captions.url) as service:
        sentence = service.caption(photo(RED))["sentences"][0]["sentence"]
        assert sentence
        assert len(service.search(sentence, 1)["photos"]) == 1
        assert len(service.similarity(photo(RED), [sentence, "grass"])["sentences"]) == 2
