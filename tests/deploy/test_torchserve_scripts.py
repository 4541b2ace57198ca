"""The scripts for TorchServe, with stand-ins for Java and the venv: a dry run prints what a run calls, and calls nobody."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from support.commands import RECORDER, REPOSITORY

ARCHIVE, SERVE = "torchserve/archive.sh", "torchserve/serve.sh"
FOLDERS = ("rm", "mkdir", "cp", "echo")
"""What else the scripts call, which has no stand-in."""


@pytest.fixture
def checkout(desk):
    """The desk, with a venv and Java, and an archive to serve."""
    desk.stand_in("java")
    for tool in ("uv", "python"):
        path = desk.folder / ".venv/bin" / tool
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(RECORDER.format(python=sys.executable, record=str(desk.record)))
        path.chmod(0o755)
    return desk


def program(command: list[str]) -> list[str]:
    """A command without what `env` does for it, and without the folder of its program."""
    while command[0] == "env" or "=" in command[0]:
        command = command[3:] if command[1] == "-C" else command[1:]
    return [command[0].rpartition("/")[2], *command[1:]]


def archived(desk, *arguments: str, **names: str):
    done = desk.run(ARCHIVE, *arguments, names=names)
    assert (done.code, done.err) == (0, "")
    return done


def test_an_archive_is_made_as_the_dry_run_prints(checkout):
    printed = archived(checkout, "--dry-run")
    assert printed.calls == []
    assert not (checkout.folder / ".bitbloom").exists()
    commands = [program(command) for command in printed.commands]
    assert [command[0] for command in commands] == ["rm", "uv", "cp", "rm", "mkdir", "python", "python", "rm", "echo"]
    (checkout.folder / ".bitbloom/torchserve-packages").mkdir(parents=True)
    (checkout.tools / "rm").symlink_to("/bin/true")  # the packages stay, as if they had been installed
    assert archived(checkout).calls == [command for command in commands if command[0] not in FOLDERS]
    assert (checkout.folder / "dist").is_dir()


def test_a_dry_run_trains_nothing(tmp_path):
    command = ["make", "--no-print-directory", "--dry-run", f"STATE={tmp_path}", "deploy-torchserve-archive", "DRY_RUN=1"]
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}  # `make test` runs this
    done = subprocess.run(command, cwd=REPOSITORY, env=ours, capture_output=True, text=True, check=True)
    assert done.stdout == "TARGET=petals sh deploy/torchserve/archive.sh\n"


def test_an_archive_is_made_of_the_workspace_that_is_named(checkout, tmp_path):
    places = {"WORKSPACE": str(tmp_path), "ARCHIVES": str(tmp_path / "store"), "TARGET": "petals-tiny"}
    lines = archived(checkout, "--dry-run", **places).out.splitlines()
    staged = f"{checkout.folder}/.bitbloom/torchserve-staged/petals-tiny"
    assert f"env -C {tmp_path} " in lines[5]
    assert lines[5].endswith(f" petals-tiny {staged}")
    assert lines[6].endswith(f"--extra-files {staged} --export-path {tmp_path}/store")
    assert lines[-1] == f"echo {tmp_path}/store/petals-tiny.mar"


def test_packages_that_are_there_are_not_installed_again(checkout):
    place = checkout.folder / ".bitbloom/torchserve-packages/requirements.lock"
    place.parent.mkdir(parents=True)
    place.write_bytes((checkout.folder / "deploy/torchserve/requirements.lock").read_bytes())
    assert "uv" not in [program(command)[0] for command in archived(checkout, "--dry-run").commands]


def test_it_is_served_as_the_dry_run_prints(checkout):
    printed = checkout.run(SERVE, "--dry-run", names={"DRY_RUN": "1"})
    assert (printed.code, printed.err, printed.calls) == (0, "", [])
    folder, command = printed.commands
    assert folder == ["mkdir", "-p", f"{checkout.folder}/.bitbloom/torchserve-logs"]
    assert {"--foreground", "--disable-token-auth", "petals=petals.mar"} <= set(command)
    assert f"PYTHONPATH={checkout.folder}/.bitbloom/torchserve-packages" in command
    (checkout.folder / "dist").mkdir()
    (checkout.folder / "dist/petals.mar").touch()
    assert checkout.run(SERVE).calls == [program(command)]


def test_an_archive_that_is_missing_is_said(checkout):
    done = checkout.run(SERVE)
    assert (done.code, done.calls) == (1, [])
    assert done.err.endswith("dist/petals.mar is missing: make deploy-torchserve-archive\n")
