"""The drift job: its scripts and manifests, its rights, and the program that its container runs, with an emulated bucket."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import yaml

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.drift.observations import IMAGE, Observations
from bitbloom.serving import archive, bento
from support.commands import REPOSITORY
from support.standin import photo, serving
from support.storage import BUCKET, emulator

DEPLOY, APPLY, RIGHTS = "drift/deploy.sh", "drift/apply.sh", "drift/rights.sh"
LOG = "gs://a-bucket/petals"
NAMES = {"BITBLOOM_LOG": LOG, "DRIFT_ACCOUNT": "drift@a-project.example"}
PLACE = ["--project=a-project", "--region=europe-west4"]
MEMBER = "--member=serviceAccount:drift@a-project.example"
URI = "https://run.googleapis.com/v2/projects/a-project/locations/europe-west4/jobs/bitbloom-drift-petals:run"
REPLACE = ["gcloud", "run", "jobs", "replace", ".bitbloom/deploy/drift-cloud-run.yaml", *PLACE, "--quiet"]
INVOKE = ["gcloud", "run", "jobs", "add-iam-policy-binding", "bitbloom-drift-petals", *PLACE, MEMBER]
INVOKE += ["--role=roles/run.invoker", "--quiet"]
APPLIED = ["kubectl", "--context=a-cluster", "--namespace=a-namespace", "apply"]
LISTING = """#!/bin/sh
case "$*" in
    *" list "*) echo exists ;;
    *) echo "$@" >> called ;;
esac
"""


def schedule(verb: str, when: str) -> list[str]:
    """The command that lets Cloud Scheduler start the job."""
    command = ["gcloud", "scheduler", "jobs", verb, "http", "bitbloom-drift-petals", "--project=a-project"]
    command += ["--location=europe-west4", f"--schedule={when}", "--time-zone=Etc/UTC", "--http-method=POST"]
    return [*command, "--oauth-service-account-email=drift@a-project.example", f"--uri={URI}", "--quiet"]


def program():
    """The program of the job, which is a file and no module of a package."""
    spec = importlib.util.spec_from_file_location("drift_job", REPOSITORY / "deploy/drift/job.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


job = program()


def run_job(desk) -> dict:
    desk.run(DEPLOY, "--dry-run", names=NAMES)
    return yaml.safe_load(desk.rendered("drift-cloud-run.yaml"))


def cluster(desk) -> dict[str, dict]:
    desk.run(APPLY, "--dry-run", names=NAMES)
    return {tree["kind"]: tree for tree in yaml.safe_load_all(desk.rendered("drift-kubernetes.yaml"))}


def test_dry_runs_print_the_commands_and_call_nothing(desk):
    done = desk.run(DEPLOY, "--dry-run", names=NAMES)
    assert (done.code, done.err, done.calls) == (0, "", [])
    assert done.commands == [REPLACE, INVOKE, schedule("create", "15 5 * * *")]
    done = desk.run(APPLY, "--dry-run", names=NAMES)
    assert (done.code, done.err, done.calls) == (0, "", [])
    assert done.commands == [[*APPLIED, "--filename=.bitbloom/deploy/drift-kubernetes.yaml"]]


@pytest.mark.parametrize("script", [DEPLOY, APPLY, RIGHTS])
def test_runs_the_commands_of_the_dry_run(desk, script):
    printed = desk.run(script, "--dry-run", names=NAMES)
    done = desk.run(script, names=NAMES)
    assert done.code == 0, done.err
    assert [call for call in done.calls if "list" not in call] == printed.commands


def test_updates_schedule_and_role_that_exist(desk):
    desk.stand_in("gcloud", LISTING)
    for script in (DEPLOY, RIGHTS):
        assert desk.run(script, names=NAMES).code == 0
    called = (desk.folder / "called").read_text()
    assert "scheduler jobs update http" in called
    assert "iam roles update" in called
    assert "create http" not in called


def test_one_hour_runs_in_both_places(desk):
    names = NAMES | {"HOUR": "0-23/6", "MINUTE": "0"}
    assert "--schedule=0 0-23/6 * * *" in desk.run(DEPLOY, "--dry-run", names=names).commands[-1]
    desk.run(APPLY, "--dry-run", names=names)
    (_, cron, _) = yaml.safe_load_all(desk.rendered("drift-kubernetes.yaml"))
    assert cron["spec"]["schedule"] == "0 0-23/6 * * *"


@pytest.mark.parametrize(
    ("script", "name", "wrong", "message"),
    [
        (DEPLOY, "TRAINING_IMAGE", None, "TRAINING_IMAGE is not set"),
        (DEPLOY, "DRIFT_ACCOUNT", None, "DRIFT_ACCOUNT is not set"),
        (DEPLOY, "BITBLOOM_LOG", "/log", "BITBLOOM_LOG is '/log'"),
        (DEPLOY, "BITBLOOM_LOG", "gs:///petals", "BITBLOOM_LOG is 'gs:///petals'"),
        (APPLY, "CONTEXT", None, "CONTEXT is not set"),
        (APPLY, "BITBLOOM_LOG", "log", "gs:// s3://"),
        (RIGHTS, "SERVICE_ACCOUNT", None, "SERVICE_ACCOUNT is not set"),
        ("cloud-run/deploy.sh", "BITBLOOM_LOG", "/log", "BITBLOOM_LOG is '/log'"),
        ("kubernetes/apply.sh", "BITBLOOM_LOG", "/log", "BITBLOOM_LOG is '/log'"),
    ],
)
def test_rejects_missing_and_wrong_variables(desk, script, name, wrong, message):
    done = desk.run(script, names=NAMES | {name: wrong})
    assert (done.code, done.calls) == (2, [])
    assert message in done.err


def test_alert_watches_this_job_and_its_failures_are_final(desk):
    found = run_job(desk)
    desk.run("cloud-monitoring/deploy.sh", "--dry-run", names={"HOST": "petals.example"})
    (condition,) = yaml.safe_load(desk.rendered("alert-drift-job.yaml"))["conditions"]
    watched = condition["conditionThreshold"]["filter"]
    assert f'resource.labels.job_name = "{found["metadata"]["name"]}"' in watched
    assert 'metric.labels.result = "failed"' in watched
    assert found["spec"]["template"]["spec"]["template"]["spec"]["maxRetries"] == 0
    cron = cluster(desk)["CronJob"]["spec"]["jobTemplate"]["spec"]
    assert (cron["backoffLimit"], cron["template"]["spec"]["restartPolicy"]) == (0, "Never")


def test_both_containers_are_equal_but_for_what_a_cluster_adds(desk):
    (first,) = run_job(desk)["spec"]["template"]["spec"]["template"]["spec"]["containers"]
    (second,) = cluster(desk)["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert {name: first[name] for name in ("image", "command", "env")} == {
        name: second[name] for name in ("image", "command", "env")
    }
    assert first["image"] == "registry.example/bitbloom/training:1"
    assert (REPOSITORY / first["command"][1]).is_file()  # the working directory of the image is the repository


def test_pods_of_the_cron_job_fit_the_restricted_security_standard(desk):
    found = cluster(desk)
    pod = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 1034)
    expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert pod["containers"][0]["securityContext"] == expected
    assert pod["containers"][0]["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert pod["automountServiceAccountToken"] is False
    labels = found["CronJob"]["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert pod["serviceAccountName"] == found["ServiceAccount"]["metadata"]["name"]


def test_rights_are_on_the_bucket_and_the_service_cannot_read(desk):
    role, *bindings = desk.run(RIGHTS, "--dry-run", names=NAMES).commands
    assert "--permissions=storage.objects.create,storage.objects.delete,storage.objects.list" in role
    assert all(command[:5] == ["gcloud", "storage", "buckets", "add-iam-policy-binding", "gs://a-bucket"] for command in bindings)
    service, reader = "serviceAccount:bitbloom@a-project.example", "serviceAccount:drift@a-project.example"
    assert [[word.partition("=")[2] for word in command[6:8]] for command in bindings] == [
        [service, "projects/a-project/roles/bitbloomLogWriter"],
        [reader, "roles/storage.objectViewer"],
        [reader, "roles/storage.objectCreator"],
    ]


def test_log_of_a_service_on_cloud_run_has_a_processor_between_requests(desk):
    def template(names: dict[str, str]) -> tuple[list[dict], str]:
        desk.run("cloud-run/deploy.sh", "--dry-run", names=names)
        tree = yaml.safe_load(desk.rendered("cloud-run.yaml"))["spec"]["template"]
        return tree["spec"]["containers"][0]["env"], tree["metadata"]["annotations"]["run.googleapis.com/cpu-throttling"]

    without, throttled = template({})
    assert ({entry["name"] for entry in without} & {"BITBLOOM_LOG"}, throttled) == (set(), "true")
    found, throttled = template(NAMES)
    assert ({"name": "BITBLOOM_LOG", "value": LOG} in found, throttled) == (True, "false")


def test_log_of_a_service_on_a_cluster_opens_egress(desk):
    def objects(names: dict[str, str]) -> list[dict]:
        desk.run("kubernetes/apply.sh", "--dry-run", names=names)
        return list(yaml.safe_load_all(desk.rendered("kubernetes-service.yaml")))

    before = objects({})
    assert [tree["spec"]["egress"] for tree in before if tree["kind"] == "NetworkPolicy"] == [[]]
    account, deployment, *others, policy = objects(NAMES | {"WORKLOAD_ACCOUNT": "service@a-project.example"})
    assert account["metadata"]["annotations"] == {"iam.gke.io/gcp-service-account": "service@a-project.example"}
    assert {"name": "BITBLOOM_LOG", "value": LOG} in deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    assert len(others) == len(before) - 2
    assert policy["spec"]["podSelector"]["matchLabels"] == deployment["spec"]["template"]["metadata"]["labels"]
    assert policy["spec"]["egress"] == cluster(desk)["NetworkPolicy"]["spec"]["egress"]


def observed(count: int, brightness: float, split: str | None) -> Observations:
    """Rows of a model: one descriptor, an embedding, and one of two labels."""
    random = np.random.default_rng(count)
    labels = [str(label) for label in random.choice(["daisy", "rose"], count)]
    known = {"split": [split] * count, "truth": labels} if split else {"model_digest": ["0" * 64] * count}
    known |= {"time": [None if split else 1_700_000_000_000 + at for at in range(count)]}
    return Observations.of(
        IMAGE,
        {"brightness": random.normal(brightness, 0.1, count)},
        random.normal(0, 1, (count, 8)),
        **{"id": [f"{at:032x}" for at in range(count)], "label": labels, "confidence": random.uniform(0.5, 1, count), **known},
    )


def pack(folder: Path) -> Path:
    """An archive of a Bento with a reference of 200 rows."""
    observed(200, 0.5, "val").write(folder / "whole/src/reference.parquet")
    canonical.write_text(folder / "whole" / bento.MANIFEST, "name: petals\nversion: x\ncreation_time: x\n")
    bento.name_after_content(folder / "whole")
    archive.write(folder / "whole", folder / "petals.bento")
    return folder / "petals.bento"


def put(log: Path, brightness: float, count: int = 120) -> None:
    """A prediction log of one part, and the Bento beside it."""
    (log / "log/date=2023-11-14").mkdir(parents=True)
    observed(count, brightness, None).write(log / "log/date=2023-11-14/1.parquet")
    pack(log.parent).rename(log / "petals.bento")


def start(address: str, temporary: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command of the manifests from the repository, with their environment only."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    places = {"TMPDIR": str(temporary), "HOME": str(temporary), "TARGET": "petals", "BITBLOOM_LOG": address, "ROWS": "5000"}
    command = [sys.executable, "deploy/drift/job.py"]
    return subprocess.run(command, cwd=REPOSITORY, env=kept | places | more, capture_output=True, text=True)


def test_job_ends_with_0_without_a_drift_and_leaves_a_report(tmp_path):
    put(tmp_path / "log", 0.5)
    (tmp_path / "tmp").mkdir()
    done = start(str(tmp_path / "log"), tmp_path / "tmp")
    assert done.returncode == 0, done.stderr
    (report,) = (tmp_path / "log/drift").iterdir()
    assert {path.name for path in report.iterdir()} == {"drift.html", "drift.json"}
    assert json.loads((report / "drift.json").read_text())["drifted"] is False
    assert str(report / "drift.html") in done.stdout
    assert not list((tmp_path / "tmp").glob("bitbloom-drift-*"))


def test_job_reads_log_and_bento_from_a_bucket_and_writes_the_report_there(tmp_path):
    from pyarrow import fs

    put(tmp_path / "log", 0.8)
    (tmp_path / "tmp").mkdir()
    with emulator(tmp_path / "emulator") as variables, pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        place = variables["STORAGE_EMULATOR_HOST"].removeprefix("http://")
        system = fs.GcsFileSystem(anonymous=True, scheme="http", endpoint_override=place)
        fs.copy_files(str(tmp_path / "log"), f"{BUCKET}/petals", destination_filesystem=system)
        done = start(f"gs://{BUCKET}/petals", tmp_path / "tmp", **variables)
        assert done.returncode == 3, done.stderr
        found = system.get_file_info(fs.FileSelector(f"{BUCKET}/petals/drift", recursive=True))
    assert sorted(file.base_name for file in found if file.is_file) == ["drift.html", "drift.json"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda log: (log / "petals.bento").unlink(), "petals.bento cannot be read"),
        (lambda log: (log / "petals.bento").write_bytes(b"no archive"), "is not an archive of a Bento"),
        (lambda log: (log / "log/date=2023-11-14/1.parquet").unlink(), "has no prediction log of images"),
        (lambda log: observed(20, 0.5, None).write(log / "log/date=2023-11-14/1.parquet"), "too few"),
        (lambda log: (log / "drift").write_text("a file"), "drift/"),
    ],
)
def test_job_rejects_what_it_cannot_compare(tmp_path, damage, message):
    put(tmp_path / "log", 0.5)
    damage(tmp_path / "log")
    with pytest.raises(BitBloomError, match=message):
        job.main({"BITBLOOM_LOG": str(tmp_path / "log")}, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"), [({}, "BITBLOOM_LOG is not set"), ({"ROWS": "0"}, "ROWS=0"), ({"ROWS": "x"}, "ROWS=x")]
)
def test_job_rejects_wrong_variables(tmp_path, wrong, message):
    with pytest.raises(BitBloomError, match=message):
        job.main(({"BITBLOOM_LOG": str(tmp_path)} if wrong else {}) | wrong, tmp_path)


def test_job_rejects_a_bento_whose_content_differs_from_its_version(tmp_path):
    put(tmp_path / "log", 0.5)
    observed(200, 0.9, "val").write(tmp_path / "whole/src/reference.parquet")
    archive.write(tmp_path / "whole", tmp_path / "log/petals.bento")
    with pytest.raises(BitBloomError, match="differs from its version"):
        job.main({"BITBLOOM_LOG": str(tmp_path / "log")}, tmp_path)


def test_command_ends_with_one_line_and_1_after_an_error(tmp_path):
    done = start(str(tmp_path / "log"), tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(f"error: {tmp_path}/log/petals.bento cannot be read")


@pytest.mark.slow
def test_job_finds_the_drift_of_a_real_service_in_its_log_with_its_bento(served, tmp_path):
    """All photos are red; the inputs of the reference are of one grey."""
    with serving("petals:latest", served.home, tmp_path, BITBLOOM_LOG=str(tmp_path / "log-of-service")) as url:
        for number in range(60):
            httpx.post(f"{url}/predict", content=photo((200 + number % 40, 40, 40))).raise_for_status()
    shutil.copy(served.workspace / "dist/petals.bento", tmp_path / "log-of-service")
    (tmp_path / "tmp").mkdir()
    done = start(str(tmp_path / "log-of-service"), tmp_path / "tmp")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("Drift: 60 samples differ")
    assert "another model" not in done.stdout
