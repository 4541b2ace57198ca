"""`bitbloom experiments`: one target's experiments with DVC, in a table that fits a screen."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.experiments import table
from bitbloom.experiments.table import Row

METRICS = {
    "petals": ["accuracy", "expected_calibration_error", "log_loss", "macro_f1", "samples", "top5_accuracy"],
    "captions": [
        *("attribute_accuracy", "bleu_4", "cider_d", "i2t_median_rank", "i2t_recall_at_1", "rouge_l", "samples"),
        *("t2i_median_rank", "t2i_recall_at_1"),
    ],
}
PROGRAM = """
import json, yaml
params = yaml.safe_load(open("params/petals.yaml"))
json.dump({"accuracy": params["train"]["epochs"] / 8, "samples": 458}, open("reports/petals/metrics.json", "w"))
"""
PIPELINE = """
stages:
  evaluate:
    cmd: python program.py
    deps: [program.py]
    params:
    - params/petals.yaml:
      - train
    metrics: [reports/petals/metrics.json]
  another:
    cmd: "true"
    deps: [program.py]
    params:
    - params/tweets.yaml:
      - train
"""


def printed(rows: list[Row], width: int) -> list[str]:
    """The lines of a table on a terminal of this width."""
    stream = io.StringIO()
    Console(file=stream, width=width).print(table.table(rows, width))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("target", METRICS)
def test_fits_a_screen(target, width):
    metrics = dict.fromkeys(METRICS[target], 0.123456789)
    params = {"train.epochs": 24, "train.seed": 2026, "model.heads": 3}
    rows = [
        Row("workspace", metrics, params),
        Row("main", metrics, params | {"train.epochs": 3}),
        Row("  warty-roup (running)", metrics, params | {"model.heads": 4}),
    ]
    lines = printed(rows, width)
    assert max(map(len, lines)) <= width
    assert len(lines) <= 14
    shown = "\n".join(lines)
    assert shown.count("0.12346") == len(metrics) * len(rows)
    assert "epochs" in shown and "heads" in shown and "seed" not in shown


def test_shows_absent_values_as_such():
    rows = [Row("workspace", {"accuracy": 0.5}, {"train.epochs": 1}), Row("[main]", {}, {})]
    assert printed(rows, 80) == ["experiment  accuracy", "workspace        0.5", "[main]             -"]


def test_a_hundred_experiments_have_a_row_each():
    rows = [Row(f"  run-{number}", {"accuracy": 0.5, "log_loss": 1.0}, {"train.epochs": number}) for number in range(100)]
    lines = printed(rows, 80)
    assert len(lines) == 101
    assert max(map(len, lines)) <= 80


def git(*command: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *command], check=True, capture_output=True)


@pytest.mark.slow
def test_shows_the_experiments_of_dvc(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for variable in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL"):
        monkeypatch.setenv(variable, "t@t")
    git("init", "-qb", "main")
    Path(".dvc").mkdir()
    files = {".dvc/config": "[core]\n    analytics = false\n", "dvc.yaml": PIPELINE, "program.py": PROGRAM}
    params = {f"params/{target}.yaml": "train:\n  epochs: 4\n  seed: 1\n" for target in ("petals", "tweets")}
    for name, text in (
        files | params | {"reports/petals/.gitignore": "/metrics.json\n", ".dvc/.gitignore": "/tmp\n/cache\n"}
    ).items():
        canonical.write_text(Path(name), text)
    subprocess.run(["dvc", "repro"], check=True, capture_output=True)
    git("add", "-A")
    git("commit", "-qm", "start")
    subprocess.run(["dvc", "exp", "run", "--name", "short", "-S", "params/petals.yaml:train.epochs=2"], check=True)
    workspace, main, short = table.rows("petals")
    assert (workspace.name, main.name, short.name) == ("workspace", "main", "  short")
    assert [row.metrics["accuracy"] for row in (workspace, main, short)] == [0.25, 0.5, 0.25]
    [*_, last] = printed([workspace, main, short], 80)
    assert last.split() == ["short", "0.25", "458", "2"]


def test_failure_of_dvc_is_an_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BitBloomError, match="dvc exp show failed"):
        table.rows("petals")


def test_target_without_metrics_names_the_command(monkeypatch):
    state = {"rev": "workspace", "name": None, "data": {"metrics": {}, "params": {}}, "experiments": None}
    listed = subprocess.CompletedProcess([], 0, json.dumps([state]))
    monkeypatch.setattr(table.subprocess, "run", lambda *_, **__: listed)
    with pytest.raises(BitBloomError, match="make evaluate TARGET=petals"):
        table.show("petals")
