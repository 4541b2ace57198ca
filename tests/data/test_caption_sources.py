"""Sources of captioned photos: COCO's caption JSON, COCO's zips, and the garden."""

from __future__ import annotations

import json
import shutil
import threading
import unicodedata
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bitbloom.config.target import Target
from bitbloom.core.digests import digest, file_digest, folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.data import splits
from bitbloom.data.importing import import_data
from bitbloom.data.sources import coco, coco_folder, garden, garden_captions
from bitbloom.data.sources.coco_folder import Captioned
from bitbloom.data.sources.garden import sentences
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.data.sources.garden.species import SPECIES
from bitbloom.data.verified_file import DOWNLOADS
from bitbloom.pipeline import composition
from bitbloom.stages import ingest
from bitbloom.tasks.captions import samples as captions
from support.tiny import REPOSITORY

CAPTIONS = Path(__file__).parents[3] / "shared/data/captions.tar"
IMAGES = [{"id": 7, "file_name": "b.jpg"}, {"id": 3, "file_name": "deep/a.jpg"}, {"id": 9, "file_name": "silent.jpg"}]
SAID = [{"image_id": 3, "caption": "A dog ."}, {"image_id": 7, "caption": "A cat ."}, {"image_id": 3, "caption": "One dog ."}]


def write(folder: Path, images=IMAGES, annotations=SAID) -> Path:
    """Write a folder with photos in subfolders, caption annotations, and a file of boxes."""
    for image in IMAGES:
        path = folder / "images" / image["file_name"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image["file_name"].encode())
    (folder / "captions_val.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    (folder / "instances.json").write_text(json.dumps({"images": images, "annotations": [{"bbox": [1, 2, 3, 4]}]}))
    return folder


@pytest.fixture
def destination(tmp_path: Path) -> Path:
    return tmp_path / "data/external/captions-folder"


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_imports_folder_tar_or_zip(tmp_path, destination, kind) -> None:
    source = write(tmp_path / "mine")
    given_as = source if kind == "folder" else Path(shutil.make_archive(str(tmp_path / "packed"), kind, source))
    import_data(given_as, destination, coco_folder)
    assert list(folder_files(destination)) == ["captions.json", "photos/a.jpg", "photos/b.jpg"]


def test_import_does_not_depend_on_order_or_ids_of_annotations(tmp_path, destination) -> None:
    import_data(write(tmp_path / "one"), destination, coco_folder)
    renumbered = [{"id": 100 - image["id"], "file_name": image["file_name"]} for image in reversed(IMAGES)]
    said = [{"image_id": 100 - one["image_id"], "caption": one["caption"]} for one in SAID]
    other = tmp_path / "other"
    import_data(write(tmp_path / "two", renumbered, said), other, coco_folder)
    assert digest(destination) == digest(other)


def test_photos_become_samples_with_captions(tmp_path, destination) -> None:
    import_data(write(tmp_path / "mine"), destination, coco_folder)
    (tmp_path / "raw").mkdir()
    found = coco_folder.fetch(coco_folder.Config(path=str(destination)), tmp_path / "raw")
    assert [(one.id, one.attributes["captions"]) for one in found] == [
        ("photos/a.jpg", ["A dog .", "One dog ."]),
        ("photos/b.jpg", ["A cat ."]),
    ]
    assert (tmp_path / "raw/photos/a.jpg").read_bytes() == b"deep/a.jpg"


BAD = {
    "a caption of no photo": (IMAGES, [*SAID, {"image_id": 8, "caption": "x"}], "a caption is of photo 8"),
    "an entry without a name": ([*IMAGES, {"id": 1}], SAID, "is not COCO's caption JSON"),
    "a caption that is not a text": (IMAGES, [*SAID, {"image_id": 3, "caption": 7}], "a caption or a file name is not a text"),
    "a name that is not a text": ([*IMAGES, {"id": 1, "file_name": 7}], SAID, "or a file name is not a text"),
    "two photos of one name": ([*IMAGES, {"id": 1, "file_name": "./b.jpg"}], SAID, "two photos have the name"),
    "two photos of one id": ([*IMAGES, {"id": 7, "file_name": "c.jpg"}], SAID, "two photos have the name or the id"),
    "a photo that is missing": (
        [*IMAGES, {"id": 1, "file_name": "gone.jpg"}],
        [*SAID, {"image_id": 1, "caption": "x"}],
        "1 photos that have captions are missing, the first is gone.jpg",
    ),
    "a way out": ([*IMAGES, {"id": 1, "file_name": "../../b2.jpg"}], SAID, "leads out of its folder"),
}


@pytest.mark.parametrize(("images", "annotations", "says"), BAD.values(), ids=BAD)
def test_rejects_invalid_annotations(tmp_path, destination, images, annotations, says) -> None:
    with pytest.raises(BitBloomError, match=says):
        import_data(write(tmp_path / "mine", images, annotations), destination, coco_folder)
    assert not destination.exists()


def imported(source: Path, destination: Path) -> dict[str, tuple[str, ...]]:
    """Import a folder; return the captions of each photo, after a check that all photos are there."""
    import_data(source, destination, coco_folder)
    pairs = coco_folder.read(destination / "captions.json")
    assert list(folder_files(destination / "photos")) == [pair.name for pair in pairs]
    return {pair.name: pair.captions for pair in pairs}


PLAIN = {"a.jpg": ("A dog .", "One dog ."), "b.jpg": ("A cat .",)}


@pytest.mark.parametrize("codec", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_reads_annotations_in_any_unicode_encoding(tmp_path, destination, codec) -> None:
    source = write(tmp_path / "mine")
    file = source / "captions_val.json"
    file.write_bytes(file.read_text().encode(codec))
    assert imported(source, destination) == PLAIN


ODD_IDS = {
    "texts in images": (str, int),
    "texts in annotations": (int, str),
    "floats in annotations": (int, float),
    "texts with zeros": (int, "{:012}".format),
    "texts of floats": (int, "{}.0".format),
    "texts of floats with zeros": ("{:04}.00".format, "{}.".format),
    "words": ("photo {}".format, "photo {}".format),
}


@pytest.mark.parametrize(("in_images", "in_annotations"), ODD_IDS.values(), ids=ODD_IDS)
def test_reads_ids_of_different_types(tmp_path, destination, in_images, in_annotations) -> None:
    images = [image | {"id": in_images(image["id"])} for image in IMAGES]
    said = [one | {"image_id": in_annotations(one["image_id"])} for one in SAID]
    assert imported(write(tmp_path / "mine", images, said), destination) == PLAIN


@pytest.mark.parametrize("value", [None, True, [3], {"id": 3}])
def test_rejects_ids_that_are_no_ids(tmp_path, destination, value) -> None:
    with pytest.raises(BitBloomError, match="is neither a number nor a text"):
        import_data(write(tmp_path / "mine", [*IMAGES, {"id": value, "file_name": "x.jpg"}]), destination, coco_folder)


@pytest.mark.parametrize("form", ["images\\{}", "images/{}", "./{}", "elsewhere\\deep\\{}", ".\\images\\{}"])
def test_reads_file_names_with_folders_of_any_system(tmp_path, destination, form) -> None:
    images = [image | {"file_name": form.format(image["file_name"].rpartition("/")[2])} for image in IMAGES]
    assert imported(write(tmp_path / "mine", images), destination) == PLAIN


@pytest.mark.parametrize("name", ["C:\\photos\\b.jpg", "\\\\server\\b.jpg", "..\\b.jpg", "/b.jpg"])
def test_rejects_file_names_that_lead_out(tmp_path, destination, name) -> None:
    with pytest.raises(BitBloomError, match="leads out of its folder"):
        import_data(write(tmp_path / "mine", [*IMAGES, {"id": 1, "file_name": name}]), destination, coco_folder)


@pytest.mark.parametrize(("listed", "on_disk"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFD", "NFD")])
def test_reads_names_in_any_unicode_form(tmp_path, destination, listed, on_disk) -> None:
    source = write(tmp_path / "mine", [{"id": 7, "file_name": unicodedata.normalize(listed, "é ü.jpg")}], SAID[1:2])
    (source / unicodedata.normalize(on_disk, "é ü.jpg")).write_bytes(b"photo")
    assert imported(source, destination) == {unicodedata.normalize("NFC", "é ü.jpg"): ("A cat .",)}


@pytest.mark.parametrize("what", ["photos", "folder"])
def test_reads_linked_photos(tmp_path, destination, what) -> None:
    source = write(tmp_path / "mine")
    (source / "images").rename(tmp_path / "elsewhere")
    if what == "folder":
        (source / "images").symlink_to(tmp_path / "elsewhere")
    else:
        for name in ("b.jpg", "deep/a.jpg"):
            (source / Path(name).name).symlink_to(tmp_path / "elsewhere" / name)
    assert imported(source, destination) == PLAIN
    assert not any(path.is_symlink() for path in (destination / "photos").iterdir())


def test_names_link_to_a_missing_photo(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    (source / "images/b.jpg").unlink()
    (source / "images/b.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(BitBloomError, match=r"b\.jpg is a link to a file that does not exist"):
        import_data(source, destination, coco_folder)


@pytest.mark.parametrize("folder", [".ipynb_checkpoints", "@eaDir", "__MACOSX", "$RECYCLE.BIN", "lost+found"])
def test_leaves_out_copies_in_folders_of_tools(tmp_path, destination, folder, capsys) -> None:
    source = write(tmp_path / "mine")
    (source / folder).mkdir()
    shutil.copy(source / "captions_val.json", source / folder / "captions_val-checkpoint.json")
    (source / folder / "b.jpg").write_bytes(b"a thumbnail")
    assert imported(source, destination) == PLAIN
    assert f"left out 1 entry of operating systems and tools ({folder})" in capsys.readouterr().err


TWICE = [{"id": 3, "file_name": "one/a.jpg"}, {"id": 7, "file_name": "two\\a.jpg"}]


def test_reads_photos_of_one_name_in_two_folders(tmp_path, destination) -> None:
    source = write(tmp_path / "mine", TWICE)
    for name in ("one", "two"):
        (source / "images" / name).mkdir()
        (source / "images" / name / "a.jpg").write_bytes(name.encode())
    assert imported(source, destination) == {"one/a.jpg": PLAIN["a.jpg"], "two/a.jpg": PLAIN["b.jpg"]}
    assert (destination / "photos/two/a.jpg").read_bytes() == b"two"
    (tmp_path / "raw").mkdir()
    found = coco_folder.fetch(coco_folder.Config(path=str(destination)), tmp_path / "raw")
    assert [one.read(tmp_path / "raw") for one in found] == [b"one", b"two"]


SAME_NAMES = {
    "root and folder": ("a.jpg", "y/a.jpg"),
    "folder and deeper folder": ("y/a.jpg", "x/y/a.jpg"),
    "two folders": ("x/a.jpg", "y/a.jpg"),
}


@pytest.mark.parametrize("silent", [False, True], ids=["both have captions", "one has captions"])
@pytest.mark.parametrize("names", SAME_NAMES.values(), ids=SAME_NAMES)
def test_photos_of_one_name_keep_their_folders(tmp_path, destination, names, silent) -> None:
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    said = [{"image_id": number, "caption": name} for number, name in enumerate(names)][1 if silent else 0 :]
    source = write(tmp_path / "mine", images, said)
    shutil.rmtree(source / "images")
    for name in names:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(name.encode())
    import_data(source, destination, coco_folder)
    (tmp_path / "raw").mkdir()
    found = coco_folder.fetch(coco_folder.Config(path=str(destination)), tmp_path / "raw")
    assert {one.read(tmp_path / "raw").decode(): one.attributes["captions"] for one in found} == {
        name: [name] for name in names[1 if silent else 0 :]
    }


def test_folder_of_file_name_selects_the_photo(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    (source / "other").mkdir()
    (source / "other/a.jpg").write_bytes(b"another")
    assert imported(source, destination) == PLAIN
    assert (destination / "photos/a.jpg").read_bytes() == b"deep/a.jpg"


def test_equal_copies_of_a_photo_are_one(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    shutil.copy(source / "images/b.jpg", source / "b.jpg")
    assert imported(source, destination) == PLAIN


@pytest.mark.parametrize("text", ["\\ud83d", "\\udc36 dog", "a \\ud83d\\ud83d"])
@pytest.mark.parametrize("where", ["caption", "file_name"])
def test_rejects_half_a_character(tmp_path, destination, text, where) -> None:
    source = write(tmp_path / "mine")
    file = source / "captions_val.json"
    file.write_text(file.read_text().replace("A cat ." if where == "caption" else "b.jpg", text))
    with pytest.raises(BitBloomError, match=r"has half a character \(a lone surrogate\)") as caught:
        import_data(source, destination, coco_folder)
    str(caught.value).encode()
    assert not destination.exists()


def test_joins_halves_of_a_character(tmp_path, destination) -> None:
    source = write(tmp_path / "mine", annotations=[{"image_id": 7, "caption": "A \ud83d\udc36 ."}])
    assert imported(source, destination) == {"b.jpg": ("A 🐶 .",)}


UNREADABLE = {
    "truncated": (lambda data: data[:-30], "it ends early, in line 1: is it whole"),
    "truncated after a bracket": (lambda data: data[:-1], "it ends early, in line 1: is it whole"),
    "truncated in a text": (lambda data: data[: data.index(b"One d") + 3], "it ends early, in line 1: is it whole"),
    "truncated UTF-16": (lambda data: data.decode().encode("utf-16")[:-31], "it ends early"),
    "truncated before the captions": (lambda data: data[:40], "it ends early, in line 1: is it whole"),
    "truncated in an escape": (lambda data: data[: data.index(b"One d")] + rb"One \u00", "it ends early, in line 1: is it whole"),
    "truncated in a word": (lambda data: data[:-1] + b', "x": fals', "it ends early, in line 1: is it whole"),
    "a comma too many": (lambda data: data[:-2] + b",]}", "(Illegal trailing comma|Expecting value)"),
    "empty": (lambda data: b"", "it ends early, in line 1: is it whole"),
    "cp1252": (lambda data: data.replace(b"A cat", b"Un \xe9l\xe9phant"), "it is not Unicode: .* save it as UTF-8"),
    "deep": (lambda data: data[:-1] + b', "deep": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "recursion"),
}


@pytest.mark.parametrize(("change", "says"), UNREADABLE.values(), ids=UNREADABLE)
def test_names_unreadable_annotations(tmp_path, destination, change, says) -> None:
    source = write(tmp_path / "mine")
    file = source / "captions_val.json"
    file.write_bytes(change(file.read_bytes()))
    with pytest.raises(BitBloomError, match=rf"captions_val.json is not COCO's caption JSON \(.*{says}") as caught:
        import_data(source, destination, coco_folder)
    assert "\n" not in str(caught.value) and not destination.exists()


def test_rejects_folder_without_captions(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    (source / "captions_val.json").unlink()
    with pytest.raises(BitBloomError, match=r"one JSON file of captions; it contains none of 1 JSON files: CAPTIONS= takes"):
        import_data(source, destination, coco_folder)


def test_rejects_folder_with_two_caption_files(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    shutil.copy(source / "captions_val.json", source / "captions_train.json")
    with pytest.raises(BitBloomError, match=r"it contains captions_train.json, captions_val.json"):
        import_data(source, destination, coco_folder)


def test_rejects_repeated_photo(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    (source / "b.jpg").write_bytes(b"another")
    with pytest.raises(BitBloomError, match=r"b.jpg occurs twice"):
        import_data(source, destination, coco_folder)


PARTS = {
    "val2017": ["000000000139.jpg", "000000000285.jpg", "000000000632.jpg"],
    "train2017": ["000000000139.jpg", "000000000009.jpg"],
}
"""Photos of small zips in the layout of COCO; two have the same name, unlike those of COCO."""


def photo(path: str) -> bytes:
    """Return a stand-in for a photo."""
    return f"a photo, {path}".encode() * 50


def annotations(part: str) -> str:
    """Return a caption file in the format of COCO."""
    images = [
        {"license": 4, "file_name": name, "coco_url": f"/{part}/{name}", "height": 426, "width": 640, "id": number}
        for number, name in enumerate(PARTS[part])
    ]
    said = [
        {"image_id": image["id"], "id": 10 * image["id"] + n, "caption": f"Caption {n} ."} for n in range(2) for image in images
    ]
    return json.dumps({"info": {"year": 2017}, "licenses": [], "images": images, "annotations": said})


@dataclass
class Publisher:
    """A folder on a local server, and the requested paths."""

    folder: Path
    address: str = ""
    requested: list[str] = field(default_factory=list)

    def write(self, name: str, files: dict[str, str | bytes]) -> None:
        """Write a zip like those of COCO: stored, with entries for folders."""
        with zipfile.ZipFile(self.folder / name, "w") as archive:
            for folder in sorted({path.rpartition("/")[0] for path in files}):
                archive.mkdir(folder)
            for path, content in files.items():
                archive.writestr(path, content)

    def zip(self, name: str) -> coco.Zip:
        """Return the configuration of a zip."""
        file = self.folder / name
        return coco.Zip(f"{self.address}/{name}", file.stat().st_size, file_digest(file))

    def config(self, *parts: str, photos: int | None = None) -> coco.Config:
        zips = {part: self.zip(f"{part}.zip") for part in PARTS}
        return coco.Config(parts=list(parts), photos=photos, annotations=self.zip("annotations.zip"), zips=zips)


@pytest.fixture
def publisher(tmp_path, monkeypatch) -> Iterator[Publisher]:
    """Serve small versions of COCO's three zips; the current folder is an empty workspace."""
    (tmp_path / "published").mkdir()
    publisher = Publisher(tmp_path / "published")
    for part, names in PARTS.items():
        publisher.write(f"{part}.zip", {f"{part}/{name}": photo(f"{part}/{name}") for name in names})
    captions = {f"annotations/captions_{part}.json": annotations(part) for part in PARTS}
    publisher.write("annotations.zip", captions | {"annotations/instances_val2017.json": "{}"})

    class Handler(SimpleHTTPRequestHandler):
        def log_request(self, *args: object) -> None:
            publisher.requested.append(self.path.removeprefix("/"))

    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(publisher.folder)))
    publisher.address = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    (tmp_path / "workspace/raw").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "workspace")
    monkeypatch.delenv("BITBLOOM_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield publisher
    http.shutdown()
    thread.join()
    http.server_close()


def test_extracts_photos_of_part_with_captions(publisher) -> None:
    found = coco.fetch(publisher.config("val2017"), Path("raw"))
    assert [one.id for one in found] == [f"val2017/{name}" for name in PARTS["val2017"]]
    assert all(one.attributes == {"captions": ["Caption 0 .", "Caption 1 ."]} for one in found)
    assert {name: path.read_bytes() for name, path in folder_files(Path("raw")).items()} == {
        one.id: photo(one.id) for one in found
    }


def test_downloads_only_zips_of_parts(publisher) -> None:
    coco.fetch(publisher.config("val2017"), Path("raw"))
    assert publisher.requested == ["annotations.zip", "val2017.zip"]
    assert sorted(path.name.partition("-")[2] for path in DOWNLOADS.iterdir()) == ["annotations.zip", "val2017.zip"]


def test_does_not_download_zip_without_selected_photos(publisher) -> None:
    [chosen] = coco.fetch(publisher.config("val2017", "train2017", photos=1), Path("raw"))
    assert publisher.requested == ["annotations.zip", f"{chosen.id.partition('/')[0]}.zip"]
    assert list(folder_files(Path("raw"))) == [chosen.id]


def test_photos_of_same_name_in_two_parts_are_two_samples(publisher) -> None:
    found = coco.fetch(publisher.config("train2017", "val2017"), Path("raw"))
    assert [one.id for one in found] == sorted(f"{part}/{name}" for part, names in PARTS.items() for name in names)
    assert all(one.read(Path("raw")) == photo(one.id) for one in found)


def test_uses_mirror_before_network(publisher, monkeypatch) -> None:
    monkeypatch.setenv("BITBLOOM_MIRROR", str(publisher.folder))
    assert len(coco.fetch(publisher.config("val2017", "train2017"), Path("raw"))) == 5
    assert publisher.requested == []
    assert not DOWNLOADS.exists()


def test_target_reads_configured_zips(publisher, monkeypatch) -> None:
    Path("conf").symlink_to(REPOSITORY / "conf")
    monkeypatch.setenv("WORKERS", "1")
    overrides = ["source.photos=2", "source.parts=[train2017]"]
    for key, name in (("annotations", "annotations"), ("zips.train2017", "train2017")):
        published = publisher.zip(f"{name}.zip")
        overrides += [f"source.{key}.{part}={getattr(published, part)}" for part in ("url", "bytes", "sha256")]
    tree = composition.compose("captions-coco", overrides)
    ingest.run(Target("captions-coco", {"task": tree.task, "source": OmegaConf.to_container(tree.source)}))
    manifest = pd.read_parquet("data/raw/captions-coco/manifest.parquet")
    assert list(manifest["id"]) == [f"train2017/{name}" for name in sorted(PARTS["train2017"])]
    assert set(manifest["captions"]) == {'["Caption 0 .", "Caption 1 ."]'}
    assert set(manifest["source"]) == {"coco"}


file_names = st.lists(st.integers(0, 10**12).map("val2017/{:012}.jpg".format), unique=True)


@given(file_names, st.data())
def test_larger_selection_contains_smaller_one(names, data) -> None:
    photos = [Captioned(name, ("A dog .",)) for name in names]
    count = data.draw(st.integers(0, len(photos)))
    chosen = coco.choose(photos, count)
    assert len(chosen) == count
    assert chosen == coco.choose(data.draw(st.permutations(photos)), count)
    assert set(chosen) <= set(coco.choose(photos, data.draw(st.integers(count, len(photos)))))
    assert coco.choose(photos, None) == sorted(photos, key=lambda one: one.name)


@given(file_names, st.data())
def test_more_photos_never_add_omitted_ones(names, data) -> None:
    photos = [Captioned(name, ()) for name in names]
    some = photos[: data.draw(st.integers(0, len(photos)))]
    count = data.draw(st.integers(0, len(some)))
    assert set(coco.choose(photos, count)) & set(some) <= set(coco.choose(some, count))


INVALID = {
    "an unknown part": (["val2014"], None, r"source.parts is \[val2014\].*source.zips has val2017, train2017"),
    "a part named twice": (["val2017", "val2017"], None, "name each part once"),
    "no part": ([], None, r"source.parts is \[\]"),
    "no photo": (["val2017"], 0, "source.photos is 0: it has to be 1 or more"),
}


@pytest.mark.parametrize(("parts", "photos", "says"), INVALID.values(), ids=INVALID)
def test_rejects_invalid_selection_before_download(publisher, parts, photos, says) -> None:
    with pytest.raises(BitBloomError, match=says):
        coco.fetch(publisher.config(*parts, photos=photos), Path("raw"))
    assert publisher.requested == []


def test_rejects_too_many_photos_before_download(publisher) -> None:
    with pytest.raises(BitBloomError, match=r"source.photos is 4; source.parts have 3 photos with captions: select fewer"):
        coco.fetch(publisher.config("val2017", photos=4), Path("raw"))
    assert publisher.requested == ["annotations.zip"]


def cut(file: Path) -> None:
    """Remove the last bytes of a zip, with its directory."""
    file.write_bytes(file.read_bytes()[:-200])


def garble(file: Path) -> None:
    """Change a byte of a zip's content."""
    file.write_bytes(file.read_bytes().replace(b"a photo", b"A photo", 1).replace(b'"images"', b'"Images"', 1))


@pytest.mark.parametrize("name", ["val2017.zip", "annotations.zip"])
@pytest.mark.parametrize(("damage", "says"), [(cut, "not a zip file"), (garble, "Bad CRC-32 for file")])
def test_rejects_damaged_zip(publisher, name, damage, says) -> None:
    damage(publisher.folder / name)
    with pytest.raises(BitBloomError, match=rf"{name}.* cannot be unpacked \(.*{says}.*: is it a whole zip"):
        coco.fetch(publisher.config("val2017"), Path("raw"))


def test_rejects_zip_with_another_checksum(publisher) -> None:
    config = publisher.config("val2017")
    garble(publisher.folder / "val2017.zip")
    with pytest.raises(BitBloomError, match=r"val2017.zip: its SHA-256 is"):
        coco.fetch(config, Path("raw"))
    assert not any(Path("raw").iterdir())


def test_rejects_zip_that_lacks_photo(publisher) -> None:
    publisher.write("val2017.zip", {f"val2017/{name}": photo(name) for name in PARTS["val2017"][:2]})
    with pytest.raises(BitBloomError, match=r"val2017.zip has no file val2017/000000000632.jpg"):
        coco.fetch(publisher.config("val2017"), Path("raw"))
    assert not any(Path("raw").iterdir())


def test_rejects_annotations_that_lack_part(publisher) -> None:
    publisher.write("annotations.zip", {"annotations/captions_val2017.json": annotations("val2017")})
    with pytest.raises(BitBloomError, match=r"annotations.zip has no file annotations/captions_train2017.json"):
        coco.fetch(publisher.config("train2017"), Path("raw"))


def test_rejects_annotations_of_another_form(publisher) -> None:
    publisher.write("annotations.zip", {"annotations/captions_val2017.json": '{"images": []}'})
    with pytest.raises(BitBloomError, match=r"annotations.zip: annotations/captions_val2017.json is not COCO's caption JSON"):
        coco.fetch(publisher.config("val2017"), Path("raw"))


COLOURS = tuple(sorted({colour for species in SPECIES for colour in species.colours}))
NAMES = {name: one.name for one in SPECIES for name in (one.name, sentences.plural(one.name))}
scenes = st.fixed_dictionaries(
    {
        "count": st.integers(1, 4),
        "colour": st.sampled_from(COLOURS),
        "species": st.sampled_from([one.name for one in SPECIES]),
        "background": st.sampled_from(sorted(sentences.GROUNDS)),
        "view": st.sampled_from(["from above", "at an angle", "from the side"]),
    }
)


@given(scenes, st.integers(0, 10**6))
def test_every_caption_has_number_colour_and_species(scene, index) -> None:
    written = sentences.write(scene, Dice(1, index))
    assert len(set(written)) == sentences.PER_PICTURE
    for sentence in written:
        assert sentences.read(sentence, NAMES, COLOURS) == (scene["count"], scene["colour"], scene["species"])


def test_reads_nothing_from_other_sentence() -> None:
    assert sentences.read("a photo of a dog", NAMES, COLOURS) == (None, None, None)


def test_photos_equal_those_of_garden_and_have_captions(tmp_path) -> None:
    for name in ("words", "plain"):
        (tmp_path / name).mkdir()
    config = garden_captions.Config(images=24, size=32)
    found = garden_captions.fetch(config, tmp_path / "words")
    garden.fetch(garden.Config(images=24, size=32), tmp_path / "plain")
    assert digest(tmp_path / "words") == digest(tmp_path / "plain")
    for file in found:
        seen = file.attributes
        assert seen["group"] == " ".join(str(seen[name]) for name in ("count", "colour", "species", "background", "view"))
        assert all(sentences.read(words, NAMES, COLOURS)[2] == seen["species"] for words in seen["captions"])


def test_group_is_the_combination_of_attributes(destination) -> None:
    config = garden_captions.Config(images=12, size=32, combination=["colour", "view"])
    for seen in (file.attributes for file in garden_captions.fetch(config, destination)):
        assert seen["group"] == f"{seen['colour']} {seen['view']}"


def test_photos_of_one_group_share_only_their_split() -> None:
    photos = [garden.draw(garden.Config(size=32), number)[0] for number in range(6)]
    alike = [str(captions.describe(photo, {"group": "three red tulips"})["key"]) for photo in photos]
    alone = [str(captions.describe(photo, {})["key"]) for photo in photos]
    assert len({splits.percent_of(key) for key in alike}) == 1 < len({splits.percent_of(key) for key in alone})
    assert [key[:16] for key in alike] == [key[:16] for key in alone] and len({key[:16] for key in alone}) == 6
    assert all(len(key) == 64 for key in alike)


@pytest.mark.parametrize("combination", [[], ["colour", "smell"]], ids=["nothing", "no attribute"])
def test_rejects_invalid_combination(combination, destination) -> None:
    with pytest.raises(BitBloomError, match=r"source\.combination is .* some of background, .* view"):
        garden_captions.fetch(garden_captions.Config(images=12, combination=combination), destination)


@pytest.mark.realdata
@pytest.mark.skipif(not CAPTIONS.is_file(), reason="the captioned photos are not available beside this checkout")
def test_imports_real_photos(destination) -> None:
    import_data(CAPTIONS, destination, coco_folder)
    pairs = coco_folder.read(destination / "captions.json")
    assert len(pairs) == 1800
    assert {len(pair.captions) for pair in pairs} == {5}
