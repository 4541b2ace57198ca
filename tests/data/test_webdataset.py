"""Source `webdataset`: tar shards in a folder and in a bucket, read once from front to back, and what can be wrong with them."""

from __future__ import annotations

import hashlib
import io
import tarfile
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from bitbloom.config.target import Target
from bitbloom.core.errors import BitBloomError
from bitbloom.data.importing import import_data
from bitbloom.data.sources import webdataset
from bitbloom.data.sources.webdataset import addresses
from bitbloom.data.sources.webdataset.members import Reader
from bitbloom.stages import ingest
from support.storage import BUCKET, emulator

File = tuple[str, bytes]


def jpeg(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 12), (number % 256, number // 256, 7)).save(stream, "JPEG")
    return stream.getvalue()


def sample(number: int, label: str = "") -> list[File]:
    return [(f"{number:04d}.jpg", jpeg(number)), (f"{number:04d}.cls", (label or "ab"[number % 2]).encode())]


def tar(files: Sequence[File], kind: int = tarfile.PAX_FORMAT) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=kind) as archive:
        for name, data in files:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(data), 1.5  # a fraction needs a pax header, as WebDataset's own writer makes
            archive.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def shard(first: int, count: int = 3) -> bytes:
    return tar([file for number in range(first, first + count) for file in sample(number)])


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """Three shards of train with three samples each, one of test."""
    folder = tmp_path / "shards"
    folder.mkdir()
    for number in range(3):
        (folder / f"train-{number:02d}.tar").write_bytes(shard(10 * number))
    (folder / "test-00.tar").write_bytes(shard(50))
    return folder


def config(folder: Path | str, **keys: Any) -> webdataset.Config:
    return webdataset.Config(path=str(folder), **{"train": "train-{00..02}.tar", "test": "test-*.tar", **keys})


def fetch(folder: Path | str, destination: Path, **keys: Any) -> list[Any]:
    return webdataset.fetch(config(folder, **keys), destination)


def test_samples_have_labels_and_the_splits_of_their_shards(shards: Path, tmp_path: Path) -> None:
    found = fetch(shards, tmp_path / "out")
    assert [(file.path, file.label, file.attributes) for file in found[2:5]] == [
        ("test/test-00/0052.jpg", "a", {"split": "test"}),
        ("train/train-00/0000.jpg", "a", {"split": "train"}),
        ("train/train-00/0001.jpg", "b", {"split": "train"}),
    ]
    assert [file.path for file in found] == sorted(file.path for file in found)
    assert found[3].read(tmp_path / "out") == jpeg(0)


def test_numbers_become_the_names_of_classes(shards: Path, tmp_path: Path) -> None:
    (shards / "train-00.tar").write_bytes(tar([*sample(0, "1"), *sample(1, "0")]))
    found = fetch(shards, tmp_path / "out", train="train-00.tar", test="", classes=["daisy", "rose"])
    assert [file.label for file in found] == ["rose", "daisy"]


@pytest.mark.parametrize("kind", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_long_names_are_read(shards: Path, tmp_path: Path, kind: int) -> None:
    key = "/".join(["größe" * 9] * 4)
    (shards / "train-00.tar").write_bytes(tar([(f"{key}.jpg", jpeg(1)), (f"{key}.cls", b"a")], kind))
    assert fetch(shards, tmp_path / "out")[3].path == f"train/train-00/{key}.jpg"


def test_manifest_has_the_samples_of_all_shards_in_order(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tar([("0000.jpg", jpeg(0)[:99]), ("0000.cls", b"a"), *sample(1)])
    (shards / "train-01.tar").write_bytes(broken)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKERS", "1")
    source = {"kind": "webdataset", "path": "shards", "train": "train-*.tar", "test": "test-*.tar"}
    ingest.run(Target("mine", {"task": "petals", "source": source}))
    manifest = pd.read_parquet("data/raw/mine/manifest.parquet")
    assert len(manifest) == 11
    assert list(manifest["id"]) == sorted(manifest["id"])
    assert list(manifest.index[~manifest["decodable"]]) == [6]
    assert manifest["error"].map(lambda error: error is not None).sum() == 1


def test_memory_does_not_grow_with_the_number_of_shards(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        """The smallest of three runs: threads of earlier tests allocate too."""
        return min(once(count, run) for run in range(3))

    def once(count: int, run: int) -> int:
        folder = tmp_path / f"{count} shards {run}"
        folder.mkdir()
        for number in range(count):
            files = [one for key in range(10) for one in ((f"{key:04d}.jpg", bytes(20_000)), (f"{key:04d}.cls", b"a"))]
            (folder / f"{number:04d}.tar").write_bytes(tar(files))
        tracemalloc.start()
        for _ in webdataset.stream(webdataset.Config(path=str(folder), train="*.tar"), tmp_path / f"out {count} {run}"):
            pass
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak(2)  # imports
    assert peak(20) < 1.5 * peak(4)


def test_import_copies_the_named_shards(shards: Path, tmp_path: Path) -> None:
    (shards / "notes.txt").write_text("")
    summary = import_data(shards, tmp_path / "data/mine", webdataset, train="train-{00..02}.tar", val="", test="test-*.tar")
    assert summary["files"] == 4
    assert len(fetch(tmp_path / "data/mine", tmp_path / "out")) == 12


def test_checksums_beside_the_shards_are_verified(shards: Path, tmp_path: Path) -> None:
    sums = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(shards.iterdir())]
    (shards / "SHA256SUMS").write_text("".join(sums))
    assert len(fetch(shards, tmp_path / "out")) == 12
    (shards / "train-01.tar").write_bytes(shard(70))
    with pytest.raises(BitBloomError, match=r"train-01.tar: its SHA-256 is not that of SHA256SUMS"):
        fetch(shards, tmp_path / "again")


# --- damage


def test_truncated_shard_is_an_error_at_every_length(shards: Path, tmp_path: Path) -> None:
    whole = (shards / "train-01.tar").read_bytes()
    end = whole.rstrip(b"\0")
    for number, length in enumerate([0, 1, 511, 512, 513, 1024, 2048, len(end) // 2, len(end) - 600, len(end)]):
        (shards / "train-01.tar").write_bytes(whole[:length])
        with pytest.raises(BitBloomError, match=r"train-01.tar: at byte [\d,]+: it ends"):
            fetch(shards, tmp_path / f"out {number}")


def test_shard_without_samples_is_an_error(shards: Path, tmp_path: Path) -> None:
    (shards / "train-01.tar").write_bytes(tar([]))
    with pytest.raises(BitBloomError, match=r"train-01.tar: it has no samples"):
        fetch(shards, tmp_path / "out")


@given(st.data())
@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_header_loses_no_sample_silently(tmp_path: Path, data: st.DataObject) -> None:
    """A changed bit in a header is an error, where it changes anything: tarfile would take it for the end of the tar."""
    whole = bytearray(tar([file for number in range(3) for file in sample(number)], tarfile.USTAR_FORMAT))
    members = list(Reader(io.BytesIO(whole), "shard").members())
    headers = [at for at in range(0, len(whole), 512) if whole[at + 257 : at + 262] == b"ustar"]
    assert len(headers) == 6
    at, bit = data.draw(st.sampled_from(headers)), data.draw(st.integers(0, 8 * 345 - 1))
    whole[at + bit // 8] ^= 1 << bit % 8
    if bit // 8 == 155:  # the space after the digits of the checksum
        assert list(Reader(io.BytesIO(whole), "shard").members()) == members
        return
    with pytest.raises(BitBloomError, match=rf"shard: at byte {at:,}: "):
        list(Reader(io.BytesIO(whole), "shard").members())


PLACE = r"train-01.tar: at byte [\d,]+: "
SAMPLES: list[tuple[str, list[File], str]] = [
    ("no label", [*sample(1), ("0002.jpg", jpeg(2))], PLACE + r"'0002' has no label .cls \(jpg\)"),
    ("no photo", [*sample(1), ("0002.cls", b"a")], PLACE + r"'0002' has 0 photos \(cls\), and needs one"),
    ("two photos", [*sample(1), ("0001.png", jpeg(2))], PLACE + r"'0001' has 2 photos"),
    ("key twice", [*sample(1), *sample(2), *sample(1)], PLACE + "the key '0001' is there twice"),
    ("suffix twice", [*sample(1), ("0001.cls", b"b")], PLACE + r"'0001' has two files .cls"),
    ("leads out", [("../up.jpg", jpeg(1)), ("../up.cls", b"a")], PLACE + "'../up' is not a plain path"),
    ("label of two lines", [("1.jpg", jpeg(1)), ("1.cls", b"a\nb")], PLACE + "'1' has the label"),
    ("label of bytes", [("1.jpg", jpeg(1)), ("1.cls", b"\xff")], PLACE + "'1' has a label that is not UTF-8"),
    ("no label text", [("1.jpg", jpeg(1)), ("1.cls", b" ")], PLACE + "'1' has the label ''"),
]


@pytest.mark.parametrize(("files", "message"), [case[1:] for case in SAMPLES], ids=[case[0] for case in SAMPLES])
def test_refuses_sample(shards: Path, tmp_path: Path, files: list[File], message: str) -> None:
    (shards / "train-01.tar").write_bytes(tar(files))
    with pytest.raises(BitBloomError, match=message):
        fetch(shards, tmp_path / "out")


def test_refuses_number_out_of_range(shards: Path, tmp_path: Path) -> None:
    (shards / "train-00.tar").write_bytes(tar(sample(0, "2")))
    with pytest.raises(BitBloomError, match="has the label '2'; it has to be a number from 0 to 1"):
        fetch(shards, tmp_path / "out", train="train-00.tar", test="", classes=["daisy", "rose"])


def test_refuses_link(shards: Path, tmp_path: Path) -> None:
    with tarfile.open(shards / "train-01.tar", "w") as archive:
        member = tarfile.TarInfo("1.jpg")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(BitBloomError, match=r"'1\.jpg' is a link or a device"):
        fetch(shards, tmp_path / "out")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"train": "train-{00..03}.tar"}, "train-03.tar: there is no such shard"),
        ({"train": "none-*.tar"}, "none-.*: there are no such shards"),
        ({"train": "train-{03..01}.tar"}, "it has to have one range"),
        ({"train": ""}, "source.train is empty"),
        ({"train": "*-*.tar", "test": ""}, "a number is there twice"),
    ],
)
def test_refuses_patterns(shards: Path, tmp_path: Path, keys: dict[str, str], message: str) -> None:
    with pytest.raises(BitBloomError, match=message):
        fetch(shards, tmp_path / "out", **keys)


def test_gap_in_the_numbers_is_an_error(shards: Path, tmp_path: Path) -> None:
    (shards / "train-01.tar").unlink()
    with pytest.raises(BitBloomError, match=r"train-\*.tar: 2 shards were found, and number 1 is missing"):
        fetch(shards, tmp_path / "out", train="train-*.tar")


@pytest.mark.parametrize(("width", "first", "last"), [(1, 0, 11), (4, 8, 10)])
def test_range_names_every_shard(width: int, first: int, last: int) -> None:
    found = addresses.expand("gs://b/f", f"x-{{{first:0{width}d}..{last:0{width}d}}}.tar")
    assert found == [f"gs://b/f/x-{number:0{width}d}.tar" for number in range(first, last + 1)]


# --- a bucket


@pytest.fixture
def remote(shards: Path) -> str:
    """The shards in fsspec's file system in memory."""
    system = fsspec.filesystem("memory")
    if system.exists("/shop"):
        system.rm("/shop", recursive=True)
    for file in shards.iterdir():
        system.pipe_file(f"/shop/{file.name}", file.read_bytes())
    return "memory://shop"


def fetch_remote(address: str, destination: Path, train: str = "train-*.tar") -> list[Any]:
    return fetch("", destination, train=f"{address}/{train}", test=f"{address}/test-*.tar")


@pytest.mark.parametrize("pattern", ["train-{00..02}.tar", "train-*.tar"])
def test_shards_of_a_bucket_give_the_same_samples(remote: str, shards: Path, tmp_path: Path, pattern: str) -> None:
    there, here = fetch_remote(remote, tmp_path / "there", pattern), fetch(shards, tmp_path / "here")
    assert there == here
    assert [one.read(tmp_path / "there") for one in there] == [one.read(tmp_path / "here") for one in here]


def test_checksums_in_a_bucket_are_verified(remote: str, tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe_file("/shop/SHA256SUMS", f"{'0' * 64}  train-02.tar\n".encode())
    with pytest.raises(BitBloomError, match=r"train-02.tar: its SHA-256 is not that of SHA256SUMS"):
        fetch_remote(remote, tmp_path / "out")


def test_missing_shard_of_a_bucket_is_named(remote: str, tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match=r"memory://shop/train-03.tar: there is no such shard"):
        fetch_remote(remote, tmp_path / "out", "train-{00..03}.tar")


def test_unreadable_bucket_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match=r"nowhere://b.* cannot be read \(ValueError"):
        fetch_remote("nowhere://b", tmp_path / "out")


def test_address_in_place_of_a_folder_is_refused(remote: str, tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match=r"leave it empty, and put the whole addresses into source\.train"):
        fetch(remote, tmp_path / "out")


@pytest.mark.slow
def test_shards_of_an_emulated_bucket_are_read(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gcsfs

    with emulator(tmp_path / "log") as variables:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        system = gcsfs.GCSFileSystem(skip_instance_cache=True)
        for file in shards.iterdir():
            system.pipe_file(f"{BUCKET}/flowers/{file.name}", file.read_bytes())
        assert len(fetch_remote(f"gs://{BUCKET}/flowers", tmp_path / "out")) == 12
        with pytest.raises(BitBloomError, match="there is no such shard"):
            fetch_remote(f"gs://{BUCKET}/flowers", tmp_path / "again", "train-{00..07}.tar")
