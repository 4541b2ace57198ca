"""The Cloud Function responds as the service does; with a small model."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from werkzeug.test import Client

from bitbloom.serving.predictor import Predictor
from support.commands import COMMIT, REPOSITORY, tool_venv
from support.standin import COLOURS, free_port, photo

SCRIPT = "cloud-functions/deploy.sh"


def laid_out(desk, workspace: Path) -> Path:
    """The function's source that source.sh makes from the Bento in a workspace."""
    (desk.folder / "dist").mkdir()
    shutil.copy(workspace / "dist/petals.bento", desk.folder / "dist")
    done = desk.run("cloud-functions/source.sh", "dist/petals.bento")
    assert done.code == 0, done.err
    return desk.folder / ".bitbloom/deploy/cloud-functions"


@pytest.fixture
def function(desk, workspace, monkeypatch) -> Iterator[Client]:
    """A werkzeug client of the handler, which gets werkzeug's requests from Flask, too."""
    source = laid_out(desk, workspace)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("BITBLOOM_TOKEN", raising=False)
    monkeypatch.setenv("BITBLOOM_COMMIT", COMMIT)
    spec = importlib.util.spec_from_file_location("cloud_function", source / "main.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    from werkzeug.wrappers import Request

    return Client(lambda environ, start: module.handle(Request(environ))(environ, start))


def test_handler_returns_the_prediction_of_the_predictor(function, workspace):
    sent = photo(COLOURS["poppy"])
    expected = Predictor.open(workspace / "models/petals").predict(sent)
    assert expected["label"] == "poppy"
    assert function.post("/predict", data=sent).json == expected
    assert function.post("/v1/predict", data=sent).json == expected


def test_handler_rejects_as_the_service_does(function):
    rejected = function.post("/predict", data=b"no photo")
    assert rejected.status_code in (415, 422)
    assert "error" in rejected.json
    assert function.post("/predict", data=b"\xff\xd8\xff" + b"0" * 400_000).status_code == 413
    assert rejected.headers["X-Content-Type-Options"] == "nosniff"


def test_handler_returns_provenance(function, workspace):
    found = function.get("/provenance").json
    report = json.loads((workspace / "reports/petals/bento.json").read_text())
    assert found["digests"]["bento"] == report["digest"]
    assert found["commit"] == COMMIT


def test_predicts_several_photos_of_a_form(function, workspace):
    names = ["fern", "orchid"]
    form = {"image": [(io.BytesIO(photo(COLOURS[name])), f"{name}.jpg") for name in names]}
    assert [prediction["label"] for prediction in function.post("/predict_batch", data=form).json] == names


@contextlib.contextmanager
def started(source: Path, venv: Path, log: Path, **variables: str) -> Iterator[str]:
    """The function in Google's functions framework, in a venv with only the packages of its lock."""
    port = free_port()
    command = [venv / "bin/functions-framework", "--source", "main.py", "--target", "handle", "--host", "127.0.0.1"]
    kept = {name: os.environ[name] for name in ("HOME", "PATH")}
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--port", str(port)], cwd=source, env=kept | variables, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                httpx.get(f"{url}/service.json")
                break
            time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_functions_framework_serves_it_with_locked_packages_only(desk, workspace, tmp_path):
    venv = tool_venv("deploy/cloud-functions/requirements.lock", "function-venv")
    source, log = laid_out(desk, workspace), tmp_path / "log"
    sent = photo(COLOURS["daisy"])
    expected = Predictor.open(workspace / "models/petals").predict(sent)
    with started(source, venv, log, BITBLOOM_TOKEN="a-token") as url:
        assert httpx.post(f"{url}/predict", content=sent).status_code == 401, log.read_text()
        response = httpx.post(f"{url}/predict", content=sent, headers={"Authorization": "Bearer a-token"})
        page = httpx.get(url)
    assert response.json() == expected
    assert "text/html" in page.headers["content-type"]


def test_dry_run_prints_the_commands_and_calls_nothing(desk):
    done = desk.run(SCRIPT, "--dry-run", names={"TOKEN_SECRET": "the-token"})
    assert (done.code, done.err, done.calls) == (0, "", [])
    first, second = done.commands
    assert first == ["sh", "deploy/cloud-functions/source.sh", "dist/petals.bento"]
    assert second[:8] == [
        *["gcloud", "functions", "deploy", "bitbloom-petals", "--gen2", "--runtime=python311", "--entry-point=handle"],
        "--trigger-http",
    ]
    assert {"--no-allow-unauthenticated", "--set-secrets=BITBLOOM_TOKEN=the-token:latest"} <= set(second)
    assert f"--set-env-vars=BITBLOOM_COMMIT={COMMIT}" in second


def test_deploys_the_prepared_source(desk, workspace):
    laid_out(desk, workspace)
    done = desk.run(SCRIPT, names={"PUBLIC": "1"})
    assert done.code == 0, done.err
    (call,) = done.calls
    assert {"--source=.bitbloom/deploy/cloud-functions", "--allow-unauthenticated"} <= set(call)
    lock = (REPOSITORY / "deploy/cloud-functions/requirements.lock").read_bytes()
    assert (desk.folder / ".bitbloom/deploy/cloud-functions/requirements.txt").read_bytes() == lock


def test_rejects_deployment_without_a_bento(desk):
    done = desk.run(SCRIPT)
    assert (done.code, done.calls) == (1, [])
    assert "dist/petals.bento is missing: 'make package' makes it" in done.err
