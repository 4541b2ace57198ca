"""Every fenced block of README and docs: its commands, options, variables, files, keys and imports exist.

Each line of a shell block is parsed by the reader of the command: make's targets and variables, typer, DVC, BentoML, pytest.
RUNS names the test that runs a block, EXCUSED the reason why none does. `tests/service/test_documented_requests.py` runs every
request to a service.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib.machinery
import importlib.util
import io
import json
import logging
import re
import shlex
import tomllib
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
import pytest
import typer
import yaml

from bitbloom.cli import app
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition
from support import documents, makefiles
from support.documents import SOMETHING, Block, Command
from support.tiny import REPOSITORY

SHELL = documents.blocks("sh", "bash", "console")
COMMANDS = [command for block in SHELL for command in documents.commands(block) if command.words]
PYTHON = documents.blocks("python")
YAML = [block for block in documents.blocks("yaml") if "defaults:" in block.text]

OTHERS = {
    "az": "Azure's command line: an account",
    "cd": "the shell",
    "cp": "coreutils",
    "docker": "not installed; a container test builds the file with podman",
    "gcloud": "Google's command line, an account; tests/deploy/test_gcloud.py checks the command lines of the scripts",
    "git": "git",
    "kubectl": "a cluster",
    "mkdir": "coreutils",
    "nix": "tests/nix runs the flake's outputs",
    "nix-store": "tests/nix",
    "openssl": "tests/reproducibility signs with such keys",
    "podman": "tests/service/test_container.py",
    "printf": "coreutils",
}
"""Programs whose arguments no test of this file checks, and why."""

FAULTS = (AssertionError, click.ClickException, *typer.BadParameter.__bases__, BitBloomError)
"""What the checks raise: pytest, BentoML's click, typer's own click, the composition."""

RUNS = {
    (
        "docs/label-errors.md",
        "make audit-labels",
    ): "audit/test_label_audit.py::test_wrong_label_is_first_with_its_picture_and_equal_content_is_listed",
    ("docs/label-errors.md", "make relabel"): "audit/test_relabel.py::test_verdicts_become_labels_of_the_data",
    ("docs/drift.md", "make drift"): "drift/test_command.py::test_dark_photos_are_drift_with_pictures_and_realised_accuracy",
    ("docs/data-versions.md", "make data-diff"): "data/test_data_versions.py::test_command_writes_page_and_summary",
    (
        "docs/data-versions.md",
        "make accept-data",
    ): "data/test_data_versions.py::test_accept_data_names_the_file_and_what_is_missing",
    ("docs/data-versions.md", "make ci-data"): "workflows/test_data_gate.py::test_moved_samples_fail_the_report",
    ("README.md", "make all"): "e2e/test_user_commands.py::test_clean_build_gives_the_expected_digests",
    ("README.md", "make all TARGET=petals-folder PHOTOS=path/to/photos"): "docs/test_tutorial.py::test_commands_run",
    (
        "README.md",
        "make all TARGET=petals-folder SET='train.epochs=3'",
    ): "docs/test_tutorial.py::test_change_of_a_key_is_a_variant",
    ("README.md", "make serve TARGET=petals-folder"): "docs/test_tutorial.py::test_commands_run",
    ("deploy/README.md", "make deploy-cloud-run"): "deploy/test_cloud_run.py::",
    ("deploy/cloud-functions/README.md", "sh deploy/cloud-functions/source.sh"): "deploy/test_cloud_functions.py::",
    ("deploy/torchserve/README.md", "make deploy-torchserve-archive"): "deploy/test_torchserve.py::",
    ("docs/adding-a-target.md", ".venv/bin/bitbloom config my-flowers"): "docs/test_blocks.py::test_whole_target_composes",
    ("docs/dvc.md", "make experiments TARGET=petals"): "docs/test_tutorial.py::test_commands_of_dvc_run",
    ("docs/dvc.md", "dvc remote add"): "docs/test_tutorial.py::test_commands_of_dvc_run",
    (
        "docs/dvc.md",
        "import great_expectations",
    ): "data/test_gate.py::test_great_expectations_loads_a_suite_by_the_line_in_the_docs",
    ("docs/gate.md", "make validate TARGET=petals-tiny"): "docs/test_tutorial.py::test_commands_of_the_gate_run",
    ("docs/gate.md", "make validate TARGET=petals-tiny SET='gate.sharpness=0.6 gate.near_bits=null'"): (
        "docs/test_tutorial.py::test_commands_of_the_gate_run"
    ),
    (
        "docs/optimise.md",
        ".venv/bin/bitbloom predict petals --variant",
    ): "model/test_optimise.py::test_bitbloom_predict_runs_variants",
    ("docs/optimise.md", "from bitbloom.optimise import variants"): "model/test_optimise.py::test_pytorch_variants_predict_files",
    ("docs/own-data.md", "make all TARGET=petals-tiny"): "e2e/test_user_commands.py::test_clean_build_gives_the_expected_digests",
    ("docs/own-data.md", "make all TARGET=petals-folder PHOTOS=path/to/photos"): "docs/test_tutorial.py::test_commands_run",
    ("docs/own-data.md", "make all SET='train.epochs=3'"): "e2e/test_user_commands.py::test_overrides_build_a_separate_variant",
    (
        "docs/provenance.md",
        "make verify TARGET=petals-tiny",
    ): "reproducibility/test_verify.py::test_rebuild_without_cache_has_same_artifacts",
    ("docs/reproducibility.md", "make verify"): "reproducibility/test_verify.py::test_rebuild_without_cache_has_same_artifacts",
    (
        "docs/reproducibility.md",
        "openssl ecparam",
    ): "reproducibility/test_verify.py::test_statement_has_bento_and_materials_and_no_time",
    (
        "docs/serving.md",
        ".venv/bin/bitbloom predict petals photo.jpg",
    ): "service/test_client.py::test_predict_and_ask_agree_on_photos",
    ("docs/tutorial.md", "make data TARGET=petals-tiny"): "docs/test_tutorial.py::test_commands_run",
    ("docs/tutorial.md", "make all TARGET=petals-folder PHOTOS=my-flowers"): "docs/test_tutorial.py::test_commands_run",
    ("docs/tutorial.md", ".venv/bin/bitbloom predict petals-folder"): "docs/test_tutorial.py::test_commands_run",
    (
        "docs/tutorial.md",
        "make evaluate TARGET=petals-folder SET='train.epochs=3'",
    ): "docs/test_tutorial.py::test_change_of_a_key_is_a_variant",
    ("docs/tutorial.md", "make serve TARGET=petals-folder"): "docs/test_tutorial.py::test_commands_run",
    ("docs/tutorial.md", "curl -F"): "docs/test_tutorial.py::test_service_predicts_as_the_command_does",
    ("bentos/", "curl"): "service/test_documented_requests.py::test_curl_gets_a_response",
    ("bentos/", ""): "service/test_documented_requests.py::test_python_client_raises_no_error",
    ("docs/serving.md", "from pathlib"): "service/test_documented_requests.py::test_python_client_raises_no_error",
    ("docs/serving.md", "make serve   "): "service/test_documented_requests.py::test_curl_gets_a_response",
    ("docs/serving.md", "OTEL_EXPORTER"): "service/test_tracing.py::test_spans_of_a_prediction_are_below_that_of_its_client",
    (
        "docs/prediction-log.md",
        "BITBLOOM_LOG",
    ): "service/prediction_log/test_log_service.py::test_documented_commands_run",
    (
        "docs/prediction-log.md",
        "import pyarrow",
    ): "service/prediction_log/test_log_service.py::test_documented_commands_run",
    ("docs/serving.md", "make containerize"): "service/test_container.py::test_published_port_gives_the_prediction_of_the_model",
    ("docs/batch.md", "make predict"): "experiments/test_batch.py::test_killed_run_continues_with_the_missing_parts",
    ("docs/batch.md", "import pyarrow"): "experiments/test_batch.py::test_parquet_keeps_every_bit",
    ("docs/distributed.md", "export TORCH"): "reproducibility/test_elastic_training.py::",
    ("docs/hub.md", "make hub"): "deploy/test_hub.py::test_check_finds_every_file_equal",
    ("docs/monitoring.md", "make serve"): "monitoring/test_monitor_command.py::test_all_programs_end_with_the_command",
    ("docs/new-project.md", "make new"): "e2e/test_new_project.py::test_only_the_origin_has_the_old_name",
    ("docs/new-project.md", "cd"): "e2e/test_new_project.py::test_build_keeps_the_digests_that_do_not_contain_the_name",
    ("docs/optimise.md", "make optimise"): "model/test_optimise.py::test_every_variant_has_measurements_or_a_failure",
    ("docs/sources.md", "make submission TARGET=petals-104-tiny"): "pipeline/test_submission_photos.py::",
    ("docs/own-data.md", "make all TARGET=tweets-kaggle"): "e2e/test_real_tweets.py::",
    ("docs/profiling.md", "make profile"): "experiments/test_profile.py::test_profile_of_a_stage_has_a_page_whose_modules_add_up",
    (
        "README.md",
        "make remote DEMO=1",
    ): "remote/test_demo.py::test_demonstration_shows_gate_and_prediction_of_a_second_clone",
    (
        "docs/remote.md",
        "make remote DEMO=1",
    ): "remote/test_demo.py::test_demonstration_shows_gate_and_prediction_of_a_second_clone",
    ("docs/remote.md", "make remote BUCKET"): "remote/test_setup.py::test_dry_run_prints_all_commands_and_runs_none",
    ("docs/remote.md", "make deploy"): "deploy/test_vertex_ai.py::test_job_and_vm_know_the_remote",
    (
        "docs/remote.md",
        "make all",
    ): "reproducibility/test_substituter.py::test_downloads_build_from_bucket",
    ("docs/robustness.md", "make robustness"): "monitoring/test_robustness.py::test_report_on_colours",
    (
        "docs/retraining.md",
        "make retrain",
    ): "monitoring/test_loop.py::test_drift_is_found_alerted_retrained_promoted_and_recovered",
    (
        "docs/retraining.md",
        "make monitor",
    ): "monitoring/test_loop.py::test_drift_is_found_alerted_retrained_promoted_and_recovered",
    (
        "docs/retraining.md",
        "make containerize",
    ): "deploy/test_cloud_monitoring.py::test_canary_deploys_without_traffic_and_then_gives_it_a_part",
    ("docs/runs.md", "make all"): "experiments/test_compare.py::test_prints_all_parts_and_writes_the_page",
    (
        "docs/sweeps.md",
        "make sweep",
    ): "experiments/test_sweep_kills.py::test_workers_and_kills_do_not_change_a_sweep_and_the_pipeline_builds_its_winner",
    ("docs/toolchain.md", "make test PYTEST='tests/nix"): "nix/test_programs.py::",
    ("docs/slides/slides.md", "make all"): "e2e/test_user_commands.py::test_clean_build_gives_the_expected_digests",
    (
        "docs/slides/slides.md",
        "make verify TARGET=petals-tiny",
    ): "reproducibility/test_verify.py::test_rebuild_without_cache_has_same_artifacts",
    ("reports/README.md", "make report"): "pipeline/test_exam_report.py::test_script_alone_tells_by_its_exit_code",
    ("reports/README.md", "make all"): "e2e/test_user_commands.py::test_overrides_build_a_separate_variant",
    ("reports/README.md", "make serve"): "service/test_documented_requests.py::test_curl_gets_a_response",
    ("deploy/artifact-registry/", "export"): "deploy/test_other_clouds.py::test_dry_run_prints_the_commands_of_a_run",
    ("deploy/azure/", ""): "deploy/test_other_clouds.py::test_dry_run_prints_the_commands_of_a_run",
    ("deploy/cloud-build/", "export"): "deploy/test_other_clouds.py::test_dry_run_prints_the_commands_of_a_run",
    ("deploy/cloud-functions/", "make package"): "deploy/test_cloud_functions.py::",
    ("deploy/cloud-monitoring/", "export"): "deploy/test_cloud_monitoring.py::test_creates_what_does_not_exist",
    ("deploy/cloud-run/", "make containerize"): "deploy/test_cloud_run.py::test_runs_the_commands_of_the_dry_run",
    ("deploy/compute-engine/", "export"): "deploy/test_vertex_ai.py::test_creates_the_vm_of_the_dry_run",
    ("deploy/drift/", "make training-image"): "deploy/test_drift_job.py::test_runs_the_commands_of_the_dry_run",
    ("deploy/kubernetes/", "make"): "deploy/test_other_clouds.py::test_dry_run_prints_the_commands_of_a_run",
    ("deploy/proxy/", "make"): "service/test_proxy.py::",
    ("deploy/vertex-ai/", "make training-image"): "deploy/test_vertex_ai.py::test_creates_the_job_of_the_dry_run",
}
"""Start of a page's path and of a block → the test that runs its main command, at the size of the tiny targets or with a
stand-in for a cloud; with `::` alone, all tests of a file. Other commands of the block may only be parsed."""

ACCOUNT = "an account of Google"
EXCUSED = {
    ("README.md", "make test"): "this very run",
    ("README.md", "make sweep"): "an overview: docs/ has each command in a block of its own",
    ("deploy/artifact-registry/", "gcloud iam"): ACCOUNT,
    ("deploy/cloud-run/", "gcloud services"): ACCOUNT,
    ("deploy/drift/", "gcloud iam"): ACCOUNT,
    ("deploy/compute-engine/", "nix develop"): "a machine with nix; the startup script runs it, with a stand-in in the tests",
    ("deploy/kubernetes/", "openssl rand"): "a cluster",
    ("deploy/monitoring/", "CONFIG"): "a registry of images; make deploy-check validates the compose file",
    ("docs/adding-a-target.md", "make all TARGET=my-photos"): "the target of the page's YAML block is composed, a build is hours",
    ("docs/feeding.md", "make bench-loading"): "minutes; tests/pipeline/test_loading_benchmark.py runs our part",
    ("docs/own-data.md", "make all TARGET=captions-folder"): "minutes; tests/data/test_caption_sources.py reads such folders",
    ("docs/own-data.md", "make all TARGET=captions-coco"): "a download of 1.1 GB",
    ("docs/sources.md", "make all TARGET=petals-104"): "an account at Kaggle; tests/data/test_tfrecords.py reads such shards",
    ("docs/sources.md", "make all TARGET=petals-102"): "a download of 345 MB; tests/data/test_oxford102.py reads such files",
    ("docs/sources.md", "make all TARGET=petals-shards"): "a fine-tuning; tests/data/test_webdataset.py reads such shards",
    ("docs/serving.md", "bentoml serve"): "needs petals in BentoML's store; bentoml's own commands are parsed",
    ("docs/serving.md", "BENTOML_CONFIG_OPTIONS"): "settings of BentoML; the command is parsed",
    ("docs/toolchain.md", "nix develop"): "nix is not on every machine; tests/nix builds the outputs where it is",
    ("docs/toolchain.md", "make package"): "nix and podman; tests/nix builds the outputs where they are",
    ("docs/toolchain.md", "uv pip compile"): "a package registry, and a lock for another processor",
    ("docs/tutorial.md", "make setup"): "an installation; tests/pipeline/test_setup.py runs it with a stand-in for uv",
    ("docs/tutorial.md", "make verify TARGET=petals-folder"): "as long as the build; tests/reproducibility verifies petals-tiny",
    ("reports/README.md", "git clone"): "its address is that of the reader",
    ("reports/README.md", "docker build"): "docker; tests/service/test_container.py builds the image of the service with podman",
}
"""Start of a page's path and of a block → why no test runs it."""


def make(command: Command) -> None:
    """Targets and variables exist; TARGET, SET and PYTEST have valid values."""
    names = [word for word in command.words[1:] if "=" not in word and not word.startswith("-")]
    given = dict(word.split("=", 1) for word in command.words[1:] if "=" in word) | dict(command.variables)
    assert set(names) <= makefiles.targets(), "no such target"
    assert set(given) <= makefiles.variables(), "no such variable"
    target = given.get("TARGET", "petals")
    check_target(target, command)
    check_overrides(target, shlex.split(given.get("SET", "")))
    pytest_arguments(shlex.split(given.get("PYTEST", "")))


def check_target(name: str, command: Command) -> None:
    """A target exists, or the page says how to add it."""
    is_own = f"`conf/{name}.yaml`" in documents.read(command.block.page) or f"data/external/{name}" in documents.read(
        command.block.page
    )
    assert name in composition.targets() or is_own or SOMETHING in name, f"no target {name}"


def check_overrides(target: str, overrides: list[str]) -> None:
    """Hydra composes the target with the overrides."""
    if overrides and target in composition.targets():
        composed(target, tuple(overrides))


@functools.cache
def composed(target: str, overrides: tuple[str, ...]) -> None:
    """Compose a target once. Raises BitBloomError."""
    composition.compose(target, overrides)


def pytest_arguments(words: Iterable[str]) -> None:
    """Files exist, and each name of a `-m` is a marker."""
    settings = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    known = {marker.split(":")[0] for marker in settings["tool"]["pytest"]["ini_options"]["markers"]}
    words = list(words)
    for before, word in zip(["", *words], words, strict=False):
        if before == "-m":
            assert set(re.findall(r"\w+", word)) - {"not", "or", "and"} <= known
        elif word.startswith("tests"):
            assert (REPOSITORY / word).exists(), word


def bitbloom(command: Command) -> None:
    """Typer parses the arguments; target and overrides exist."""
    context = parsed(typer.main.get_command(app), list(command.words))
    target = context.params.get("target")
    if isinstance(target, str):
        check_target(target, command)
        check_overrides(target, context.params.get("overrides") or [])


def parsed(root: Any, words: list[str]) -> Any:
    """The context of a command line of click or of typer, which has its own click: parsed to its end and not run."""
    context = root.context_class(root, info_name=words[0])
    rest = words[1:]
    while hasattr(context.command, "list_commands") and rest and not rest[0].startswith("-"):
        found = context.command.get_command(context, rest[0])
        assert found is not None, f"no command {rest[0]}"
        context, rest = found.context_class(found, info_name=rest[0], parent=context), rest[1:]
    return context.command.make_context(str(context.info_name), rest, parent=context.parent)


def dvc(command: Command) -> None:
    """DVC parses the arguments, and the files of this repository exist."""
    from dvc.cli import DvcParserError, parse_args

    logging.disable()  # DVC's handler may have the standard error of an earlier test, which is closed, and then raises
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            parse_args(list(command.words[1:]))
    except (DvcParserError, SystemExit) as error:
        raise AssertionError("DVC does not know these arguments") from error
    finally:
        logging.disable(logging.NOTSET)
    for word in command.words[1:]:
        if re.match(r"(pipelines|params)/", word):
            assert (REPOSITORY / word.split(":")[0]).exists(), word


def bentoml(command: Command) -> None:
    """BentoML's command line parses the arguments."""
    from bentoml_cli.cli import create_bentoml_cli

    with warnings.catch_warnings(action="ignore"):  # of click, about options that BentoML declares twice
        parsed(create_bentoml_cli(), list(command.words))


def curl(command: Command) -> None:
    """A request to a service on this machine; tests/service/test_documented_requests.py sends those of the services."""
    assert any(re.match(r"(https?://)?(localhost|127\.0\.0\.1|\$)", word) for word in command.words)


def script(command: Command) -> None:
    """The script exists."""
    assert (REPOSITORY / command.words[1]).is_file()


def python(command: Command) -> None:
    """The script or the module exists."""
    words = command.words[1:]
    if words[0] == "-m":
        assert importlib.util.find_spec(words[1]), words[1]
    else:
        assert (REPOSITORY / words[0]).is_file(), words[0]


def torchrun(command: Command) -> None:
    """torchrun parses its options, and the module exists."""
    from torch.distributed.run import parse_args

    given = parse_args(list(command.words[1:]))
    assert importlib.util.find_spec(given.training_script), given.training_script


def wrapped(command: Command) -> None:
    """`nix develop --command …`: the outputs exist, and the command is checked."""
    flake = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / "flake.nix", *(REPOSITORY / "nix").glob("*.nix")))
    for word in command.words[1:]:
        assert not word.startswith(".#") or re.search(rf"\b{word.removeprefix('.#')}\b", flake), word
    if "--command" in command.words:
        check(Command(command.block, (), command.words[command.words.index("--command") + 1 :]))


def uv(command: Command) -> None:
    """The files that uv reads exist."""
    assert all((REPOSITORY / word).is_file() for word in command.words if word.endswith(".in"))


def export(command: Command) -> None:
    """The variables are read by a Makefile or a script."""
    assert {word.split("=", 1)[0] for word in command.words[1:]} <= makefiles.variables()


CHECKS: dict[str, Callable[[Command], None]] = {
    "make": make,
    "bitbloom": bitbloom,
    "dvc": dvc,
    "bentoml": bentoml,
    "pytest": lambda command: pytest_arguments(command.words[1:]),
    "curl": curl,
    "python": python,
    "torchrun": torchrun,
    "sh": script,
    "nix": wrapped,
    "uv": uv,
    "export": export,
}


def check(command: Command) -> None:
    """Check a command by the reader of its arguments."""
    name = command.words[0].rpartition("/")[2] if command.words[0].startswith((".venv/bin/", ".bitbloom/")) else command.words[0]
    if name in CHECKS:
        CHECKS[name](Command(command.block, command.variables, (name, *command.words[1:])))
    else:
        assert name in {*OTHERS, "functions-framework"}, f"no check for {name}"


@pytest.fixture(autouse=True)
def in_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


@pytest.mark.parametrize("page", sorted({command.block.page for command in COMMANDS}))
def test_every_command_of_a_page_parses(page):
    for command in COMMANDS:
        if command.block.page == page:
            try:
                check(command)
            except FAULTS as error:
                pytest.fail(f"{command}: {error}")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("make al", "no such target"),
        ("make all TARGE=petals", "no such variable"),
        ("make all TARGET=petal", "no target"),
        ("make all SET='train.epoch=3'", "train.epochs"),
        ("make test PYTEST='-m fast'", "fast"),
        ("make test PYTEST=tests/nothing.py", "nothing.py"),
        ("bitbloom predct petals photo.jpg", "predct"),
        (".venv/bin/bitbloom predict petals --varient x photo.jpg", "--varient"),
        ("bitbloom verify", "target"),
        ("dvc metrics shw", "DVC"),
        ("bentoml serv petals:latest", "serv"),
        ("nix build .#wheelhous", "wheelhous"),
        ("sh deploy/nothing.sh", "nothing.sh"),
        ("export PROJECTS=x", "PROJECTS"),
        ("frobnicate --all", "no check"),
    ],
)
def test_finds_wrong_commands(line, fault):
    [command] = documents.commands(Block("README.md", 1, "sh", line))
    with pytest.raises(FAULTS, match=re.escape(fault)):
        check(command)


def test_splits_a_block_into_its_commands():
    text = (
        "A=1 make all B='x y' \\\n  C=2 | tail > file && echo \"a # b\"   # a comment\n# another\nnix build .#venv; curl <name>\n"
    )
    found = documents.commands(Block("page", 1, "sh", text))
    words = [("make", "all", "B=x y", "C=2"), ("tail",), ("echo", "a # b"), ("nix", "build", ".#venv"), ("curl", SOMETHING)]
    assert [command.words for command in found] == words


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_compiles_and_its_imports_exist(block):
    assert missing(ast.parse(block.text, block.page)) == []


def missing(tree: ast.AST) -> list[str]:
    """The imported modules and names that do not exist."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if not specification(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            module = specification(str(node.module))
            defined = Path(str(module.origin)).read_text(encoding="utf-8") if module else ""
            found += [
                f"{node.module}.{alias.name}"
                for alias in node.names
                if not re.search(rf"\b{alias.name}\b", defined) and not specification(f"{node.module}.{alias.name}")
            ]
    return found


def specification(name: str) -> importlib.machinery.ModuleSpec | None:
    """Where a module is, None when it does not exist."""
    try:
        return importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return None


def test_finds_missing_imports():
    assert missing(ast.parse("import bentolm\nfrom pathlib import Pth\nfrom bitbloom.optimise import variants, nothing")) == [
        "bentolm",
        "pathlib.Pth",
        "bitbloom.optimise.nothing",
    ]


@pytest.mark.parametrize("block", documents.blocks("json"), ids=str)
def test_json_is_valid(block):
    assert isinstance(json.loads(block.text), dict | list)


@pytest.mark.parametrize("block", YAML, ids=str)
def test_whole_target_composes(block, tmp_path, monkeypatch):
    tree = yaml.safe_load(block.text)
    conf = tmp_path / "conf"
    conf.mkdir()
    for path in (REPOSITORY / "conf").iterdir():
        (conf / path.name).symlink_to(path)
    (conf / "documented.yaml").write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert composition.compose("documented").title == tree["title"]


def named(block: Block, list_of: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The entries of a list that name a block."""
    return [(page, start) for page, start in list_of if block.page.startswith(page) and block.first.startswith(start)]


@pytest.mark.parametrize("block", [*SHELL, *PYTHON], ids=str)
def test_block_is_run_by_a_test_or_excused(block):
    assert named(block, [*RUNS, *EXCUSED]), f"name the test that runs '{block.first}', or the reason why none does"


def test_unlisted_block_is_found():
    assert not named(Block("docs/tutorial.md", 1, "sh", "make nothing"), [*RUNS, *EXCUSED])


@pytest.mark.parametrize("entry", [*RUNS, *EXCUSED], ids=str)
def test_every_entry_names_a_block_and_a_test(entry):
    assert any(named(block, [entry]) for block in (*SHELL, *PYTHON))
    if entry in RUNS:
        file, _, name = RUNS[entry].partition("::")
        assert f"def {name or 'test_'}" in (REPOSITORY / "tests" / file).read_text(encoding="utf-8")


def test_there_are_blocks_to_check():
    assert len(COMMANDS) > 100
    assert len(PYTHON) >= 6
