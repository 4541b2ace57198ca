"""The shell of the stages: it names the signal that ended a stage, and says when memory ran out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bitbloom.pipeline import build, shell
from support.processes import still_running

SIGNALS = {
    signal.SIGKILL: "SIGKILL: memory ran out, unless someone killed it",
    signal.SIGTERM: "SIGTERM: another program",
    signal.SIGSEGV: "SIGSEGV: a package failed",
    signal.SIGABRT: "SIGABRT: a package failed",
    signal.SIGBUS: "SIGBUS: a file that it reads was cut",
    signal.SIGILL: "SIGILL: this CPU lacks an instruction",
    signal.SIGXCPU: "SIGXCPU: the limit of CPU time",
    signal.SIGUSR1: "SIGUSR1",
}
PIPELINE = "stages:\n  evaluate:\n    cmd: {}\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return shell.write(tmp_path / "a folder's state" / "shell")


def run(program: Path, command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, "-c", command], capture_output=True, text=True)


@pytest.mark.parametrize(("number", "says"), SIGNALS.items(), ids=[number.name for number in SIGNALS])
@pytest.mark.parametrize("command", ["kill -{} $$", "sh -c 'kill -{} $$'; exit $?"], ids=["stage", "shell"])
def test_names_the_signal_that_ended_a_stage(program, command, number, says) -> None:
    done = run(program, command.format(int(number)))
    assert done.returncode == 128 + number
    assert f"was killed by {says}" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: ")


@pytest.mark.parametrize("code", [0, 1, 3, 127])
def test_passes_other_exit_codes_and_output(program, code) -> None:
    done = run(program, f"echo 'a  b'; exit {code}")
    assert (done.returncode, done.stdout, done.stderr) == (code, "a  b\n", "")


def test_says_that_the_system_ended_a_worker(monkeypatch, capfd) -> None:
    counts = iter([3, 4])
    monkeypatch.setattr(shell, "out_of_memory_kills", lambda: next(counts))
    monkeypatch.setattr(shell, "_end_with_parent", lambda: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert shell.run(["-c", "exit 1"]) == 1
    assert "memory ran out, and the system killed a process of `exit 1`" in capfd.readouterr().err


GROUPS = {
    "version 2": ("0::/user/build\n", {"user/build/memory.events": "oom 5\noom_kill 2\n", "memory.events": "oom_kill 9\n"}, 2),
    "version 2 in a container": ("0::/\n", {"memory.events": "low 0\noom_kill 3\n"}, 3),
    "version 2, a group of the host": ("0::/host/only\n", {"memory.events": "oom_kill 4\n"}, 4),
    "version 1": (
        "9:pids:/\n4:memory:/build\n0::/\n",
        {"memory/build/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"},
        1,
    ),
    "version 1 without counts": ("4:memory:/\n", {"memory/memory.oom_control": "under_oom 0\n"}, 0),
    "no groups": ("0::/\n", {}, 0),
    "no file": (None, {}, 0),
}


@pytest.mark.parametrize(("own", "files", "kills"), GROUPS.values(), ids=GROUPS)
def test_counts_only_killed_processes_of_its_own_group(tmp_path, own, files, kills) -> None:
    if own is not None:
        (tmp_path / "own").write_text(own)
    for name, text in files.items():
        (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "groups" / name).write_text(text)
    assert shell.out_of_memory_kills(tmp_path / "own", tmp_path / "groups") == kills


def test_unknown_signal_keeps_its_number() -> None:
    assert shell.describe(200) == "signal 200"


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["kill -9 $$", f"{sys.executable} -c 'import os; os.kill(os.getpid(), 9)'"], ids=["sh", "python"]
)
def test_build_by_dvc_says_that_memory_ran_out(tmp_path, monkeypatch, command) -> None:
    monkeypatch.chdir(tmp_path)
    environment = build.environ("portable")
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], env=environment, check=True)
    (tmp_path / "dvc.yaml").write_text(PIPELINE.format(command), encoding="utf-8")
    done = subprocess.run(["dvc", "repro"], env=environment, capture_output=True, text=True)
    assert done.returncode
    assert "was killed by SIGKILL: memory ran out" in done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_stage_ends_when_dvc_is_killed(program, tmp_path) -> None:
    start = f"import subprocess; subprocess.run([{str(program)!r}, '-c', 'exec sleep 600'])"
    parent = subprocess.Popen([sys.executable, "-c", start])
    deadline = time.monotonic() + 30
    while (
        not (found := [one for one in psutil.Process(parent.pid).children() if one.name() != "sh"])
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    time.sleep(0.5)  # the shell asks to end with its parent before it starts the stage
    parent.kill()
    parent.wait()
    assert still_running(found, 10) == []


def test_shell_of_a_build_is_written_once(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    first = Path(build.environ("portable")["SHELL"])
    before = first.stat().st_mtime_ns
    assert Path(build.environ("fast")["SHELL"]).stat().st_mtime_ns == before
    assert os.access(first, os.X_OK)
