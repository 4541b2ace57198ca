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
from support.standin import LIMITS, free_port, photo

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


DEAD = "http://127.0.0.1:9"  # discard
PROXIES = {
    "dead HTTP proxy": {"http_proxy": DEAD, "HTTPS_PROXY": DEAD},
    "SOCKS proxy": {"ALL_PROXY": "socks5h://127.0.0.1:9"},
    "SOCKS proxy in small letters": {"all_proxy": "socks5://user:secret@127.0.0.1:9"},
    "unknown scheme": {"ALL_PROXY": "ftp://127.0.0.1:9"},
    "no address": {"http_proxy": "http://127.0.0.1:port"},
}


@pytest.fixture
def proxies(monkeypatch):
    """A function that sets the variables of proxies and removes all others."""

    def replace(variables):
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            for spelling in (name, name.upper()):
                monkeypatch.delenv(spelling, raising=False)
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return replace


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST", "127.0.0.53", "0.0.0.0", "[::ffff:127.0.0.1]"])
@pytest.mark.parametrize("variables", PROXIES.values(), ids=PROXIES)
def test_asks_a_local_service_without_the_proxy(server, proxies, variables, host):
    proxies(variables)
    server.script = [GOOD]
    with Client(server.url.replace("127.0.0.1", host), attempts=1) as service:
        assert service.proxy is None
        if host not in ("127.0.0.53", "[::ffff:127.0.0.1]"):  # the server listens to one address
            assert service.predict(b"x") == {"label": "poppy"}


@pytest.mark.parametrize(
    ("excluded", "url"),
    [
        ("flowers.example", "http://flowers.example:3000"),
        ("other, flowers.example", "http://flowers.example"),
        ("other flowers.example", "http://flowers.example"),
        (".example", "http://flowers.example"),
        ("*.example", "http://flowers.example"),
        ("EXAMPLE", "http://Flowers.Example"),
        ("flowers.example:3000", "http://flowers.example:3000"),
        ("flowers.example:80", "http://flowers.example"),
        ("10.1.2.3", "http://10.1.2.3:3000"),
        ("10.1.2.3:3000", "http://10.1.2.3:3000"),
        ("10.0.0.0/8", "http://10.1.2.3:3000"),
        ("[fd00::5]", "http://[fd00::5]:3000"),
        ("[fd00::5]:3000", "http://[fd00::5]:3000"),
        ("fd00::/8", "http://[fd00::5]:3000"),
        ("*", "http://flowers.example"),
    ],
)
def test_asks_hosts_of_no_proxy_without_the_proxy(proxies, excluded, url):
    for name in ("no_proxy", "NO_PROXY"):
        proxies({"all_proxy": DEAD, name: excluded})
        assert Client(url).proxy is None


@pytest.mark.parametrize(
    ("excluded", "url"),
    [
        ("", "http://flowers.example"),
        ("lowers.example", "http://flowers.example"),
        ("flowers.example:80", "http://flowers.example:3000"),
        ("10.1.2.0/24", "http://10.1.3.3"),
        (".", "http://flowers.example"),
    ],
)
def test_asks_other_hosts_with_the_proxy(proxies, excluded, url):
    proxies({"all_proxy": DEAD, "no_proxy": excluded})
    assert Client(url).proxy == DEAD


def test_error_of_a_dead_proxy_names_it_without_its_password(proxies):
    proxies({"http_proxy": DEAD.replace("//", "//user:secret@")})
    with Client("http://flowers.example", attempts=1) as service, pytest.raises(ServiceError) as raised:
        service.predict(b"x")
    assert f"does not respond through the proxy {DEAD} (" in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("name", [name for name in PROXIES if name != "dead HTTP proxy"])
def test_error_of_an_unusable_proxy_says_what_to_do(proxies, name):
    proxies(PROXIES[name])
    with pytest.raises(ServiceError, match=r"the proxy .* cannot be used: .* no_proxy") as raised:
        Client("http://flowers.example")
    assert "secret" not in str(raised.value)


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
    assert served_ == local
    assert "not an image" in served_[1]["error"]


PHOTOS = {
    "a photo": photo(RED),
    "no photo": b"words",
    "nothing": b"",
    "half a photo": photo(RED, 640, 480)[:900],
    "too many bytes": photo(RED) + bytes(LIMITS.max_bytes),
    "too many pixels": photo(RED, 1001, 1000),
}


@pytest.mark.parametrize("given", PHOTOS.values(), ids=PHOTOS)
def test_predict_and_ask_agree_on_photos(served, tmp_path, given):
    (tmp_path / "photo").write_bytes(given)
    with Client(served.url) as service:
        (asked,) = service.predictions([tmp_path / "photo"])
    (predicted,) = predict_files(served.model.parent, [tmp_path / "photo"], LIMITS)
    assert asked == predicted
    assert ("error" in asked) == (given != PHOTOS["a photo"])


ROWS = {
    "words": "text\nThe flood destroyed it\n",
    "more rows than a request may have": "text\n" + "The flood\n" * 10,
    "spaces": "text\n   \n",
    "the longest text": f"text\n{'fire ' * 400}\n",
    "a longer text": f"text\n{'fire ' * 400}!\n",
    "a long keyword": f"text,keyword\nfire,{'k' * 2001}\n",
    "a long location": f"text,location\nfire,{'l' * 2001}\n",
}


@pytest.mark.parametrize("given", ROWS.values(), ids=ROWS)
def test_predict_and_ask_agree_on_texts(served_texts, tmp_path, given):
    (tmp_path / "rows.csv").write_text(given)
    with Client(served_texts.url) as service:
        asked = list(service.predictions([tmp_path / "rows.csv"]))
    assert asked == list(predict_files(served_texts.model, [tmp_path / "rows.csv"]))
    assert len(asked) == len(given.splitlines()) - 1
    long = "2,000 characters" in str(asked)
    assert long == any(len(field) > 2000 for line in given.splitlines() for field in line.split(","))


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
