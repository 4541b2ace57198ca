"""A real Prometheus scrapes a real service, and its alerts reach a real Alertmanager and a webhook."""

from __future__ import annotations

import contextlib
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.stack import receiver, run
from support.monitoring import Watched, needs_prometheus, watching
from support.standin import Served, free_port, photo, serving
from support.tiny import REPOSITORY

pytestmark = [pytest.mark.slow, needs_prometheus]
RED = (210, 40, 40)
LOWERED = {"p95 > 1\n": "p95 > 0.0001\n", "> 1.6e9": "> 1e6"}
"""Thresholds that a small service passes: for latency and memory."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration with lower thresholds."""
    folder = tmp_path_factory.mktemp("source") / "monitoring"
    shutil.copytree(REPOSITORY / "deploy/monitoring", folder)
    text = (folder / "rules/alerts.yml").read_text()
    for usual, lower in LOWERED.items():
        assert usual in text
        text = text.replace(usual, lower)
    (folder / "rules/alerts.yml").write_text(text)
    return folder


@pytest.fixture(scope="module")
def running(
    served: Served, source: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Watched, str, contextlib.ExitStack]]:
    """A stack, the address of the service that it watches, and what ends the service."""
    folder = tmp_path_factory.mktemp("stack")
    with contextlib.ExitStack() as service:
        url = service.enter_context(serving("petals:latest", served.home, tmp_path_factory.mktemp("watched")))
        with watching(url.removeprefix("http://"), folder, source) as watched:
            yield watched, url, service


def flood(url: str) -> None:
    """Send more photos at a time than the service admits, so that it responds to some with 503."""

    def send() -> None:
        files = [("image", (f"{number}.jpg", photo(RED))) for number in range(4)]
        for _ in range(8):
            httpx.post(f"{url}/predict_batch", files=files, timeout=60)

    threads = [threading.Thread(target=send) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_prometheus_scrapes_the_service(running):
    watched, url, _ = running
    for _ in range(3):
        httpx.post(f"{url}/predict", content=photo(RED)).raise_for_status()
    (up,) = watched.await_data('up{job="bitbloom"} == 1')
    assert up["metric"]["instance"] == url.removeprefix("http://")
    (count,) = watched.await_data('bitbloom_predictions_total{label="poppy"} >= 3')
    assert float(count["value"][1]) == 3


def test_memory_alert_reaches_the_webhook(running):
    watched, url, _ = running
    assert re.search(rf"{url.removeprefix('http://')} holds [\d.]+MiB$", watched.await_line("FIRING   BitbloomMemory: "))


def test_errors_and_latency_reach_the_webhook(running):
    watched, url, _ = running
    for _ in range(20):
        flood(url)
        if any("BitbloomErrors" in line for line in watched.lines):
            break
    instance = url.removeprefix("http://")
    assert f"% of the responses of {instance} are server errors" in watched.await_line("FIRING   BitbloomErrors: ")
    assert f"5 % of the responses of {instance} take longer than " in watched.await_line("FIRING   BitbloomSlow: ")


def test_alertmanager_has_the_alerts_of_the_webhook(running):
    watched, url, _ = running
    alerts = httpx.get(f"{watched.alertmanager}/api/v2/alerts").json()
    found = {alert["labels"]["alertname"] for alert in alerts if alert["labels"]["instance"] == url.removeprefix("http://")}
    assert {"BitbloomMemory", "BitbloomErrors", "BitbloomSlow"} <= found


def test_end_of_the_service_reaches_the_webhook_alone(running):
    watched, _, service = running
    service.close()
    watched.await_line("FIRING   BitbloomDown: ")
    alerts = httpx.get(f"{watched.alertmanager}/api/v2/alerts").json()
    others = [alert for alert in alerts if alert["labels"]["alertname"] != "BitbloomDown"]
    assert all(alert["status"]["inhibitedBy"] for alert in others)


def test_alertmanager_sends_the_token_of_the_webhook(tmp_path, monkeypatch):
    monkeypatch.setenv(receiver.TOKEN_VARIABLE, "sesame")
    with watching(f"127.0.0.1:{free_port()}", tmp_path / "stack", REPOSITORY / "deploy/monitoring") as watched:
        watched.await_line("FIRING   BitbloomDown: ")
    (secret,) = (path for path in tmp_path.rglob("*") if path.is_file() and path.read_bytes() == b"sesame")
    assert secret.stat().st_mode & 0o077 == 0


def test_damaged_configuration_ends_with_the_message_of_the_program(source, tmp_path):
    shutil.copytree(source, tmp_path / "source")
    (tmp_path / "source/rules/alerts.yml").write_text("groups: [{name: a, rules: [{alert: a, expr: '('}]}]")
    with (
        pytest.raises(BitBloomError, match=r"(?s)prometheus did not start.*alerts\.yml"),
        watching("127.0.0.1:1", tmp_path / "stack", tmp_path / "source"),
    ):
        pass


def test_taken_port_is_named(source, tmp_path):
    import socket

    port = free_port()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        wanted = run.Wanted(
            "127.0.0.1:1",
            "127.0.0.1:1",
            ports={"prometheus": port, "alertmanager": free_port(), "grafana": free_port()},
            folder=tmp_path,
            source=source,
        )
        with pytest.raises(BitBloomError, match=f"port {port} for prometheus is in use"), run.running(wanted):
            pass
