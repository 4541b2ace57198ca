"""Event files for TensorBoard, read back by protobuf's own parser and by a checksum written from its definition."""

from __future__ import annotations

import struct
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import given, settings
from hypothesis import strategies as st

from bitbloom import cli
from bitbloom.experiments.runs import find, tensorboard
from support import runs as support
from support.runs import NAME

TYPES = {"double": 1, "float": 2, "int64": 3, "string": 9, "message": 11}
POLYNOMIAL = 0x82F63B78
"""Of CRC-32C (Castagnoli), with the bits in reverse."""


def event_type():
    """The messages of TensorFlow's event.proto and summary.proto as far as scalars need them."""
    file = descriptor_pb2.FileDescriptorProto(name="event.proto", package="test")
    for name, fields in {
        "Value": [("tag", 1, "string", ""), ("simple_value", 2, "float", "")],
        "Summary": [("value", 1, "message", "Value")],
        "Event": [
            ("wall_time", 1, "double", ""),
            ("step", 2, "int64", ""),
            ("file_version", 3, "string", ""),
            ("summary", 5, "message", "Summary"),
        ],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, kind, inner in fields:
            repeated = 3 if field == "value" else 1
            added = message.field.add(name=field, number=number, type=TYPES[kind], label=repeated)
            if inner:
                added.type_name = f".test.{inner}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Event"))


Event = event_type()


def crc32c(data):
    """The checksum, bit by bit."""
    found = 0xFFFFFFFF
    for byte in data:
        found ^= byte
        for _ in range(8):
            found = found >> 1 ^ (POLYNOMIAL if found & 1 else 0)
    return found ^ 0xFFFFFFFF


def masked(data):
    found = crc32c(data)
    return struct.pack("<I", ((found >> 15 | found << 17) + 0xA282EAD8) % 2**32)


def read(content):
    """The events of a file, whose checksums hold."""
    found = []
    while content:
        length, (size,) = content[:8], struct.unpack("<Q", content[:8])
        data = content[12 : 12 + size]
        assert content[8:12] == masked(length)
        assert content[12 + size : 16 + size] == masked(data)
        found.append(Event.FromString(data))
        content = content[16 + size :]
    return found


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return support.write(tmp_path)


def test_checksum_of_the_standard():
    assert crc32c(b"123456789") == 0xE3069283


def test_exports_curves_and_test_metrics(checkout, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bitbloom", "runs", NAME, "--tensorboard", "events"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    [path] = (checkout / "events").rglob("*tfevents*")
    assert capsys.readouterr().out == f"{path.relative_to(checkout)}\n"
    first, *rows, last = read(path.read_bytes())
    assert first.file_version == "brain.Event:2"
    assert {event.wall_time for event in (first, *rows, last)} == {support.TIME}
    expected = [(row["epoch"], {name: row[name] for name in ("train_loss", "val_accuracy")}) for row in support.curves(3)]
    found = [(event.step, {each.tag: each.simple_value for each in event.summary.value}) for event in rows]
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert all(found[number][1] == pytest.approx(expected[number][1], rel=1e-6) for number in range(3))
    assert {each.tag for each in last.summary.value} == {"test/accuracy", "test/log_loss", "test/samples"}


def test_equal_runs_give_equal_bytes(checkout, tmp_path):
    runs = find.every().runs
    one, two = tensorboard.export(runs, tmp_path / "one"), tensorboard.export(runs, tmp_path / "two")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]


@settings(max_examples=40)
@given(
    st.floats(0, 2e9),
    st.integers(0, 2**63 - 1),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.floats(width=32, allow_nan=False)),
)
def test_event_is_what_protobuf_reads(time, step, scalars):
    [found] = read(tensorboard.record(tensorboard.event(time, step, scalars)))
    assert (found.wall_time, found.step) == (time, step)
    assert {each.tag: each.simple_value for each in found.summary.value} == scalars
