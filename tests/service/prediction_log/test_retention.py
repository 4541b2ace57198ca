"""Storage and retention of parts: in a folder, and in an emulated bucket."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.serving.prediction_log import retention, storage
from bitbloom.serving.prediction_log.settings import LogSettings
from bitbloom.serving.prediction_log.storage import Bucket, File, Folder, Storage
from support.storage import BUCKET, emulator

NOW = 1_900_000_000
DAY = retention.DAY


class Memory:
    """A storage of names and sizes."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.sizes = dict(sizes)

    def write(self, name: str, content: bytes) -> None:
        self.sizes[name] = len(content)

    def files(self):
        return iter([File(name, size) for name, size in self.sizes.items()])

    def delete(self, name: str) -> None:
        del self.sizes[name]


def part(days: float, folder: str = "log") -> str:
    """The name of a part that began this many days before NOW."""
    return retention.part_name(folder, int((NOW - days * DAY) * 1000))


@given(
    ages=st.lists(st.tuples(st.floats(0, 100), st.sampled_from(storage.FOLDERS), st.integers(1, 50)), max_size=20),
    days=st.floats(0.5, 60),
    most=st.integers(1, 300),
)
def test_keeps_the_newest_parts_within_age_and_size(ages, days, most):
    sizes = {part(age, folder): size for age, folder, size in ages}
    files = Memory(sizes)
    deleted = retention.expire(files, LogSettings("/log", days=days, bytes=most), NOW)
    assert set(deleted) | set(files.sizes) == set(sizes)
    assert sum(files.sizes.values()) <= most
    order = sorted(sizes, key=lambda name: name.rpartition("/")[2][:15])
    stamps = {name: name.rpartition("/")[2][:15] for name in sizes}
    limit = part(days).rpartition("/")[2][:15]
    assert all(stamps[name] >= limit for name in files.sizes)
    # No part is deleted that fits beside all newer ones.
    for name in deleted:
        newer = sum(sizes[each] for each in order if stamps[each] >= stamps[name])
        assert stamps[name] < limit or newer > most


def test_leaves_other_files_alone(tmp_path):
    files = Folder(tmp_path)
    others = ["log/notes.txt", "log/date=2020-01-01/mine.parquet", "reference.parquet", "feedback/date=2020-01-01/readme"]
    for name in (*others, part(40), part(40, "feedback")):
        files.write(name, b"words")
    deleted = retention.expire(files, LogSettings(str(tmp_path), days=30), NOW)
    assert len(deleted) == 2
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()) == sorted(others)


def test_folder_deletes_what_killed_processes_left_half_written(tmp_path):
    files = Folder(tmp_path)
    files.write(part(0), b"whole")
    folder = next((tmp_path / "log").iterdir())
    old, new = folder / f".old{storage.PARTIAL}", folder / f".new{storage.PARTIAL}"
    for path in (old, new):
        path.write_bytes(b"hal")
    os.utime(old, (time.time() - 2 * storage.STALE_SECONDS,) * 2)
    assert [file.size for file in files.files()] == [5]
    assert not old.exists()
    assert new.exists()


def test_folder_without_parts_is_removed(tmp_path):
    files = Folder(tmp_path)
    files.write(part(3), b"words")
    files.delete(part(3))
    (file,) = files.files()
    files.delete(file.name)
    files.delete(file.name)
    assert list((tmp_path / "log").iterdir()) == []


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory):
    with emulator(tmp_path_factory.mktemp("emulator") / "log") as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield storage.opened(LogSettings(f"gs://{BUCKET}/service/"))


def test_bucket_holds_lists_and_deletes_parts(bucket):
    assert isinstance(bucket, Bucket)
    assert list(bucket.files()) == []
    names = {part(age, folder) for age in (1, 40) for folder in storage.FOLDERS}
    for name in names:
        bucket.write(name, b"words")
    assert {(file.name, file.size) for file in bucket.files()} == {(name, 5) for name in names}
    assert len(retention.expire(bucket, LogSettings("gs://bucket", days=30), NOW)) == 2
    assert {file.name for file in bucket.files()} < names
    bucket.delete("log/none")


def test_bucket_that_does_not_exist_raises_os_error(bucket):
    missing = storage.opened(LogSettings("gs://nowhere/log"))
    with pytest.raises(OSError, match=r"nowhere|404|No such"):
        missing.write(part(0), b"words")


def test_storages_have_one_interface(tmp_path: Path):
    folder: Storage = Folder(tmp_path)
    folder.write(part(1), b"one")
    (found,) = folder.files()
    assert (tmp_path / found.name).read_bytes() == b"one"
