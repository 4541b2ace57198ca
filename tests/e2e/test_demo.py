"""`make demo`: every step of the demonstration, and nothing left running, also after Ctrl-C."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from support.checkouts import environment, run

pytestmark = pytest.mark.slow

STEPS = ("pipeline", "metrics", "service", "Photos", "Damaged", "Drift", "Monitoring", "Provenance", "rebuild")


def test_shows_every_step(built: Path) -> None:
    output = run(built, "python", "scripts/demo.py", "--target", "petals-tiny")
    titles = re.findall(r"^(\d)\. (.*?) ─", output, re.MULTILINE)
    assert [int(number) for number, _ in titles] == list(range(1, len(STEPS) + 1))
    assert all(word in title for word, (_, title) in zip(STEPS, titles, strict=True))
    assert len(re.findall(r"^│ \S+\.jpg +│ \w+ +│ 0\.\d{3} ", output, re.MULTILINE)) == 4
    assert "half a photo: status 422" in output
    assert "a text: status 415" in output
    assert re.search(r"  Drift: \d+ samples differ from the training data in [^.]*sharpness", output)
    assert re.search(r"^  sharpness \(.*\) is lower: the median was [\d.]+ and is [\d.]+\.$", output, re.MULTILINE)
    assert (built / "reports/petals-tiny/drift/drift.html").is_file()
    assert re.search(r'bitbloom_rejections_total\{status="422"\} 1', output)
    assert re.search(r"petals-tiny: all \d+ are the same, after \d+ s\.", output)
    address = re.search(r"http://127\.0\.0\.1:\d+", output)[0]
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/readyz")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 129)])
def test_ends_its_service_when_interrupted(built: Path, tmp_path: Path, number: int, code: int) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "scripts/demo.py", "--target", "petals-tiny"]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, cwd=built, env=environment(built), stdout=stream, stderr=subprocess.STDOUT)
    end = time.monotonic() + 60
    while "http://127.0.0.1:" not in log.read_text() and time.monotonic() < end and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(number)
    assert process.wait(30) == code
    address = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
    assert address, log.read_text()
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address[0]}/readyz")
    assert "Traceback" not in log.read_text()


def test_target_without_photos_is_one_line(built: Path) -> None:
    output = run(built, "python", "scripts/demo.py", "--target", "tweets", fails=True)
    assert output.splitlines()[-1] == "error: 'tweets' predicts no photos: choose a target of photos, like petals-tiny"


def test_unknown_target_is_one_line(built: Path) -> None:
    output = run(built, "python", "scripts/demo.py", "--target", "nowhere", fails=True)
    assert output.splitlines()[-1].startswith("error: no target 'nowhere'")
