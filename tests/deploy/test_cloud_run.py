"""The script that deploys to Cloud Run: what it would call, what it calls, and the manifest that it sends."""

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
def test_a_dry_run_prints_the_commands_and_calls_nobody(desk, how):
    done = desk.run(SCRIPT, *how.get("arguments", []), names=how.get("names"))
    assert (done.code, done.err, done.calls) == (0, "", [])
    assert done.commands == [REPLACE, DESCRIBE]


def test_it_runs_what_the_dry_run_prints(desk):
    printed = desk.run(SCRIPT, "--dry-run", names={"PUBLIC": "1"})
    done = desk.run(SCRIPT, names={"PUBLIC": "1"})
    assert done.code == 0
    assert done.calls == printed.commands == [REPLACE, OPEN, DESCRIBE]


def test_it_ends_with_the_first_command_that_fails(desk):
    done = desk.run(SCRIPT, names={"FAKE_EXIT": "3"})
    assert (done.code, done.calls) == (3, [REPLACE])


def test_it_says_all_that_is_missing(desk):
    done = desk.run(SCRIPT, names={"PROJECT": None, "IMAGE": ""})
    assert (done.code, done.calls, done.out) == (2, [], "")
    assert [line.partition(":")[2].strip().split(" ")[0] for line in done.err.splitlines()] == ["PROJECT", "IMAGE"]


def test_it_knows_no_other_argument(desk):
    done = desk.run(SCRIPT, "--dryrun")
    assert (done.code, done.calls) == (2, [])
    assert "unknown argument '--dryrun'" in done.err


def test_a_value_that_is_no_word_stops_it_before_anything_is_called(desk):
    done = desk.run(SCRIPT, names={"IMAGE": "registry.example/a b"})
    assert (done.code, done.calls) == (1, [])
    assert "IMAGE is not a plain word" in done.err


def test_the_token_is_a_reference_to_a_secret_and_only_there_when_one_is_named(desk):
    desk.run(SCRIPT, "--dry-run")
    assert {entry["name"] for entry in container(desk)["env"]} == {"BENTOML_HOME", "BITBLOOM_COMMIT"}
    desk.run(SCRIPT, "--dry-run", names={"TOKEN_SECRET": "the-token"})
    token = next(entry for entry in container(desk)["env"] if entry["name"] == "BITBLOOM_TOKEN")
    assert token == {"name": "BITBLOOM_TOKEN", "valueFrom": {"secretKeyRef": {"name": "the-token", "key": "latest"}}}


def test_the_manifest_says_what_the_image_promises(desk):
    desk.run(SCRIPT, "--dry-run", names={"MIN_INSTANCES": "1"})
    found = container(desk)
    assert found["image"] == "registry.example/bitbloom/petals:1"
    assert found["ports"] == [{"name": "http1", "containerPort": 3000}]
    assert (found["startupProbe"]["httpGet"]["path"], found["livenessProbe"]["httpGet"]["path"]) == ("/readyz", "/livez")
    for probe in (found["startupProbe"], found["livenessProbe"]):
        assert probe["timeoutSeconds"] <= probe["periodSeconds"]  # else Cloud Run refuses it
    assert {"name": "BITBLOOM_COMMIT", "value": COMMIT} in found["env"]
    annotations = yaml.safe_load(desk.rendered("cloud-run.yaml"))["spec"]["template"]["metadata"]["annotations"]
    assert annotations["autoscaling.knative.dev/minScale"] == "1"
    assert all(isinstance(value, str) for value in annotations.values())
