"""Extraction of untrusted archives: supported formats and refused members."""

from __future__ import annotations

import io
import random
import re
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bitbloom.core.digests import folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.data import archives
from bitbloom.data.archives import Limits, extract, is_archive

FILES = {"a/one.txt": b"one", "a/b/two.bin": bytes(range(256)) * 4, "c.txt": b""}


def make_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def make_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def special_tar(path: Path, member: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("before.txt"), io.BytesIO(b""))
        archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in folder_files(folder).items()}


def refusal(archive: Path, limits: Limits | None = None) -> str:
    """Return the message of a refused archive, and check that no file is left."""
    with pytest.raises(BitBloomError) as caught:
        extract(archive, archive.parent / "out", limits)
    assert sorted(path.name for path in archive.parent.iterdir()) == [archive.name]
    return str(caught.value)


@pytest.mark.parametrize(("name", "mode"), [("x.tar", "w"), ("x.tgz", "w:gz"), ("x.tar.bz2", "w:bz2"), ("x.tar.xz", "w:xz")])
def test_extracts_tar_of_any_compression(tmp_path: Path, name: str, mode: str) -> None:
    archive = make_tar(tmp_path / name, FILES, mode)
    assert is_archive(archive)
    extract(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_extracts_zip(tmp_path: Path) -> None:
    archive = make_zip(tmp_path / "x.zip", FILES)
    assert is_archive(archive)
    extract(archive, tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_detects_format_by_content(tmp_path: Path) -> None:
    extract(make_zip(tmp_path / "x.tar.gz", FILES), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_detects_tar_that_ends_in_zip(tmp_path: Path) -> None:
    inner = make_zip(tmp_path / "inner.zip", {"x": b"y"}).read_bytes()
    extract(make_tar(tmp_path / "x.tar", {"inner.zip": inner}), tmp_path / "out")
    assert contents(tmp_path / "out") == {"inner.zip": inner}


def test_converts_backslashes_in_zip_to_folders(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("x")
        info.filename = "daisy\\one.jpg"
        archive.writestr(info, b"1")
    extract(tmp_path / "x.zip", tmp_path / "out")
    assert contents(tmp_path / "out") == {"daisy/one.jpg": b"1"}


def raw_zip(path: Path, *names: bytes, extra: bytes = b"") -> Path:
    """Write a zip with these bytes as names, without the UTF-8 flag."""
    with zipfile.ZipFile(path, "w") as archive:
        for number, name in enumerate(names):
            info = zipfile.ZipInfo(chr(ord("A") + number) * len(name))
            info.extra = extra
            archive.writestr(info, str(number))
    data = path.read_bytes()
    for number, name in enumerate(names):
        data = data.replace(bytes([ord("A") + number]) * len(name), name)
    path.write_bytes(data)
    return path


FOREIGN = {
    "UTF-8": ("utf-8", ["玫瑰/1.jpg", "Gänseblümchen/é.jpg", "e\u0301/1.jpg", "🌷/1.jpg"], ""),
    "GBK": ("gbk", ["玫瑰/1.jpg", "郁金香/1.jpg"], "GBK"),
    "GBK, one word": ("gbk", ["花/11.jpg"], "GBK"),
    "GBK, short": ("gbk", ["猫/1.jpg", "狗/2.jpg"], "GBK"),
    "GBK, valid UTF-8 of a rare letter": ("gbk", ["图/a.jpg", "图/1.jpg"], "GBK"),
    "GBK, one name of valid UTF-8": ("gbk", ["樱花/1.jpg", "蔷薇/1.jpg"], "GBK"),
    "GBK, only valid UTF-8": ("gbk", ["蔷薇/1.jpg"], "GBK"),
    "GBK beside letters": ("gbk", ["照片a.jpg"], "GBK"),
    "cp949": ("cp949", ["장미/1.jpg", "해바라기/1.jpg", "튤립/1.jpg"], "cp949"),
    "cp949, short": ("cp949", ["고양이/1.jpg", "개/1.jpg"], "cp949"),
    "Shift-JIS, a capital": ("cp932", ["東京/1.jpg"], "Shift-JIS"),
    "Shift-JIS, one character": ("cp932", ["犬/犬1.jpg"], "Shift-JIS"),
    "cp1251, one word": ("cp1251", ["Роза/1.jpg"], "cp1251"),
    "cp866, one word": ("cp866", ["роза/1.jpg"], "cp866"),
    "UTF-8, Latin": ("utf-8", ["Gänseblümchen/1.jpg", "café/1.jpg"], ""),
    "UTF-8, NFD": ("utf-8", ["e\u0301te\u0301/1.jpg"], ""),
    "UTF-8, Cyrillic": ("utf-8", ["Роза/1.jpg", "кот/1.jpg"], ""),
    "UTF-8, Greek": ("utf-8", ["ρόδο/1.jpg"], ""),
    "UTF-8, Hebrew and Arabic": ("utf-8", ["ורד/1.jpg", "وردة/1.jpg"], ""),
    "Shift-JIS": ("cp932", ["薔薇/1.jpg", "桜/1.jpg"], "Shift-JIS"),
    "Shift-JIS with a backslash byte": ("cp932", ["表/ソ1.jpg"], "Shift-JIS"),
    "kana": ("cp932", ["ひまわり/1.jpg", "チューリップ/1.jpg"], "Shift-JIS"),
    "cp1252": ("cp1252", ["Gänseblümchen/1.jpg", "pâquerette/1.jpg"], "cp1252"),
    "cp437": ("cp437", ["Gänseblümchen/1.jpg", "pâquerette/1.jpg"], "cp437"),
    "cp850": ("cp850", ["blå Øst/1.jpg"], "cp850"),
    "cp1251": ("cp1251", ["Ромашка/1.jpg", "Роза/1.jpg"], "cp1251"),
    "cp866": ("cp866", ["Ромашка/1.jpg", "Роза/1.jpg"], "cp866"),
}


@pytest.mark.parametrize(("codec", "names", "guess"), FOREIGN.values(), ids=FOREIGN)
def test_reads_zip_names_without_utf8_flag(tmp_path: Path, capsys, codec: str, names: list[str], guess: str) -> None:
    extract(raw_zip(tmp_path / "x.zip", *(name.encode(codec) for name in names)), tmp_path / "out")
    assert list(contents(tmp_path / "out")) == sorted(names)
    warning = capsys.readouterr().err
    assert (f"are read as {guess}, a guess" in warning and names[0] in warning) if guess else warning == ""


def test_reads_certain_names_as_utf8_beside_other_ones(tmp_path: Path, capsys) -> None:
    extract(raw_zip(tmp_path / "x.zip", "桜/10.jpg".encode(), "玫瑰/1.jpg".encode("gbk"), b"rose/111.jpg"), tmp_path / "out")
    assert set(contents(tmp_path / "out")) == {"桜/10.jpg", "玫瑰/1.jpg", "rose/111.jpg"}
    assert "read as GBK" in capsys.readouterr().err


@pytest.mark.parametrize(("codec", "name"), [("gbk", "猫"), ("utf-8", "è"), ("utf-8", "ä"), ("utf-8", "а")])
def test_asks_about_names_that_can_be_utf8_or_another_encoding(tmp_path: Path, codec: str, name: str) -> None:
    message = refusal(raw_zip(tmp_path / "x.zip", f"{name}/1.jpg".encode(codec), f"{name}/11.jpg".encode(codec)))
    assert re.search(rf"its names can be GBK \(.*\) or UTF-8 \(.*\), which it does not say: {archives.BY_HAND}", message)
    assert f"'{name}'" in message


def test_reads_unicode_path_of_info_zip(tmp_path: Path, capsys) -> None:
    raw = "б/1.jpg".encode("cp866")
    field = b"\1" + zlib.crc32(raw).to_bytes(4, "little") + "б/1.jpg".encode()
    extra = (0x7075).to_bytes(2, "little") + len(field).to_bytes(2, "little") + field
    extract(raw_zip(tmp_path / "x.zip", raw, extra=extra), tmp_path / "out")
    assert list(contents(tmp_path / "out")) == ["б/1.jpg"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_leaves_out_icons_of_folders_in_macos(tmp_path: Path, capsys, make) -> None:
    extract(make(tmp_path / "x", {"rose/1.jpg": b"1", "rose/Icon\r": b"", "__MACOSX/rose/._Icon\r": b"2"}), tmp_path / "out")
    assert contents(tmp_path / "out") == {"rose/1.jpg": b"1"}
    assert "left out 2 icons of folders" in capsys.readouterr().err


def test_replaces_destination(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("old")
    extract(make_zip(tmp_path / "x.zip", FILES), tmp_path / "out")
    assert contents(tmp_path / "out") == FILES


def test_refused_archive_does_not_change_destination(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/old").write_text("old")
    with pytest.raises(BitBloomError):
        extract(make_zip(tmp_path / "x.zip", {"good": b"", "../bad": b""}), tmp_path / "out")
    assert contents(tmp_path / "out") == {"old": b"old"}


@pytest.mark.parametrize("name", ["../out.txt", "a/../../b", "/etc/motd", "a/..", "C:/windows", "a\nb", "..", "\x7f"])
def test_rejects_unsafe_paths(tmp_path: Path, name: str) -> None:
    assert re.search("not a plain path|has no name", refusal(make_tar(tmp_path / "x.tar", {"good.txt": b"1", name: b"2"})))
    (tmp_path / "x.tar").unlink()
    assert re.search("not a plain path|has no name", refusal(make_zip(tmp_path / "x.zip", {"good.txt": b"1", name: b"2"})))


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
    ids=["symlink", "hardlink", "char", "block", "fifo"],
)
def test_rejects_links_and_devices_in_tar(tmp_path: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("trick")
    member.type, member.linkname = kind, "before.txt"
    assert re.search("'trick' is a (link|special file): unpack it yourself", refusal(special_tar(tmp_path / "x.tar", member)))


def test_rejects_link_in_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("trick")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert "'trick' is a link or a device" in refusal(tmp_path / "x.zip")


def test_rejects_sparse_file(tmp_path: Path) -> None:
    member = tarfile.TarInfo("sparse")
    member.pax_headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.realsize": "1000000000000",
        "GNU.sparse.name": "s",
    }
    member.size = 512
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(b"0\n".ljust(512, b"\0")))
    assert "sparse" in refusal(tmp_path / "x.tar")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("again", ["a.txt", "./a.txt"])
def test_rejects_repeated_name(tmp_path: Path, again: str) -> None:
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in ("a.txt", again):
            archive.addfile(tarfile.TarInfo(name), io.BytesIO(b""))
    assert "is in it twice" in refusal(tmp_path / "x.tar")


def test_rejects_file_in_place_of_folder(tmp_path: Path) -> None:
    assert "'a/b' cannot be unpacked" in refusal(make_tar(tmp_path / "x.tar", {"a": b"1", "a/b": b"2"}))


@pytest.mark.parametrize("names", [("a", "a/"), ("a/b", "a")])
def test_rejects_name_of_file_and_folder(tmp_path: Path, names: tuple[str, str]) -> None:
    assert refusal(make_zip(tmp_path / "x.zip", dict.fromkeys(names, b"")))
    (tmp_path / "x.zip").unlink()
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name in names:
            member = tarfile.TarInfo(name.rstrip("/"))
            member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            archive.addfile(member, io.BytesIO(b""))
    assert refusal(tmp_path / "x.tar")


def test_does_not_restore_times(tmp_path: Path) -> None:
    extract(make_tar(tmp_path / "x.tar", FILES), tmp_path / "out")  # its files have times of 1970
    assert (tmp_path / "out/a/one.txt").stat().st_mtime > 10**9


def test_rejects_bomb_by_ratio(tmp_path: Path) -> None:
    limits = Limits(ratio=20, free_bytes=1000)
    assert "unpacks to more than" in refusal(make_zip(tmp_path / "x.zip", {"zeros": bytes(1_000_000)}), limits)
    (tmp_path / "x.zip").unlink()
    assert "unpacks to more than" in refusal(make_tar(tmp_path / "x.tgz", {"zeros": bytes(1_000_000)}, "w:gz"), limits)


def test_accepts_any_ratio_of_small_data(tmp_path: Path) -> None:
    extract(make_zip(tmp_path / "x.zip", {"zeros": bytes(1_000_000)}), tmp_path / "out")
    assert contents(tmp_path / "out") == {"zeros": bytes(1_000_000)}


def test_limits_files_and_bytes_exactly(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "x.tar", {"a": bytes(60), "b": bytes(40)})
    assert "more than 99 bytes" in refusal(archive, Limits(total_bytes=99))
    assert "more than 1 files" in refusal(archive, Limits(files=1))
    extract(archive, tmp_path / "out", Limits(files=2, total_bytes=100))
    assert len(contents(tmp_path / "out")) == 2


def test_rejects_oversized_header(tmp_path: Path) -> None:
    member = tarfile.TarInfo("x")
    member.pax_headers = {"comment": "x" * (archives.LARGEST_HEADER + 1)}
    with tarfile.open(tmp_path / "x.tgz", "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member, io.BytesIO(b""))
    assert "header of" in refusal(tmp_path / "x.tgz")


@settings(max_examples=60)
@example("w:xz", 0.9999)
@example("w:gz", 0.9999)
@given(st.sampled_from(["w", "w:gz", "w:bz2", "w:xz", "zip"]), st.floats(0, 0.9999))
def test_rejects_truncated_archive(tmp_path_factory: pytest.TempPathFactory, mode: str, part: float) -> None:
    folder = tmp_path_factory.mktemp("cut")
    noise = {f"{n}.bin": random.Random(n).randbytes(3000) for n in range(4)}
    whole = make_zip(folder / "x", noise) if mode == "zip" else make_tar(folder / "x", noise, mode)
    data = whole.read_bytes()
    # A plain tar is padded with zeros to 10,240 bytes, which can be truncated without loss.
    end = sum(512 + 3072 for _ in noise) if mode == "w" else len(data)
    whole.write_bytes(data[: int(part * end)])
    assert re.search("not a readable|cannot be unpacked", refusal(whole))


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04 not really", b"\x1f\x8b not really"])
def test_rejects_file_that_is_not_an_archive(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    assert "not a readable tar or zip" in refusal(tmp_path / "x")


def test_rejects_missing_archive(tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match=r"gone\.tar: there is no such file"):
        extract(tmp_path / "gone.tar", tmp_path / "out")


def test_rejects_encrypted_zip(tmp_path: Path) -> None:
    data = bytearray(make_zip(tmp_path / "x.zip", {"a": b"1"}).read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    assert "encrypted: unpack it yourself" in refusal(tmp_path / "x.zip")


def test_does_not_restore_permissions(tmp_path: Path) -> None:
    member = tarfile.TarInfo("run.sh")
    member.mode = 0o4777
    extract(special_tar(tmp_path / "x.tar", member), tmp_path / "out")
    assert (tmp_path / "out/run.sh").stat().st_mode & 0o7111 == 0
