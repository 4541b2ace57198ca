"""The stage `audit`: its place beside the build, and pairs of photo and caption by a trained model."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from bitbloom.audit import command, features, pairs, stage
from bitbloom.config.models import typed_model
from bitbloom.config.target import Target, params_path
from bitbloom.core import canonical, imports
from bitbloom.data.dataset import Dataset
from bitbloom.pipeline import build, composition, graph
from support import tiny_captions
from support.tiny import REPOSITORY

NAME = tiny_captions.TARGET.name
TARGET = Target(NAME, {"task": "captions", "model.kind": "caption"})
WRONG = "poppy/034.jpg"
"""A photo of the test split, which gets the caption of the sky."""
PAGE, CSV = Path(f"reports/{NAME}/label-errors.html"), Path(f"reports/{NAME}/label-errors.csv")


def audited(target: str) -> graph.Stage:
    """The stage `audit` of a target."""
    return graph.every_stage(target, composition.compose(target))[-1]


@pytest.mark.parametrize("target", ["petals-tiny", "tweets-kaggle", "captions-folder"])
def test_no_stage_of_a_build_depends_on_the_audit(target):
    found = graph.every_stage(target, composition.compose(target))
    mine = {each.stage: each for each in found}
    assert not [each.stage for each in found if set(each.inputs) & set(mine["audit"].outputs)]
    assert graph.AUDIT not in [each.stage for each in graph.upstream(mine, graph.ENDS)]
    assert not [path for each in found[:-1] for path in each.inputs if path.startswith("src/bitbloom/audit/")]
    assert graph.AUDIT not in [each.stage for each in graph.stages(target, composition.compose(target))]


@pytest.mark.parametrize(("target", "extractor"), [("petals-folder", features.PHOTOS), ("tweets-kaggle", features.TEXTS)])
def test_audit_of_labels_needs_data_and_locked_weights_but_no_model(target, extractor):
    found = audited(target)
    assert found.weights == (extractor.name,)
    assert [path for path in found.inputs if path.startswith(("data/", "models/"))] == [f"data/raw/{target}"]
    needed = graph.upstream({each.stage: each for each in graph.every_stage(target, composition.compose(target))}, ["audit"])
    assert [each.stage for each in needed] == ["ingest", "audit"]


def test_audit_of_pairs_needs_the_trained_model_and_the_features_of_its_frozen_parts():
    found = audited("captions-folder")
    assert found.weights == ()
    assert {path for path in found.inputs if path.startswith(("data/", "models/"))} == {
        f"{folder}/captions-folder" for folder in ("data/raw", "data/processed", "data/features")
    } | {f"models/captions-folder/{name}" for name in ("model.safetensors", "config.json")}


def test_audit_declares_what_it_reads_and_all_modules_that_python_loads():
    found = audited("petals-tiny")
    assert set(stage.READS) <= set(found.sections)
    script = (
        "import sys, bitbloom.audit.stage\n"
        "print(*(module.__file__ for key, module in sys.modules.items() if key.split('.')[0] == 'bitbloom'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {f"src/{Path(file).relative_to(imports.ROOT).as_posix()}" for file in done.stdout.split()}
    assert loaded <= set(found.inputs)
    assert {"src/bitbloom/audit/templates", "src/bitbloom/experiments/page.css.j2"} <= set(found.inputs)


def test_outputs_of_the_audit_are_plain_files_that_a_person_may_edit():
    outs = audited("petals-tiny").as_dvc()["outs"]
    assert outs == [{f"reports/petals-tiny/label-errors.{end}": {"cache": False, "persist": True}} for end in ("html", "csv")]


@pytest.fixture(scope="module")
def network():
    """A network that was trained on right captions."""
    return tiny_captions.trained().network


@pytest.fixture
def workspace(network, tmp_path):
    """A workspace with the outputs of a build up to training, in which one photo has the caption of another."""
    with tiny_captions.workspace(tmp_path, network):
        data = with_wrong_caption(tiny_captions.dataset())
        shutil.rmtree(TARGET.processed)
        data.save(TARGET.processed)
        paths = [f"{number}.png" for number in range(len(data.samples))]
        for path, image in zip(paths, data.arrays["images"], strict=True):
            Image.fromarray(image.transpose(1, 2, 0)).save(TARGET.raw / path)
        columns = {"id": data.samples["id"], "label": "flower", "path": paths, "decodable": True}
        pd.DataFrame(columns).to_parquet(TARGET.manifest, index=False)
        yield tmp_path


def with_wrong_caption(data: Dataset) -> Dataset:
    """The data in which the photo WRONG has the caption of the photo after it."""
    at = data.samples["id"].tolist().index(WRONG)
    captions = data.samples["captions"].tolist()
    captions[at] = captions[at + 1]
    arrays = {name: array.copy() for name, array in data.arrays.items()}
    for name in ("tokens", "words"):
        arrays[name][at] = arrays[name][at + 1]
    return replace(data, arrays=arrays, samples=data.samples.assign(captions=captions))


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_trained_model_places_a_wrong_caption_farthest_from_its_photo():
    first, *others = pairs.find(TARGET)
    assert (first.id, first.label) == (f"{WRONG}#1", "the sky is blue")
    assert first.suggested in tiny_captions.SAYING["poppy"]
    nearer, all_others = 7 * 2, 7 * 2 + 8 * 2 + 8  # captions of the other poppies; of these, the ferns and the skies
    assert first.score == pytest.approx(1 - nearer / all_others, abs=1e-6)
    assert first.score < min(each.score for each in others)


@pytest.mark.slow
@pytest.mark.usefixtures("workspace")
def test_audit_of_pairs_has_a_page_and_a_csv_with_equal_bytes_each_time():
    command.run(TARGET)
    before = PAGE.read_bytes(), CSV.read_bytes()
    rows = list(csv.DictReader(CSV.read_text().splitlines()))
    assert (rows[0]["id"], rows[0]["verdict"]) == (f"{WRONG}#1", "")
    assert PAGE.read_text().count("data:image/jpeg") == len(rows)
    command.run(TARGET)
    assert (PAGE.read_bytes(), CSV.read_bytes()) == before


@pytest.mark.slow
def test_dvc_runs_the_audit_once_and_keeps_what_a_person_wrote(workspace):
    for name in build.SHARED:
        Path(name).symlink_to(REPOSITORY / name)
    tree = composition.compose(NAME)
    canonical.write_text(Path(".dvc/config"), "[core]\n    no_scm = true\n    analytics = false\n")
    canonical.write_text(params_path(NAME), composition.yaml_text(tree))
    text = graph.dvc_text(NAME, graph.every_stage(NAME, tree)[-1:], typed_model(tree.model))
    canonical.write_text(graph.pipeline(NAME) / "dvc.yaml", text)
    Path(".bitbloom").mkdir()
    item = ["dvc", "repro", "--single-item", graph.stage_name(graph.AUDIT, NAME)]

    def repro() -> tuple[int, str]:
        own = {"PYTHONPATH": str(REPOSITORY / "src"), "DVC_SITE_CACHE_DIR": str(workspace / "site")}
        done = subprocess.run(
            item, env=build.environ("portable") | own, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return done.returncode, done.stdout

    code, output = repro()
    assert (code, "pairs listed" in output) == (0, True), output
    assert "didn't change, skipping" in repro()[1]
    head, first, *rest = CSV.read_text().splitlines(keepends=True)
    edited = "".join([head, first.rstrip() + "a red poppy\n", *rest])
    CSV.write_text(edited)
    code, output = repro()
    assert code
    assert "has verdicts that were not applied (poppy/034.jpg#1)" in output
    assert CSV.read_text() == edited
