"""The webhook that Alertmanager notifies, and the job that alerts start: one at a time, after a pause, while an alert fires."""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.stack import notifications, receiver
from bitbloom.monitoring.stack.job import LAST, Job
from bitbloom.monitoring.stack.notifications import Alert
from support.monitoring import eventually

APPEND = "import pathlib, sys, time; f = open('runs', 'a'); f.write('start\\n'); f.flush(); time.sleep({}); f.write('end\\n')"


def body(name: str = "BitbloomDrift", status: str = "firing", action: str = "retrain", fingerprint: str = "1") -> bytes:
    labels = {"alertname": name, "severity": "warning"} | ({"action": action} if action else {})
    alert = {"status": status, "labels": labels, "annotations": {"summary": "it drifts"}, "fingerprint": fingerprint}
    return json.dumps({"version": "4", "status": status, "alerts": [alert]}).encode()


def alert(firing: bool = True, fingerprint: str = "1") -> Alert:
    return Alert("BitbloomDrift", fingerprint, firing, "warning", "retrain", "it drifts")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Job:
    monkeypatch.chdir(tmp_path)
    return Job([sys.executable, "-c", APPEND.format(0.2)], tmp_path / "state", pause=0.5, say=lambda line: None)


def runs() -> list[str]:
    return Path("runs").read_text().split() if Path("runs").exists() else []


def test_prints_firing_and_resolved_alerts():
    lines: list[str] = []
    with receiver.listening("127.0.0.1", 0, lines.append) as address:
        for status in ("firing", "resolved"):
            assert httpx.post(f"http://{address}/alerts", content=body(status=status)).status_code == 200
        assert httpx.get(f"http://{address}/health").text == "ok\n"
    assert lines == ["FIRING   BitbloomDrift: it drifts", "resolved BitbloomDrift: it drifts"]


@pytest.mark.parametrize(
    "wrong", [b"", b"words", b"[]", b"{}", b'{"version": "3", "alerts": []}', b'{"version": "4", "alerts": [1]}']
)
def test_rejects_other_bodies(wrong):
    with receiver.listening("127.0.0.1", 0, print) as address:
        response = httpx.post(f"http://{address}/alerts", content=wrong)
    assert response.status_code == 400
    with pytest.raises(BitBloomError):
        notifications.parse(wrong)


def test_rejects_large_bodies_and_other_paths():
    with receiver.listening("127.0.0.1", 0, print) as address:
        assert httpx.post(f"http://{address}/other", content=body()).status_code == 404
        connection = http.client.HTTPConnection(address)
        connection.request("POST", "/alerts", headers={"Content-Length": str(receiver.MAX_BYTES + 1)})
        assert connection.getresponse().status == 413


def test_token_is_required_where_one_is_set(monkeypatch):
    monkeypatch.setenv(receiver.TOKEN_VARIABLE, "sesame")
    with receiver.listening("127.0.0.1", 0, lambda line: None) as address:
        assert httpx.post(f"http://{address}/alerts", content=body()).status_code == 401
        wrong = {"Authorization": "Bearer sesamé".encode()}
        assert httpx.post(f"http://{address}/alerts", content=body(), headers=wrong).status_code == 401
        right = {"Authorization": "Bearer sesame"}
        assert httpx.post(f"http://{address}/alerts", content=body(), headers=right).status_code == 200


@pytest.mark.parametrize("length", ["²", "-1", "many"])
def test_rejects_lengths_that_are_none(length):
    with receiver.listening("127.0.0.1", 0, print) as address:
        connection = http.client.HTTPConnection(address)
        connection.request("POST", "/alerts", headers={"Content-Length": length.encode("latin-1")})
        assert connection.getresponse().status == 411


def test_others_start_no_job_without_a_token(job):
    with pytest.raises(BitBloomError, match="BITBLOOM_WEBHOOK_TOKEN"):
        receiver.listening("0.0.0.0", 0, print, job).__enter__()


def test_taken_port_is_an_error_with_a_remedy():
    with receiver.listening("127.0.0.1", 0, print) as address, pytest.raises(BitBloomError, match="give another port"):
        receiver.listening("127.0.0.1", int(address.rpartition(":")[2]), print).__enter__()


def test_only_alerts_that_ask_for_it_start_the_job(job):
    with job.waiting(), receiver.listening("127.0.0.1", 0, lambda line: None, job) as address:
        httpx.post(f"http://{address}/alerts", content=body("BitbloomSlow", action=""))
        time.sleep(0.3)
        assert runs() == []
        httpx.post(f"http://{address}/alerts", content=body())
        eventually(lambda: runs() == ["start", "end"], 10, "the job runs")


def test_many_notifications_start_one_run_and_a_lasting_alert_another_after_the_pause(job):
    with job.waiting():
        for number in range(20):
            job.notice(alert(fingerprint=str(number % 3)))
        eventually(lambda: len(runs()) == 4, 10, runs)
        for number in range(3):
            job.notice(alert(False, str(number)))
        time.sleep(0.7)
    assert runs() == ["start", "end", "start", "end"]  # one after the other, never two at a time


def test_resolved_alert_starts_no_run(job):
    job.notice(alert())
    job.notice(alert(False))
    with job.waiting():
        time.sleep(0.3)
    assert runs() == []


def test_restart_of_the_receiver_waits_for_the_pause(job, tmp_path):
    with job.waiting():
        job.notice(alert())
        eventually(lambda: len(runs()) == 2, 10, "the first run")
    again = Job(job.command, tmp_path / "state", pause=3600, say=lambda line: None)
    again.notice(alert())
    with again.waiting():
        time.sleep(0.3)
    assert runs() == ["start", "end"]


def test_run_ends_with_the_receiver(job):
    job.command = [sys.executable, "-c", APPEND.format(60)]
    before = time.monotonic()
    with job.waiting():
        job.notice(alert())
        eventually(lambda: runs() == ["start"], 10, "the run starts")
    assert time.monotonic() - before < 20
    assert runs() == ["start"]


def test_missing_command_is_reported(job):
    lines: list[str] = []
    job.command, job.say, seen = ["no-such-program"], lines.append, threading.Event()
    with job.waiting():
        job.notice(alert())
        eventually(lambda: any("exit code 127" in line for line in lines), 10, lines)
        seen.set()
    assert any("no-such-program" in path.read_text() for path in job.folder.glob("*.log"))


def test_state_that_cannot_be_written_is_reported(job):
    lines: list[str] = []
    job.say = lines.append
    with job.waiting():
        (job.folder / LAST).mkdir()
        job.notice(alert())
        eventually(lambda: any("no command starts any more" in line for line in lines), 10, lines)
    assert runs() == []


def test_damaged_state_is_an_error_at_the_start(job):
    job.folder.mkdir()
    (job.folder / LAST).write_text("words")
    with pytest.raises(BitBloomError, match="remove it"), job.waiting():
        pass
