"""Deterministic archives: standard tools read them, and nothing but names and bytes is in them."""

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
def test_a_stored_xz_holds_the_data_and_hardly_more_at_every_boundary(length):
    data = bytes(number * 31 % 251 for number in range(length))
    stored = archive.stored_xz(data)
    assert lzma.decompress(stored, format=lzma.FORMAT_XZ) == data
    assert len(stored) < len(data) + 100


@given(st.binary(max_size=300))
def test_a_stored_xz_holds_any_data(data):
    assert lzma.decompress(archive.stored_xz(data)) == data


def test_a_changed_byte_is_noticed():
    stored = bytearray(archive.stored_xz(b"a flower" * 100))
    stored[200] ^= 1
    with pytest.raises(lzma.LZMAError):
        lzma.decompress(bytes(stored))


def test_times_modes_and_the_order_of_creation_leave_no_trace(tmp_path):
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


def test_entries_are_sorted_and_belong_to_nobody(tmp_path):
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


def test_one_member_can_be_read_and_a_missing_one_is_an_error(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("petal")
    archive.write(tmp_path / "folder", tmp_path / "packed")
    assert archive.read(tmp_path / "packed", "file") == b"petal"
    with pytest.raises(KeyError):
        archive.read(tmp_path / "packed", "nothing")


@pytest.mark.parametrize(("name", "kind"), [("../out", tarfile.REGTYPE), ("/out", tarfile.REGTYPE), ("link", tarfile.SYMTYPE)])
def test_a_member_that_is_no_plain_file_below_the_folder_is_refused(name, kind, tmp_path):
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, "/etc/passwd"
    with tarfile.open(tmp_path / "bad.bento", "w:xz") as packed:
        packed.addfile(entry)
    with pytest.raises(tarfile.TarError, match="not a plain file"):
        archive.unpack(tmp_path / "bad.bento", tmp_path / "folder" / "inside")
    assert [path.name for path in tmp_path.rglob("*")] == ["bad.bento"]


def test_an_unpacked_archive_is_the_folder_it_was_made_from(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c").write_bytes(b"1")
    (tmp_path / "a/d").write_bytes(b"2")
    archive.write(tmp_path / "a", tmp_path / "a.tar.xz")
    archive.unpack(tmp_path / "a.tar.xz", tmp_path / "again")
    assert digest(tmp_path / "a") == digest(tmp_path / "again")
