"""`PHOTOS=`: import of a user's photos is atomic and never overwrites other data."""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitbloom.core.digests import digest, folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.data.importing import import_data
from bitbloom.data.sources import folder
from bitbloom.data.sources.folder import Config, fetch

FLOWERS = Path(__file__).parents[3] / "shared/data/flowers.tar"


def write_photo(path: Path, seed: int) -> None:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(stream, "JPEG")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue())


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed, name in enumerate(("daisy/1.jpg", "daisy/2.jpg", "rose/1.jpg")):
        write_photo(tmp_path / "mine/flowers" / name, seed)
    (tmp_path / "mine/flowers/readme.txt").write_text("words")
    return tmp_path / "mine"


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "data/external/petals-folder"


def names(root: Path) -> list[str]:
    return list(folder_files(root))


def leftovers(destination: Path) -> list[str]:
    return sorted(path.name for path in destination.parent.iterdir())


@pytest.mark.parametrize("kind", ["folder", "tar", "gztar", "zip"])
def test_imports_folder_tar_or_zip(photos: Path, destination: Path, kind: str) -> None:
    source = photos if kind == "folder" else Path(shutil.make_archive(str(photos) + "-packed", kind, photos))
    summary = import_data(source, destination, folder)
    assert names(destination) == ["daisy/1.jpg", "daisy/2.jpg", "rose/1.jpg"]
    assert summary == {
        "changed": True,
        "digest": digest(destination),
        "files": 3,
        "added": 3,
        "removed": 0,
        "modified": 0,
    }
    assert leftovers(destination) == [".petals-folder.import.json", "petals-folder"]


def test_expands_home_folder(photos: Path, destination: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(photos.parent))
    assert import_data(Path("~/mine"), destination, folder)["files"] == 3


def test_source_returns_imported_files(photos: Path, destination: Path, tmp_path: Path) -> None:
    import_data(photos, destination, folder)
    files = fetch(Config(path=str(destination)), tmp_path / "raw")
    assert [file.path for file in files] == names(destination)


@pytest.mark.parametrize("packed", [False, True])
def test_same_photos_change_nothing(photos: Path, destination: Path, packed: bool) -> None:
    source = Path(shutil.make_archive(str(photos), "tar", photos)) if packed else photos
    import_data(source, destination, folder)
    before = {path: path.stat().st_ino for path in folder_files(destination).values()}
    summary = import_data(source, destination, folder)
    assert (summary["changed"], summary["files"], summary["added"]) == (False, 3, 0)
    if packed:
        assert {path: path.stat().st_ino for path in folder_files(destination).values()} == before


def test_same_photos_of_another_source_change_nothing(photos: Path, destination: Path) -> None:
    import_data(photos, destination, folder)
    archive = Path(shutil.make_archive(str(photos), "zip", photos))
    assert import_data(archive, destination, folder)["changed"] is False


def test_other_photos_replace_earlier_import(photos: Path, destination: Path) -> None:
    import_data(photos, destination, folder)
    (photos / "flowers/daisy/2.jpg").unlink()
    write_photo(photos / "flowers/rose/1.jpg", 99)
    write_photo(photos / "flowers/tulip/1.jpg", 5)
    summary = import_data(photos, destination, folder)
    assert (summary["changed"], summary["added"], summary["removed"], summary["modified"]) == (True, 1, 1, 1)
    assert names(destination) == ["daisy/1.jpg", "rose/1.jpg", "tulip/1.jpg"]


@pytest.mark.parametrize("imported_before", [False, True])
def test_never_overwrites_data_without_import(photos: Path, destination: Path, imported_before: bool) -> None:
    if imported_before:
        import_data(photos, destination, folder)
    write_photo(destination / "daisy/by-hand.jpg", 7)
    before = digest(destination)
    with pytest.raises(BitBloomError, match="holds other data that no import put there"):
        import_data(photos, destination, folder)
    assert digest(destination) == before


def test_recognises_photos_without_record(photos: Path, destination: Path) -> None:
    import_data(photos, destination, folder)
    destination.with_name(".petals-folder.import.json").unlink()
    assert import_data(photos, destination, folder)["changed"] is False
    write_photo(photos / "flowers/rose/2.jpg", 9)
    assert import_data(photos, destination, folder)["added"] == 1


def test_accepts_destination_as_source(photos: Path, destination: Path) -> None:
    import_data(photos, destination, folder)
    assert import_data(destination, destination, folder)["changed"] is False


def test_invalid_source_does_not_change_destination(photos: Path, destination: Path, tmp_path: Path) -> None:
    import_data(photos, destination, folder)
    before = digest(destination)
    bad = tmp_path / "bad.tar"
    with tarfile.open(bad, "w") as archive:
        archive.add(photos, "photos")
        archive.addfile(tarfile.TarInfo("../escape.jpg"))
    with pytest.raises(BitBloomError, match="not a plain path"):
        import_data(bad, destination, folder)
    assert digest(destination) == before
    assert leftovers(destination) == [".petals-folder.import.json", "petals-folder"]


def test_rejects_source_that_is_not_a_data_set(destination: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "one/rose/1.jpg", 0)
    with pytest.raises(BitBloomError, match="only one class"):
        import_data(tmp_path / "one", destination, folder)
    assert leftovers(destination) == []


def test_rejects_missing_source(destination: Path) -> None:
    with pytest.raises(BitBloomError, match="gone: there is no such file or folder"):
        import_data(Path("gone"), destination, folder)


def test_rejects_file_that_is_not_an_archive(destination: Path, tmp_path: Path) -> None:
    write_photo(tmp_path / "one.jpg", 0)
    with pytest.raises(BitBloomError, match="not a tar or zip archive; PHOTOS= takes"):
        import_data(tmp_path / "one.jpg", destination, folder)


@pytest.mark.parametrize(("source", "destination"), [("x", "x/y/z"), ("x/y", "x")])
def test_rejects_source_around_or_inside_destination(tmp_path: Path, source: str, destination: str) -> None:
    (tmp_path / source).mkdir(parents=True)
    with pytest.raises(BitBloomError, match="inside each other"):
        import_data(tmp_path / source, tmp_path / destination, folder)


@pytest.mark.realdata
@pytest.mark.skipif(not FLOWERS.is_file(), reason="the photos of flower_photos are not available beside this checkout")
def test_imports_real_photos(destination: Path) -> None:
    summary = import_data(FLOWERS, destination, folder)
    assert summary["files"] == 3117
