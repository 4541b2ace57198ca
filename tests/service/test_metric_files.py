"""Services side by side: each has a folder of metrics of its own, as long as one of its processes lives."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from bitbloom.serving import metric_files
from support.standin import Served, photo, serving

RED, GREEN = (210, 40, 40), (40, 170, 50)
PARENT = "from bitbloom.serving import metric_files; print(metric_files.own(), flush=True); input()"
CHILD = """
import os
from bitbloom.serving import metric_files
metric_files.join()
print(os.environ["PROMETHEUS_MULTIPROC_DIR"], flush=True)
input()
"""

Start = Callable[..., tuple[subprocess.Popen[str], Path]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts Python with code that prints a folder, and that ends at the end of its input. `tmp_path` has temporary files."""
    processes: list[subprocess.Popen[str]] = []

    def begin(code: str, **variables: str) -> tuple[subprocess.Popen[str], Path]:
        environment = os.environ | {"TMPDIR": str(tmp_path)} | variables
        process = subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout
        return process, Path(process.stdout.readline().strip())

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture
def swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Sweeps `tmp_path`, and returns the names that stay."""

    def sweep() -> list[str]:
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        metric_files.sweep()
        return sorted(path.name for path in tmp_path.iterdir())

    return sweep


def predictions(url: str) -> dict[str, float]:
    """The count of predictions by label, as /metrics has them."""
    lines = httpx.get(f"{url}/metrics").raise_for_status().text.splitlines()
    found = (line.partition("} ") for line in lines if line.startswith("bitbloom_predictions_total{"))
    return {name.split('"')[1]: float(value) for name, _, value in found}


def test_services_of_one_store_keep_their_counts(served: Served, tmp_path: Path):
    """Each on a free port; the second starts and ends while the first serves."""
    before = predictions(served.url)
    httpx.post(f"{served.url}/predict", content=photo(RED)).raise_for_status()
    with serving("petals:latest", served.home, tmp_path, TMPDIR=str(tmp_path)) as second:
        httpx.post(f"{second}/predict", content=photo(GREEN)).raise_for_status()
        httpx.post(f"{served.url}/predict", content=photo(RED)).raise_for_status()
        assert predictions(second) == {"fern": 1}
        assert len(list(tmp_path.glob(f"{metric_files.PREFIX}*"))) == 1
    assert list(tmp_path.glob(f"{metric_files.PREFIX}*")) == []
    assert predictions(served.url) == before | {"poppy": before.get("poppy", 0) + 2}


def test_folder_is_removed_when_its_service_ends(start: Start):
    process, folder = start(PARENT)
    assert folder.is_dir()
    process.communicate("\n", timeout=20)
    assert not folder.exists()


def test_killed_service_leaves_a_folder_that_the_next_start_removes(start: Start):
    killed, stale = start(PARENT)
    killed.kill()
    killed.wait()
    assert stale.is_dir()
    _, folder = start(PARENT)
    assert folder.is_dir()
    assert not stale.exists()


def test_folder_stays_while_a_process_of_the_service_lives(start: Start, swept: Callable[[], list[str]]):
    parent, folder = start(PARENT)
    child, used = start(CHILD, BITBLOOM_METRICS_DIR=str(folder))
    assert used == folder
    parent.kill()
    parent.wait()
    assert swept() == [folder.name]
    child.kill()
    child.wait()
    assert swept() == []


def test_process_without_its_folder_keeps_the_one_of_bentoml(start: Start, tmp_path: Path):
    gone = str(tmp_path / "gone")
    assert start(CHILD, BITBLOOM_METRICS_DIR=gone, PROMETHEUS_MULTIPROC_DIR="bentoml")[1] == Path("bentoml")
    assert start(CHILD, PROMETHEUS_MULTIPROC_DIR="bentoml")[1] == Path("bentoml")


def test_sweep_keeps_a_folder_of_other_files(tmp_path: Path, swept: Callable[[], list[str]]):
    (tmp_path / "bitbloom-metrics-file").write_text("")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bitbloom-metrics-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "bitbloom-metrics-stale").mkdir()
    (tmp_path / "bitbloom-metrics-stale/counter_7.db").write_bytes(b"counts")
    assert swept() == ["bitbloom-metrics-file", "bitbloom-metrics-link", "elsewhere"]
