"""TFRecords of "Petals to the Metal": reading, the shards of a folder, and every damage that a shard can have."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image

from bitbloom.core.errors import BitBloomError
from bitbloom.data.importing import import_data
from bitbloom.data.sources import garden_tfrecords, tfrecords
from bitbloom.data.sources.tfrecords import example as examples
from bitbloom.data.sources.tfrecords import framing, shards
from bitbloom.data.sources.tfrecords.shards import Photo
from support.tiny import REPOSITORY

CLASSES = ["daisy", "iris", "rose"]
DATA = Path(os.environ.get("BITBLOOM_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
FLOWERS = DATA / "flowers102_64px.tar"
FACTS = DATA / "petals_104_classes.json"


def jpeg(seed: int = 0, side: int = 8) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)).save(stream, "JPEG")
    return stream.getvalue()


def photos(first: int, count: int) -> list[Photo]:
    return [Photo(f"p{number:04d}", jpeg(number), number % len(CLASSES)) for number in range(first, first + count)]


def fill(folder: Path, side: int = 192) -> Path:
    """Shards of one size: two of train with 3 photos each, one of val with 3, one of test with 2."""
    root = folder / f"tfrecords-jpeg-{side}x{side}"
    shards.write(root / "train", 0, side, photos(0, 3))
    shards.write(root / "train", 1, side, photos(3, 3))
    shards.write(root / "val", 0, side, photos(6, 3))
    shards.write(root / "test", 0, side, [Photo(one.id, one.jpeg, None) for one in photos(9, 2)])
    return root


def config(folder: Path, **keys: Any) -> tfrecords.Config:
    return tfrecords.Config(path=str(folder), classes=CLASSES, **keys)


@pytest.fixture
def competition(tmp_path: Path) -> Path:
    fill(tmp_path / "given")
    return tmp_path / "given"


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A shard of train with three photos."""
    return shards.write(tmp_path / "train", 0, 192, photos(0, 3))


def read(file: Path) -> list[Photo]:
    found = shards.NAME.fullmatch(file.name)
    assert found, "the name of a shard"
    return list(shards.read(shards.Shard(file, int(found[1]), int(found[2]), int(found[4])), len(CLASSES)))


def offsets(file: Path) -> list[int]:
    return [record.offset for record in framing.records(file)]


def write_features(file: Path, features: dict[str, Any]) -> Path:
    """A shard of one record with these features."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(framing.frame(examples.serialise(features)))
    return file


def reference_message() -> Any:
    """The class of tf.train.Example of Google's protobuf, from a description of its fields."""
    file = descriptor_pb2.FileDescriptorProto(name="bitbloom_example.proto", package="bitbloom_test", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, kind in (("BytesList", kinds.TYPE_BYTES), ("FloatList", kinds.TYPE_FLOAT), ("Int64List", kinds.TYPE_INT64)):
        file.message_type.add(name=name).field.add(name="value", number=1, type=kind, label=kinds.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, name in enumerate(("BytesList", "FloatList", "Int64List"), start=1):
        feature.field.add(
            name=name.lower(),
            number=number,
            type=kinds.TYPE_MESSAGE,
            type_name=f".bitbloom_test.{name}",
            oneof_index=0,
            label=kinds.LABEL_OPTIONAL,
        )
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    entry.field.add(
        name="value", number=2, type=kinds.TYPE_MESSAGE, type_name=".bitbloom_test.Feature", label=kinds.LABEL_OPTIONAL
    )
    features.field.add(
        name="feature",
        number=1,
        type=kinds.TYPE_MESSAGE,
        type_name=".bitbloom_test.Features.FeatureEntry",
        label=kinds.LABEL_REPEATED,
    )
    file.message_type.add(name="Example").field.add(
        name="features", number=1, type=kinds.TYPE_MESSAGE, type_name=".bitbloom_test.Features", label=kinds.LABEL_OPTIONAL
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bitbloom_test.Example"))


Example = reference_message()
KINDS = ("byteslist", "floatlist", "int64list")
INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
NAMES = st.sampled_from(["", "image", "class", "id", "größe", "x" * 200])
FEATURES = st.dictionaries(
    NAMES,
    st.one_of(
        st.tuples(st.just("byteslist"), st.lists(st.binary(max_size=20), max_size=4)),
        st.tuples(st.just("floatlist"), st.lists(st.floats(width=32, allow_nan=False), max_size=4)),
        st.tuples(st.just("int64list"), st.lists(INT64, max_size=4)),
    ),
    max_size=5,
)


def plain(message: Any) -> dict[str, list[Any]]:
    """The features of a message of Google's protobuf."""
    found = {}
    for name, feature in message.features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = list(getattr(feature, kind).value) if kind else []
    return found


# --- the format


def test_checksum_is_that_of_the_published_example() -> None:
    """The CRC-32C of 32 zeros is in RFC 3720, B.4; the mask is TensorFlow's."""
    crc = 0x8A9136AA
    assert google_crc32c.value(bytes(32)) == crc
    assert framing.masked_crc(bytes(32)) == ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


@given(st.lists(st.binary(max_size=300), max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_framing_returns_the_written_data(tmp_path: Path, data: list[bytes]) -> None:
    file = tmp_path / "records"
    file.write_bytes(b"".join(map(framing.frame, data)))
    found = list(framing.records(file))
    assert [record.data for record in found] == data
    assert [record.offset for record in found] == [sum(len(one) + 16 for one in data[:at]) for at in range(len(data))]


@given(FEATURES)
def test_parser_reads_what_protobuf_writes(features: dict[str, tuple[str, list[Any]]]) -> None:
    message = Example()
    for name, (kind, values) in features.items():
        getattr(message.features.feature[name], kind).value.extend(values)
        getattr(message.features.feature[name], kind).SetInParent()
    assert examples.parse(message.SerializeToString()) == {name: values for name, (_, values) in features.items()}


@given(st.dictionaries(NAMES, st.one_of(st.lists(st.binary(max_size=20), min_size=1, max_size=3), st.lists(INT64, min_size=1))))
def test_protobuf_reads_the_written_records(features: dict[str, Any]) -> None:
    assert plain(Example.FromString(examples.serialise(features))) == features


@given(st.binary(max_size=60))
@example(b"\x0a\x04\x0a\x02\x12\x00")
@example(b"\x0b")
def test_parser_agrees_with_protobuf_on_any_bytes(data: bytes) -> None:
    """Bytes that are a message to both have the same features; those that are none are refused, and nothing else happens."""
    try:
        found = examples.parse(data)
    except examples.MalformedError:
        return
    try:
        expected = plain(Example.FromString(data))
    except Exception:  # protobuf also checks parts that no feature needs
        return
    assert found == expected


def test_reads_numbers_that_are_not_packed() -> None:
    value = b"\x08\x05\x08\x07"  # field 1 as a varint, twice
    feature = b"\x1a" + bytes([len(value)]) + value
    entry = b"\x0a\x01c\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    assert examples.parse(b"\x0a" + bytes([len(features)]) + features) == {"c": [5, 7]}


# --- the source


def test_reads_labelled_photos_with_their_splits(competition: Path, tmp_path: Path) -> None:
    found = tfrecords.fetch(config(competition), tmp_path / "out")
    assert [(one.path, one.label, one.attributes["split"]) for one in found[:2]] == [
        ("train/daisy/p0000.jpg", "daisy", "train"),
        ("train/daisy/p0003.jpg", "daisy", "train"),
    ]
    assert Counter(one.attributes["split"] for one in found) == {"train": 6, "test": 3}
    assert found[0].read(tmp_path / "out") == jpeg(0)
    assert not list((tmp_path / "out").rglob("p0009*"))


def test_validation_can_remain_validation(competition: Path, tmp_path: Path) -> None:
    found = tfrecords.fetch(config(competition, validation="val"), tmp_path / "out")
    assert Counter(one.attributes["split"] for one in found) == {"train": 6, "val": 3}


def test_import_copies_only_the_chosen_size(competition: Path, tmp_path: Path) -> None:
    fill(competition, 224)
    (competition / "sample_submission.csv").write_text("id,label\n")
    import_data(competition, tmp_path / "data/petals", tfrecords, size=224, counts={"train": 6})
    names = sorted(path.relative_to(tmp_path / "data/petals").as_posix() for path in (tmp_path / "data/petals").rglob("*.*"))
    assert names == [
        "sample_submission.csv",
        "test/00-224x224-2.tfrec",
        "train/00-224x224-3.tfrec",
        "train/01-224x224-3.tfrec",
        "val/00-224x224-3.tfrec",
    ]
    assert len(tfrecords.fetch(config(tmp_path / "data/petals", size=224), tmp_path / "out")) == 9


def test_import_takes_the_zip_of_the_competition(competition: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "tpu-getting-started"), "zip", competition)
    assert import_data(Path(archive), tmp_path / "data/petals", tfrecords, size=192)["files"] == 4


def test_import_refuses_a_damaged_shard(competition: Path, tmp_path: Path) -> None:
    file = competition / "tfrecords-jpeg-192x192/test/00-192x192-2.tfrec"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(BitBloomError, match=r"00-192x192-2.tfrec: it ends in record 1 at byte"):
        import_data(competition, tmp_path / "data/petals", tfrecords, size=192)
    assert not (tmp_path / "data/petals").exists()


def remove(name: str) -> Callable[[Path], object]:
    return lambda root: (root / name).unlink()


def copy(name: str, to: str) -> Callable[[Path], object]:
    def change(root: Path) -> None:
        (root / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, root / to)

    return change


FIRST, SECOND = "train/00-192x192-3.tfrec", "train/01-192x192-3.tfrec"
FOLDERS: list[tuple[str, Callable[[Path], object], str]] = [
    ("missing shard", remove(FIRST), "1 shards of train are missing, the first are 00"),
    ("missing last shard", remove(SECOND), r"train have 3 records by their names, and 6 are expected \(source.counts\)"),
    ("duplicate number", copy(FIRST, "train/00-192x192-4.tfrec"), "shard 00 of train is there twice"),
    ("duplicate in a second folder", copy(FIRST, "copy/train/00-192x192-3.tfrec"), "shard 00 of train is there twice"),
    ("copy by a browser", copy(FIRST, "train/00-192x192-3 (1).tfrec"), r"00-192x192-3 \(1\).tfrec has not the name of a whole"),
    ("partial download", copy(FIRST, "train/02-192x192-3.tfrec.part"), "finish the download, or remove the file"),
    ("partial download of a browser", copy(FIRST, "train/Unconfirmed 12.crdownload"), "finish the download"),
    ("mixed sizes", copy(FIRST, "train/02-224x224-3.tfrec"), r"mixes sizes \(192, 224"),
    ("size of another folder", copy(FIRST, "../tfrecords-jpeg-331x331/train/00-192x192-3.tfrec"), "mixes sizes"),
    ("not square", copy(FIRST, "train/02-192x224-3.tfrec"), "has not the name of a whole shard"),
    ("shard outside the splits", copy(FIRST, "02-192x192-3.tfrec"), "in none of the folders train, val and test"),
    ("no validation", remove("val/00-192x192-3.tfrec"), "no shards of size 192 in a folder val: is the download complete"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in FOLDERS], ids=[case[0] for case in FOLDERS])
def test_refuses_folder(competition: Path, tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    change(competition / "tfrecords-jpeg-192x192")
    with pytest.raises(BitBloomError, match=message):
        tfrecords.fetch(config(competition, counts={"train": 6, "val": 3, "test": 2}), tmp_path / "out")


def test_refuses_unlabelled_folder(competition: Path, tmp_path: Path) -> None:
    for split in shards.LABELLED:
        shutil.rmtree(competition / "tfrecords-jpeg-192x192" / split)
    with pytest.raises(BitBloomError, match="it holds only unlabelled shards"):
        tfrecords.fetch(config(competition), tmp_path / "out")


def test_refuses_other_size(competition: Path, tmp_path: Path) -> None:
    with pytest.raises(BitBloomError, match=r"shards of size 192, and source.size is 512: use SET=source.size=192"):
        tfrecords.fetch(config(competition, size=512), tmp_path / "out")


def test_refuses_folder_without_shards(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(BitBloomError, match="there are no TFRecord shards"):
        tfrecords.fetch(config(tmp_path / "photos"), tmp_path / "out")


def test_refuses_copy_of_a_shard_under_another_number(competition: Path, tmp_path: Path) -> None:
    copy(FIRST, "train/02-192x192-3.tfrec")(competition / "tfrecords-jpeg-192x192")
    with pytest.raises(BitBloomError, match=r"02-192x192-3.tfrec: the id p0000 is in .*00-192x192-3.tfrec too"):
        tfrecords.fetch(config(competition), tmp_path / "out")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([], "two or more"),
        (["a", "a"], "two or more"),
        (["a", "b/c"], "'b/c'"),
        (["a", "b "], "'b '"),
        (["Rose", "rose"], "case"),
    ],
)
def test_refuses_classes(competition: Path, tmp_path: Path, classes: list[str], message: str) -> None:
    with pytest.raises(BitBloomError, match=message):
        tfrecords.fetch(tfrecords.Config(path=str(competition), classes=classes), tmp_path / "out")


# --- damage


def cuts(file: Path) -> Iterator[int]:
    """A length of each kind: inside and at the end of every part of each record, also 0."""
    for offset, record in zip(offsets(file), framing.records(file), strict=True):
        end = offset + framing.HEAD + len(record.data)
        yield from (
            offset,
            offset + 1,
            offset + 7,
            offset + 8,
            offset + 11,
            offset + 12,
            offset + 13,
            end - 1,
            end,
            end + 1,
            end + 3,
        )


def test_truncation_anywhere_is_an_error(shard: Path) -> None:
    whole = shard.read_bytes()
    for length in list(cuts(shard)):
        shard.write_bytes(whole[:length])
        with pytest.raises(BitBloomError, match=r"it ends in|it has \d records, and 3 by its name"):
            read(shard)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bit_is_an_error(shard: Path, data: st.DataObject) -> None:
    """One flipped bit anywhere: a CRC-32C detects it, whether in a length, a photo or the CRC itself."""
    whole = bytearray((shard.parent / "whole").read_bytes() if (shard.parent / "whole").exists() else shard.read_bytes())
    (shard.parent / "whole").write_bytes(whole)
    bit = data.draw(st.integers(0, 8 * len(whole) - 1))
    whole[bit // 8] ^= 1 << bit % 8
    shard.write_bytes(whole)
    with pytest.raises(BitBloomError, match="damaged"):
        read(shard)


@pytest.mark.parametrize("record", [0, 1, 2])
def test_damaged_header_loses_no_sample_silently(shard: Path, record: int) -> None:
    data = bytearray(shard.read_bytes())
    at = offsets(shard)[record]
    data[at : at + 8] = struct.pack("<Q", len(data))
    shard.write_bytes(data)
    with pytest.raises(
        BitBloomError, match=rf"the header of record {record} at byte {at:,} is damaged .*records after it are lost"
    ):
        read(shard)


def test_long_record_is_refused_before_it_is_read(shard: Path) -> None:
    length = struct.pack("<Q", 1 << 40)
    shard.write_bytes(length + framing.CRC.pack(framing.masked_crc(length)) + b"x")
    with pytest.raises(BitBloomError, match="more than the limit"):
        read(shard)


def test_empty_shard_is_an_error(shard: Path) -> None:
    shard.write_bytes(b"")
    with pytest.raises(BitBloomError, match="it has 0 records, and 3 by its name"):
        read(shard)


def test_more_records_than_the_name_says_are_an_error(shard: Path) -> None:
    shard.write_bytes(2 * shard.read_bytes())
    with pytest.raises(BitBloomError, match="it has 6 records, and 3 by its name"):
        read(shard)


def test_missing_label_is_an_error(tmp_path: Path) -> None:
    file = write_features(tmp_path / "train/00-192x192-1.tfrec", {"image": [jpeg()], "id": [b"a"]})
    with pytest.raises(BitBloomError, match="record 0 at byte 0: it has 0 values of 'class', and needs one"):
        read(file)


@pytest.mark.parametrize("label", [-1, len(CLASSES), 1 << 40])
def test_label_out_of_range_is_an_error(tmp_path: Path, label: int) -> None:
    file = write_features(tmp_path / "val/00-192x192-1.tfrec", {"image": [jpeg()], "id": [b"a"], "class": [label]})
    with pytest.raises(BitBloomError, match=f"the class is {label}; it has to be a number from 0 to 2"):
        read(file)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"image": [b"x"], "id": [b"a"], "class": [b"1"]}, "the class is b'1'"),
        ({"image": [7], "id": [b"a"], "class": [1]}, "have to be bytes"),
        ({"image": [b""], "id": [b"a"], "class": [1]}, "the photo not empty"),
        ({"image": [b"x"], "id": [b"../a"], "class": [1]}, "is not made of letters"),
        ({"image": [b"x"], "class": [1]}, "0 values of 'id'"),
        ({"image": [b"x", b"y"], "id": [b"a"], "class": [1]}, "2 values of 'image'"),
    ],
)
def test_refuses_features(tmp_path: Path, features: dict[str, Any], message: str) -> None:
    file = write_features(tmp_path / "train/00-192x192-1.tfrec", features)
    with pytest.raises(BitBloomError, match=message):
        read(file)


def test_refuses_record_that_is_not_an_example(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    file = tmp_path / "train/00-192x192-1.tfrec"
    file.write_bytes(framing.frame(b"\x0a\x05ab"))
    with pytest.raises(BitBloomError, match=r"record 0 at byte 0 is not a tf.train.Example \(field 1 has 3 bytes too few\)"):
        read(file)


def test_extra_feature_is_left_out_and_reported(competition: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    features = {"image": [jpeg()], "id": [b"new"], "class": [1], "camera": [b"x"]}
    write_features(competition / "tfrecords-jpeg-192x192/train/02-192x192-1.tfrec", features)
    assert len(tfrecords.fetch(config(competition), tmp_path / "out")) == 10
    assert "left out features that are not in the schema: camera (1 records)" in capsys.readouterr().err


# --- the targets


def competition_target() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "conf/petals-104.yaml").read_text(encoding="utf-8"))
    return found


def test_competition_has_its_classes_in_label_order() -> None:
    target = competition_target()
    classes, counts = target["source"]["classes"], target["source"]["counts"]
    assert (len(classes), classes[0], classes[103]) == (104, "pink primrose", "wild rose")
    assert target["gate"]["labels"] == classes
    assert target["gate"]["rows"] == 2 * [counts["train"] + counts["val"]]


@pytest.mark.realdata
@pytest.mark.skipif(not FACTS.is_file(), reason="petals_104_classes.json is not in BITBLOOM_REAL_DATA")
def test_competition_agrees_with_its_facts() -> None:
    facts, source = json.loads(FACTS.read_text()), competition_target()["source"]
    assert source["classes"] == [name.strip() for name in facts["class_names"]]
    assert source["counts"] == facts["counts"]


DRAWN = garden_tfrecords.Config(images=48, unlabelled=3, size=32)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("drawn")
    garden_tfrecords.write(DRAWN, folder)
    return folder


def test_drawn_shards_have_the_schema(drawn: Path) -> None:
    found = shards.find(drawn, 32, {"train": 36, "val": 12, "test": 3})
    names = {
        split: {name for shard in ones for record in framing.records(shard.file) for name in examples.parse(record.data)}
        for split, ones in found.items()
    }
    assert names == {"train": {"id", "image", "class"}, "val": {"id", "image", "class"}, "test": {"id", "image"}}


def test_drawn_source_keeps_unlabelled_shards_outside_the_manifest(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garden_tfrecords, "write", lambda _, folder, workers: shutil.copytree(drawn, folder, dirs_exist_ok=True))
    found = garden_tfrecords.fetch(DRAWN, tmp_path)
    assert Counter(one.attributes["split"] for one in found) == {"train": 36, "test": 12}
    assert [shard.count for shard in shards.unlabelled(tmp_path / "test")] == [2, 1]
    assert {path.name for path in tmp_path.iterdir()} == {"train", "val", "test"}


# --- real photos


@pytest.fixture(scope="module")
def flowers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of 160 of Oxford's photos in the exact schema, two of train, one of val, one of test."""
    root, found = tmp_path_factory.mktemp("flowers"), []
    with tarfile.open(FLOWERS) as archive:
        for member in archive:
            if member.isfile() and member.name.endswith(".jpg") and len(found) < 160:
                stream = archive.extractfile(member)
                assert stream, "a file"
                parts = member.name.split("/")
                found.append(Photo(parts[-1].removesuffix(".jpg"), stream.read(), int(parts[-2])))
    shards.write(root / "train", 0, 64, found[:60])
    shards.write(root / "train", 1, 64, found[60:120])
    shards.write(root / "val", 0, 64, found[120:150])
    shards.write(root / "test", 0, 64, [Photo(one.id, one.jpeg, None) for one in found[150:]])
    return root


real = pytest.mark.skipif(not FLOWERS.is_file(), reason="flowers102_64px.tar is not in BITBLOOM_REAL_DATA")


def flowers_config(folder: Path) -> tfrecords.Config:
    return tfrecords.Config(path=str(folder), size=64, classes=[f"kind {number}" for number in range(104)])


@pytest.mark.realdata
@real
def test_real_photos_return_unchanged(flowers: Path, tmp_path: Path) -> None:
    found = tfrecords.fetch(flowers_config(flowers), tmp_path)
    with tarfile.open(FLOWERS) as archive:
        originals = {Path(member.name).stem: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    assert len(found) == 150
    assert all(one.read(tmp_path) == originals[Path(one.path).stem] for one in found)


@pytest.mark.realdata
@real
@pytest.mark.parametrize("damage", ["cut", "cut between records", "flip", "empty", "gone", "copy", "header"])
def test_damaged_real_shard_is_an_error(flowers: Path, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "shards"
    shutil.copytree(flowers, folder)
    file = folder / "train/00-64x64-60.tfrec"
    data, last = bytearray(file.read_bytes()), offsets(file)[-1]
    data[len(data) // 2] ^= 0x10
    changed = {"cut": data[: len(data) // 3], "cut between records": file.read_bytes()[:last], "flip": data, "empty": b""}
    if damage in changed:
        file.write_bytes(changed[damage])
    elif damage == "header":
        data = bytearray(file.read_bytes())
        data[last] ^= 1
        file.write_bytes(data)
    elif damage == "gone":
        file.unlink()
    else:
        shutil.copyfile(file, folder / "train/02-64x64-60.tfrec")
    with pytest.raises(BitBloomError, match=r"\.tfrec: |are missing"):
        tfrecords.fetch(flowers_config(folder), tmp_path / "out")
