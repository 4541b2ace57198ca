"""The scripts that watch a service with Cloud Monitoring, and that give a version of it a part of the traffic."""

from __future__ import annotations

import json

import pytest
import yaml

SCRIPT, CANARY = "cloud-monitoring/deploy.sh", "cloud-run/canary.sh"
NAMES = {"HOST": "petals.example"}
POLICIES = ["errors", "latency", "memory", "down", "drift-job"]
LISTING = """#!/bin/sh
printf '%s ' "$@" >> listed; echo >> listed
case "$*" in
    *print-access-token*) echo secret ;;
    *list*) echo projects/a-project/objects/1 ;;
esac
"""


@pytest.fixture
def clouds(desk):
    """A desk with a stand-in for curl, which the scripts must not find on this machine."""
    desk.stand_in("curl")
    return desk


def test_dry_run_prints_the_commands_and_calls_nothing(clouds):
    done = clouds.run(SCRIPT, "--dry-run", names=NAMES)
    assert (done.code, done.err, done.calls) == (0, "", [])
    curl, *policies, dashboard = done.commands
    assert curl[0] == "curl"
    assert curl[-1] == "https://monitoring.googleapis.com/v3/projects/a-project/uptimeCheckConfigs"
    assert [command[5] for command in policies] == [f"--policy-from-file=.bitbloom/deploy/alert-{name}.yaml" for name in POLICIES]
    assert dashboard[:4] == ["gcloud", "monitoring", "dashboards", "create"]


def test_policies_on_own_metrics_come_with_managed_prometheus(clouds):
    done = clouds.run(SCRIPT, "--dry-run", names=NAMES | {"PROMETHEUS": "1"})
    assert any("alert-model.yaml" in word for command in done.commands for word in command)
    model = yaml.safe_load(clouds.rendered("alert-model.yaml"))
    assert 'target="petals"' in model["conditions"][0]["conditionPrometheusQueryLanguage"]["query"]


def test_creates_what_does_not_exist(clouds):
    printed = clouds.run(SCRIPT, "--dry-run", names=NAMES)
    done = clouds.run(SCRIPT, names=NAMES)
    assert done.code == 0, done.err
    made = [
        command for command in done.calls if "list" not in command and "list-configs" not in command and "auth" not in command
    ]
    assert made == printed.commands


def test_updates_what_exists_and_keeps_no_token(clouds):
    clouds.stand_in("gcloud", LISTING)
    done = clouds.run(SCRIPT, names=NAMES)
    assert done.code == 0, done.err
    (curl,) = done.calls
    assert curl[curl.index("--request") + 1] == "PATCH"
    assert curl[-1] == "https://monitoring.googleapis.com/v3/projects/a-project/objects/1"
    called = (clouds.folder / "listed").read_text()
    assert called.count("policies update projects/a-project/objects/1") == len(POLICIES)
    assert "policies create" not in called
    assert not (clouds.folder / ".bitbloom/deploy/header").exists()
    assert "secret" not in json.dumps(done.calls)


def test_channel_is_notified_where_one_is_given(clouds):
    clouds.run(SCRIPT, "--dry-run", names=NAMES)
    assert yaml.safe_load(clouds.rendered("alert-errors.yaml")).get("notificationChannels") is None
    clouds.run(SCRIPT, "--dry-run", names=NAMES | {"CHANNEL": "projects/a-project/notificationChannels/1"})
    assert yaml.safe_load(clouds.rendered("alert-errors.yaml"))["notificationChannels"] == [
        "projects/a-project/notificationChannels/1"
    ]


def test_names_all_missing_variables(clouds):
    done = clouds.run(SCRIPT, names={"PROJECT": None})
    assert (done.code, done.calls) == (2, [])
    assert "PROJECT is not set" in done.err
    assert "HOST is not set" in done.err


PLACE = ["--project=a-project", "--region=europe-west4"]
VERSION = "0123456789abcdef"


def traffic(percent: str) -> list[str]:
    revision = f"--to-revisions=bitbloom-petals-v{VERSION}={percent}"
    return ["gcloud", "run", "services", "update-traffic", "bitbloom-petals", *PLACE, revision, "--quiet"]


def test_canary_deploys_without_traffic_and_then_gives_it_a_part(desk):
    done = desk.run(CANARY, names={"VERSION": VERSION, "PERCENT": "10"})
    assert done.code == 0, done.err
    image = ["--image=registry.example/bitbloom/petals:1", f"--revision-suffix=v{VERSION}", "--no-traffic", "--quiet"]
    assert done.calls == [["gcloud", "run", "services", "update", "bitbloom-petals", *PLACE, *image], traffic("10")]


def test_promotion_and_rollback_move_all_traffic_and_deploy_nothing(desk):
    done = desk.run(CANARY, names={"VERSION": VERSION, "PERCENT": "100", "IMAGE": None})
    assert done.calls == [traffic("100")]


@pytest.mark.parametrize(
    "wrong", [{"PERCENT": "0"}, {"PERCENT": "101"}, {"PERCENT": "ten"}, {"VERSION": "latest"}, {"VERSION": None}]
)
def test_canary_rejects_other_versions_and_percentages(desk, wrong):
    done = desk.run(CANARY, names={"VERSION": VERSION, "PERCENT": "10"} | wrong)
    assert (done.code, done.calls) == (2, [])
    assert next(iter(wrong)) in done.err
