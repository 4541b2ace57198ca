"""Damage of photos and texts, measures of robustness, and the report of a target."""

from __future__ import annotations

import functools
import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from safetensors.torch import save_file

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.drift import familiar
from bitbloom.drift.familiar import Familiar
from bitbloom.evaluation import metrics
from bitbloom.models import classifier
from bitbloom.monitoring.robustness import behaviour, changes, command, measure, photos, sentences, strangers, unknown
from bitbloom.monitoring.robustness.behaviour_cases import DIRECTION, INVARIANCE, MINIMUM
from bitbloom.monitoring.robustness.record import Record
from bitbloom.monitoring.robustness.report import calibration_error, merged
from bitbloom.monitoring.robustness.subject import Subject, load
from bitbloom.serving.predictor import Predictor
from bitbloom.tasks import model as task_model
from bitbloom.training.inference import Trained
from support import standin, tiny, tiny_captions

NAMES, NOISES = st.sampled_from(list(photos.CORRUPTIONS)), st.sampled_from(list(sentences.NOISES))
SEEDS = st.integers(0, 2**64 - 1)
TEXT = "A sudden flood hit the old market, and everyone ran to the bridge at 9!"


def pictures(count: int, side: int = 32) -> np.ndarray:
    """Smooth photos with a bright disc: blur, noise and colour changes all show on them."""
    rows, columns = np.mgrid[:side, :side] / side
    made = []
    for number in range(count):
        disc = (rows - 0.5) ** 2 + (columns - 0.4 - 0.02 * number) ** 2 < 0.06
        made.append(np.stack([60 + 150 * disc, 90 + 40 * rows, 70 + 30 * columns * (1 + number % 3)]))
    return np.stack(made).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(NAMES, st.integers(0, 5), st.lists(SEEDS, min_size=2, max_size=3), st.sampled_from([20, 32, 33]))
def test_damage_of_photo_depends_on_its_seed_only(name, severity, seeds, side):
    images, seeds = pictures(len(seeds), side), np.array(seeds, dtype=np.uint64)
    together = photos.corrupt(images, name, severity, seeds)
    assert together.shape == images.shape
    assert together.dtype == np.uint8
    alone = [photos.corrupt(images[i : i + 1], name, severity, seeds[i : i + 1])[0] for i in reversed(range(len(seeds)))]
    assert np.array_equal(together, np.stack(alone[::-1]))
    assert np.array_equal(together, images) == (severity == 0)


@pytest.mark.parametrize("name", photos.CORRUPTIONS)
def test_stronger_damage_changes_photo_more(name):
    images, seeds = pictures(4, 64), np.arange(4, dtype=np.uint64)
    changed = [
        np.abs(photos.corrupt(images, name, severity, seeds).astype(int) - images).mean() for severity in (0, *photos.SEVERITIES)
    ]
    assert changed[0] == 0 < changed[1] < changed[3] < changed[5]


def test_fifteen_corruptions_are_those_of_the_paper():
    groups = [corruption.group for corruption in photos.CORRUPTIONS.values()]
    assert [groups.count(group) for group in ("noise", "blur", "weather", "digital")] == [3, 4, 4, 4]


@settings(max_examples=40, deadline=None)
@given(NOISES, st.integers(1, 5), SEEDS, st.text(max_size=60))
def test_noise_of_text_is_a_function_of_its_arguments(name, severity, seed, text):
    assert sentences.damage(text, name, 0, seed) == text
    once = sentences.damage(text, name, severity, seed)
    assert once == sentences.damage(text, name, severity, seed)
    assert bool(once.strip()) or not text.strip() or name == "punctuation" or name == "typos"


@pytest.mark.parametrize("name", sentences.NOISES)
def test_stronger_noise_changes_more_texts(name):
    def changed(severity: int) -> int:
        return sum(sentences.damage(TEXT, name, severity, seed) != TEXT for seed in range(40))

    assert 0 < changed(1) <= changed(3) <= changed(5)
    assert changed(5) >= 36


@pytest.mark.parametrize(("name", "severity"), [("hail", 1), ("fog", 6), ("fog", -1)])
def test_unknown_damage_is_a_clear_error(name, severity):
    with pytest.raises(BitBloomError, match="0 to 5 of"):
        photos.corrupt(pictures(1), name, severity, np.zeros(1, np.uint64))
    with pytest.raises(BitBloomError, match="0 to 5 of"):
        sentences.damage(TEXT, name, severity, 0)


def errors(*values: float) -> list[dict[str, object]]:
    """Rows of a model: without damage, then two severities of two damages."""
    names = ("none", "fog", "fog", "snow", "snow")
    return [{"damage": name, "error": value, "score": 1 - value} for name, value in zip(names, values, strict=True)]


def test_mean_corruption_error_is_that_of_the_paper():
    own, reference = errors(0.1, 0.2, 0.4, 0.3, 0.5), errors(0.2, 0.4, 0.8, 0.4, 0.6)
    assert measure.corruption_error(own, reference, relative=False) == pytest.approx((0.6 / 1.2 + 0.8 / 1.0) / 2)
    assert measure.corruption_error(own, reference, relative=True) == pytest.approx((0.4 / 0.8 + 0.6 / 0.6) / 2)
    assert measure.corruption_error(own, None, relative=False) == pytest.approx(0.35)
    assert measure.corruption_error(own, own, relative=False) == 1
    assert measure.corruption_error(own, errors(0, 0, 0, 0, 0), relative=False) is None


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=2, max_size=80), st.integers(1, 79))
def test_merged_bins_are_those_of_all_samples(pairs, cut):
    confidence, correct = np.array([value for value, _ in pairs]), np.array([hit for _, hit in pairs])
    cut = min(cut, len(pairs) - 1)
    halves = [metrics.calibration(confidence[part], correct[part], 10) for part in (slice(cut), slice(cut, None))]
    bins = [merged(together) for together in zip(*halves, strict=True)]
    assert calibration_error(bins) == pytest.approx(metrics.calibration_error(confidence, correct, 10))


@given(st.integers(0, 10_000))
def test_neighbour_distance_is_that_of_sorted_distances(seed):
    dice = np.random.default_rng(seed)
    queries, references = (
        rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (dice.normal(size=(4, 3)), dice.normal(size=(9, 3)))
    )
    direct = np.sort(np.linalg.norm(queries[:, None] - references, axis=2), axis=1)
    assert familiar.distances(queries, references, 5) == pytest.approx(direct[:, 4], abs=1e-7)


def test_threshold_accepts_95_percent_of_references():
    dice = np.random.default_rng(3)
    known = Familiar.of(familiar.chosen(dice.normal(size=(400, 6)) + 4))
    assert len(known.references) == familiar.REFERENCES
    own = familiar.distances(known.references, known.references, familiar.NEIGHBOURS + 1)
    assert (own <= known.threshold + 1e-6).mean() == pytest.approx(familiar.KNOWN)
    assert known.distance(np.full(6, 4.0)) < known.threshold < known.distance(np.full(6, -4.0))
    assert Familiar.of(known.references[: familiar.NEIGHBOURS]) is None


@given(arrays(np.float16, st.tuples(st.integers(0, 8), st.integers(1, 5)), elements=st.floats(-9, 9, width=16)))
def test_references_have_unit_length_or_none(embeddings):
    references = familiar.chosen(embeddings)
    assert len(references) == len(embeddings)
    lengths = np.linalg.norm(references.astype(np.float64), axis=1) if len(references) else np.zeros(0)
    assert lengths == pytest.approx(np.any(embeddings, axis=1).astype(float), abs=1e-6)


def test_many_embeddings_give_evenly_chosen_references():
    embeddings = np.stack([np.cos(np.arange(901) / 900), np.sin(np.arange(901) / 900)], axis=1)
    assert familiar.chosen(embeddings) == pytest.approx(
        embeddings[np.linspace(0, 900, familiar.REFERENCES).astype(int)], abs=1e-6
    )


def test_references_are_mapped_from_their_file(tmp_path):
    references = familiar.chosen(np.random.default_rng(1).normal(size=(20, 3)))
    familiar.write(tmp_path / familiar.FAMILIAR, references)
    found = Familiar.beside(tmp_path / "model.onnx").references
    assert np.array_equal(found, references)
    assert isinstance(found.base, np.memmap)


def test_empty_references_compare_with_no_input(tmp_path):
    familiar.write(tmp_path / familiar.FAMILIAR, familiar.chosen(None))
    assert Familiar.beside(tmp_path) is None


def npy(array: np.ndarray) -> bytes:
    """The bytes of an array's file."""
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content", [b"", b"words", npy(np.zeros(3, np.float32)), npy(np.zeros((2, 2))), npy(np.zeros((9, 9)))[:-8]]
)
def test_rejects_damaged_references(tmp_path, content):
    (tmp_path / familiar.FAMILIAR).write_bytes(content)
    with pytest.raises(BitBloomError, match=familiar.FAMILIAR):
        Familiar.beside(tmp_path)


def test_prediction_says_whether_photo_is_known(tmp_path):
    model = standin.write_model(tmp_path / "model.onnx")
    silent = Predictor.open(model).predict(standin.photo(standin.COLOURS["fern"]))
    assert "known" not in silent
    familiar.write(tmp_path / familiar.FAMILIAR, standin.greens(model))
    predictor = Predictor.open(model)
    known, unknown_photo = (predictor.predict(standin.photo(colour)) for colour in (standin.COLOURS["fern"], (250, 20, 250)))
    assert known["known"] is True
    assert unknown_photo["known"] is False
    assert known["distance"] < predictor.familiar.threshold < unknown_photo["distance"]
    assert {key: known[key] for key in silent} == silent


def test_synthetic_strangers_differ_and_repeat():
    drawn = [strangers.draw(number, 24) for number in range(24)]
    assert len({photo.tobytes() for photo in drawn}) == len(drawn)
    assert np.array_equal(strangers.draw(7, 24), drawn[7])


@given(st.integers(8, 40), st.integers(2, 4))
def test_exchanged_tiles_keep_pixels(side, tiles):
    images = pictures(1, side * tiles)
    mixed = changes.mixed_tiles(images, tiles)
    assert not np.array_equal(mixed, images)
    assert np.array_equal(np.sort(mixed, axis=None), np.sort(images, axis=None))


def write_workspace(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    """A workspace with the target `petals-tiny` and these weights."""
    tiny.write_workspace(folder)
    (folder / "models/petals-tiny").mkdir(parents=True)
    save_file(weights, folder / "models/petals-tiny/model.safetensors")
    meta = {"classes": tiny.CLASSES, "image_size": tiny.STORED}
    described = {"task": "petals", "model": vars(tiny.MODEL), "meta": meta, "data_digest": "0" * 64}
    canonical.write_json(folder / "models/petals-tiny/config.json", described)
    return folder


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """The current folder: a workspace with random weights."""
    write_workspace(tmp_path, classifier.build(tiny.MODEL, len(tiny.CLASSES)).state_dict())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_report_on_colours(tmp_path, monkeypatch):
    run = tiny.start(tiny.sections({"epochs": 8}))
    for step in range(run.steps):
        run.step(step)
    monkeypatch.chdir(write_workspace(tmp_path, run.finish()))
    photos_folder = tmp_path / "strangers"
    photos_folder.mkdir()
    for number in range(8):
        Image.fromarray(strangers.draw(number, 40).transpose(1, 2, 0)).save(photos_folder / f"{number}.png")
    (photos_folder / "notes.txt").write_text("no photo")
    request = command.Request("petals-tiny", ("petals-tiny",), photos_folder, samples=12)
    report = command.run(request)
    found = json.loads(Path("reports/petals-tiny/robustness.json").read_text())
    page = Path("reports/petals-tiny/robustness.html").read_text()
    assert len(found["models"][0]["rows"]) == 1 + 15 * 5
    assert report.own.summary["score"] == 1
    assert 0.7 < report.own.summary["damaged_score"] <= 1
    assert found["strangers_count"] == 8
    assert report.models[1].summary["mce"] in (None, 1)  # beside itself
    assert {row["type"] for row in report.behaviour} == {INVARIANCE, DIRECTION, MINIMUM}
    assert next(row for row in report.behaviour if row["name"] == "5 % more light keeps the label")["rate"] == 1
    assert page.count('src="data:image/webp') == 16
    assert "http://" not in page
    assert "https://" not in page
    command.run(request)
    assert Path("reports/petals-tiny/robustness.html").read_text() == page


def test_tables_of_the_docs_are_those_of_their_record(tmp_path):
    program = [sys.executable, tiny.REPOSITORY / "scripts/robustness.py", "--root", tmp_path]
    for name in ("docs/robustness.json", "docs/robustness.md", "digests/petals.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(tiny.REPOSITORY / name, tmp_path / name)
    check = functools.partial(subprocess.run, [*program, "--check"], capture_output=True, text=True, check=False)
    assert check().returncode == 0
    page = tmp_path / "docs/robustness.md"
    page.write_text(page.read_text().replace("| fog | 0.", "| fog | 1."))
    assert "its tables are not those of" in check().stderr
    subprocess.run(program, check=True)
    assert check().returncode == 0


def test_stopped_measurement_goes_on_with_equal_rows(workspace, monkeypatch):
    subjects = [load("petals-tiny", most=4), load("petals-tiny", label="beside", most=4)]
    monkeypatch.setattr(measure, "cells", lambda _: [("fog", 1), ("fog", 5), ("snow", 2)])
    whole = measure.rows(subjects, Record(workspace / "whole.json"))
    damage = measure.damaged

    def stopped(subject, name, severity):
        if name == "snow":
            raise KeyboardInterrupt
        return damage(subject, name, severity)

    monkeypatch.setattr(measure, "damaged", stopped)
    with pytest.raises(KeyboardInterrupt):
        measure.rows(subjects, Record.of(subjects))
    seen = []
    monkeypatch.setattr(measure, "damaged", lambda *cell: seen.append(cell[1:]) or damage(*cell))
    record = Record.of(subjects)
    assert measure.rows(subjects, record) == whole
    assert seen == [("snow", 2)]
    record.close()
    assert list(record.path.parent.iterdir()) == []


def test_other_samples_are_measured_again(workspace):
    assert Record.of([load("petals-tiny", most=4)]).path != Record.of([load("petals-tiny", most=5)]).path


def test_built_target_is_required(workspace):
    Path("models/petals-tiny/model.safetensors").unlink()
    with pytest.raises(BitBloomError, match="make train TARGET=petals-tiny"):
        load("petals-tiny")


def test_source_without_photos_is_a_clear_error(workspace):
    with pytest.raises(BitBloomError, match="has no photo"):
        Path("nothing").mkdir()
        strangers.of(load("petals-tiny"), Path("nothing"))


def test_benchmark_of_unknown_inputs_prints_a_row_and_checks_the_least(workspace, monkeypatch, capsys):
    import unknown as benchmark

    with tarfile.open("photos.tar", "w") as archive:
        for number in range(12):
            data = standin.photo((20 * number, 200 - 9 * number, 60))
            member = tarfile.TarInfo(f"images/{number}.jpg")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    words = ["unknown.py", "petals-tiny", "--photos", "photos.tar", "--least"]
    monkeypatch.setattr(sys, "argv", [*words, "0"])
    benchmark.main()
    assert "| `petals-tiny` | 12 photos | " in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", [*words, "1.1"])
    with pytest.raises(SystemExit, match=r"below 1\.1 for petals-tiny"):
        benchmark.main()


def test_captions_have_recall_and_cider(tmp_path):
    subject = captioned(tiny_captions.dataset())
    row = measure.row(subject, subject.test)
    assert row["score"] + row["error"] == pytest.approx(1)
    assert {"i2t_recall_at_1", "t2i_recall_at_5", "cider_d"} < set(row)
    held = {case["name"]: case["rate"] for case in behaviour.rows(subject)}
    assert len(held) == len(behaviour.CASES["caption"])
    assert list(unknown.compare(subject, strangers.of(subject, None))) == ["neighbours"]


def captioned(data: Dataset) -> Subject:
    """A random captioning model with the tiny photos."""
    from bitbloom.monitoring.robustness.subject import select

    task = task_model("captions")
    network = task.build(tiny_captions.MODEL, data.meta)
    trained = Trained(task, network.eval(), tiny_captions.MODEL, data.meta, data, "0" * 64)
    return Subject("captions", tiny_captions.TARGET, trained, "caption", 1.0, "0" * 64, select(data, data.split("test")))
