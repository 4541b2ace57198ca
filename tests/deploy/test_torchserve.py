"""TorchServe serves an archive, and responds as bitbloom does with the same model."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bitbloom.serving.predictor import Predictor
from support.commands import REPOSITORY
from support.standin import COLOURS, free_port, photo, write_model

SCRIPT = "torchserve/torchserve.sh"
SECONDS_TO_START = 180


@pytest.mark.parametrize(("action", "program"), [("archive", "torch-model-archiver"), ("serve", "torchserve")])
def test_dry_run_prints_the_command_and_calls_nothing(desk, action, program):
    printed = desk.run(SCRIPT, action, "--dry-run", names={"TARGET": "petals-tiny"})
    assert (printed.code, printed.err, printed.calls) == (0, "", [])
    assert f"{desk.folder}/.bitbloom/torchserve/bin/{program}" in printed.commands[-1]
    assert not (desk.folder / ".bitbloom").exists()


def test_names_missing_archive(desk):
    done = desk.run("torchserve/torchserve.sh", "serve")
    assert done.code == 1
    assert done.err.endswith("dist/petals.mar is missing: make deploy-torchserve-archive TARGET=petals\n")


def test_dry_run_exports_nothing(tmp_path):
    command = ["make", "--no-print-directory", "--dry-run", f"STATE={tmp_path}", "deploy-torchserve-archive", "DRY_RUN=1"]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "TARGET=petals sh deploy/torchserve/torchserve.sh archive\n"


def configuration(folder: Path) -> tuple[Path, str]:
    """The shipped configuration with free ports; the address of the inference API."""
    inference, management, metrics, grpc, grpc_management = (free_port() for _ in range(5))
    addresses = {"inference": inference, "management": management, "metrics": metrics}
    lines = [f"{name}_address=http://127.0.0.1:{port}" for name, port in addresses.items()]
    lines += [f"grpc_inference_port={grpc}", f"grpc_management_port={grpc_management}"]
    file = folder / "config.properties"
    file.write_text((REPOSITORY / "deploy/torchserve/config.properties").read_text() + "\n".join(lines) + "\n")
    return file, f"http://127.0.0.1:{inference}/predictions/petals"


@contextlib.contextmanager
def torchserve(environment: dict[str, str], url: str, log: Path) -> Iterator[None]:
    """TorchServe in a process group of its own, until its worker responds; ended with all its workers."""
    with log.open("wb") as stream:
        command = ["sh", REPOSITORY / "deploy" / SCRIPT, "serve"]
        process = subprocess.Popen(command, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        end = time.monotonic() + SECONDS_TO_START
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.post(url, content=b"").status_code not in (404, 503):
                    break
            time.sleep(1)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="TorchServe needs Java 11 or later, which is missing")
def test_responses_equal_those_of_bitbloom(tmp_path):
    model = write_model(tmp_path / "model.onnx")
    config, url = configuration(tmp_path)
    kept = {name: os.environ[name] for name in ("HOME", "PATH")}
    places = {"MODEL": str(model), "ARCHIVES": str(tmp_path), "TS_CONFIG": str(config), "TMPDIR": str(tmp_path)}
    done = subprocess.run(
        ["sh", REPOSITORY / "deploy" / SCRIPT, "archive"], env=os.environ | places, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    predictor = Predictor.open(model)
    with torchserve(kept | places, url, tmp_path / "out"):
        for colour in COLOURS.values():
            response = httpx.post(url, content=photo(colour), timeout=60)
            assert response.status_code == 200, response.text + (tmp_path / "out").read_text(errors="replace")[-3000:]
            assert response.json() == predictor.predict(photo(colour))
        assert httpx.post(url, files={"data": photo(colour)}, timeout=60).json() == predictor.predict(photo(colour))
        for refused in (b"no photo", b""):
            assert httpx.post(url, content=refused, timeout=60).status_code == 422
