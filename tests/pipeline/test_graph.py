"""The build graph: every stage depends on exactly the inputs that can change its output."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import yaml

from bitbloom.core import imports
from bitbloom.pipeline import composition, graph
from bitbloom.serving.build import service_file
from bitbloom.stages import STAGES

DVC = str(Path(sys.executable).with_name("dvc"))
BYSTANDERS = ("cli/", "pipeline/", "provenance/", "optimise/", "experiments/", "ci/")
"""Code that no output depends on: a change does not trigger training."""


@pytest.fixture(scope="module")
def stages():
    """The stages of `petals-tiny` by name."""
    return {stage.stage: stage for stage in graph.stages("petals-tiny", composition.compose("petals-tiny"))}


@pytest.fixture(scope="module")
def every_stage(stages):
    """The same, and the stage `features` of a target with frozen encoders."""
    frozen = {stage.stage: stage for stage in graph.stages("captions-folder", composition.compose("captions-folder"))}
    return frozen | stages


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package and the configuration, for a graph of its own."""
    for name in ("src", "conf", "bentos", "params", "pipelines"):
        shutil.copytree(name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "dvc.lock"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(imports, "ROOT", tmp_path / "src")
    monkeypatch.setattr(imports.closure, "__defaults__", (tmp_path / "src",))
    return tmp_path


def inputs(target: str = "petals-tiny") -> dict[str, set[str]]:
    """The dependencies of each stage of a target."""
    return {each.stage: set(each.inputs) for each in graph.stages(target, composition.compose(target))}


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_depends_on_itself_lock_configuration_and_pins(every_stage, name):
    wanted = {
        "requirements.lock",
        f"src/bitbloom/stages/{name}.py",
        "src/bitbloom/config/target.py",
        "src/bitbloom/numerics/pins.py",
    }
    assert wanted <= set(every_stage[name].inputs)
    assert "numerics" in every_stage[name].sections


@pytest.mark.parametrize("name", STAGES)
def test_no_stage_depends_on_observing_code(every_stage, name):
    bystanders = tuple(f"src/bitbloom/{module}" for module in BYSTANDERS)
    assert not [path for path in every_stage[name].inputs if path.startswith(bystanders)]
    assert not [path for path in every_stage[name].inputs if path.startswith(("tests/", "benchmarks/")) or "dev" in path]


@pytest.mark.parametrize("folder", ["evaluation", "export", "serving", "validation", "data/sources"])
def test_training_depends_on_no_report_service_gate_or_source(stages, folder):
    assert not [path for path in stages["train"].inputs if path.startswith(f"src/bitbloom/{folder}/")]


@pytest.mark.parametrize("target", composition.targets())
def test_only_packaging_depends_on_the_service(target):
    for stage in graph.stages(target, composition.compose(target)):
        served = [path for path in stage.inputs if path.startswith(("src/bitbloom/serving/", "bentos/"))]
        assert bool(served) == (stage.stage == "package"), stage.name


@pytest.mark.parametrize("name", STAGES)
def test_dependencies_have_all_modules_that_python_loads(every_stage, name):
    script = (
        f"import sys, bitbloom.stages.{name}\n"
        "print(*(module.__file__ for key, module in sys.modules.items() if key.split('.')[0] == 'bitbloom'))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = {f"src/{Path(file).relative_to(imports.ROOT).as_posix()}" for file in done.stdout.split()}
    assert loaded <= set(every_stage[name].inputs)


def test_stage_declares_the_sections_it_reads(stages):
    import importlib

    known = set(composition.config_type().__dataclass_fields__)
    for name, stage in stages.items():
        module = importlib.import_module(f"bitbloom.stages.{name}")
        assert set(module.READS) <= set(stage.sections)
        assert {key.partition(".")[0] for key in stage.sections} <= known


def test_ingest_depends_on_the_source_of_its_target():
    synthetic, own = inputs()["ingest"], inputs("petals-folder")["ingest"]
    assert "src/bitbloom/data/sources/garden/scene.py" in synthetic - own
    assert {"src/bitbloom/data/sources/folder.py", "data/external/petals-folder"} <= own - synthetic


def test_only_training_depends_on_locked_weights():
    found = {stage.stage: stage for stage in graph.stages("petals-folder", composition.compose("petals-folder"))}
    assert {name for name, stage in found.items() if stage.weights} == {"train"}
    assert {"weights.lock": ["vit-s-dinov2"]} in found["train"].as_dvc()["params"]


def test_new_import_becomes_a_dependency_of_its_stages(copied):
    before = inputs()
    (copied / "src/bitbloom/petal_names.py").write_text("NAMES = ()\n")
    sampler = copied / "src/bitbloom/training/sampler.py"
    sampler.write_text(sampler.read_text() + "\n\ndef later() -> None:\n    from bitbloom import petal_names\n")
    after = inputs()
    assert {stage for stage in before if after[stage] != before[stage]} == {"train"}
    assert after["train"] - before["train"] == {"src/bitbloom/petal_names.py"}


def test_import_of_a_service_becomes_a_dependency_of_packaging(copied):
    before = inputs()["package"]
    (copied / "src/bitbloom/petal_names.py").write_text("NAMES = ()\n")
    service = copied / service_file("petals", "image")
    service.write_text("import bitbloom.petal_names\n" + service.read_text())
    assert inputs()["package"] - before == {"src/bitbloom/petal_names.py"}


@pytest.fixture
def few(copied):
    """The copy with the targets of one task and current generated files: composing all targets takes seconds."""
    for path in [*Path("conf").glob("*.yaml"), *Path("params").glob("*.yaml")]:
        if not path.stem.startswith("petals"):
            path.unlink()
    graph.write()
    return copied


def test_change_in_conf_makes_files_of_its_target_stale(few):
    assert graph.every_stale() == []
    tiny = Path("conf/petals-tiny.yaml")
    tiny.write_text(tiny.read_text().replace("epochs: 12", "epochs: 13"))
    heirs = ["params/petals-104-tiny.yaml", "params/petals-tiny.yaml"]
    assert [path.as_posix() for path in graph.write()] == heirs
    assert graph.every_stale() == []


def test_new_target_gets_files_and_removed_target_loses_them(few):
    shutil.copyfile("conf/petals-tiny.yaml", "conf/petals-mine.yaml")
    own = {"params/petals-mine.yaml", "pipelines/petals-mine/dvc.yaml"}
    assert {path.as_posix() for path in graph.every_stale()} == {*own, "dvc.yaml"}
    assert {path.as_posix() for path in graph.write()} == {*own, "dvc.yaml"}
    Path("pipelines/petals-mine/dvc.lock").write_text("")
    Path("conf/petals-mine.yaml").unlink()
    assert {path.as_posix() for path in graph.write()} == {*own, "pipelines/petals-mine/dvc.lock", "dvc.yaml"}
    assert not any(Path(name).exists() for name in own)


def test_build_checks_only_files_of_its_target(few, monkeypatch):
    built = {"petals-tiny": composition.compose("petals-tiny")}
    other = Path("conf/petals-photos.yaml")
    other.write_text(other.read_text().replace("imbalance:", "side: [1, 9000]\n  imbalance:"))
    with monkeypatch.context() as patch:
        patch.setattr(graph, "every_text", lambda: pytest.fail("composed every target"))
        assert graph.write_for(built) == []
    assert graph.has_current("petals-tiny", built["petals-tiny"])
    assert not graph.has_current("petals-photos", composition.compose("petals-photos"))


def test_build_updates_stale_files_and_writes_rules_for_make(few):
    Path("params/petals-tiny.yaml").unlink()
    assert [path.as_posix() for path in graph.write_for({"petals-tiny": composition.compose("petals-tiny")})] == [
        "params/petals-tiny.yaml"
    ]
    assert [path.name for path in graph.MAKE.iterdir()] == ["petals-tiny.mk"]


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("params/petals-tiny.yaml", "epochs: 12", "epochs: 13"),
        ("pipelines/petals-tiny/dvc.yaml", "cmd: python -m bitbloom.stages.train petals-tiny", "cmd: true"),
        ("pipelines/petals-tiny/dvc.yaml", "  train:", "  else:"),
    ],
)
def test_edited_generated_file_is_not_current(few, path, old, new):
    text = Path(path).read_text()
    assert old in text
    Path(path).write_text(text.replace(old, new, 1))
    assert not graph.has_current("petals-tiny", composition.compose("petals-tiny"))


def everything() -> dict[str, dict[str, str]]:
    """The definition of each stage of each target, as text."""
    trees = {target: composition.compose(target) for target in composition.targets()}
    return {name: {each.stage: repr(each) for each in graph.stages(name, tree)} for name, tree in trees.items()}


@pytest.mark.slow
def test_new_source_invalidates_no_stage(copied):
    before = everything()
    shutil.copyfile("src/bitbloom/data/sources/folder.py", "src/bitbloom/data/sources/meadow.py")
    assert everything() == before


@pytest.mark.slow
def test_new_target_invalidates_no_stage_of_others(copied):
    before = everything()
    shutil.copyfile("conf/petals-tiny.yaml", "conf/petals-mine.yaml")
    after = everything()
    assert after.pop("petals-mine")
    assert after == before


def test_new_task_invalidates_no_stage_of_others(copied):
    before = everything()
    shutil.copytree("src/bitbloom/tasks/petals", "src/bitbloom/tasks/leaves")
    assert everything() == before


@pytest.mark.parametrize("section", ["augment", "evaluate", "export", "gate", "numerics", "prepare", "service", "train"])
def test_new_key_invalidates_only_stages_that_read_its_section(every_stage, section):
    module = f"src/bitbloom/config/sections/{section}.py"
    readers = {name for name, stage in every_stage.items() if {key.partition(".")[0] for key in stage.sections} >= {section}}
    assert readers
    assert {name for name, stage in every_stage.items() if module in stage.inputs} == readers


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "task", "others"),
    [
        ("image", "petals", "tweets"),
        ("text", "tweets", "petals"),
        ("caption", "captions", "petals"),
        ("caption", "captions", "tweets"),
    ],
)
def test_new_key_of_a_model_kind_invalidates_no_other_kind(kind, task, others):
    module = f"src/bitbloom/config/models/{kind}.py"
    for name in composition.targets():
        read = [stage for stage, found in inputs(name).items() if module in found]
        if composition.compose(name).task == task:
            assert {"train", "evaluate", "export", "package"} <= set(read), name
            assert not {"ingest", "validate"} & set(read), name
        if composition.compose(name).task == others:
            assert read == [], name


def test_only_evaluation_depends_on_figures(every_stage):
    figures = [path.as_posix() for path in Path("src/bitbloom/evaluation/report").rglob("*") if path.suffix in (".py", ".j2")]
    assert figures
    read = {
        name: [path for path in stage.inputs if path.startswith("src/bitbloom/evaluation/report")]
        for name, stage in every_stage.items()
    }
    assert [name for name, found in read.items() if found] == ["evaluate"]


def test_generated_files_are_current():
    assert graph.every_stale() == []


def test_one_stage_makes_each_output_and_each_input_exists(stages):
    made = [path for stage in stages.values() for path in (*stage.outputs, *stage.metrics)]
    assert len(made) == len(set(made))
    for stage in stages.values():
        for path in stage.inputs:
            assert graph.is_made(path, made) or Path(path).exists(), path


def test_git_ignores_outputs_of_stages(every_stage):
    beside = graph.every_stage("petals-tiny", composition.compose("petals-tiny"))[-1]
    made = [path for stage in (*every_stage.values(), beside) for path in (*stage.outputs, *stage.metrics)]
    ignored = subprocess.run(["git", "check-ignore", "--no-index", *made], capture_output=True, text=True).stdout.split()
    assert ignored == made


def test_dvc_orders_the_stages(stages):
    listed = subprocess.run(
        [DVC, "stage", "list", "--name-only", "--recursive", "pipelines/petals-tiny"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {stage.name for stage in stages.values()} <= set(listed)
    drawn = subprocess.run([DVC, "dag", "--dot", stages["package"].name], capture_output=True, text=True, check=True).stdout
    arrows = {tuple(line.strip(' ;"\n').split('" -> "')) for line in drawn.splitlines() if "->" in line}
    names = [stages[stage].name for stage in ("ingest", "validate", "prepare", "train", "export", "package")]
    for earlier, later in pairwise(names):
        assert (earlier, later) in arrows


def test_dvc_yaml_has_no_absolute_path():
    for target in composition.targets():
        text = (graph.pipeline(target) / "dvc.yaml").read_text(encoding="utf-8")
        parsed = yaml.safe_load(text)
        assert str(Path.cwd()) not in text
        for stage, entry in parsed["stages"].items():
            assert entry["cmd"] == f"python -m {graph.module_of(stage)} {target}"
            assert entry["desc"]
            assert (graph.pipeline(target) / entry["wdir"]).resolve() == Path.cwd()
        assert json.dumps(parsed)


def test_rules_for_make_have_inputs_and_outputs_of_dvc(stages):
    for target in composition.targets():
        graph_of_it = graph.every_stage(target, composition.compose(target))
        lines = dict(line.split(" := ") for line in graph.make_text(target, graph_of_it).splitlines() if " := " in line)
        for last in (*(stage.stage for stage in graph_of_it), "all"):
            read, made = (lines[f"{kind}.{last}"].split() for kind in ("INPUTS", "OUTPUTS"))
            assert not set(read) & set(made)
            assert f"params/{target}.yaml" in read
            assert all(Path(path).exists() for path in read if not path.startswith("data/external/"))
        everything = {path for stage in graph_of_it if stage.stage != graph.AUDIT for path in (*stage.outputs, *stage.metrics)}
        assert set(lines["OUTPUTS.all"].split()) == everything
        assert lines["OUTPUTS.ingest"] == f"data/raw/{target}"


def test_dvc_lists_weights_of_every_target_as_artifact():
    artifacts = yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["artifacts"]
    assert list(artifacts) == composition.targets()
    for target, entry in artifacts.items():
        [train] = [stage for stage in graph.stages(target, composition.compose(target)) if stage.stage == "train"]
        assert entry["path"] in train.outputs


def test_export_without_int8_has_no_int8_output():
    stages = {stage.stage: stage for stage in graph.stages("petals", composition.compose("petals", ["export.int8=false"]))}
    assert set(stages["export"].outputs) == {
        f"models/petals/{name}" for name in ("model.onnx", "parity.json", "reference.parquet", "familiar.npy")
    }


@pytest.mark.parametrize(("target", "compares"), [("petals", True), ("tweets", False), ("captions", False)])
def test_only_classifiers_of_photos_pack_known_inputs(target, compares):
    stages = {stage.stage: stage for stage in graph.stages(target, composition.compose(target))}
    name = f"models/{target}/familiar.npy"
    assert (name in stages["export"].outputs) == (name in stages["package"].inputs) == compares


def test_stages_that_build_the_network_depend_on_own_weights(tmp_path):
    tree = composition.compose("petals", ["model.architecture=auto", f"model.weights=path:{tmp_path}"])
    found = [stage.stage for stage in graph.stages("petals", tree) if str(tmp_path) in stage.inputs]
    assert found == ["train", "evaluate", "export"]


def test_data_stages_do_not_depend_on_the_model():
    stages = {stage.stage: stage for stage in graph.stages("petals", composition.compose("petals"))}
    for name in ("ingest", "prepare"):
        below = tuple(f"src/bitbloom/{folder}/" for folder in ("models", "training", "config/models"))
        found = {path for path in stages[name].inputs if path.startswith(below)}
        assert found <= {"src/bitbloom/config/models/__init__.py"}  # the common part of all kinds
