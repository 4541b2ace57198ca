"""Source `download` with a local server: resuming, retries, verification and the mirror."""

from __future__ import annotations

import contextlib
import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitbloom.core.errors import BitBloomError
from bitbloom.data import verified_file
from bitbloom.data.sources import download
from bitbloom.data.verified_file import DOWNLOADS, PublishedFile, obtain


def flower_archive() -> bytes:
    """A small `flower_photos.tgz`: two classes of two photos, and a licence."""
    stream = io.BytesIO()
    rng = np.random.default_rng(0)
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name in ("LICENSE.txt", "daisy/1.jpg", "daisy/2.jpg", "roses/1.jpg", "roses/2.jpg"):
            photo = io.BytesIO(b"free")
            if name.endswith("jpg"):
                Image.fromarray(rng.integers(0, 256, (90, 90, 3), dtype=np.uint8)).save(photo, "JPEG")
            member = tarfile.TarInfo(f"flower_photos/{name}")
            member.size = len(photo.getvalue())
            archive.addfile(member, io.BytesIO(photo.getvalue()))
    return stream.getvalue()


ARCHIVE = flower_archive()


@dataclass
class Server:
    """The content of the server, its errors, and the received requests."""

    body: bytes = ARCHIVE
    etag: str = '"v1"'
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    """Bytes sent by each of the first responses before the connection is cut."""
    statuses: list[int] = field(default_factory=list)
    """Status of each of the first responses, instead of the file."""
    declare_length: bool = True
    requested: list[str | None] = field(default_factory=list)
    """The Range header of every request."""
    url: str = ""

    @property
    def file(self) -> PublishedFile:
        return PublishedFile(self.url, len(ARCHIVE), hashlib.sha256(ARCHIVE).hexdigest())

    @property
    def config(self) -> download.Config:
        return download.Config(url=self.url, bytes=len(ARCHIVE), sha256=self.file.sha256)

    @property
    def path(self) -> Path:
        return DOWNLOADS / f"{self.file.sha256[:12]}-flower_photos.tgz"

    @property
    def part(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part")


def handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested = self.headers["Range"]
            server.requested.append(requested)
            if server.statuses:
                self.send_response(server.statuses.pop(0))
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            whole = not (requested and server.ranges and self.headers.get("If-Range", server.etag) == server.etag)
            start = 0 if whole else int(requested.removeprefix("bytes=").removesuffix("-"))
            if start >= len(server.body):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(server.body)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200 if whole else 206)
            if not whole:
                self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
            if server.declare_length:
                self.send_header("Content-Length", str(len(server.body) - start))
            self.send_header("ETag", server.etag)
            self.end_headers()
            end = start + server.cuts.pop(0) if server.cuts else len(server.body)
            with contextlib.suppress(ConnectionError):  # the client can close the connection
                self.wfile.write(server.body[start:end])
            self.close_connection = True

        def log_message(self, *args: object) -> None:
            """Do not log."""

    return Handler


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Start a server, without pauses between attempts; the current folder is an empty workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITBLOOM_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(verified_file, "PAUSE", 0.0)
    state = Server()
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler(state))
    state.url = f"http://127.0.0.1:{http.server_port}/data/flower_photos.tgz"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield state
    http.shutdown()
    thread.join()
    http.server_close()


def test_extracts_labelled_photos(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = download.fetch(server.config, tmp_path / "raw")
    assert [(file.path, file.label) for file in files] == [
        ("daisy/1.jpg", "daisy"),
        ("daisy/2.jpg", "daisy"),
        ("roses/1.jpg", "roses"),
        ("roses/2.jpg", "roses"),
    ]
    assert all((tmp_path / "raw" / file.path).stat().st_size > 1000 for file in files)
    assert "LICENSE.txt" in capsys.readouterr().err
    assert [path.name for path in DOWNLOADS.iterdir()] == [server.path.name]


def test_does_not_download_verified_file_again(server: Server) -> None:
    first = obtain(server.file)
    assert obtain(server.file) == first
    assert server.requested == [None]


def test_resumes_after_cut_connection(server: Server) -> None:
    server.cuts = [5000, 3000]
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert server.requested == [None, "bytes=5000-", "bytes=8000-"]


def test_detects_cut_without_declared_length(server: Server) -> None:
    server.cuts, server.declare_length = [5000], False
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert server.requested == [None, "bytes=5000-"]


def test_resumes_in_next_run(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verified_file, "ATTEMPTS", 1)
    server.cuts, server.statuses = [5000], []
    with pytest.raises(BitBloomError, match="the download resumes"):
        obtain(server.file)
    assert server.part.stat().st_size == 5000
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert server.requested == [None, "bytes=5000-"]


def test_uses_complete_part_of_killed_run(server: Server) -> None:
    DOWNLOADS.mkdir(parents=True)
    server.part.write_bytes(ARCHIVE)
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert server.requested == []


def test_restarts_without_range_support(server: Server) -> None:
    server.cuts, server.ranges = [5000], False
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert server.requested == [None, "bytes=5000-"]


def test_restarts_if_file_changed(server: Server) -> None:
    DOWNLOADS.mkdir(parents=True)
    server.part.write_bytes(bytes(5000))
    server.part.with_name(f"{server.part.name}.version").write_text('"v0"')
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert server.requested == ["bytes=5000-"]


@pytest.mark.parametrize("length", [5000, len(ARCHIVE), len(ARCHIVE) + 1])
def test_restarts_once_if_part_is_wrong(server: Server, length: int) -> None:
    DOWNLOADS.mkdir(parents=True)
    server.part.write_bytes(bytes(length))
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert server.requested[-1] is None


def test_gives_up_without_progress(server: Server) -> None:
    server.cuts, server.ranges = [5000] * 50, False
    with pytest.raises(BitBloomError, match=r"connection|IncompleteRead"):
        obtain(server.file)
    assert len(server.requested) == verified_file.ATTEMPTS


def test_retries_temporary_errors(server: Server) -> None:
    server.statuses = [503, 429, 500]
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert len(server.requested) == 4


def test_does_not_retry_missing_file(server: Server) -> None:
    server.statuses = [404]
    with pytest.raises(BitBloomError, match=r"404 Not Found.*BITBLOOM_MIRROR"):
        obtain(server.file)
    assert len(server.requested) == 1


def test_rejects_wrong_checksum_and_keeps_file(server: Server) -> None:
    server.body = bytes(len(ARCHIVE))
    with pytest.raises(BitBloomError, match=r"its SHA-256 is [0-9a-f]{64} where .* is expected"):
        obtain(server.file)
    assert [path.name for path in DOWNLOADS.glob("*.tgz*") if not path.name.endswith(".version")] == [f"{server.path.name}.bad"]
    server.body = ARCHIVE
    assert obtain(server.file).read_bytes() == ARCHIVE


def test_rejects_another_size_before_download(server: Server) -> None:
    server.body = ARCHIVE + b"more"
    with pytest.raises(BitBloomError, match=r"the server offers .* bytes where .* are expected"):
        obtain(server.file)
    assert not server.part.exists()


def test_stops_reading_endless_body(server: Server) -> None:
    server.body, server.declare_length = ARCHIVE + bytes(5_000_000), False
    with pytest.raises(BitBloomError, match="bytes where"):
        obtain(server.file)
    assert server.path.with_name(f"{server.path.name}.bad").stat().st_size < len(ARCHIVE) + 1_000_000


def test_reports_smaller_file_of_publisher(server: Server) -> None:
    DOWNLOADS.mkdir(parents=True)
    server.part.write_bytes(ARCHIVE[:5000])
    server.body = ARCHIVE[:4000]
    with pytest.raises(BitBloomError, match=r"the server offers 4,000 bytes"):
        obtain(server.file)


def test_replaces_damaged_earlier_download(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    obtain(server.file).write_bytes(b"damaged")
    assert obtain(server.file).read_bytes() == ARCHIVE
    assert "downloaded again" in capsys.readouterr().err


def test_reports_unreachable_server(server: Server) -> None:
    file = PublishedFile("http://127.0.0.1:9/flower_photos.tgz", 10, "0" * 64)
    with pytest.raises(BitBloomError, match=r"download failed 5 times .*refused.*BITBLOOM_MIRROR"):
        obtain(file)


def test_uses_mirror_first(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/flower_photos.tgz").write_bytes(ARCHIVE)
    monkeypatch.setenv("BITBLOOM_MIRROR", str(tmp_path / "mirror"))
    assert len(download.fetch(server.config, tmp_path / "raw")) == 4
    assert server.requested == []


def test_downloads_file_that_mirror_lacks(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("BITBLOOM_MIRROR", str(tmp_path / "mirror"))
    assert obtain(server.file) == server.path


def test_rejects_wrong_file_in_mirror(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "mirror/flower_photos.tgz").write_bytes(b"not it")
    monkeypatch.setenv("BITBLOOM_MIRROR", str(tmp_path / "mirror"))
    with pytest.raises(BitBloomError, match="Put the right file into the mirror"):
        obtain(server.file)
    assert (tmp_path / "mirror/flower_photos.tgz").read_bytes() == b"not it"


def test_rejects_missing_mirror(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BITBLOOM_MIRROR", "nowhere")
    with pytest.raises(BitBloomError, match="BITBLOOM_MIRROR=nowhere: there is no such folder"):
        obtain(server.file)


@pytest.mark.parametrize("folder", ["nothing", "../..", "flower_photos/LICENSE.txt"])
def test_rejects_folder_that_archive_lacks(server: Server, tmp_path: Path, folder: str) -> None:
    config = server.config
    config.folder = folder
    with pytest.raises(BitBloomError, match="it has no folder"):
        download.fetch(config, tmp_path / "raw")


def test_rejects_address_without_file_name() -> None:
    with pytest.raises(BitBloomError, match="does not end in a file's name"):
        obtain(PublishedFile("http://127.0.0.1/", 1, "0" * 64))


def test_name_is_that_of_address() -> None:
    assert PublishedFile("http://127.0.0.1/x/a%20b.tgz?token=1#top", 1, "0" * 64).name == "a b.tgz"
