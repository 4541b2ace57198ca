"""Sources of captioned photos: COCO's caption JSON, COCO's zips, and the garden."""

from __future__ import annotations

import json
import shutil
import threading
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
    "two photos of one name": ([*IMAGES, {"id": 1, "file_name": "x/b.jpg"}], SAID, "two photos have the name"),
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
