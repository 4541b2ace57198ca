"""TorchServe serves the archive of a small network, and answers what that network says in bitbloom's own hands."""

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
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bitbloom.config.target import Target
from bitbloom.core import canonical
from bitbloom.core.digests import file_digest
from bitbloom.data import imaging
from bitbloom.tasks.petals import export as petals
from bitbloom.training import inference
from support.commands import REPOSITORY
from support.standin import free_port, photo
from support.tiny import write_workspace

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="TorchServe needs Java 11 or later, which is not here"),
]
SECONDS_TO_START = 180
PHOTOS = [(30, 160, 40), (220, 20, 20), (20, 60, 230)]


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A workspace with a network that was never trained, which tells photos apart all the same."""
    folder = write_workspace(tmp_path_factory.mktemp("torchserve") / "workspace")
    with contextlib.chdir(folder):
        target = Target.load("petals-tiny")
        dataset = inference.open_dataset(target, target.model)
        from bitbloom import tasks

        torch.manual_seed(1)
        network = tasks.load("petals").build(target.model, dataset.meta)
        state = {name: torch.randn_like(value) * 0.3 if value.ndim > 1 else value for name, value in network.state_dict().items()}
        target.models.mkdir(parents=True)
        save_file(state, target.models / "model.safetensors")
        from dataclasses import asdict

        config = {"task": "petals", "model": asdict(target.model), "meta": dataset.meta, "data_digest": "d" * 64}
        canonical.write_json(target.models / "config.json", config)
    return folder


def expected(folder: Path, sent: bytes) -> dict[str, float]:
    """Class → probability, by the module that is exported."""
    with contextlib.chdir(folder):
        network = inference.load(Target.load("petals-tiny"))
    with contextlib.chdir(folder), torch.no_grad():
        image = imaging.square(sent, int(network.meta["image_size"]))
        probabilities, _ = petals.graph(network).module(torch.from_numpy(image[None]))
    return dict(zip(network.meta["classes"], map(float, probabilities[0]), strict=True))


def configuration(folder: Path) -> tuple[Path, str]:
    """The shipped configuration with free ports; the address of the inference API."""
    text = (REPOSITORY / "deploy/torchserve/config.properties").read_text()
    ports = {old: str(free_port()) for old in ("8080", "8081", "8082", "7070", "7071")}
    for old, new in ports.items():
        assert old in text
        text = text.replace(old, new)
    file = folder / "config.properties"
    file.write_text(text)
    return file, f"http://127.0.0.1:{ports['8080']}"


@contextlib.contextmanager
def torchserve(archives: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """TorchServe in a process group of its own, until it is healthy; ended with all its workers."""
    config, url = configuration(folder)
    log = folder / "out"
    kept = {name: os.environ[name] for name in ("HOME", "PATH")}
    places = {"ARCHIVES": str(archives), "TS_CONFIG": str(config), "LOG_LOCATION": str(folder / "logs"), "TMPDIR": str(folder)}
    command = ["sh", str(REPOSITORY / "deploy/torchserve/serve.sh")]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command,
            env=kept | places | {"TARGET": "petals-tiny", "OMP_NUM_THREADS": "1"},
            stdout=stream,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        end = time.monotonic() + SECONDS_TO_START
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.post(f"{url}/predictions/petals-tiny", content=b"").status_code not in (404, 503):
                    break
            time.sleep(1)
        yield url, log
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_an_archive_is_served_and_answers_as_bitbloom_does(trained, tmp_path):
    environment = os.environ | {"WORKSPACE": str(trained), "ARCHIVES": str(tmp_path / "archives"), "TARGET": "petals-tiny"}
    script = ["sh", "deploy/torchserve/archive.sh"]
    done = subprocess.run(script, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with torchserve(tmp_path / "archives", tmp_path) as (url, log):
        for colour in PHOTOS:
            sent = photo(colour)
            answer = httpx.post(f"{url}/predictions/petals-tiny", content=sent, timeout=60)
            assert answer.status_code == 200, answer.text + log.read_text(errors="replace")[-3000:]
            found, by_us = answer.json(), expected(trained, sent)
            assert found["label"] == max(by_us, key=by_us.__getitem__)
            assert found["model_digest"] == file_digest(trained / "models/petals-tiny/model.safetensors")
            assert [entry["label"] for entry in found["top5"]] == sorted(by_us, key=lambda name: -by_us[name])[:5]
            for entry in found["top5"]:
                np.testing.assert_allclose(entry["probability"], by_us[entry["label"]], atol=1e-6)
        refused = httpx.post(f"{url}/predictions/petals-tiny", content=b"no photo", timeout=60)
        assert refused.status_code == 422, refused.text
