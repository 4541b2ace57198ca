"""Deterministic archives: standard tools read them, and they contain only names and bytes."""

from __future__ import annotations

import lzma
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core.digests import digest
from bitbloom.serving import archive

LENGTHS = [0, 1, 3, 4, 65_535, 65_536, 65_537, 200_001]


@pytest.mark.parametrize("length", LENGTHS)
def test_stored_xz_contains_the_data_and_little_more_at_every_boundary(length):
    data = bytes(number * 31 % 251 for number in range(length))
    stored = archive.stored_xz(data)
    assert lzma.decompress(stored, format=lzma.FORMAT_XZ) == data
    assert len(stored) < len(data) + 100


@given(st.binary(max_size=300))
def test_stored_xz_contains_any_data(data):
    assert lzma.decompress(archive.stored_xz(data)) == data


def test_detects_changed_byte():
    stored = bytearray(archive.stored_xz(b"a flower" * 100))
    stored[200] ^= 1
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(stored))


def test_archive_does_not_depend_on_times_modes_or_order_of_creation(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, order in ((first, "abc"), (second, "cba")):
        for name in order:
            (folder / name).mkdir(parents=True)
            (folder / name / "file").write_text(name)
    (second / "a" / "file").chmod(0o700)
    os.utime(second / "b" / "file", (1, 1))
    archive.write(first, tmp_path / "first.bento")
    archive.write(second, tmp_path / "second.bento")
    assert (tmp_path / "first.bento").read_bytes() == (tmp_path / "second.bento").read_bytes()


def test_sorts_entries_and_stores_no_owner(tmp_path):
    for name in ("b", "a", "B"):
        (tmp_path / "folder" / name).mkdir(parents=True)
        (tmp_path / "folder" / name / "file").write_text(name)
    archive.write(tmp_path / "folder", tmp_path / "packed")
    with tarfile.open(tmp_path / "packed", "r:xz") as packed:
        members = packed.getmembers()
    assert [member.name for member in members] == ["B/file", "a/file", "b/file"]
    assert {(member.uid, member.gid, member.uname, member.gname, member.mtime, member.mode) for member in members} == {
        (0, 0, "", "", 0, 0o644)
    }


def test_reads_one_member_and_raises_for_a_missing_one(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("petal")
    archive.write(tmp_path / "folder", tmp_path / "packed")
    assert archive.read(tmp_path / "packed", "file") == b"petal"
    with pytest.raises(KeyError):
        archive.read(tmp_path / "packed", "nothing")


@pytest.mark.parametrize(("name", "kind"), [("../out", tarfile.REGTYPE), ("/out", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)])
def test_rejects_links_and_members_outside_the_folder(name, kind, tmp_path):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "bad.bento", "w:xz") as packed:
        packed.addfile(entry)
    with pytest.raises(tarfile.TarError, match="not a plain file"):
        archive.unpack(tmp_path / "bad.bento", tmp_path / "folder" / "inside")
    assert [path.name for path in tmp_path.rglob("*")] == ["bad.bento"]


def test_unpacking_restores_the_folder(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_bytes(b"1")
    (tmp_path / "a/d").write_bytes(b"2")
    archive.write(tmp_path / "a", tmp_path / "a.tar.xz")
    archive.unpack(tmp_path / "a.tar.xz", tmp_path / "unpacked")
    assert digest(tmp_path / "a") == digest(tmp_path / "unpacked")
