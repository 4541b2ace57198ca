"""The script that deploys to Cloud Run: its dry run, its commands and its manifest."""

from __future__ import annotations

import pytest
import yaml

from support.commands import COMMIT

SCRIPT = "cloud-run/deploy.sh"
PLACE = ["--project=a-project", "--region=europe-west4"]
REPLACE = ["gcloud", "run", "services", "replace", ".bitbloom/deploy/cloud-run.yaml", *PLACE, "--quiet"]
DESCRIBE = ["gcloud", "run", "services", "describe", "bitbloom-petals", *PLACE, "--format=value(status.url)"]
OPEN = ["gcloud", "run", "services", "add-iam-policy-binding", "bitbloom-petals", *PLACE]
OPEN += ["--member=allUsers", "--role=roles/run.invoker", "--quiet"]


def container(desk):
    return yaml.safe_load(desk.rendered("cloud-run.yaml"))["spec"]["template"]["spec"]["containers"][0]


@pytest.mark.parametrize("how", [{"arguments": ["--dry-run"]}, {"names": {"DRY_RUN": "1"}}])
def test_dry_run_prints_the_commands_and_calls_nothing(desk, how):
    done = desk.run(SCRIPT, *how.get("arguments", []), names=how.get("names"))
    assert (done.code, done.err, done.calls) == (0, "", [])
    assert done.commands == [REPLACE, DESCRIBE]


def test_runs_the_commands_of_the_dry_run(desk):
    printed = desk.run(SCRIPT, "--dry-run", names={"PUBLIC": "1"})
    done = desk.run(SCRIPT, names={"PUBLIC": "1"})
    assert done.code == 0
    assert done.calls == printed.commands == [REPLACE, OPEN, DESCRIBE]


def test_stops_at_the_first_failing_command(desk):
    done = desk.run(SCRIPT, names={"FAKE_EXIT": "3"})
    assert (done.code, done.calls) == (3, [REPLACE])


def test_names_all_missing_variables(desk):
    done = desk.run(SCRIPT, names={"PROJECT": None, "IMAGE": ""})
    assert (done.code, done.calls, done.out) == (2, [], "")
    assert [line.partition(":")[2].strip().split(" ")[0] for line in done.err.splitlines()] == ["PROJECT", "IMAGE"]


def test_rejects_unknown_argument(desk):
    done = desk.run(SCRIPT, "--dryrun")
    assert (done.code, done.calls) == (2, [])
    assert "unknown argument '--dryrun'" in done.err


def test_rejects_value_that_is_not_a_plain_word(desk):
    done = desk.run(SCRIPT, names={"IMAGE": "registry.example/a b"})
    assert (done.code, done.calls) == (1, [])
    assert "IMAGE is not a plain word" in done.err


def test_token_is_a_reference_to_the_named_secret(desk):
    desk.run(SCRIPT, "--dry-run")
    assert {entry["name"] for entry in container(desk)["env"]} == {"BENTOML_HOME", "BITBLOOM_COMMIT"}
    desk.run(SCRIPT, "--dry-run", names={"TOKEN_SECRET": "the-token"})
    token = next(entry for entry in container(desk)["env"] if entry["name"] == "BITBLOOM_TOKEN")
    assert token == {"name": "BITBLOOM_TOKEN", "valueFrom": {"secretKeyRef": {"name": "the-token", "key": "latest"}}}


def test_manifest_matches_the_image(desk):
    desk.run(SCRIPT, "--dry-run", names={"MIN_INSTANCES": "1"})
    found = container(desk)
    assert found["image"] == "registry.example/bitbloom/petals:1"
    assert found["ports"] == [{"name": "http1", "containerPort": 3000}]
    assert (found["startupProbe"]["httpGet"]["path"], found["livenessProbe"]["httpGet"]["path"]) == ("/readyz", "/livez")
    for probe in (found["startupProbe"], found["livenessProbe"]):
        assert probe["timeoutSeconds"] <= probe["periodSeconds"]  # else Cloud Run rejects it
    assert {"name": "BITBLOOM_COMMIT", "value": COMMIT} in found["env"]
    annotations = yaml.safe_load(desk.rendered("cloud-run.yaml"))["spec"]["template"]["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/minScale"] == "1"
    assert all(isinstance(value, str) for value in annotations.values())
