"""Canonical bytes: equal values give equal text, and writes are atomic."""

from __future__ import annotations

import json
import struct
import textwrap

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitbloom.core import canonical

scalars = st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False)
trees = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(st.text(), trees, min_size=2), st.randoms(use_true_random=False))
def test_json_does_not_depend_on_key_order(tree, dice):
    keys = list(tree)
    dice.shuffle(keys)
    assert canonical.json_text({key: tree[key] for key in keys}) == canonical.json_text(tree)


@given(trees)
def test_json_round_trip_keeps_the_text(tree):
    for write in (canonical.json_text, canonical.json_line):
        text = write(tree)
        assert write(json.loads(text)) == text
        assert text.endswith("\n")


@given(trees)
def test_json_line_has_no_line_break(tree):
    assert canonical.json_line(tree).count("\n") == 1


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_nine_digits_keep_every_float32(value):
    written = json.loads(canonical.json_text(value))
    assert struct.pack("f", written) == struct.pack("f", value)


def test_rounds_last_bits_of_a_double():
    assert canonical.json_text(0.1 + 0.2) == canonical.json_text(0.3) == "0.3\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [-float("inf")], {"a": np.float32("nan")}])
def test_rejects_non_finite_numbers(value):
    with pytest.raises(ValueError, match="JSON"):
        canonical.json_text(value)


def test_converts_numpy_values_tuples_and_keys():
    value = {1: np.float32(0.5), "b": (np.int64(2), np.array([[1.0, 2.0]]))}
    assert canonical.json_line(value) == '{"1": 0.5, "b": [2, [[1.0, 2.0]]]}\n'


def test_writes_text_unescaped():
    text = canonical.json_text({"name": "Löwenzahn 🌼"})
    assert text == textwrap.dedent("""\
        {
         "name": "Löwenzahn 🌼"
        }
        """)


def test_writes_whole_file_with_its_folders_and_mode(tmp_path):
    path = tmp_path / "a" / "b" / "file.json"
    canonical.write_json(path, {"x": 1})
    assert canonical.read_json(path) == {"x": 1}
    assert path.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in path.parent.iterdir()] == ["file.json"]


def test_failed_write_keeps_the_old_file(tmp_path):
    canonical.write_text(tmp_path / "file", "old")
    with pytest.raises(RuntimeError), canonical.replacing(tmp_path / "file") as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError
    assert (tmp_path / "file").read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_replaces_whole_folder(tmp_path):
    for name in ("old", "new"):
        with canonical.replacing_folder(tmp_path / "folder") as temporary:
            (temporary / name).write_text(name)
            assert name not in {item.name for item in (tmp_path / "folder").glob("*")}
    assert [item.name for item in (tmp_path / "folder").iterdir()] == ["new"]
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]


def test_failed_folder_write_keeps_the_old_folder(tmp_path):
    with canonical.replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "old").write_text("old")
    with pytest.raises(RuntimeError), canonical.replacing_folder(tmp_path / "folder") as temporary:
        (temporary / "new").write_text("half")
        raise RuntimeError
    assert [item.name for item in (tmp_path / "folder").iterdir()] == ["old"]
    assert [item.name for item in tmp_path.iterdir()] == ["folder"]
