"""Draw the panels of the dashboards with matplotlib, from the responses of a running Prometheus: docs/images/monitoring.png.

    python scripts/monitoring_picture.py http://127.0.0.1:9090 docs/images/monitoring.png --seconds 120

No Grafana was reachable, so this stands in for its picture. The expressions are those of the panels.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bitbloom.evaluation.report import style

ROOT = Path(__file__).resolve().parents[1]
COLUMNS = 3
COLOURS = (style.SKY, style.BLOOM, style.LEAF, style.SUN, "#7a5cc2", "#3aa6a6", "#8a8f99", "#b0552a")
NAMES = {"percentunit": "fraction", "reqps": "per second", "s": "seconds", "bytes": "bytes", "short": ""}


def panels() -> list[dict[str, Any]]:
    """The panels with lines, of both dashboards."""
    files = [ROOT / f"deploy/monitoring/grafana/dashboards/{name}.json" for name in ("service", "model")]
    return [panel for path in files for panel in json.loads(path.read_text())["panels"] if panel["type"] == "timeseries"]


def answer(prometheus: str, expression: str, seconds: int) -> list[dict[str, Any]]:
    """The series of an expression in the last seconds."""
    now = time.time()
    wanted = {"query": expression.replace("$instance", ".+"), "start": now - seconds, "end": now, "step": max(1, seconds // 120)}
    found = httpx.get(f"{prometheus}/api/v1/query_range", params=wanted).raise_for_status().json()
    result: list[dict[str, Any]] = found["data"]["result"]
    return result


def legend(template: str, labels: dict[str, str]) -> str:
    """A series' name, as Grafana makes it from the template."""
    for name, value in labels.items():
        template = template.replace(f"{{{{{name}}}}}", value)
    return style.short(template, 28)


@style.applied()
def draw(prometheus: str, seconds: int) -> bytes:
    """The picture: one chart for each panel."""
    shown = panels()
    rows = -(-len(shown) // COLUMNS)
    made = style.figure(13, 2.5 * rows, layout="constrained")
    grid = made.subplots(rows, COLUMNS, squeeze=False)
    began = time.time() - seconds
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, shown, strict=False):
        series = [
            (legend(target["legendFormat"], one["metric"]), one["values"])
            for target in panel["targets"]
            for one in answer(prometheus, target["expr"], seconds)
        ]
        for number, (name, values) in enumerate(series):
            times = [float(moment) - began for moment, _ in values]
            axes.plot(times, [float(value) for _, value in values], color=COLOURS[number % len(COLOURS)], lw=1.4, label=name)
        axes.set_title(panel["title"], fontsize=10, pad=4)
        axes.set_ylabel(NAMES[panel["fieldConfig"]["defaults"]["unit"]], fontsize=8)
        axes.set_xlim(0, seconds)
        axes.tick_params(labelsize=7)
        if series:
            axes.legend(fontsize=6, loc="upper left", ncols=2 if len(series) > 4 else 1)
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    made.supxlabel(f"seconds; drawn by matplotlib from a real Prometheus on {day}, in place of Grafana", fontsize=8)
    return style.png(made)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("prometheus")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seconds", type=int, default=120)
    given = parser.parse_args()
    given.file.write_bytes(draw(given.prometheus, given.seconds))
