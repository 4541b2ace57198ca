"""Configuration: what `conf/` composes to, and how a mistake in a key or a value is told."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from bitbloom.config import target
from bitbloom.config.sections.train import Train
from bitbloom.config.target import Target, params_path
from bitbloom.core import processes
from bitbloom.core.errors import BitBloomError
from bitbloom.data import sources
from bitbloom.pipeline import composition, graph

every_target = pytest.mark.parametrize("name", composition.targets())


@every_target
def test_every_target_composes_and_its_params_file_is_current(name):
    tree = composition.compose(name)
    assert params_path(name).read_text(encoding="utf-8") == graph.HEADER + composition.yaml_text(tree)


@every_target
def test_a_params_file_reads_back_as_the_tree_it_was_written_from(name):
    tree = composition.compose(name)
    loaded, composed = target.load(params_path(name)), vars(OmegaConf.to_object(tree))
    assert sources.configured(loaded["source"]) == composed.pop("source")
    assert loaded == {**composed, "source": loaded["source"]}


@every_target
def test_every_choice_of_a_targets_batch_fits_its_micro_batches(name):
    tree = composition.compose(name)
    assert tree.train.batch_size % tree.numerics.micro_batches == 0
    assert sum(tree.prepare.split) == 100


def test_overrides_are_applied_and_a_group_can_be_chosen():
    tree = composition.compose("petals", ["train.epochs=3", "model=cnn", "gate.labels=[a,b]"])
    assert (tree.train.epochs, tree.model.architecture, tree.gate.labels) == (3, "cnn", ["a", "b"])
    assert composition.compose("petals").train.epochs != 3


def test_the_text_of_a_tree_is_sorted_yaml():
    text = composition.yaml_text(composition.compose("petals-tiny"))
    parsed = yaml.safe_load(text)
    assert list(parsed) == sorted(parsed)
    assert list(parsed["train"]) == sorted(parsed["train"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epoch=3", r"unknown key 'train.epoch': did you mean 'train.epochs'\?"),
        ("trian.epochs=3", r"unknown key 'trian.epochs': did you mean 'train.epochs'\?"),
        ("+train.extra=3", "unknown key 'train.extra'"),
        ("source.image=3", r"unknown key 'source.image': did you mean 'source.images'\?"),
        ("train.epochs", r"'train.epochs' is not key=value \(for example train.epochs=3\)"),
        ("train.epochs=many", "'many'.* could not be converted to Integer"),
        ("prepare.split=much", "target 'petals': "),
        (
            "model=resnet",
            "there is no model 'resnet'; there are: captioner, cnn, dinov2-small, garden-captioner, minilm, vit-conv",
        ),
        ("augment=strog", r"there is no augment 'strog': did you mean 'strong'\?"),
        ("numerics.micro_batches=2.5", "could not be converted to Integer"),
    ],
)
def test_a_wrong_override_is_a_one_line_error_that_helps(monkeypatch, override, message):
    monkeypatch.setenv("OC_CAUSE", "0")  # under a tracer such as coverage, OmegaConf would show its templates
    with pytest.raises(BitBloomError, match=message) as caught:
        composition.compose("petals", ["train.batch_size=32", override])
    assert "\n" not in str(caught.value)


def test_an_unknown_target_is_an_error_with_the_nearest_one():
    with pytest.raises(BitBloomError, match=r"no target 'petal-tiny'.*did you mean 'petals-tiny'"):
        composition.compose("petal-tiny")
    with pytest.raises(BitBloomError, match=r"there are: .*petals, "):
        composition.compose("zzz")


def test_a_target_is_added_by_one_file(tmp_path, monkeypatch):
    shutil.copytree("conf", tmp_path / "conf")
    (tmp_path / "conf/mine.yaml").write_text(
        "defaults: [base, {source: folder}, {model: vit-conv}, _self_]\ntask: petals\nsource: {path: photos}\n"
    )
    monkeypatch.chdir(tmp_path)
    assert "mine" in composition.targets()
    assert composition.compose("mine").source.path == "photos"


@pytest.mark.parametrize(
    ("text", "reads", "message"),
    [
        ("task: petals\n", "source", "has no 'source': run `make graph`"),
        ("source: {kind: garden}\n", "model", "has no 'model': run `make graph`"),
        ("model: {kind: lake}\n", "model", "model.kind 'lake' is none of caption, image, text"),
        ("train: {epoch: 3}\n", "train", "epoch"),
        ("train: {epochs: many}\n", "train", "Integer"),
        ("train: {epochs: many}\n", "train.epochs", "Integer"),
    ],
)
def test_a_section_that_somebody_changed_is_checked_again_where_it_is_read(tmp_path, text, reads, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(BitBloomError, match=message):
        target.load(tmp_path / "mine.yaml", [reads])


@pytest.mark.parametrize(
    ("section", "message"), [({}, "source.kind 'None' is none of"), ({"kind": "lake"}, r"'lake' is none of .*garden")]
)
def test_a_source_that_is_none_of_the_folder_is_an_error_that_lists_them(section, message):
    with pytest.raises(BitBloomError, match=message):
        sources.configured(section)


def test_a_mistake_in_a_section_that_is_not_read_is_no_concern_of_a_stage(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: petals\ntrain: {epochs: many}\n")
    assert target.load(tmp_path / "mine.yaml", ["task"]) == {"task": "petals"}


def test_a_missing_params_file_is_an_error_that_says_how_to_make_it(tmp_path):
    with pytest.raises(BitBloomError, match="run `make graph`"):
        target.load(tmp_path / "mine.yaml")


def test_a_stage_sees_the_sections_it_declared_and_no_others():
    mine = Target.load("petals-tiny", ["task", "train"])
    assert mine.task == "petals"
    assert isinstance(mine.train, Train)
    with pytest.raises(KeyError, match="'model' but does not declare it in READS"):
        _ = mine.model
    with pytest.raises(BitBloomError, match="zebra"):
        Target.load("petals-tiny", ["zebra"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.image.stem=cnov", r"model.image.stem 'cnov'.*conv"),
        ("model.image.architecture=vitt", r"model.image.architecture 'vitt'.*vit"),
        ("model.architecture=blip", r"model.architecture 'blip'.*dual"),
        ("model.writer.heads=0", r"model.writer.heads is 0: it has to be 1 or more"),
        ("model.sentences=0", r"model.sentences is 0: it has to be 1 or more"),
        ("service.int8=true", r"service.int8: a model of kind caption has no int8 graph"),
    ],
)
def test_a_mistake_in_a_part_of_a_model_is_told_before_anything_is_made(override, message):
    with pytest.raises(BitBloomError, match=message):
        composition.compose("captions", [override])


@pytest.mark.parametrize(("photos", "parts"), [(1000, ["val2017"]), (20000, ["train2017", "val2017"])])
def test_the_gate_of_coco_holds_for_the_numbers_that_the_readme_names(photos, parts):
    tree = composition.compose("captions-coco", [f"source.photos={photos}", f"source.parts=[{','.join(parts)}]"])
    fewest, most = tree.gate.rows
    assert fewest <= photos <= most


def test_a_stage_may_declare_one_key_of_a_section_and_sees_no_other():
    mine = Target.load("petals-tiny", ["train.seed", "model.kind", "model.hidden_size"])
    assert mine.section("train.seed") == composition.compose("petals-tiny").train.seed
    assert mine.section("model.hidden_size") == composition.compose("petals-tiny").model.hidden_size
    for undeclared in ("train", "train.epochs"):
        with pytest.raises(KeyError, match=f"'{undeclared}' but does not declare it in READS"):
            mine.section(undeclared)


@given(st.lists(st.sampled_from(["a", "b", "c.x", "c.y", "c.z.t", "d"]), unique=True))
def test_a_part_of_a_tree_has_the_keys_asked_for_and_no_other(keys):
    tree = {"a": 1, "b": None, "c": {"x": 2, "y": [3], "z": {"t": 4, "u": 5}}}
    found = OmegaConf.create(target.part(tree, keys))
    for key in ("a", "b", "c.x", "c.y", "c.z.t", "c.z.u"):
        wanted = OmegaConf.select(OmegaConf.create(tree), key) if key in keys else None
        assert OmegaConf.select(found, key) == wanted


def test_every_section_comes_as_its_type():
    mine = Target.load("petals-tiny")
    for name in ("gate", "prepare", "model", "augment", "train", "numerics", "evaluate", "export", "service"):
        assert type(getattr(mine, name)).__name__.lower() == {"model": "imagemodel"}.get(name, name)
    assert mine.source["kind"] == "garden"
    paths = (mine.raw, mine.manifest, mine.processed, mine.models, mine.reports, mine.bento)
    assert all("petals-tiny" in str(path) and not path.is_absolute() for path in paths)


def test_the_number_of_workers_is_asked_for_or_that_of_the_cores(monkeypatch):
    monkeypatch.setenv("WORKERS", "3")
    assert processes.workers() == 3
    monkeypatch.delenv("WORKERS")
    assert processes.workers() >= 1


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_workers_that_are_no_positive_number_are_refused(monkeypatch, value):
    monkeypatch.setenv("WORKERS", value)
    with pytest.raises(BitBloomError, match="is not a positive integer"):
        processes.workers()


def test_the_module_prints_the_composed_tree():
    command = [sys.executable, "-m", "bitbloom.pipeline.composition", "petals-tiny", "train.epochs=5"]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    assert yaml.safe_load(said.stdout)["train"]["epochs"] == 5
