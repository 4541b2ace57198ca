"""`bitbloom monitor up` as a command: addresses, and the end of all programs with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import httpx
import pytest

from support.monitoring import eventually, needs_prometheus
from support.standin import free_port
from support.tiny import REPOSITORY

pytestmark = [pytest.mark.slow, needs_prometheus]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_all_programs_end_with_the_command(tmp_path, number):
    (tmp_path / "deploy").symlink_to(REPOSITORY / "deploy")
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "grafana", "webhook")}
    options = [word for name, port in ports.items() for word in (f"--{name}", str(port))]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    command = [sys.executable, "-m", "bitbloom", "monitor", "up", "--every", "1s", "--hold", "1s", *options]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    lines = [process.stdout.readline() for _ in range(3)]
    while lines[-1] and "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
    shown = "".join(lines)
    assert f"http://127.0.0.1:{ports['prometheus']}" in shown, shown
    assert httpx.get(f"http://127.0.0.1:{ports['prometheus']}/-/ready").status_code == 200
    if number == signal.SIGINT:
        while "FIRING   BitbloomDown" not in (line := process.stdout.readline()):
            assert line
    process.send_signal(number)
    process.wait(30)
    assert process.returncode == (0 if number == signal.SIGINT else -number)
    for name in ("prometheus", "alertmanager"):
        eventually(lambda name=name: not responds(ports[name]), 20, f"{name} ends")


def responds(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/-/ready", timeout=2)
    except httpx.TransportError:
        return False
    return True
