"""The rules, dashboards and configuration of deploy/monitoring/, by Prometheus' and Alertmanager's own checks."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from support.monitoring import needs_prometheus
from support.tiny import REPOSITORY

FOLDER = REPOSITORY / "deploy/monitoring"
METRIC = re.compile(r"\b(?:bitbloom|up)[a-z_:0-9]*\b")


def alerts(folder: Path = FOLDER) -> dict[str, dict]:
    tree = yaml.safe_load((folder / "rules/alerts.yml").read_text())
    return {rule["alert"]: rule for group in tree["groups"] for rule in group["rules"]}


@needs_prometheus
def test_cases_of_the_rules_pass():
    done = subprocess.run(["promtool", "test", "rules", "rules/cases.yml"], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_prometheus
@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("> 0.05", "> 0.2"),
        ("== 1", "== 2"),
        ("for: 1m", "for: 5m"),
        ("> 1.6e9", "> 1.8e9"),
        ("> 1\n", "> 3\n"),
        ("[10m]) > 0", "[10m]) > 5"),
    ],
)
def test_cases_fail_for_another_rule(tmp_path, right, wrong):
    shutil.copytree(FOLDER / "rules", tmp_path / "rules")
    file = tmp_path / "rules/alerts.yml"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong, 1))
    done = subprocess.run(["promtool", "test", "rules", "rules/cases.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode != 0


@needs_prometheus
def test_configurations_are_valid_as_committed():
    for command in (["promtool", "check", "config", "prometheus.yml"], ["amtool", "check-config", "alertmanager.yml"]):
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case():
    cases = yaml.safe_load((FOLDER / "rules/cases.yml").read_text())
    tested = {case["alertname"] for test in cases["tests"] for case in test["alert_rule_test"]}
    assert tested == set(alerts())


def test_alerts_of_the_model_ask_for_a_retraining_and_others_do_not():
    asking = {name for name, rule in alerts().items() if rule["labels"].get("action") == "retrain"}
    assert asking == {"BitbloomDrift", "BitbloomEstimatedAccuracyLow", "BitbloomAccuracyLow"}


def test_every_alert_says_what_and_what_to_do():
    for name, rule in alerts().items():
        assert set(rule["annotations"]) == {"summary", "description"}, name
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_dashboards_are_current():
    done = subprocess.run([sys.executable, str(FOLDER / "dashboards.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_panels_do_not_overlap_and_fit():
    for path in (FOLDER / "grafana/dashboards").glob("*.json"):
        panels = json.loads(path.read_text())["panels"]
        cells = [
            (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
            for panel in panels
            for x in range(panel["gridPos"]["w"])
            for y in range(panel["gridPos"]["h"])
        ]
        assert len(cells) == len(set(cells))
        assert max(x for x, _ in cells) < 24
        assert len({panel["id"] for panel in panels}) == len(panels)


def test_provisioned_source_is_that_of_the_panels():
    sources = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    used = {
        panel["datasource"]["uid"]
        for path in (FOLDER / "grafana/dashboards").glob("*.json")
        for panel in json.loads(path.read_text())["panels"]
    }
    assert used == {source["uid"] for source in sources}


def test_images_are_pinned_to_a_version():
    services = yaml.safe_load((FOLDER / "compose.yaml").read_text())["services"]
    assert all(re.search(r":v?\d+\.\d+\.\d+$", service["image"]) for service in services.values())
    assert all(service["network_mode"] == "host" for service in services.values())
