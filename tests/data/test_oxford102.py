"""Source `oxford102` with a local server: labels and official splits of MATLAB files, and files that do not fit together."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources import oxford102
from bitbloom.data.sources.oxford102 import Config, Published

CLASSES = ["pink primrose", "hard-leaved pocket orchid", "canterbury bells"]
LABELS = [3, 1, 2, 1, 2, 3]
PARTS = {"trnid": [2, 3, 1], "valid": [4], "tstid": [5, 6]}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        """Do not log."""


Serve = Callable[..., Config]


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A function that publishes the three files, and returns their configuration; the folder is an empty workspace."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("BITBLOOM_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "published"
    folder.mkdir()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()

    def publish(labels: Any = LABELS, parts: Mapping[str, Any] = PARTS, photos: int = len(LABELS), **keys: Any) -> Config:
        savemat(folder / "imagelabels.mat", {"labels": np.array([labels])})
        savemat(folder / "setid.mat", {name: np.array([values]) for name, values in parts.items()})
        (folder / "102flowers.tgz").write_bytes(archive(photos))
        address = f"http://127.0.0.1:{http.server_port}"
        files = {"photos": "102flowers.tgz", "labels": "imagelabels.mat", "parts": "setid.mat"}
        return Config(classes=CLASSES, **{key: published(folder / name, address) for key, name in files.items()}, **keys)

    yield publish
    http.shutdown()
    thread.join()
    http.server_close()


def published(file: Path, address: str) -> Published:
    data = file.read_bytes()
    return Published(f"{address}/{file.name}", len(data), hashlib.sha256(data).hexdigest())


def archive(photos: int) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for number in range(1, photos + 1):
            photo = io.BytesIO()
            Image.new("RGB", (16, 12), (number, 0, 0)).save(photo, "JPEG")
            member = tarfile.TarInfo(f"jpg/image_{number:05d}.jpg")
            member.size = len(photo.getvalue())
            tar.addfile(member, io.BytesIO(photo.getvalue()))
    return stream.getvalue()


def test_photos_have_their_labels_and_official_splits(serve: Serve, tmp_path: Path) -> None:
    found = oxford102.fetch(serve(), tmp_path / "out")
    assert [(file.path, file.label, file.attributes) for file in found] == [
        ("canterbury bells/image_00001.jpg", "canterbury bells", {"split": "train"}),
        ("canterbury bells/image_00006.jpg", "canterbury bells", {"split": "test"}),
        ("hard-leaved pocket orchid/image_00003.jpg", "hard-leaved pocket orchid", {"split": "train"}),
        ("hard-leaved pocket orchid/image_00005.jpg", "hard-leaved pocket orchid", {"split": "test"}),
        ("pink primrose/image_00002.jpg", "pink primrose", {"split": "train"}),
        ("pink primrose/image_00004.jpg", "pink primrose", {"split": "val"}),
    ]
    assert all((tmp_path / "out" / file.path).is_file() for file in found)


def test_one_key_leaves_the_splits_to_prepare(serve: Serve, tmp_path: Path) -> None:
    found = oxford102.fetch(serve(splits="computed"), tmp_path / "out")
    assert [file.attributes for file in found] == [{}] * len(LABELS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": "official"}, "it has to be one of given, computed"),
        ({"labels": [3, 1, 2, 1, 2, 4]}, "its labels are not from 1 to 3"),
        ({"labels": [0, 1, 2, 1, 2, 3]}, "its labels are not from 1 to 3"),
        ({"labels": [1.5, 1, 2, 1, 2, 3]}, "labels has values that are no integers"),
        ({"parts": {"trnid": [1], "valid": [2]}}, "it has no integers 'tstid'"),
        ({"parts": {**PARTS, "valid": [5]}}, "photo 5 is in val and in test"),
        ({"parts": {**PARTS, "valid": []}}, "photo 4 is in no split"),
        ({"parts": {**PARTS, "valid": [4, 7]}}, "valid has photo 7, and there are 6"),
        ({"photos": 4}, r"2 are missing \(the first is image_00005.jpg\), 0 have no label"),
        ({"photos": 8}, "0 are missing, 2 have no label"),
    ],
)
def test_refuses_files_that_do_not_fit(serve: Serve, tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BitBloomError, match=message):
        oxford102.fetch(serve(**changes), tmp_path / "out")


def test_changed_file_is_refused(serve: Serve, tmp_path: Path) -> None:
    config = serve()
    config.parts.sha256 = "0" * 64
    with pytest.raises(BitBloomError, match=r"setid.mat: its SHA-256 is .* where 0{64} is expected"):
        oxford102.fetch(config, tmp_path / "out")


def test_damaged_matlab_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "setid.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(BitBloomError, match="is it the publisher's MATLAB file"):
        oxford102.given(tmp_path / "setid.mat", 3)
