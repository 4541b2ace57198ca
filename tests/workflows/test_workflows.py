"""The workflows of .github/: valid, pinned, with least permissions, and steps of existing Make targets."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from bitbloom.pipeline import recovery
from support import makefiles

REPOSITORY = Path(__file__).parents[2]
WORKFLOWS = sorted((REPOSITORY / ".github/workflows").glob("*.yaml"))
ACTIONS = sorted((REPOSITORY / ".github/actions").glob("*/action.yaml"))
PINNED = re.compile(r"uses: (\./\.github/actions/[a-z]+|[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+( #.*)?)$")
LONGEST = 360
"""GitHub's own limit of a job in minutes."""
WHOLE_LOCK = "whole-dvc-lock"
"""The hook without a tool."""


def parsed(path: Path) -> dict[Any, Any]:
    return yaml.safe_load(path.read_text())


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    return parsed(path)["jobs"]


def steps(path: Path) -> Iterator[dict[str, Any]]:
    for job in [parsed(path)["runs"]] if path in ACTIONS else jobs(path).values():
        yield from job["steps"]


def trigger(path: Path) -> dict[str, Any]:
    return parsed(path)[True]  # YAML 1.1 reads `on` as true


def test_has_each_expected_workflow():
    assert {path.stem for path in WORKFLOWS} == {"ci", "nix", "verify", "data", "model", "comment", "image", "audit"}


@pytest.mark.parametrize("target", ["lint", "coverage", "docs", "deploy-check", "ci-slow", "ci-emulated", "verify"])
def test_documented_checks_run_before_a_merge(target):
    for path in WORKFLOWS:
        if {"push", "pull_request"} <= set(trigger(path)) and f"make {target}" in {step.get("run") for step in steps(path)}:
            return
    pytest.fail(f"no workflow runs `make {target}`")


def test_main_job_runs_in_nix_develop_and_a_second_one_without_nix():
    found = jobs(REPOSITORY / ".github/workflows/ci.yaml")
    runs = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in found.items()}
    shells = {name: job.get("defaults", {}).get("run", {}).get("shell", "") for name, job in found.items()}
    assert next(iter(found)) == "ci"
    assert shells["ci"] == "nix develop --command bash -e {0}"
    assert {"make lint", "make coverage"} <= set(runs["ci"])
    assert shells["pip"] == ""
    assert "make coverage" in runs["pip"]


def wrong_run(command: str) -> bool:
    """Whether a command is anything else than one existing Make target."""
    target = re.fullmatch(r"make ([a-z-]+)", command.strip())
    return not (target and target[1] in makefiles.targets())


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_each_step_runs_one_existing_make_target(path):
    assert [step["run"] for step in steps(path) if "run" in step and wrong_run(step["run"])] == []


@pytest.mark.parametrize(
    "command", ["make nothing-like-it", "make lint && curl x", "pip install x", "make lint\nmake test", "make -n lint"]
)
def test_finds_other_steps(command):
    assert wrong_run(command)


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_action_is_pinned_by_commit_with_its_version(path):
    lines = [line.strip().removeprefix("- ") for line in path.read_text().splitlines() if re.search(r"\buses:", line)]
    assert lines
    assert [line for line in lines if not PINNED.match(line)] == []


def test_one_action_has_one_version_everywhere():
    texts = "\n".join(path.read_text() for path in [*WORKFLOWS, *ACTIONS])
    versions: dict[str, set[tuple[str, str]]] = {}
    for action, commit, version in re.findall(r"uses: ([\w.-]+/[\w./-]+)@(\w{40}) # (v[\d.]+)", texts):
        versions.setdefault(action, set()).add((commit, version))
    assert {action: found for action, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_job_declares_permissions_and_timeout(path):
    assert parsed(path)["permissions"] == {}
    assert "concurrency" in parsed(path)
    for name, job in jobs(path).items():
        assert job["permissions"], name
        assert 0 < job["timeout-minutes"] < LONGEST, name


WRITERS = {
    ("comment", "comment"): {"actions": "read", "contents": "read", "pull-requests": "write"},
    ("image", "image"): {"contents": "read", "id-token": "write"},
    ("audit", "propose"): {"contents": "write", "pull-requests": "write"},
}


def test_only_three_jobs_have_write_permissions():
    found = {(path.stem, name): job["permissions"] for path in WORKFLOWS for name, job in jobs(path).items()}
    assert {job: rights for job, rights in found.items() if rights != {"contents": "read"}} == WRITERS


def test_pull_requests_run_with_read_permissions():
    for path in WORKFLOWS:
        assert "pull_request_target" not in trigger(path)
        if "pull_request" in trigger(path):
            assert all(set(job["permissions"].values()) == {"read"} for job in jobs(path).values()), path.stem


def test_comment_job_checks_out_the_main_branch():
    checkouts = [
        step for step in steps(REPOSITORY / ".github/workflows/comment.yaml") if "actions/checkout" in step.get("uses", "")
    ]
    assert [step["with"] for step in checkouts] == [{"persist-credentials": False}]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_checkout_keeps_credentials(path):
    checkouts = [step for step in steps(path) if "actions/checkout" in step.get("uses", "")]
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_update_pull_request_has_the_paths_of_its_make_target():
    paths = next(
        step["with"]["add-paths"]
        for step in steps(REPOSITORY / ".github/workflows/audit.yaml")
        if "add-paths" in step.get("with", {})
    )
    assert f"updated = {' '.join(paths.split())}\n" in (REPOSITORY / "make/ci.mk").read_text()


@pytest.mark.parametrize("path", [*WORKFLOWS, *ACTIONS], ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_workflows_use_no_secret(path):
    assert "secrets." not in path.read_text()


@pytest.mark.parametrize("name", ["data", "model"])
def test_comment_workflow_follows_those_with_a_report(name):
    assert name in trigger(REPOSITORY / ".github/workflows/comment.yaml")["workflow_run"]["workflows"]
    uploads = [
        step["with"]["name"] for step in steps(REPOSITORY / f".github/workflows/{name}.yaml") if "upload" in step.get("uses", "")
    ]
    assert any(upload.startswith("report") for upload in uploads)


def tools() -> Path:
    """The venv of .github/requirements.lock, made if missing."""
    venv = REPOSITORY / ".bitbloom/workflows-venv"
    done = subprocess.run(
        ["sh", "deploy/venv.sh", ".github/requirements.lock", str(venv)], cwd=REPOSITORY, capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f".github/requirements.lock cannot be installed here: {done.stderr.strip()[-300:]}")
    return venv / "bin"


@pytest.mark.slow
def test_workflows_fit_githubs_schema(tmp_path):
    command = [tools() / "check-jsonschema", "--builtin-schema", "vendor.github-workflows"]
    assert subprocess.run([*command, *WORKFLOWS], capture_output=True).returncode == 0
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(WORKFLOWS[0].read_text().replace("runs-on:", "run-on:", 1))
    done = subprocess.run([*command, wrong], capture_output=True, text=True)
    assert done.returncode == 1
    assert "run-on" in done.stdout


@pytest.mark.slow
def test_zizmor_passes_workflows_and_finds_an_injection(tmp_path):
    command = [tools() / "zizmor", "--offline", "--quiet", "--no-progress", "--min-severity", "medium"]
    done = subprocess.run([*command, ".github"], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / ".github/workflows/wrong.yaml"
    wrong.parent.mkdir(parents=True)
    wrong.write_text((REPOSITORY / ".github/workflows/ci.yaml").read_text().replace("make lint", "echo ${{ github.head_ref }}"))
    assert "template-injection" in subprocess.run([*command, tmp_path], capture_output=True, text=True).stdout


@pytest.mark.slow
def test_actionlint_passes_workflows_and_finds_an_unknown_context(tmp_path):
    command = [tools() / "actionlint", "-shellcheck=", "-pyflakes="]
    done = subprocess.run([*command, *WORKFLOWS], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((REPOSITORY / ".github/workflows/verify.yaml").read_text().replace("matrix.runner", "matrix.machine"))
    assert "machine" in subprocess.run([*command, wrong], capture_output=True, text=True).stdout


def test_hook_rejects_commit_during_a_build(tmp_path, monkeypatch):
    hooks = [hook for repo in parsed(REPOSITORY / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    entry = next(hook["entry"] for hook in hooks if hook["id"] == WHOLE_LOCK)
    monkeypatch.chdir(tmp_path)
    assert subprocess.run(shlex.split(entry)).returncode == 0
    recovery.BUILDING.parent.mkdir()
    recovery.BUILDING.touch()
    assert subprocess.run(shlex.split(entry)).returncode == 1


def test_hooks_are_local_and_their_tools_locked():
    lock = (REPOSITORY / "requirements-dev.lock").read_text()
    packages = {
        "check-added-large-files": "pre-commit-hooks",
        "detect-private-key": "pre-commit-hooks",
        "detect-secrets-hook": "detect-secrets",
    }
    for repo in parsed(REPOSITORY / ".pre-commit-config.yaml")["repos"]:
        assert repo["repo"] == "local"
        for hook in repo["hooks"]:
            tools = re.findall(r"\.venv/bin/([\w-]+)", hook["entry"])
            assert tools or hook["language"] == "fail" or hook["id"] == WHOLE_LOCK, hook["id"]
            for tool in tools:
                assert tool == "bitbloom" or re.search(rf"^{packages.get(tool, tool)}==", lock, re.MULTILINE), tool
