"""`--engine ray`: the bytes of the local engine, also when a worker is killed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from bitbloom.core.errors import BitBloomError
from bitbloom.experiments.batch.run import Request, run
from support.processes import still_running
from support.standin import COLOURS, REPOSITORY, photo, write_model

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]
PARTS, SIZE = 30, 40
SECONDS = 120


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with a model and photos, large enough that a part takes a while."""
    write_model(tmp_path / "models/petals/model.onnx")
    (tmp_path / "photos").mkdir()
    for number in range(PARTS * SIZE):
        name = tmp_path / f"photos/{number:05}.jpg"
        if number < len(COLOURS):
            name.write_bytes(photo(list(COLOURS.values())[number], 1600, 1200))
        else:
            os.link(tmp_path / f"photos/{number % len(COLOURS):05}.jpg", name)
    return tmp_path


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


def workers(driver: psutil.Process) -> list[psutil.Process]:
    """The processes of Ray that compute parts."""
    return [process for process in driver.children(recursive=True) if "PartWorker" in " ".join(process.cmdline())]


def listening(process: psutil.Process) -> set[str]:
    """The addresses on which a process accepts connections."""
    try:
        return {each.laddr.ip for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN}
    except psutil.Error:
        return set()


def test_killed_worker_changes_nothing(project: Path) -> None:
    command = [sys.executable, "-m", "bitbloom", "predict", "petals", "photos", "--out", "out", "--part-size", str(SIZE)]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src"), "WORKERS": "2"}
    with (project / "log").open("w") as log, (project / "printed").open("w") as printed:
        process = subprocess.Popen([*command, "--engine", "ray"], cwd=project, env=environment, stdout=printed, stderr=log)
    driver, end = psutil.Process(process.pid), time.monotonic() + SECONDS
    while len(list((project / "out").glob("part-*"))) < 3:
        assert process.poll() is None, (project / "log").read_text()
        assert time.monotonic() < end
        time.sleep(0.01)
    family = driver.children(recursive=True)
    assert {address for one in (driver, *family) for address in listening(one)} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    workers(driver)[0].kill()
    assert len(list((project / "out").glob("part-*"))) < PARTS
    assert process.wait(SECONDS) == 0, (project / "log").read_text()
    last = (project / "printed").read_text().splitlines()[-1]  # Ray has printed that a worker died
    assert last == f"out: {PARTS * SIZE:,} predictions in {PARTS} files, 0 of them an error"
    run(Request(project / "models/petals", str(project / "photos"), project / "local", part_size=SIZE))
    assert content(project / "out") == content(project / "local")
    assert still_running(family, SECONDS) == []
    assert not list((project / ".bitbloom").glob("ray/*"))


def test_error_of_a_worker_is_one_line(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    run(Request(project / "models/petals", "photos", project / "out", part_size=SIZE))
    (project / "out/part-00007.parquet").unlink()
    (project / "out/part-00007.parquet").mkdir()  # a file cannot replace it
    with pytest.raises(BitBloomError, match=r"^\S*part-00007.parquet cannot be written: Is a directory$"):
        run(Request(project / "models/petals", "photos", project / "out", part_size=SIZE, engine="ray"))
