"""Where photos with sentences come from: COCO's caption JSON, and the garden in words."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.errors import BitBloomError
from bitbloom.provenance.digests import digest, folder_files
from bitbloom.sources import coco_folder, garden, garden_captions
from bitbloom.sources.garden import sentences
from bitbloom.sources.garden.randomness import Dice
from bitbloom.sources.garden.species import SPECIES
from bitbloom.sources.importing import import_data

CAPTIONS = Path(__file__).parents[3] / "shared/data/captions.tar"
IMAGES = [{"id": 7, "file_name": "b.jpg"}, {"id": 3, "file_name": "deep/a.jpg"}, {"id": 9, "file_name": "silent.jpg"}]
SAID = [{"image_id": 3, "caption": "A dog ."}, {"image_id": 7, "caption": "A cat ."}, {"image_id": 3, "caption": "One dog ."}]


def write(folder: Path, images=IMAGES, annotations=SAID) -> Path:
    """A folder as people have it: photos somewhere below, annotations beside them, and a file of boxes."""
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
def test_photos_with_sentences_are_taken_from_a_folder_a_tar_or_a_zip(tmp_path, destination, kind) -> None:
    source = write(tmp_path / "mine")
    given_as = source if kind == "folder" else Path(shutil.make_archive(str(tmp_path / "packed"), kind, source))
    import_data(given_as, destination, coco_folder)
    assert list(folder_files(destination)) == ["captions.json", "photos/a.jpg", "photos/b.jpg"]


def test_the_import_does_not_depend_on_the_order_or_the_numbers_of_the_annotations(tmp_path, destination) -> None:
    import_data(write(tmp_path / "one"), destination, coco_folder)
    renumbered = [{"id": 100 - image["id"], "file_name": image["file_name"]} for image in reversed(IMAGES)]
    said = [{"image_id": 100 - one["image_id"], "caption": one["caption"]} for one in SAID]
    other = tmp_path / "other"
    import_data(write(tmp_path / "two", renumbered, said), other, coco_folder)
    assert digest(destination) == digest(other)


def test_each_photo_becomes_a_sample_with_its_sentences(tmp_path, destination) -> None:
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
    "a caption that is no text": (IMAGES, [*SAID, {"image_id": 3, "caption": 7}], "a caption that is no text"),
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
def test_annotations_of_another_form_are_refused_and_nothing_is_imported(
    tmp_path, destination, images, annotations, says
) -> None:
    with pytest.raises(BitBloomError, match=says):
        import_data(write(tmp_path / "mine", images, annotations), destination, coco_folder)
    assert not destination.exists()


def test_a_folder_has_to_hold_one_file_of_captions(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    shutil.copy(source / "captions_val.json", source / "captions_train.json")
    with pytest.raises(BitBloomError, match=r"it holds captions_train.json, captions_val.json"):
        import_data(source, destination, coco_folder)


def test_a_photo_that_is_there_twice_is_named(tmp_path, destination) -> None:
    source = write(tmp_path / "mine")
    (source / "b.jpg").write_bytes(b"another")
    with pytest.raises(BitBloomError, match=r"b.jpg is there twice"):
        import_data(source, destination, coco_folder)


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
def test_every_sentence_names_number_colour_and_species(scene, index) -> None:
    written = sentences.write(scene, Dice(1, index))
    assert len(set(written)) == sentences.PER_PICTURE
    for sentence in written:
        assert sentences.read(sentence, NAMES, COLOURS) == (scene["count"], scene["colour"], scene["species"])


def test_a_sentence_that_names_nothing_reads_as_nothing() -> None:
    assert sentences.read("a photo of a dog", NAMES, COLOURS) == (None, None, None)


def test_pictures_are_those_of_the_garden_and_every_scene_has_words(tmp_path) -> None:
    for name in ("words", "plain"):
        (tmp_path / name).mkdir()
    config = garden_captions.Config(images=24, size=32)
    found = garden_captions.fetch(config, tmp_path / "words")
    garden.fetch(garden.Config(images=24, size=32), tmp_path / "plain")
    assert digest(tmp_path / "words") == digest(tmp_path / "plain")
    for file in found:
        seen = file.attributes
        assert seen["group"] == f"{seen['count']} {seen['colour']} {seen['species']}"
        assert all(sentences.read(words, NAMES, COLOURS)[2] == seen["species"] for words in seen["captions"])


@pytest.mark.realdata
@pytest.mark.skipif(not CAPTIONS.is_file(), reason="the captioned photos are not beside this checkout")
def test_eighteen_hundred_real_photos_are_imported(destination) -> None:
    import_data(CAPTIONS, destination, coco_folder)
    pairs = coco_folder.read(destination / "captions.json")
    assert len(pairs) == 1800
    assert {len(pair.captions) for pair in pairs} == {5}
