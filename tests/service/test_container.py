"""The images: rejections before a build, the calls of docker, and, with podman, complete builds and services."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import container
from bitbloom.serving.container import Options
from bitbloom.serving.predictor import Predictor
from support.checkouts import ROOT, TARGET, checkout, environment, run
from support.standin import free_port

BUNDLE = Path("/etc/ssl/certs/ca-certificates.crt")
IMAGE = "bitbloom-test/petals"
RECIPE = ROOT / "deploy/container/service.Containerfile"
SECONDS_TO_START = 60
SECONDS_PROMISED = 10
NO_SYSTEMD = """\
[containers]
default_ulimits = ["nofile={files}:{files}", "nproc={processes}:{processes}"]
log_driver = "k8s-file"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
"""Settings of podman for root on a machine without systemd, where root cannot raise limits."""

needs_podman = [
    pytest.mark.container,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mmdebstrap writes a system's root folder"),
    pytest.mark.skipif(
        not shutil.which("podman"), reason="needs podman: apt-get install podman runc netavark aardvark-dns iptables"
    ),
    pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap: apt-get install mmdebstrap"),
]


def container_test(function):
    for mark in needs_podman:
        function = mark(function)
    return function


def podman(*words: str) -> str:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A base image of Debian packages, with podman configured for this machine."""
    settings = tmp_path_factory.mktemp("podman") / "containers.conf"
    if not Path("/run/systemd/system").exists():
        hard = {name: resource.getrlimit(name)[1] for name in (resource.RLIMIT_NOFILE, resource.RLIMIT_NPROC)}
        files, processes = (1 << 15 if one == resource.RLIM_INFINITY else min(one, 1 << 15) for one in hard.values())
        settings.write_text(NO_SYSTEMD.format(files=files, processes=processes))
    with pytest.MonkeyPatch.context() as patch:
        if settings.exists():
            patch.setenv("CONTAINERS_CONF", str(settings))
        recipe = ["sh", str(ROOT / "deploy/container/debian-base.sh"), "localhost/bitbloom-test/base:3.11", "podman", "git,make"]
        subprocess.run(recipe, check=True)
        yield "localhost/bitbloom-test/base:3.11"
        podman("rmi", "--force", "--ignore", "localhost/bitbloom-test/base:3.11")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout without uncommitted files, so that its commit is known."""
    return checkout(tmp_path_factory.mktemp("source") / "checkout")


def containerize(source: Path, base: str) -> tuple[str, str]:
    """Build Bento and image with `make containerize` in a checkout. Returns the name and id of the image."""
    options = ["BACKEND=podman", f"IMAGE={IMAGE}", f"BASE_IMAGE={base}", f"CA={BUNDLE if BUNDLE.is_file() else ''}"]
    output = run(source, "make", "containerize", TARGET, *options)
    name, digest = output.splitlines()[-1].split(" sha256:")
    return name, digest


@pytest.fixture(scope="module")
def image(base: str, source: Path) -> Iterator[tuple[str, str]]:
    """Name and id of the image of petals-tiny."""
    yield containerize(source, base)
    remove()


def remove(image: str = IMAGE) -> None:
    """Remove every version of an image and the layers that podman would reuse, but not the base."""
    names = podman("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference=*{image}*").split()
    podman("rmi", "--force", "--ignore", *names) if names else None
    podman("image", "prune", "--force")


@dataclass(frozen=True)
class Started:
    """The service at `url`, and the seconds from its start until it was ready."""

    url: str
    seconds: float


@pytest.fixture(scope="module")
def service(image: tuple[str, str]) -> Iterator[Started]:
    """The service of `make run-container` on a free port; it is stopped at the end as by an orchestrator."""
    port, began = free_port(), time.monotonic()
    command = ["make", "run-container", "BACKEND=podman", f"IMAGE=localhost/{IMAGE}", f"PORT={port}"]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        yield Started(f"http://127.0.0.1:{port}", time.monotonic() - began)
    finally:
        podman("stop", "--time", "20", *running())
        assert process.wait(30) == 0


def running() -> list[str]:
    return podman("ps", "--quiet", "--filter", f"ancestor=localhost/{IMAGE}:latest").split()


def wait_until_ready(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while True:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{address}/readyz").status_code == 200:
                return
        assert process.poll() is None, "the container exited"
        assert time.monotonic() < end
        time.sleep(0.1)


@container_test
def test_second_build_without_a_cache_gives_the_same_id(image, base, source):
    remove()
    assert containerize(source, base) == image


@container_test
def test_is_ready_within_ten_seconds(service):
    assert service.seconds < SECONDS_PROMISED


@container_test
def test_published_port_gives_the_prediction_of_the_model(service, source):
    data = min((source / "data/raw/petals-tiny").glob("*/*.jpg")).read_bytes()
    expected = Predictor.open(source / "models/petals-tiny").predict(data)
    response = httpx.post(f"{service.url}/predict", files={"image": data}, timeout=30).json()
    assert {key: response[key] for key in expected} == expected


@container_test
def test_provenance_equals_the_labels_of_the_image(service, image, source):
    found = httpx.get(f"{service.url}/provenance", timeout=30).json()
    labels = json.loads(podman("image", "inspect", "--format", "{{json .Labels}}", image[0]))
    assert found["digests"]["bento"] == labels["bitbloom.bento.digest"]
    assert found["digests"]["model"] == labels["bitbloom.model.digest"]
    assert found["commit"] == labels["org.opencontainers.image.revision"] == run(source, "git", "rev-parse", "HEAD").strip()
    assert image[0].split(":")[1] == labels["org.opencontainers.image.version"]


@container_test
def test_user_of_the_container_cannot_write_and_has_no_capabilities(service):
    (name,) = running()
    assert podman("exec", name, "id", "-u") == "1034"
    assert "CapEff:\t0000000000000000" in podman("exec", name, "cat", "/proc/1/status")
    for path in ("/home/bentoml/bento/src/model.onnx", "/app/.venv/new", "/etc/new"):
        assert subprocess.run(["podman", "exec", name, "touch", path], capture_output=True).returncode != 0
    assert "NoNewPrivs:\t1" in podman("exec", name, "cat", "/proc/1/status")


@container_test
def test_health_check_succeeds(service):
    (name,) = running()
    assert subprocess.run(["podman", "healthcheck", "run", name], capture_output=True).returncode == 0


@container_test
def test_image_in_the_format_of_docker_has_the_health_check(image, tmp_path):
    name, arguments = f"{IMAGE}-docker", ["--build-arg", f"BENTO_IMAGE={image[0]}-bento"]
    podman("build", "--format", "docker", "--file", str(RECIPE), *arguments, "--tag", name, str(tmp_path))
    check = json.loads(podman("image", "inspect", "--format", "{{json .HealthCheck}}", name))
    assert check["Test"][:2] == ["CMD", "python"]
    assert check["Interval"] == 10_000_000_000
    started = podman("run", "--detach", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none", name)
    try:
        end = time.monotonic() + SECONDS_TO_START
        while subprocess.run(["podman", "healthcheck", "run", started], capture_output=True).returncode:
            assert time.monotonic() < end
            time.sleep(0.5)
    finally:
        podman("stop", "--time", "20", started)


@container_test
def test_serves_without_a_network(image):
    code = (
        "import json, time, urllib.request as r\n"
        "for _ in range(300):\n"
        "    try: print(r.urlopen('http://127.0.0.1:3000/provenance').read().decode()); break\n"
        "    except OSError: time.sleep(0.2)\n"
    )
    flags = ["--detach", "--rm", "--read-only", "--tmpfs", "/tmp", "--network", "none"]
    name = podman("run", *flags, image[0])
    try:
        assert json.loads(podman("exec", name, "python", "-c", code))["target"] == "petals-tiny"
        assert "Microsoft" not in podman("exec", name, "find", "/tmp")
    finally:
        podman("stop", "--time", "20", name)


@container_test
def test_image_is_smaller_than_800_megabytes(image):
    assert int(podman("image", "inspect", "--format", "{{.Size}}", image[0])) < 800_000_000


@container_test
def test_training_image_gives_the_expected_weights_without_a_network(base, tmp_path):
    folder, name = checkout(tmp_path / "checkout"), "bitbloom-test/training"
    wheels = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or ""
    options = [f"BASE_IMAGE={base}", f"TRAINING_IMAGE={name}", f"CA={BUNDLE if BUNDLE.is_file() else ''}", f"WHEELS={wheels}"]
    subprocess.run(["make", "training-image", "BACKEND=podman", *options], cwd=folder, env=environment(folder), check=True)
    try:
        command = f"make train {TARGET} && git status --porcelain"
        output = podman("run", "--rm", "--network", "none", f"{name}:latest", "sh", "-c", command)
        assert "epoch 12" in output
        assert output.splitlines()[-1].startswith("  next"), output
    finally:
        remove(name)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"backend": "lorry"}, "BACKEND is 'lorry'"),
        ({"ca": Path("nowhere.pem")}, r"nowhere\.pem is missing"),
        ({"index": "https://me:secret@index.example/simple"}, "would stay in the image"),
    ],
)
def test_rejects_invalid_options_before_a_build(changed, message, tools, workspace):
    with pytest.raises(BitBloomError, match=message):
        container.containerize(workspace / "dist/petals.bento", Options(**({"backend": "docker", "image": "a"} | changed)))
    assert not tools.exists()


def test_missing_backend_error_names_it(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BitBloomError, match="podman is not on PATH: install it"):
        container.containerize(tmp_path / "a.bento", Options("podman", "a"))


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for `docker` and `bentoml`, which append their arguments and the context of docker to the file returned."""
    log = tmp_path / "log"
    script = f"""#!{sys.executable}
import json, pathlib, sys
arguments, log, context = sys.argv[1:], pathlib.Path({str(log)!r}), pathlib.Path(sys.argv[-1])
files = [one for one in context.rglob("*") if one.is_file()] if context.is_dir() else []
contents = {{str(one.relative_to(context)): one.read_text(errors="replace") for one in files}}
with log.open("a") as stream:
    print(json.dumps([pathlib.Path(sys.argv[0]).name, arguments, contents]), file=stream)
print("sha256:" + "a" * 64)
"""
    for name in ("docker", "bentoml"):
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return log


def test_passes_base_image_ca_index_and_labels_to_docker(tools, workspace, tmp_path):
    (tmp_path / "ca.pem").write_text("certificates")
    options = Options("docker", "shop/petals", "python:3.11", tmp_path / "ca.pem", "https://index.example/simple")
    name, digest = container.containerize(workspace / "dist/petals.bento", options)
    calls = [json.loads(line) for line in tools.read_text().splitlines()]
    first, bentoml, last, _ = calls
    assert first[0] == last[0] == "docker"
    assert {"BASE_IMAGE=python:3.11", "CA_BUNDLE=/etc/ssl/certs/bitbloom.pem"} <= set(first[1])
    assert first[2]["etc/ssl/certs/bitbloom.pem"] == "certificates"
    assert "index-url = https://index.example/simple" in first[2]["etc/pip.conf"]
    assert first[2]["etc/uv/uv.txt"].startswith("uv==")
    assert "--hash=sha256:" in first[2]["etc/uv/uv.txt"]
    assert "BASE" not in str(bentoml)
    assert bentoml[1][:3] == ["containerize", f"petals:{name.split(':')[1]}", "--backend"]
    assert f"build-context=python:3.11-slim-bookworm=docker-image://{name}-base" in bentoml[1]
    assert f"BENTO_IMAGE={name}-bento" in last[1]
    assert {name, "shop/petals:latest"} <= set(last[1])
    assert any(word.startswith("bitbloom.model.digest=") for word in last[1])
    assert digest == "a" * 64


def test_failed_step_error_names_the_step(tools, workspace, tmp_path):
    (tmp_path / "bentoml").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(BitBloomError, match="could not build BentoML's Dockerfile"):
        container.containerize(workspace / "dist/petals.bento", Options("docker", "a"))


def test_training_image_contains_a_commit_and_no_other_files(tools, tmp_path, monkeypatch):
    folder = checkout(tmp_path / "checkout")
    monkeypatch.chdir(folder)
    (folder / "new.py").touch()
    with pytest.raises(BitBloomError, match="commit them"):
        container.training(Options("docker", "a"), None)
    (folder / "new.py").unlink()
    name, _ = container.training(Options("docker", "a"), None)
    _, (_, arguments, files), _ = (json.loads(line) for line in tools.read_text().splitlines())
    assert name in arguments
    assert "tree/Makefile" in files
    assert not [file for file in files if "new.py" in file]


@container_test
def test_dockerfile_of_the_service_gives_the_prediction_of_the_model(image, base, source):
    name = "bitbloom-test/api"
    certificates = ["--volume", f"{BUNDLE}:{BUNDLE}:ro", "--build-arg", f"PIP_CERT={BUNDLE}"] if BUNDLE.is_file() else []
    arguments = [*certificates, "--build-arg", f"BASE_IMAGE={base}", "--build-arg", "TARGET=petals-tiny"]
    podman("build", "--file", str(source / "dockerfiles/api.dockerfile"), *arguments, "--tag", name, str(source))
    data = min((source / "data/raw/petals-tiny").glob("*/*.jpg")).read_bytes()
    expected = Predictor.open(source / "models/petals-tiny").predict(data)
    port = free_port()
    flags = ["--rm", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "all", "--publish", f"127.0.0.1:{port}:3000"]
    process = subprocess.Popen(["podman", "run", "--name", "bitbloom-test-api", *flags, name])
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", process)
        response = httpx.post(f"http://127.0.0.1:{port}/predict", files={"image": data}, timeout=30).json()
        assert {key: response[key] for key in expected} == expected
        assert podman("exec", "bitbloom-test-api", "id", "-u") == "1034"
    finally:
        podman("stop", "--time", "20", "bitbloom-test-api")
        process.wait(30)
        remove(name)
