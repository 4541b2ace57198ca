"""Run scripts of deploy/ with stand-ins for cloud command lines on PATH, which record their arguments."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOOLS = ("gcloud", "kubectl", "az", "docker", "podman")
NAMES = {
    "PROJECT": "a-project",
    "REGION": "europe-west4",
    "REGISTRY": "registry.example/bitbloom",
    "IMAGE": "registry.example/bitbloom/petals:1",
    "TRAINING_IMAGE": "registry.example/bitbloom/training:1",
    "BUCKET": "a-bucket",
    "ZONE": "europe-west4-a",
    "SOURCE": "https://git.example/somebody/bitbloom",
    "REPOSITORY": "bitbloom",
    "LOCAL_IMAGE": "bitbloom/petals:1",
    "CONNECTED": "projects/a-project/locations/europe-west4/connections/c/repositories/r",
    "CONTEXT": "a-cluster",
    "NAMESPACE": "a-namespace",
    "RESOURCE_GROUP": "a-group",
    "LOCATION": "westeurope",
    "WORKSPACE_NAME": "a-workspace",
    "AZURE_COMPUTE": "cpu-cluster",
    "AZURE_ENVIRONMENT_ID": "/subscriptions/0/environments/e",
    "AZURE_IDENTITY_ID": "/subscriptions/0/identities/i",
    "SERVICE_ACCOUNT": "bitbloom@a-project.example",
    "BITBLOOM_COMMIT": COMMIT,
}
RECORDER = """#!{python}
import json, os, sys
with open({record!r}, "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
sys.exit(int(os.environ.get("FAKE_EXIT", "0")))
"""


@dataclass(frozen=True)
class Done:
    """The result of a script, and the commands that it called."""

    code: int
    out: str
    err: str
    calls: list[list[str]]

    @property
    def commands(self) -> list[list[str]]:
        """The printed lines, split like shell commands."""
        return [shlex.split(line) for line in self.out.splitlines()]


class Desk:
    """A copy of deploy/ with recording stand-ins."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.tools, self.record = folder / "checkout", folder / "tools", folder / "record"
        self.tools.mkdir()
        shutil.copytree(REPOSITORY / "deploy", self.folder / "deploy", ignore=shutil.ignore_patterns("__pycache__"))
        for tool in TOOLS:
            self.stand_in(tool)

    def stand_in(self, tool: str, text: str | None = None) -> None:
        """Put a stand-in for a command on PATH: a recorder, or this script."""
        path = self.tools / tool
        path.write_text(text or RECORDER.format(python=sys.executable, record=str(self.record)))
        path.chmod(0o755)

    def run(self, script: str, *arguments: str, names: dict[str, str | None] | None = None) -> Done:
        """Run a script of deploy/ with NAMES, some of them changed, added or removed (None)."""
        self.record.unlink(missing_ok=True)
        wanted = {**NAMES, **(names or {})}
        kept = {name: os.environ[name] for name in ("HOME", "LANG") if name in os.environ}
        set_names = {name: value for name, value in wanted.items() if value is not None}
        environment = kept | {"PATH": f"{self.tools}:/usr/bin:/bin", "PYTHON": sys.executable} | set_names
        command = ["bash" if script.endswith("startup.sh") else "sh", f"deploy/{script}", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True)
        calls = [json.loads(line) for line in self.record.read_text().splitlines()] if self.record.exists() else []
        return Done(done.returncode, done.stdout, done.stderr, calls)

    def rendered(self, name: str) -> str:
        """Return a template that a script rendered."""
        return (self.folder / ".bitbloom/deploy" / name).read_text()


def tool_venv(lock: str, name: str) -> Path:
    """Return the venv of a lock, and create it if necessary, which can include a download."""
    uv = REPOSITORY / ".venv/bin/uv"
    if not uv.exists():
        pytest.skip(".venv is not here: run `make setup`")
    venv = REPOSITORY / ".bitbloom" / name
    venv.parent.mkdir(exist_ok=True)
    with (venv.parent / f"{name}.lock").open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        command = ["sh", "deploy/venv.sh", lock, str(venv)]
        done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"{lock} cannot be installed here: {done.stderr.strip()[-300:]}")
    return venv
