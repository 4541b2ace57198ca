"""Predictions for a bucket: an emulator of Google Cloud Storage, and pages of its list."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.batch import bucket
from bitbloom.experiments.batch.listing import Photo
from bitbloom.experiments.batch.run import Request, Summary, run
from support.standin import COLOURS, LIMITS, photo, write_model
from support.storage import BUCKET, emulator

NAMES = ["a b.jpg", "a#1.jpg", "a%20b?.jpg", "deep/[1]*.jpg", "deep/ü.jpg", "words.txt"]


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    bucket._files.cache_clear()
    with emulator(tmp_path / "emulator.log") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        yield
    bucket._files.cache_clear()


def test_every_object_below_a_prefix_has_one_prediction(storage, tmp_path):
    files = bucket._files()
    for name, colour in zip(NAMES, COLOURS.values(), strict=True):
        files.pipe_file(f"{BUCKET}/photos/{name}", b"words" if name.endswith("txt") else photo(colour))
    for other in ("photos/.hidden/x.jpg", "photos/folder/", "photos-of-others/y.jpg", "z.jpg"):
        files.pipe_file(f"{BUCKET}/{other}", photo(COLOURS["fern"]))
    model = write_model(tmp_path / "model.onnx")
    request = Request(model, f"gs://{BUCKET}/photos/", tmp_path / "out", LIMITS, "jsonl", part_size=4)
    assert run(request) == Summary(parts=2, predictions=6, errors=1)
    found = [
        json.loads(line) for part in sorted((tmp_path / "out").glob("part-*")) for line in part.read_text("utf-8").splitlines()
    ]
    assert [one["path"] for one in found] == sorted(NAMES)
    expected = dict(zip(NAMES, COLOURS, strict=True)) | {"words.txt": None}
    assert {one["path"]: one.get("label") for one in found} == expected
    (tmp_path / "list.csv").write_text(f"path\ngs://{BUCKET}/z.jpg\ngs://{BUCKET}/nothing.jpg\n", "utf-8")
    run(Request(model, str(tmp_path / "list.csv"), tmp_path / "of a table", LIMITS, "jsonl"))
    first, second = map(json.loads, (tmp_path / "of a table/part-00000.jsonl").read_text("utf-8").splitlines())
    assert (first["label"], second["error"]) == ("fern", "there is no such object")
    files.pipe_file(f"{BUCKET}/photos/a b.jpg", photo(COLOURS["daisy"]))
    with pytest.raises(BitBloomError, match="predictions of other inputs"):
        run(request)


def test_missing_bucket_is_an_error(storage, tmp_path):
    with pytest.raises(BitBloomError, match=r"gs://nowhere/ cannot be listed: .*: check the network and the credentials"):
        run(Request(write_model(tmp_path / "model.onnx"), "gs://nowhere", tmp_path / "out"))


class Pages:
    """A storage that returns its list in pages, and records the tokens."""

    def __init__(self, pages: list[list[str]]) -> None:
        self.pages, self.tokens = pages, []

    def call(self, *_: str, pageToken: str | None, **__: object) -> dict[str, object]:
        self.tokens.append(pageToken)
        at = int(pageToken or 0)
        page = {"items": [{"name": name, "size": "3", "generation": "9"} for name in self.pages[at]]}
        return page | ({"nextPageToken": str(at + 1)} if at + 1 < len(self.pages) else {})

    def cat_file(self, url: str) -> bytes:
        raise TimeoutError(url) if "slow" in url else FileNotFoundError(url)


def test_reads_all_pages_of_a_list(monkeypatch):
    pages = Pages([["p/a", "p/b"], [], ["p/c"]])
    monkeypatch.setattr(bucket, "_files", lambda: pages)
    assert list(bucket.photos("gs://bucket/p")) == [Photo(name, 3, "9") for name in "abc"]
    assert pages.tokens == [None, "1", "2"]


def test_rejects_unsorted_list(monkeypatch):
    monkeypatch.setattr(bucket, "_files", lambda: Pages([["b"], ["a"]]))
    with pytest.raises(BitBloomError, match="a is out of order"):
        list(bucket.photos("gs://bucket"))


def test_failing_network_stops_the_run(monkeypatch, tmp_path):
    monkeypatch.setattr(bucket, "_files", lambda: Pages([["gone.jpg", "slow.jpg"]]))
    with pytest.raises(BitBloomError, match=r"slow.jpg cannot be read: .*run the command again to continue"):
        run(Request(write_model(tmp_path / "model.onnx"), "gs://bucket", tmp_path / "out"))
    assert not list((tmp_path / "out").glob("part-*"))
