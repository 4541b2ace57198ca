"""Preprocessing and the exported graphs: equal to the network, independent of the machine, and reproducible."""

from __future__ import annotations

import contextlib
import json
import re

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from bitbloom import tasks
from bitbloom.config.sections.export import Export
from bitbloom.config.target import Target
from bitbloom.contracts import Parity
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.export import classification, graphs
from bitbloom.models.preprocess import Preprocess, scale
from bitbloom.stages import export
from bitbloom.tasks.petals import export as petals
from bitbloom.training import inference
from support import tiny

TARGET = Target("petals", {"task": "petals", "export": Export(calibration_samples=16, int8_cost=0.3)})
MACHINE = re.compile(rb"/(home|root|tmp|usr|work|opt)/|site-packages|\.py\b|Traceback|File \"")


def six(low, high):
    """Draw lists of six float32."""
    return st.lists(st.floats(low, high, width=32), min_size=6, max_size=6)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a workspace after the export stage."""
    folder = tiny.write_trained(tmp_path_factory.mktemp("exported"))
    with contextlib.chdir(folder):
        export.run(TARGET)
    return folder


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(7).integers(0, 256, (33, 3, tiny.STORED, tiny.STORED), dtype=np.uint8)


@pytest.fixture(scope="module")
def by_torch(exported, images):
    with contextlib.chdir(exported):
        graph = petals.graph(inference.load(TARGET, tasks.model(TARGET.task)))
    return graphs.by_torch(graph, {"images": images})["probabilities"]


def by_onnx(path, images):
    return graphs.by_onnx(path, {"images": images})["probabilities"]


def test_scales_pixels_to_unit_interval():
    scaled = scale(torch.tensor([[0, 51, 255]], dtype=torch.uint8))
    assert scaled.dtype == torch.float32
    assert scaled.tolist() == [[0.0, pytest.approx(0.2), 1.0]]


def test_resizes_and_normalises_each_channel():
    images = torch.tensor([0, 128, 255], dtype=torch.uint8).reshape(1, 3, 1, 1).expand(2, 3, 30, 30)
    pixels = Preprocess(15, [0.5, 0.4, 0.3], [0.5, 0.25, 0.1])(images)
    assert pixels.shape == (2, 3, 15, 15)
    for channel, value in enumerate([-1.0, (128 / 255 - 0.4) / 0.25, 7.0]):
        assert torch.allclose(pixels[:, channel], torch.tensor(value), atol=1e-4)


def test_downscaling_smooths():
    stripes = torch.zeros(1, 3, 32, 32)
    stripes[..., ::2] = 1
    assert torch.allclose(Preprocess(8, [0] * 3, [1] * 3).resize(stripes)[..., 1:-1], torch.tensor(0.5), atol=0.1)


def test_does_not_resample_image_of_right_size():
    pixels = torch.rand(1, 3, 16, 16)
    assert Preprocess(16, [0] * 3, [1] * 3).resize(pixels) is pixels


def test_graph_equals_network_for_random_pixels(exported, images, by_torch):
    found = by_onnx(exported / "models/petals/model.onnx", images)
    assert np.abs(found - by_torch).max() < 1e-5
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
@pytest.mark.parametrize("count", [1, 2, 7, 32])
def test_outputs_do_not_depend_on_batch_size(exported, images, name, count):
    path = exported / "models/petals" / name
    several, all_of_them = by_onnx(path, images[:count]), by_onnx(path, images)
    assert np.allclose(several, all_of_them[:count], atol=1e-6)


def test_int8_graph_is_smaller_and_close(exported, images, by_torch):
    folder = exported / "models/petals"
    found = by_onnx(folder / "model.int8.onnx", images)
    assert 0 < np.abs(found - by_torch).mean() < 0.05
    assert (found.argmax(1) == by_torch.argmax(1)).mean() > 0.8
    weights = {name: _bytes_of_matrices(folder / name) for name in ("model.onnx", "model.int8.onnx")}
    assert weights["model.int8.onnx"] < weights["model.onnx"] / 3


def _bytes_of_matrices(path):
    """Return the size of the large constants of a graph."""
    arrays = (onnx.numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer)
    return sum(array.nbytes for array in arrays if array.size >= 1024)


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
def test_graph_has_classes_size_and_task(exported, name):
    graph = onnx.load(exported / "models/petals" / name)
    properties = {item.key: item.value for item in graph.metadata_props}
    assert json.loads(properties["classes"]) == tiny.CLASSES
    assert (properties["image_size"], properties["task"]) == (str(tiny.STORED), "petals")
    assert [value.name for value in graph.graph.input] == ["images"]
    assert [value.name for value in graph.graph.output] == ["probabilities", "attention", "embedding"]
    onnx.checker.check_model(graph)


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
def test_graphs_contain_no_paths_of_the_machine(exported, name):
    data = (exported / "models/petals" / name).read_bytes()
    assert MACHINE.search(data) is None
    assert str(exported).encode() not in data


def test_export_is_reproducible_in_another_folder(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny.write_trained(tmp_path / "a longer name" / "and depth"))
    export.run(TARGET)
    for name in ("model.onnx", "model.int8.onnx", "parity.json", "reference.parquet", "familiar.npy"):
        assert (exported / "models/petals" / name).read_bytes() == (TARGET.models / name).read_bytes()


def test_verdict_has_counts_and_run_has_measurements(exported):
    parity = canonical.read_json(exported / "models/petals/parity.json")
    test_samples = len(tiny.dataset().split("test"))
    assert parity["samples"] == parity["labels_equal"] == test_samples
    assert parity["within_tolerance"] is True
    measured = canonical.read_json(exported / "reports/petals/run.json")["export"]
    assert measured["int8"]["within_bound"] == (measured["int8"]["accuracy_cost"] <= 0.3)
    assert 0 <= measured["largest_difference"] < 1e-4


@given(six(0, 1), six(-(2**-14), 2**-14))
def test_labels_are_equal_within_tolerance(values, errors):
    expected = np.array(values, np.float32).reshape(2, 3)
    found = expected + np.array(errors, np.float32).reshape(2, 3)
    assert classification.equal_labels(expected, found, 1e-4) == 2


def test_different_label_counts_if_network_is_confident():
    expected = np.array([[0.6, 0.4], [0.5, 0.5]], np.float32)
    assert classification.equal_labels(expected, expected[:, ::-1], 1e-4) == 1


@pytest.mark.parametrize("broken", [{"labels_equal": 9}, {"within_tolerance": False}])
def test_rejects_graph_that_differs_from_network(tmp_path, monkeypatch, broken):
    monkeypatch.chdir(tiny.write_trained(tmp_path))
    verdict = {"samples": 10, "labels_equal": 10, "within_tolerance": True, "tolerance": 1e-4} | broken
    found = Parity(verdict, {}, classification.describe_difference(verdict))
    monkeypatch.setattr(petals, "export", lambda *_: found)
    with pytest.raises(BitBloomError, match=r"models/petals differs from the network"):
        export.run(TARGET)
    assert canonical.read_json(TARGET.models / "parity.json") == verdict


def test_rejects_weights_of_other_code(exported, tmp_path, monkeypatch):
    monkeypatch.chdir(tiny.write_trained(tmp_path))
    save_file({"something": torch.zeros(1)}, "models/petals/model.safetensors")
    with pytest.raises(BitBloomError, match="run `make train TARGET=petals`"):
        export.run(TARGET)
