"""The commands of the scripts, checked against the argument lists of `gcloud` itself, without a request."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess

import pytest

GCLOUD = shutil.which("gcloud")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(GCLOUD is None, reason="gcloud is not here: its argument lists cannot be read"),
]
EVERYTHING = {"PUBLIC": "1", "TOKEN_SECRET": "a-token"}
DRIFT = {"BITBLOOM_LOG": "gs://a-bucket/petals", "DRIFT_ACCOUNT": "drift@a-project.example"}
SCRIPTS = {
    "cloud-run/deploy.sh": {},
    "cloud-functions/deploy.sh": {},
    "vertex-ai/sweep.sh": {},
    "vertex-ai/train.sh": {},
    "compute-engine/verify.sh": {},
    "artifact-registry/create.sh": {},
    "artifact-registry/push.sh": {},
    "cloud-build/trigger.sh": {},
    "cloud-monitoring/deploy.sh": {
        "HOST": "petals.example",
        "PROMETHEUS": "1",
        "CHANNEL": "projects/a-project/notificationChannels/1",
    },
    "drift/deploy.sh": DRIFT,
    "drift/rights.sh": DRIFT,
    "cloud-run/canary.sh": {"VERSION": "0123456789abcdef", "PERCENT": "10"},
}


def names(structure: object) -> set[str]:
    """All arguments of a command, also those in groups."""
    if isinstance(structure, list):
        return set().union(*map(names, structure))
    if not isinstance(structure, dict):
        return set()
    own = {structure["name"]} if "name" in structure else set()
    return own | names(structure.get("arguments")) | names(structure.get("group"))


def problems(command: list[str], config: str) -> list[str]:
    """The parts of a command that `gcloud` does not know."""
    environment = os.environ | {"CLOUDSDK_CONFIG": config, "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true"}
    lint = [str(GCLOUD), "meta", "lint-gcloud-commands", f"--command-string={shlex.join(command)}"]
    done = subprocess.run(lint, env=environment, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        return [f"{shlex.join(command)}: {done.stderr}"]
    found = json.loads(done.stdout)[0]
    if not found["success"]:
        return [f"{shlex.join(command)}: {found['error_message']}"]
    known = names(found["args_structure"])
    flags = [word[2:].partition("=")[0] for word in command if word.startswith("--")]
    return [f"{shlex.join(command)}: no flag --{flag}" for flag in flags if flag not in known and flag[:3] != "no-"]


@pytest.mark.parametrize("script", SCRIPTS)
def test_gcloud_knows_every_command_and_flag(desk, tmp_path, script):
    done = desk.run(script, "--dry-run", names=EVERYTHING | SCRIPTS[script])
    assert done.code == 0, done.err
    commands = [command for command in done.commands if command[0] == "gcloud"]
    assert commands
    assert [problem for command in commands for problem in problems(command, str(tmp_path))] == []


def test_finds_unknown_flag(tmp_path):
    assert problems(["gcloud", "run", "services", "replace", "x.yaml", "--regions=r"], str(tmp_path))
    assert problems(["gcloud", "run", "service", "replace", "x.yaml"], str(tmp_path))
