"""Source `folder`: classes, images and names."""

from __future__ import annotations

import io
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources import SourceFile, load
from bitbloom.data.sources.folder import Config, class_root, collect, fetch


def jpeg(seed: int = 0) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def fill(root: Path, *names: str, data: bytes | None = None) -> Path:
    for seed, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(jpeg(seed) if data is None else data)
    return root


def paths(files: list[SourceFile]) -> list[str]:
    return [file.path for file in files]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos", "daisy/1.jpg", "daisy/2.jpg", "rose/1.jpg")


def test_returns_sorted_files_with_folder_as_label(photos: Path, tmp_path: Path) -> None:
    files = load("folder").fetch(Config(path=str(photos)), tmp_path / "out")
    assert [(file.path, file.label) for file in files] == [
        ("daisy/1.jpg", "daisy"),
        ("daisy/2.jpg", "daisy"),
        ("rose/1.jpg", "rose"),
    ]
    assert all((tmp_path / "out" / file.path).read_bytes() == (photos / file.path).read_bytes() for file in files)


def test_sorts_by_path(tmp_path: Path) -> None:
    fill(tmp_path / "in", "a/1.jpg", "a-b/1.jpg", "a/0/9.jpg", "B/1.jpg")
    names = paths(fetch(Config(path=str(tmp_path / "in")), tmp_path / "out"))
    assert names == sorted(names)


def test_deeper_folders_belong_to_their_class(photos: Path, tmp_path: Path) -> None:
    fill(photos, "rose/red/dark/9.jpg")
    files = collect(photos, tmp_path / "out")
    assert files[-1] == SourceFile("rose/red/dark/9.jpg", "rose")


@pytest.mark.parametrize("wrapper", ["flowers", "a/b/c"])
def test_skips_wrapper_folders(photos: Path, tmp_path: Path, wrapper: str) -> None:
    outer = tmp_path / "outer"
    (outer / wrapper).parent.mkdir(parents=True)
    photos.rename(outer / wrapper)
    (outer / "LICENSE.txt").write_text("free")
    (outer / "__MACOSX").mkdir()
    assert class_root(outer) == outer / wrapper
    assert paths(collect(outer, tmp_path / "out")) == ["daisy/1.jpg", "daisy/2.jpg", "rose/1.jpg"]


def test_does_not_skip_classes_with_deeper_folders(tmp_path: Path) -> None:
    fill(tmp_path / "in", "daisy/x/1.jpg", "rose/y/1.jpg")
    assert [file.label for file in collect(tmp_path / "in", tmp_path / "out")] == ["daisy", "rose"]


def test_reports_and_omits_files_that_are_not_images(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(photos, "rose/notes.txt", "rose/fake.jpg", "readme.md", data=b"words")
    fill(photos, "rose/iphone.heic", data=b"\0\0\0\x18ftypheic")
    assert len(collect(photos, tmp_path / "out")) == 3
    printed = capsys.readouterr().err
    assert "skipped 4 files" in printed
    assert "readme.md, rose/fake.jpg, rose/iphone.heic, rose/notes.txt" in printed
    assert "HEIC photos as JPEG" in printed


def test_truncates_long_report(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(photos, *(f"rose/{n}.txt" for n in range(8)), data=b"words")
    collect(photos, tmp_path / "out")
    assert "rose/4.txt and 3 more" in capsys.readouterr().err


def test_files_of_operating_systems_are_not_skipped_photos(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(photos, ".DS_Store", "rose/Thumbs.db", "__MACOSX/rose/._1.jpg", ".git/x.jpg", "rose/._1.jpg", "rose/desktop.ini")
    assert len(collect(photos, tmp_path / "out")) == 3
    assert "skipped" not in capsys.readouterr().err


CLUTTER = [
    *(
        "@eaDir/1.jpg",
        ".ipynb_checkpoints/1-checkpoint.jpg",
        "lost+found/1.jpg",
        "$RECYCLE.BIN/1.jpg",
        "Icon\r",
        "__MACOSX/._1.jpg",
    ),
    *(
        "Thumbs.db",
        "ehthumbs.db",
        "#recycle/1.jpg",
        "@Recycle/1.jpg",
        "System Volume Information/x",
        ".Trashes/1.jpg",
        "~$notes.docx",
    ),
    *(
        ".AppleDouble/1.jpg",
        "Network Trash Folder/x",
        "Temporary Items/1.jpg",
        "FOUND.000/1.jpg",
        "desktop.ini",
        ".DS_Store",
        "RECYCLER/1.jpg",
        "Recycled/1.jpg",
        "~snapshot/1.jpg",
        "._1.jpg",
    ),
]


@pytest.mark.parametrize("place", ["", "rose/"], ids=["beside the classes", "in a class"])
@pytest.mark.parametrize("name", CLUTTER)
def test_leaves_out_and_names_clutter(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, place: str
) -> None:
    fill(photos, place + name)
    assert paths(collect(photos, tmp_path / "out")) == ["daisy/1.jpg", "daisy/2.jpg", "rose/1.jpg"]
    shown = "._*" if name.startswith("._") else name.split("/")[0].replace("\r", "?")
    assert capsys.readouterr().err == f"{photos}: left out 1 entry of operating systems and tools ({shown})\n"


def test_counts_clutter_of_one_name(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(photos, "rose/@eaDir/1.jpg", "daisy/@eaDir/1.jpg", "daisy/@eaDir/2.jpg", "daisy/._1.jpg", "rose/._2.jpg", ".DS_Store")
    collect(photos, tmp_path / "out")
    assert "left out 5 entries of operating systems and tools (.DS_Store, ._*: 2, @eaDir: 2)" in capsys.readouterr().err


LABELS_OF_ONE_CLASS = {
    "case": ("rose", "Rose", "case"),
    "case of other letters": ("Ähre", "ähre", "case"),
    "a blank at the end": ("rose", "rose ", "blanks"),
    "a blank within": ("wild rose", "wild  rose", "blanks"),
    "no blank": ("wildrose", "wild rose", "blanks"),
    "a no-break blank": ("wild rose", "wild\u00a0rose", "Unicode form"),
    "a blank without width": ("rose", "rose\u200b", "blanks"),
    "NFC and NFD": ("é", "e\u0301", "Unicode form"),
    "full width": ("rose", "ｒｏｓｅ", "Unicode form"),
    "case and form": ("é", "E\u0301", "case"),
}


@pytest.mark.parametrize(("one", "other", "difference"), LABELS_OF_ONE_CLASS.values(), ids=LABELS_OF_ONE_CLASS)
def test_rejects_labels_of_one_class(photos: Path, tmp_path: Path, one: str, other: str, difference: str) -> None:
    fill(photos, f"{one}/8.jpg", f"{other}/9.jpg")
    with pytest.raises(BitBloomError, match=rf"the classes .* differ only in .*{difference}.*: give both one name"):
        collect(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def brand(major: bytes, *compatible: bytes) -> bytes:
    content = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return (len(content) + 4).to_bytes(4, "big") + content + bytes(100)


HEIC = [brand(b"heic", b"mif1"), brand(b"heix"), brand(b"hevc"), brand(b"mif1", b"heic", b"miaf"), brand(b"msf1", b"hevc")]


@pytest.mark.parametrize("name", ["a.heic", "a.HEIF", "a.jpg", "a.png", "a"])
@pytest.mark.parametrize("data", HEIC)
def test_advises_on_heic_of_any_name(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes
) -> None:
    fill(photos, f"rose/{name}", data=data)
    assert len(collect(photos, tmp_path / "out")) == 3
    assert f"skipped 1 file that is not an image in a class folder: rose/{name}; save HEIC photos" in capsys.readouterr().err


def test_advises_on_class_of_heic_photos(photos: Path, tmp_path: Path) -> None:
    fill(photos, "tulip/1.jpg", "tulip/2.jpg", data=HEIC[0])
    with pytest.raises(BitBloomError, match="no images in tulip: save HEIC photos as JPEG"):
        collect(photos, tmp_path / "out")


def test_accepts_image_without_extension(photos: Path, tmp_path: Path) -> None:
    fill(photos, "rose/noname")
    assert "rose/noname" in paths(collect(photos, tmp_path / "out"))


def test_keeps_damaged_and_repeated_images(photos: Path, tmp_path: Path) -> None:
    (photos / "rose/cut.jpg").write_bytes(jpeg()[:100])
    (photos / "rose/again.jpg").write_bytes((photos / "daisy/1.jpg").read_bytes())
    assert {"rose/cut.jpg", "rose/again.jpg"} <= set(paths(collect(photos, tmp_path / "out")))


def test_normalises_names_to_nfc(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Gänseblümchen")
    fill(tmp_path / "in", f"{decomposed}/é.jpg", "rose/1.jpg")
    files = collect(tmp_path / "in", tmp_path / "out")
    assert files[0].label == unicodedata.normalize("NFC", decomposed) != decomposed
    assert (tmp_path / "out" / files[0].path).is_file()


def test_replaces_unsafe_characters_in_names(tmp_path: Path) -> None:
    fill(tmp_path / "in", "rose/a\nb\\c.jpg", "daisy/1.jpg")
    odd = b"\xff.jpg".decode(errors="surrogateescape")
    fill(tmp_path / "in/rose", odd)
    names = paths(collect(tmp_path / "in", tmp_path / "out"))
    assert names == ["daisy/1.jpg", "rose/_.jpg", "rose/a_b_c.jpg"]


def test_rejects_names_with_same_normal_form(tmp_path: Path) -> None:
    fill(tmp_path / "in", "rose/é.jpg", unicodedata.normalize("NFD", "rose/é.jpg"), "daisy/1.jpg")
    with pytest.raises(BitBloomError, match="have the same normalised name"):
        collect(tmp_path / "in", tmp_path / "out")


def test_follows_links_without_cycles(photos: Path, tmp_path: Path) -> None:
    fill(tmp_path / "elsewhere", "tulip/1.jpg")
    (photos / "tulip").symlink_to(tmp_path / "elsewhere/tulip")
    (photos / "rose/circle").symlink_to(photos)
    (photos / "rose/self").symlink_to(photos / "rose")
    (photos / "rose/gone.jpg").symlink_to(tmp_path / "gone")
    assert paths(collect(photos, tmp_path / "out")) == ["daisy/1.jpg", "daisy/2.jpg", "rose/1.jpg", "tulip/1.jpg"]


def test_rejects_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match=r"gone: there is no such folder: import your photos with PHOTOS="):
        fetch(Config(path=str(tmp_path / "gone")), tmp_path / "out")


def test_rejects_photos_without_class_folders(tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match="no class folders"):
        collect(fill(tmp_path / "in", "1.jpg", "2.jpg"), tmp_path / "out")


@pytest.mark.parametrize("name", ["rose/1.jpg", "flowers/rose/1.jpg"])
def test_rejects_single_class(tmp_path: Path, name: str) -> None:
    with pytest.raises(BitBloomError, match="only one class, rose"):
        collect(fill(tmp_path / "in", name), tmp_path / "out")


def test_rejects_class_without_images(photos: Path, tmp_path: Path) -> None:
    fill(photos, "tulip/notes.txt", data=b"words")
    with pytest.raises(BitBloomError, match="no images in tulip"):
        collect(photos, tmp_path / "out")
    assert not (tmp_path / "out").exists()
