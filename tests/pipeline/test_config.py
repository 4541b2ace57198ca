"""Configuration: the composition of `conf/`, and errors of wrong keys and values."""

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
def test_params_file_of_every_target_is_current(name):
    tree = composition.compose(name)
    assert params_path(name).read_text(encoding="utf-8") == graph.HEADER + composition.yaml_text(tree)


@every_target
def test_params_file_reads_back_as_the_composed_tree(name):
    tree = composition.compose(name)
    loaded, composed = target.load(params_path(name)), vars(OmegaConf.to_object(tree))
    assert sources.configured(loaded["source"]) == composed.pop("source")
    assert loaded == {**composed, "source": loaded["source"]}


@every_target
def test_batch_size_of_every_target_fits_its_micro_batches(name):
    tree = composition.compose(name)
    assert tree.train.batch_size % tree.numerics.micro_batches == 0
    assert sum(tree.prepare.split) == 100


def test_applies_overrides_and_group_choices():
    tree = composition.compose("petals", ["train.epochs=3", "model=cnn", "gate.labels=[a,b]"])
    assert (tree.train.epochs, tree.model.architecture, tree.gate.labels) == (3, "cnn", ["a", "b"])
    assert composition.compose("petals").train.epochs != 3


def test_yaml_text_is_sorted():
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
            "there is no model 'resnet'; there are: .*cnn, dinov2-small, .*vit-conv",
        ),
        ("augment=strog", r"there is no augment 'strog': did you mean 'strong'\?"),
        ("numerics.micro_batches=2.5", "could not be converted to Integer"),
    ],
)
def test_wrong_override_error_is_one_line_with_a_remedy(monkeypatch, override, message):
    monkeypatch.setenv("OC_CAUSE", "0")  # under a tracer such as coverage, OmegaConf would show its templates
    with pytest.raises(BitBloomError, match=message) as caught:
        composition.compose("petals", ["train.batch_size=32", override])
    assert "\n" not in str(caught.value)


def test_unknown_target_error_names_the_nearest_one():
    with pytest.raises(BitBloomError, match=r"no target 'petal-tiny'.*did you mean 'petals-tiny'"):
        composition.compose("petal-tiny")
    with pytest.raises(BitBloomError, match=r"there are: .*petals, "):
        composition.compose("zzz")


def test_one_file_adds_a_target(tmp_path, monkeypatch):
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
def test_stage_checks_sections_that_it_reads(tmp_path, text, reads, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(BitBloomError, match=message):
        target.load(tmp_path / "mine.yaml", [reads])


@pytest.mark.parametrize(
    ("section", "message"), [({}, "source.kind 'None' is none of"), ({"kind": "lake"}, r"'lake' is none of .*garden")]
)
def test_unknown_source_error_lists_the_sources(section, message):
    with pytest.raises(BitBloomError, match=message):
        sources.configured(section)


def test_stage_ignores_sections_that_it_does_not_read(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: petals\ntrain: {epochs: many}\n")
    assert target.load(tmp_path / "mine.yaml", ["task"]) == {"task": "petals"}


def test_missing_params_file_error_names_the_command(tmp_path):
    with pytest.raises(BitBloomError, match="run `make graph`"):
        target.load(tmp_path / "mine.yaml")


def test_stage_sees_only_declared_sections():
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
def test_rejects_wrong_model_key_at_composition(override, message):
    with pytest.raises(BitBloomError, match=message):
        composition.compose("captions", [override])


@pytest.mark.parametrize(("photos", "parts"), [(1000, ["val2017"]), (20000, ["train2017", "val2017"])])
def test_gate_of_coco_accepts_the_documented_numbers(photos, parts):
    tree = composition.compose("captions-coco", [f"source.photos={photos}", f"source.parts=[{','.join(parts)}]"])
    fewest, most = tree.gate.rows
    assert fewest <= photos <= most


def test_stage_sees_only_declared_keys():
    mine = Target.load("petals-tiny", ["train.seed", "model.kind", "model.hidden_size"])
    assert mine.section("train.seed") == composition.compose("petals-tiny").train.seed
    assert mine.section("model.hidden_size") == composition.compose("petals-tiny").model.hidden_size
    for undeclared in ("train", "train.epochs"):
        with pytest.raises(KeyError, match=f"'{undeclared}' but does not declare it in READS"):
            mine.section(undeclared)


@given(st.lists(st.sampled_from(["a", "b", "c.x", "c.y", "c.z.t", "d"]), unique=True))
def test_part_has_exactly_the_requested_keys(keys):
    tree = {"a": 1, "b": None, "c": {"x": 2, "y": [3], "z": {"t": 4, "u": 5}}}
    found = OmegaConf.create(target.part(tree, keys))
    for key in ("a", "b", "c.x", "c.y", "c.z.t", "c.z.u"):
        wanted = OmegaConf.select(OmegaConf.create(tree), key) if key in keys else None
        assert OmegaConf.select(found, key) == wanted


def test_sections_have_their_types():
    mine = Target.load("petals-tiny")
    for name in ("gate", "prepare", "model", "augment", "train", "numerics", "evaluate", "export", "service"):
        assert type(getattr(mine, name)).__name__.lower() == {"model": "imagemodel"}.get(name, name)
    assert mine.source["kind"] == "garden"
    paths = (mine.raw, mine.manifest, mine.processed, mine.models, mine.reports, mine.bento)
    assert all("petals-tiny" in str(path) and not path.is_absolute() for path in paths)


def test_workers_default_to_the_cores(monkeypatch):
    monkeypatch.setenv("WORKERS", "3")
    assert processes.workers() == 3
    monkeypatch.delenv("WORKERS")
    assert processes.workers() >= 1


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_rejects_workers_that_are_not_a_positive_integer(monkeypatch, value):
    monkeypatch.setenv("WORKERS", value)
    with pytest.raises(BitBloomError, match="is not a positive integer"):
        processes.workers()


def test_module_prints_the_composed_tree():
    command = [sys.executable, "-m", "bitbloom.pipeline.composition", "petals-tiny", "train.epochs=5"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert yaml.safe_load(done.stdout)["train"]["epochs"] == 5


@pytest.mark.parametrize("override", ["~train.epochs", "~train.epochs=3", "~train", "~augment=photos", "~nothing"])
def test_refuses_to_remove_a_key(override):
    with pytest.raises(BitBloomError, match=r"removes a key, and every key has a value: set it \((\w|\.)+=VALUE\), or omit it$"):
        composition.compose("petals", [override])


@pytest.mark.parametrize(
    ("override", "queued"),
    [
        ("train.epochs=1,2", True),
        ("++train.epochs=1,2", True),
        ("train.learning_rate=1e-3,1e-4", True),
        ("train.epochs=range(1,4)", True),
        ("train.epochs=choice(1,2)", True),
        ("train.epochs=interval(1,4)", False),
        ("model=cnn,vit-conv", False),
        ("train=glob(*)", False),
    ],
)
def test_several_values_point_to_several_builds(override, queued):
    with pytest.raises(
        BitBloomError, match="has several values, and a build takes one: run `make all TARGET=petals SET="
    ) as raised:
        composition.compose("petals", [override])
    assert ("dvc exp run --queue" in str(raised.value)) == queued
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("override", ["title='1,2'", r"title=1\,2"])
def test_accepts_a_comma_in_a_value(override):
    assert composition.compose("petals", [override]).title == "1,2"
