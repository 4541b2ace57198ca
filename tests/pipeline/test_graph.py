"""The build graph: every stage depends on what can change its output, and on nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from bitbloom import schema
from bitbloom.core import imports
from bitbloom.pipeline import composition, graph
from bitbloom.pipeline.composition import Config
from bitbloom.stages import STAGES

DVC = str(Path(sys.executable).with_name("dvc"))
BYSTANDERS = ("cli", "tracking", "build", "graph", "summary", "claim", "external")
"""Modules that no output depends on: a change in one retrains nothing."""


@pytest.fixture(scope="module")
def stages():
    """The stages of `petals-tiny` by name."""
    return {stage.stage: stage for stage in graph.stages("petals-tiny", composition.compose("petals-tiny"))}


@pytest.fixture(scope="module")
def every_stage(stages):
    """Those, and the one that only targets with a frozen tower have, of such a target."""
    frozen = {stage.stage: stage for stage in graph.stages("captions-folder", composition.compose("captions-folder"))}
    return frozen | stages


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package and the configuration, from which a graph is derived."""
    for name in ("src", "conf", "bentos", "params"):
        shutil.copytree(name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("conf", "params"):  # fewer targets to derive
        (tmp_path / name / "petals-folder.yaml").unlink()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imports, "ROOT", tmp_path / "src")
    monkeypatch.setattr(imports.closure, "__defaults__", (tmp_path / "src",))
    return tmp_path


def inputs(target: str = "petals-tiny") -> dict[str, set[str]]:
    """What each stage of a target depends on."""
    return {each.stage: set(each.inputs) for each in graph.stages(target, composition.compose(target))}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_depends_on_itself_the_lock_the_configuration_and_the_pins(every_stage, name):
    wanted = {
        "requirements.lock",
        f"src/bitbloom/stages/{name}.py",
        "src/bitbloom/pipeline/composition.py",
        "src/bitbloom/numerics/pins.py",
    }
    assert wanted <= set(every_stage[name].inputs)
    assert "numerics" in every_stage[name].sections


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_depends_on_what_only_looks_on(every_stage, name):
    assert not {f"src/bitbloom/{module}.py" for module in BYSTANDERS} & set(every_stage[name].inputs)
    assert not [path for path in every_stage[name].inputs if path.startswith("src/bitbloom/optimise/")]
    assert not [path for path in every_stage[name].inputs if path.startswith(("tests/", "benchmarks/")) or "dev" in path]


@pytest.mark.parametrize("folder", ["report", "serving", "evaluation", "gate", "sources/garden"])
def test_training_depends_on_no_report_service_gate_or_drawing(stages, folder):
    assert not [path for path in stages["train"].inputs if path.startswith(f"src/bitbloom/{folder}/")]


@pytest.mark.parametrize("name", STAGES)
def test_what_python_loads_for_a_stage_is_among_its_dependencies(every_stage, name):
    script = (
        f"import sys, bitbloom.stages.{name}\n"
        "print(*(module.__file__ for key, module in sys.modules.items() if key.split('.')[0] == 'bitbloom'))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {f"src/{Path(file).relative_to(imports.ROOT).as_posix()}" for file in said.stdout.split()}
    assert loaded <= set(every_stage[name].inputs)


def test_a_stage_names_the_sections_it_reads_and_reads_them(stages):
    import importlib

    for name, stage in stages.items():
        module = importlib.import_module(f"bitbloom.stages.{name}")
        assert set(module.READS) <= set(stage.sections)
        assert {key.partition(".")[0] for key in stage.sections} <= set(Config.__dataclass_fields__)


def test_the_source_a_target_has_is_the_one_that_counts():
    drawn, given = inputs()["ingest"], inputs("petals-folder")["ingest"]
    assert "src/bitbloom/data/sources/garden/scene.py" in drawn - given
    assert {"src/bitbloom/data/sources/folder.py", "data/external/petals-folder"} <= given - drawn


def test_locked_weights_are_a_parameter_of_training_alone():
    found = {stage.stage: stage for stage in graph.stages("petals-folder", composition.compose("petals-folder"))}
    assert {name for name, stage in found.items() if stage.weights} == {"train"}
    assert {"weights.lock": ["vit-s-dinov2"]} in found["train"].as_dvc()["params"]


def test_a_new_import_in_a_module_becomes_a_dependency_of_the_stages_that_run_it(copied):
    before = inputs()
    (copied / "src/bitbloom/petal_names.py").write_text("NAMES = ()\n")
    sampler = copied / "src/bitbloom/training/sampler.py"
    sampler.write_text(sampler.read_text() + "\n\ndef later() -> None:\n    from bitbloom import petal_names\n")
    after = inputs()
    assert {stage for stage in before if after[stage] != before[stage]} == {"train"}
    assert after["train"] - before["train"] == {"src/bitbloom/petal_names.py"}


def test_what_a_service_imports_becomes_a_dependency_of_packaging(copied):
    before = inputs()["package"]
    (copied / "src/bitbloom/petal_names.py").write_text("NAMES = ()\n")
    service = copied / "bentos/petals/service.py"
    service.write_text("import bitbloom.petal_names\n" + service.read_text())
    assert inputs()["package"] - before == {"src/bitbloom/petal_names.py"}


@pytest.fixture
def few(copied):
    """The copy with the targets of one task alone: composing all of them takes seconds."""
    for path in [*Path("conf").glob("*.yaml"), *Path("params").glob("*.yaml")]:
        if not path.stem.startswith("petals"):
            path.unlink()
    return copied


def test_generated_files_are_current_and_a_change_in_conf_makes_them_stale(few):
    copied = few
    assert {path.as_posix() for path in graph.stale()} == {"dvc.yaml", "graph.mk"}  # not copied
    graph.write()
    assert graph.stale() == []
    tiny = copied / "conf/petals-tiny.yaml"
    tiny.write_text(tiny.read_text().replace("epochs: 12", "epochs: 13"))
    assert [path.as_posix() for path in graph.write()] == ["params/petals-tiny.yaml"]
    (copied / "conf/petals-photos.yaml").unlink()
    assert set(map(str, graph.write())) == {"params/petals-photos.yaml", "dvc.yaml", "graph.mk"}
    assert not (copied / "params/petals-photos.yaml").exists()


def test_what_is_known_to_be_current_is_composed_again_only_after_a_change(few, monkeypatch):
    graph.write()
    with monkeypatch.context() as patch:
        patch.setattr(graph, "texts", lambda: pytest.fail("composed again"))
        assert graph.write() == []
    for changed in ("conf/petals-tiny.yaml", "src/bitbloom/stages/train.py", "params/petals-tiny.yaml", "graph.mk"):
        before = Path(changed).read_text()
        Path(changed).write_text(before + "# something else")
        assert graph.fingerprint() != graph.CURRENT.read_text()
        Path(changed).write_text(before)
    assert graph.fingerprint() == graph.CURRENT.read_text()


def test_of_a_target_that_is_built_its_own_part_alone_has_to_be_current(few, monkeypatch):
    graph.write()
    graph.CURRENT.unlink()
    built = {"petals-tiny": composition.compose("petals-tiny")}
    with monkeypatch.context() as patch:
        patch.setattr(graph, "texts", lambda: pytest.fail("composed every target"))
        assert graph.write(built) == []
    other = Path("conf/petals-photos.yaml")
    other.write_text(other.read_text().replace("imbalance:", "side: [1, 9000]\n  imbalance:"))
    assert graph.has_current(built)
    assert not graph.has_current({"petals-photos": composition.compose("petals-photos")})


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("params/petals-tiny.yaml", "epochs: 12", "epochs: 13"),
        ("dvc.yaml", "cmd: python -m bitbloom.stages.train petals-tiny", "cmd: true"),
        ("dvc.yaml", "train-petals-tiny:", "train-else:"),
        ("graph.mk", "OUTPUTS.petals-tiny.all :=", "OUTPUTS.petals-tiny.none :="),
    ],
)
def test_a_generated_file_that_says_something_else_of_a_target_is_not_current(few, path, old, new):
    graph.write()
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))
    assert not graph.has_current({"petals-tiny": composition.compose("petals-tiny")})


def test_generated_files_of_this_checkout_are_current():
    assert graph.stale() == []


def test_every_output_has_one_maker_and_every_made_input_a_stage_that_makes_it(stages):
    made = [path for stage in stages.values() for path in (*stage.outputs, *stage.metrics)]
    assert len(made) == len(set(made))
    for stage in stages.values():
        for path in stage.inputs:
            assert graph.is_made(path, made) or Path(path).exists(), path


def test_git_leaves_out_what_the_stages_make(every_stage):
    made = [path for stage in every_stage.values() for path in (*stage.outputs, *stage.metrics)]
    left_out = subprocess.run(["git", "check-ignore", "--no-index", *made], capture_output=True, text=True).stdout.split()
    assert left_out == made


def test_dvc_takes_the_graph_and_sees_each_stage_after_those_it_needs(stages):
    listed = subprocess.run([DVC, "stage", "list", "--name-only"], capture_output=True, text=True, check=True).stdout.split()
    assert {stage.name for stage in stages.values()} <= set(listed)
    drawn = subprocess.run([DVC, "dag", "--dot", "package-petals-tiny"], capture_output=True, text=True, check=True).stdout
    arrows = {tuple(line.strip(' ;"\n').split('" -> "')) for line in drawn.splitlines() if "->" in line}
    names = [f"{stage}-petals-tiny" for stage in ("ingest", "validate", "prepare", "train", "export", "package")]
    for earlier, later in pairwise(names):
        assert (earlier, later) in arrows


def test_a_stage_in_dvc_yaml_is_plain_and_names_no_machine():
    text = Path("dvc.yaml").read_text(encoding="utf-8")
    parsed = yaml.safe_load(text)
    assert str(Path.cwd()) not in text
    for name, entry in parsed["stages"].items():
        stage, _, target = name.partition("-")
        assert entry["cmd"] == f"python -m bitbloom.stages.{stage} {target}"
    assert json.dumps(parsed)


def test_make_knows_of_every_target_and_last_stage_what_dvc_knows(stages):
    lines = dict(line.split(" := ") for line in Path("graph.mk").read_text().splitlines() if " := " in line)
    for target in composition.targets():
        there = [stage.stage for stage in graph.stages(target, composition.compose(target))]
        for last in (*there, "all"):
            given, made = (lines[f"{kind}.{target}.{last}"].split() for kind in ("INPUTS", "OUTPUTS"))
            assert not set(given) & set(made)
            assert f"params/{target}.yaml" in given
            assert all(Path(path).exists() for path in given if not path.startswith("data/external/"))
    everything = {path for stage in stages.values() for path in (*stage.outputs, *stage.metrics)}
    assert set(lines["OUTPUTS.petals-tiny.all"].split()) == everything
    assert lines["OUTPUTS.petals-tiny.ingest"] == "data/raw/petals-tiny"


def test_without_int8_the_export_stage_promises_no_int8():
    stages = {stage.stage: stage for stage in graph.stages("petals", composition.compose("petals", ["export.int8=false"]))}
    assert set(stages["export"].outputs) == {"models/petals/model.onnx", "models/petals/parity.json"}


def test_own_weights_are_an_input_of_training_alone(tmp_path):
    tree = composition.compose("petals", ["model.architecture=auto", f"model.weights=path:{tmp_path}"])
    found = [stage.stage for stage in graph.stages("petals", tree) if str(tmp_path) in stage.inputs]
    assert found == ["train"]


def test_what_draws_the_data_does_not_depend_on_the_model():
    stages = {stage.stage: stage for stage in graph.stages("petals", composition.compose("petals"))}
    for name in ("ingest", "prepare"):
        assert not [path for path in stages[name].inputs if "/models/" in path or "/training/" in path]
