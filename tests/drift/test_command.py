"""`bitbloom drift` from end to end: an exported model, a folder of photos, a log with feedback."""

from __future__ import annotations

import contextlib
import json
from datetime import UTC, datetime, timedelta

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

from bitbloom import tasks
from bitbloom.config.sections.export import Export
from bitbloom.config.target import Target
from bitbloom.core.digests import file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.drift.observations import IMAGE, TEXT, Observations
from bitbloom.export import graphs
from bitbloom.monitoring.drift import command, inputs
from bitbloom.serving.predictor import Predictor
from bitbloom.stages import export
from bitbloom.tasks.petals import export as petals
from bitbloom.training import inference
from support import tiny

TARGET = Target("petals", {"task": "petals", "export": Export(calibration_samples=16, int8_cost=1.0)})


SAMPLE = Observations.of(IMAGE, {"detail": [1.0] * 4}, np.ones((4, 3)), label=["fern"] * 4, confidence=np.ones(4, np.float32))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """Return a workspace with an exported model and its reference."""
    folder = tiny.write_trained(tmp_path_factory.mktemp("drift"))
    with contextlib.chdir(folder):
        export.run(TARGET)
    return folder


def write_photos(folder, change=lambda pixels: pixels):
    """Write photos like those of `tiny`, in folders of their classes."""
    data = tiny.dataset(side=tiny.STORED)
    for name, pixels in zip(data.samples["id"], data.arrays["images"], strict=True):
        file = (folder / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(change(pixels.transpose(1, 2, 0))).save(file)
    return folder


def run(workspace, tmp_path, **options):
    given = {"log": "", "data": None, "most": 1000} | options
    return command.run("petals", given["log"], given["data"], tmp_path / "out", given["most"], workspace)


def test_dark_photos_are_drift_with_pictures_and_realised_accuracy(workspace, tmp_path):
    found = run(workspace, tmp_path, data=write_photos(tmp_path / "photos", lambda pixels: pixels // 3))
    assert found.comparison.drifted
    assert "brightness" in found.comparison.changed
    assert any("brightness (mean luma, 0 to 1) is lower" in line for line in found.lines)
    page = found.html.read_text()
    assert page.count("data:image/jpeg") >= 8 * 2
    assert "http" not in page
    assert json.loads(found.json.read_text())["accuracy"]["labelled"] == 144


def test_equal_inputs_give_equal_page_and_json(workspace, tmp_path):
    photos = write_photos(tmp_path / "photos")
    (tmp_path / "photos" / "notes.txt").write_text("no photo")
    (tmp_path / "photos" / "fern" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    first = run(workspace, tmp_path, data=photos)
    before = first.html.read_bytes(), first.json.read_bytes()
    again = run(workspace, tmp_path, data=photos)
    assert (again.html.read_bytes(), again.json.read_bytes()) == before
    assert again.unread == 1


def write_log(folder, rows, digest, start=0):
    """Write a part of a log as the service does, an hour later for each `start`."""
    times = [datetime(2026, 1, 1, start, tzinfo=UTC) + timedelta(seconds=number) for number in range(len(rows))]
    columns = {"label": list(rows.labels), "confidence": rows.confidence, "model_digest": [digest] * len(rows)}
    names = [f"{start}-{number}" for number in range(len(rows))]
    part = Observations.of("image", rows.features, np.array(rows.embeddings), time=times, id=names, **columns)
    part.write(folder / "log" / "date=2026-01-01" / f"{start}.parquet")


def test_log_has_rows_of_latest_model_and_true_labels(workspace, tmp_path):
    reference = Observations.read([workspace / "models/petals/reference.parquet"])
    known = reference.select(np.resize(np.flatnonzero(reference.embedded), 80))
    write_log(tmp_path, known, "old", 0)
    write_log(tmp_path, known, "new", 1)
    feedback = pa.table({"time": [datetime(2026, 1, 2, tzinfo=UTC)] * 2, "id": ["1-0", "1-79"], "label": ["fern", "sky"]})
    (tmp_path / "feedback" / "date=2026-01-02").mkdir(parents=True)
    pq.write_table(feedback, tmp_path / "feedback" / "date=2026-01-02" / "1.parquet")
    rows = inputs.of_log(str(tmp_path), 1000, IMAGE)
    assert len(rows) == 80
    assert [label for label in rows.truth if label is not None] == ["fern", "sky"]
    assert len(inputs.of_log(str(tmp_path), 60, IMAGE)) == 60
    found = run(workspace, tmp_path, log=str(tmp_path))
    assert found.comparison.accuracy.labelled == 2
    assert "of another model" in found.lines[-1]
    write_log(tmp_path, known, file_digest(workspace / "models/petals/model.int8.onnx"), 2)
    assert "another model" not in " ".join(run(workspace, tmp_path, log=str(tmp_path)).lines)


def test_log_is_read_from_its_end_and_only_as_far_as_needed(tmp_path):
    for hour in range(3):
        write_log(tmp_path, SAMPLE, "new", hour)
    (tmp_path / "log/date=2026-01-01/0.parquet").write_bytes(b"an old part that is not needed")
    assert list(inputs.of_log(str(tmp_path), 8, IMAGE).ids) == [f"{hour}-{number}" for hour in (1, 2) for number in range(4)]
    with pytest.raises(BitBloomError, match=r"0\.parquet cannot be read"):
        inputs.of_log(str(tmp_path), 9, IMAGE)


def test_log_of_a_captioning_model_has_photos_and_sentences(tmp_path):
    write_log(tmp_path, SAMPLE, "new")
    known = {"time": [datetime(2026, 1, 2, tzinfo=UTC)], "model_digest": ["new"]}
    words = Observations.of("text", {"words": [2.0]}, np.ones((1, 3)), id=["search"], **known)
    words.write(tmp_path / "log" / "date=2026-01-02" / "1.parquet")
    assert inputs.of_log(str(tmp_path), 100, IMAGE).kind == IMAGE
    assert list(inputs.of_log(str(tmp_path), 100, TEXT).ids) == ["search"]


def test_rejects_an_address_that_is_none(workspace, tmp_path):
    with pytest.raises(BitBloomError, match="cannot be read"):
        run(workspace, tmp_path, log="nothing://bucket/log")


def test_rejects_folder_without_log(workspace, tmp_path):
    with pytest.raises(BitBloomError, match="has no prediction log"):
        run(workspace, tmp_path, log=str(tmp_path))


@pytest.mark.parametrize("folder", ["nowhere", "empty"])
def test_rejects_folder_without_photos(workspace, tmp_path, folder):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BitBloomError, match=r"is missing|no photo that can be read"):
        run(workspace, tmp_path, data=tmp_path / folder)


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
def test_embedding_is_the_float_input_of_the_head(workspace, name):
    with contextlib.chdir(workspace):
        trained = inference.load(TARGET, tasks.model("petals"))
        graph = petals.graph(trained)
    images = np.array(trained.dataset.arrays["images"][:8])
    found = graphs.by_onnx(workspace / "models/petals" / name, {"images": images})["embedding"]
    hidden = graphs.by_torch(graph, {"images": images})
    head = trained.network.get_submodule("model.classifier")
    with torch.no_grad():
        logits = graph.module.calibrated(head(torch.tensor(hidden["embedding"])))
    assert torch.allclose(logits, torch.tensor(hidden["probabilities"]), atol=1e-6)
    assert np.abs(found - hidden["embedding"]).max() < (1e-4 if name == "model.onnx" else 0.5)
    producers = {node.output[0]: node.op_type for node in onnx.load(workspace / "models/petals" / name).graph.node}
    assert producers["embedding"] != "DequantizeLinear"


def test_observing_changes_no_prediction(workspace):
    predictor = Predictor.open(workspace / "models/petals")
    image = tiny.dataset(side=tiny.STORED).arrays["images"][3]
    prediction, embedding = predictor.observe(image)
    assert prediction == predictor.classify(image)
    assert embedding.shape == (tiny.MODEL.hidden_size,)


def test_reference_describes_train_and_val_and_knows_outputs_of_val_only(workspace):
    reference = Observations.read([workspace / "models/petals/reference.parquet"])
    assert set(reference.split) == {"train", "val"}
    assert (reference.embedded == (reference.split == "val")).all()
    assert [label is not None for label in reference.labels] == list(reference.split == "val")
    assert set(reference.features["bytes"]) == {1000}
