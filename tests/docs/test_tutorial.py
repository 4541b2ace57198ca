"""The tutorial and the pages beside it, command by command, in a fresh checkout. Only the network of petals-folder is smaller."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import documents
from support.checkouts import checkout, environment, run
from support.standin import free_port

pytestmark = pytest.mark.slow

SMALLER = {"model: dinov2-small": "model: cnn", "train: finetune": "train: scratch", "image_size: 144": "image_size: 32"}
STEPS = "\nmodel:\n  image_size: 32\n  layers: 2\n  hidden_size: 32\ntrain:\n  epochs: 4\n  max_steps: 8\n  batch_size: 32\n"
"""A network and a training of seconds: the commands are those of the page."""
PORT = 3000
SECONDS_TO_START = 120


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with a small petals-folder."""
    folder = checkout(tmp_path_factory.mktemp("tutorial"))
    target = folder / "conf/petals-folder.yaml"
    text = target.read_text()
    for whole, small in SMALLER.items():
        assert whole in text
        text = text.replace(whole, small)
    target.write_text(text + STEPS)
    run(folder, "make", "graph")
    run(folder, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "--quiet", "--all", "--message", "small")
    return folder


def lines(page: str) -> list[str]:
    """The lines of the shell blocks of a page, without comments."""
    text = "\n".join(block.text for block in documents.of_page(page, documents.read(page)) if block.language == "sh")
    return [stripped for line in text.splitlines() if (stripped := re.sub(r"\s+# .*", "", line).strip())]


@pytest.fixture(scope="module")
def flowers(project: Path) -> dict[str, str]:
    """The output of each command of the tutorial, in their order."""
    outputs: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        port = str(PORT)
        for line in lines("docs/tutorial.md"):
            if line.startswith("make serve"):
                port = stack.enter_context(serving(project, line))
                continue
            if line.startswith("make verify"):  # as long as the build: tests/reproducibility/test_verify.py
                continue
            outputs[line] = run(project, "sh", "-c", line.replace(f"localhost:{PORT}", f"localhost:{port}"))
    return outputs


@contextlib.contextmanager
def serving(folder: Path, line: str) -> Iterator[str]:
    """Run the command of a service on a free port, which is returned once the service is ready."""
    port = str(free_port())
    command = ["sh", "-c", f"exec {line} PORT={port}"]
    process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        end = time.monotonic() + SECONDS_TO_START
        while subprocess.run(["curl", "-sf", f"http://127.0.0.1:{port}/readyz"], capture_output=True).returncode:
            assert process.poll() is None, "the service ended"
            assert time.monotonic() < end, "the service is not ready"
            time.sleep(0.2)
        yield port
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def test_commands_run(flowers, project):
    assert len(flowers) == len(lines("docs/tutorial.md")) - 2, "each command once, the service, and the rebuild"
    built = flowers["make all TARGET=petals-folder PHOTOS=my-flowers"]
    assert re.search(r"accuracy +\d", built)
    assert (project / "reports/petals-folder/index.html").is_file()
    assert (project / "data/external/petals-folder.dvc").is_file()


def test_change_of_a_key_is_a_variant(flowers):
    assert ".bitbloom/variants/" in flowers["make evaluate TARGET=petals-folder SET='train.epochs=3'"]


def test_service_predicts_as_the_command_does(flowers):
    [printed] = (json.loads(output) for line, output in flowers.items() if "bitbloom predict" in line)
    [served] = (json.loads(output.splitlines()[-1]) for line, output in flowers.items() if line.startswith("curl -F"))
    del printed["path"]
    assert served == printed


def test_commands_of_the_gate_run(project):
    changed, passes, stops = lines("docs/gate.md")
    run(project, "sh", "-c", changed)
    run(project, "sh", "-c", passes)
    message = run(project, "sh", "-c", stops, fails=True)
    [shown] = [
        block.text for block in documents.of_page("docs/gate.md", documents.read("docs/gate.md")) if block.language == "text"
    ]
    assert shown in message


def test_commands_of_dvc_run(flowers, project, tmp_path):
    for line in lines("docs/dvc.md"):
        if "artifacts get" in line or "exp run" in line:  # tests/pipeline/test_artifacts.py and test_checkout.py
            continue
        own = line.replace("/path/to/folder", str(tmp_path / "remote")).replace("petals.yaml", "petals-folder.yaml")
        run(
            project,
            "sh",
            "-c",
            re.sub(r"(pipelines/|reports/|TARGET=)petals\b", r"\1petals-folder", own),
        )
    assert any((tmp_path / "remote").rglob("*"))
