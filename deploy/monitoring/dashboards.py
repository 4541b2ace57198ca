"""Write Grafana's dashboards: `service.json` for those who run a service, `model.json` for those who answer for its model.

    python3 deploy/monitoring/dashboards.py            # write deploy/monitoring/grafana/dashboards/
    python3 deploy/monitoring/dashboards.py --check    # fail when a file is not current

Needs the standard library only. deploy/validate.py checks the files against Grafana's schema.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).resolve().parent / "grafana/dashboards"
SOURCE = {"type": "prometheus", "uid": "prometheus"}
SCHEMA_VERSION = 38
"""Of Grafana 10.1, as in the SDK that validates the files; later versions read it too."""
COLUMNS, HEIGHT = 24, 8
"""Width of a dashboard, and height of a panel, in Grafana's units."""
ONE = '{instance=~"$instance"}'
"""Selects the services that the reader chose."""


class Query(NamedTuple):
    """An expression, and the name of its series in the legend."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """A panel: `unit` is Grafana's name of a unit, `threshold` the limit of an alert, `kind` timeseries or stat."""

    title: str
    about: str
    queries: Sequence[Query]
    unit: str = "short"
    threshold: float | None = None
    kind: str = "timeseries"
    width: int = 8
    stacked: bool = False


SERVICE = (
    Panel(
        "Up", "Whether Prometheus gets metrics.", [Query(f'up{ONE[:-1]},job="bitbloom"}}', "{{instance}}")], kind="stat", width=4
    ),
    Panel(
        "Model",
        "The digest of the Bento that each service runs.",
        [Query(f"bitbloom_model_info{ONE}", "{{target}} {{bento}}")],
        kind="stat",
        width=12,
    ),
    Panel("Age", "Since the service started.", [Query(f"bitbloom:model_age:seconds{ONE}", "{{instance}}")], "s", kind="stat"),
    Panel(
        "Requests",
        "Responses per second by status.",
        [Query(f"sum by (http_response_code) (bitbloom:requests_by_code:rate5m{ONE})", "{{http_response_code}}")],
        "reqps",
        stacked=True,
    ),
    Panel(
        "Server errors", "Ratio of 5xx.", [Query(f"bitbloom:request_errors:ratio5m{ONE}", "{{instance}}")], "percentunit", 0.05
    ),
    Panel(
        "Latency",
        "Of whole requests.",
        [
            Query(f"bitbloom:request_seconds:p50{ONE}", "median {{instance}}"),
            Query(f"bitbloom:request_seconds:p95{ONE}", "95 % {{instance}}"),
        ],
        "s",
        1.0,
    ),
    Panel("Parts", "95th percentile of each part.", [Query(f"bitbloom:part_seconds:p95{ONE}", "{{part}} {{instance}}")], "s"),
    Panel(
        "Queue",
        "Requests that wait, and permits of service.max_requests that are taken.",
        [Query(f"bitbloom_queue_length{ONE}", "waiting {{instance}}"), Query(f"bitbloom_admitted{ONE}", "admitted {{instance}}")],
    ),
    Panel(
        "Rejections",
        "Per second by status; 503 is overload.",
        [Query(f"sum by (status) (rate(bitbloom_rejections_total{ONE}[5m]))", "{{status}}")],
        "reqps",
        stacked=True,
    ),
    Panel(
        "CPU",
        "Cores in use.",
        [Query(f"sum by (instance) (rate(bitbloom_process_cpu_seconds_total{ONE}[5m]))", "{{instance}}")],
    ),
    Panel("Memory", "Resident.", [Query(f"bitbloom_process_resident_memory_bytes{ONE}", "{{instance}}")], "bytes", 1.6e9),
    Panel("Open files", "Descriptors.", [Query(f"bitbloom_process_open_fds{ONE}", "{{instance}}")]),
)
MODEL = (
    Panel(
        "Drift",
        "1 when the inputs differ from the training data.",
        [Query(f"bitbloom_drift_detected{ONE}", "{{instance}}")],
        threshold=1,
        kind="stat",
        width=6,
    ),
    Panel(
        "Compared",
        "Predictions in the last comparison.",
        [Query(f"bitbloom_drift_samples{ONE}", "{{instance}}")],
        kind="stat",
        width=6,
    ),
    Panel(
        "Estimated accuracy",
        "From the confidence, without labels.",
        [Query(f"bitbloom_estimated_accuracy{ONE}", "{{instance}}")],
        "percentunit",
        kind="stat",
        width=6,
    ),
    Panel(
        "Realised accuracy",
        "From feedback.",
        [Query(f"bitbloom_realised_accuracy{ONE}", "{{instance}}")],
        "percentunit",
        kind="stat",
        width=6,
    ),
    Panel(
        "Drift by feature",
        "The distance of each feature from the training data.",
        [Query(f"bitbloom_drift_score{ONE}", "{{feature}}")],
    ),
    Panel(
        "Accuracy",
        "On the validation split; estimated; and realised where there is feedback.",
        [
            Query(f"bitbloom_reference_accuracy{ONE}", "validation split"),
            Query(f"bitbloom_estimated_accuracy{ONE}", "estimated {{instance}}"),
            Query(f"bitbloom_realised_accuracy{ONE}", "realised {{instance}}"),
        ],
        "percentunit",
    ),
    Panel(
        "Predictions",
        "Fraction of each label.",
        [Query(f"bitbloom:predictions:ratio5m{ONE}", "{{label}}")],
        "percentunit",
        stacked=True,
    ),
    Panel(
        "Confidence",
        "Mean and quantiles of the probability of the predicted label.",
        [
            Query(f"bitbloom:confidence:mean5m{ONE}", "mean {{instance}}"),
            Query(
                f"histogram_quantile(0.1, sum by (instance, le) (rate(bitbloom_confidence_bucket{ONE}[5m])))", "10 % {{instance}}"
            ),
            Query(
                f"histogram_quantile(0.5, sum by (instance, le) (rate(bitbloom_confidence_bucket{ONE}[5m])))",
                "median {{instance}}",
            ),
        ],
        "percentunit",
    ),
    Panel(
        "Feedback",
        "True labels per second, by whether the prediction was right.",
        [Query(f"sum by (correct) (rate(bitbloom_feedback_total{ONE}[5m]))", "correct: {{correct}}")],
        "reqps",
        stacked=True,
    ),
    Panel(
        "Prediction log",
        "Rows per second that were logged, and that were dropped.",
        [
            Query(f"sum by (instance) (rate(bitbloom_log_rows_total{ONE}[5m]))", "rows {{instance}}"),
            Query(f"sum by (instance) (rate(bitbloom_log_dropped_total{ONE}[5m]))", "dropped {{instance}}"),
        ],
    ),
    Panel(
        "Log files",
        "Parts written, and failed attempts, in the last hour.",
        [
            Query(f"sum by (instance) (increase(bitbloom_log_parts_total{ONE}[1h]))", "parts {{instance}}"),
            Query(f"sum by (instance) (increase(bitbloom_log_errors_total{ONE}[1h]))", "errors {{instance}}"),
        ],
    ),
)
DASHBOARDS = {
    "service": ("bitbloom-service", "BitBloom: service", "Requests, latency, queue, process.", SERVICE),
    "model": ("bitbloom-model", "BitBloom: model", "Drift, accuracy, predictions, feedback, log.", MODEL),
}


def dashboard(uid: str, title: str, about: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """A dashboard, as Grafana reads it from a file."""
    return {
        "uid": uid,
        "title": title,
        "description": about,
        "tags": ["bitbloom"],
        "timezone": "browser",
        "editable": False,
        "graphTooltip": 1,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "15s",
        "time": {"from": "now-1h", "to": "now"},
        "annotations": {"list": []},
        "templating": {"list": [_chosen_services()]},
        "panels": _placed(panels),
    }


def _chosen_services() -> dict[str, Any]:
    return {
        "name": "instance",
        "label": "Service",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": 'label_values(up{job="bitbloom"}, instance)', "refId": "services"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"selected": True, "text": "All", "value": "$__all"},
    }


def _placed(panels: Sequence[Panel]) -> list[dict[str, Any]]:
    """Panels from left to right, in rows."""
    placed, left, top = [], 0, 0
    for number, panel in enumerate(panels, start=1):
        height = HEIGHT if panel.kind == "timeseries" else HEIGHT // 2
        if left + panel.width > COLUMNS:
            left, top = 0, top + placed[-1]["gridPos"]["h"]
        placed.append(_panel(number, panel) | {"gridPos": {"x": left, "y": top, "w": panel.width, "h": height}})
        left += panel.width
    return placed


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.threshold is not None:
        steps.append({"color": "red", "value": panel.threshold})
    defaults = {"unit": panel.unit, "color": {"mode": "palette-classic"}, "thresholds": {"mode": "absolute", "steps": steps}}
    options: dict[str, Any] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if panel.kind == "stat":
        options = {
            "colorMode": "value",
            "graphMode": "none",
            "justifyMode": "auto",
            "textMode": "value_and_name",
            "orientation": "auto",
            "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
        }
        defaults["color"] = {"mode": "thresholds"}
    else:
        stacking = {"mode": "normal" if panel.stacked else "none", "group": "A"}
        line = {"mode": "line" if panel.threshold is not None else "off"}
        defaults["custom"] = {"fillOpacity": 10, "showPoints": "never", "stacking": stacking, "thresholdsStyle": line}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": SOURCE,
        "targets": [_target(letter, query) for letter, query in zip("ABCDEF", panel.queries, strict=False)],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def _target(letter: str, query: Query) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": SOURCE,
        "expr": query.expression,
        "legendFormat": query.legend,
        "range": True,
        "instant": False,
        "editorMode": "code",
    }


def texts() -> dict[Path, str]:
    """The files, with their content."""
    made = {FOLDER / f"{name}.json": dashboard(*parts) for name, parts in DASHBOARDS.items()}
    return {path: json.dumps(tree, indent=1, sort_keys=True) + "\n" for path, tree in made.items()}


if __name__ == "__main__":
    stale = [path for path, text in texts().items() if not path.is_file() or path.read_text() != text]
    if sys.argv[1:] == ["--check"]:
        sys.exit(f"not current: {', '.join(path.name for path in stale)}: python3 {sys.argv[0]}" if stale else 0)
    for path in stale:
        path.write_text(texts()[path])
        print(path)
