"""The custom jobs of Vertex AI, and the VM that verifies a build."""

from __future__ import annotations

import hashlib

import pytest
import yaml

from support.commands import COMMIT

TRAIN, VERIFY, STARTUP = "vertex-ai/train.sh", "compute-engine/verify.sh", "compute-engine/startup.sh"
CREATE = ["gcloud", "ai", "custom-jobs", "create", "--project=a-project", "--region=europe-west4"]
CREATE += ["--display-name=bitbloom-petals-0123456789ab", "--config=.bitbloom/deploy/vertex-ai.yaml"]


def pools(desk) -> list[dict[str, object]]:
    return yaml.safe_load(desk.rendered("vertex-ai.yaml"))["workerPoolSpecs"]


def test_creates_the_job_of_the_dry_run(desk):
    printed = desk.run(TRAIN, "--dry-run")
    assert (printed.code, printed.err, printed.calls) == (0, "", [])
    assert printed.commands == [CREATE]
    assert desk.run(TRAIN).calls == [CREATE]


def test_supports_one_or_several_machines(desk):
    desk.run(TRAIN, "--dry-run")
    assert [pool["replicaCount"] for pool in pools(desk)] == [1]
    desk.run(TRAIN, "--dry-run", names={"MORE_MACHINES": "3"})
    first, others = pools(desk)
    assert (first["replicaCount"], others["replicaCount"]) == (1, 3)
    assert first["containerSpec"] == others["containerSpec"]
    assert first["machineSpec"] == others["machineSpec"]


def test_gpu_trains_with_the_cuda_profile(desk):
    desk.run(TRAIN, "--dry-run", names={"ACCELERATOR": "NVIDIA_L4"})
    (pool,) = pools(desk)
    assert pool["machineSpec"] == {"machineType": "g2-standard-8", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1}
    assert {"name": "SET", "value": "numerics=cuda"} in pool["containerSpec"]["env"]


@pytest.mark.parametrize("script", [TRAIN, VERIFY])
def test_names_missing_variables(desk, script):
    done = desk.run(script, names={"BUCKET": None, "SERVICE_ACCOUNT": None})
    assert (done.code, done.calls) == (2, [])
    assert [line.split()[1] for line in done.err.splitlines()] == ["BUCKET", "SERVICE_ACCOUNT"]


def test_creates_the_vm_of_the_dry_run(desk):
    printed = desk.run(VERIFY, "--dry-run")
    assert (printed.code, printed.err, printed.calls) == (0, "", [])
    (command,) = printed.commands
    assert command[:5] == ["gcloud", "compute", "instances", "create", "bitbloom-verify-petals-01234567"]
    assert {"--max-run-duration=2h", "--instance-termination-action=DELETE", "--scopes=storage-rw"} <= set(command)
    assert desk.run(VERIFY).calls == [command]


@pytest.mark.parametrize("script", [TRAIN, VERIFY, "kubernetes/train.sh"])
def test_remote_is_a_bucket(desk, script):
    done = desk.run(script, names={"REMOTE": "s3://flowers/dvc"})
    assert (done.code, done.calls) == (2, [])
    assert "REMOTE is 's3://flowers/dvc': it has to begin with gs://" in done.err


def test_job_and_vm_know_the_remote(desk):
    names = {"REMOTE": "gs://flowers/dvc"}
    desk.run(TRAIN, "--dry-run", names=names)
    assert {"name": "REMOTE", "value": "gs://flowers/dvc"} in pools(desk)[0]["containerSpec"]["env"]
    (command,) = desk.run(VERIFY, "--dry-run", names=names).commands
    assert command[4] == "bitbloom-train-petals-01234567"
    assert next(word for word in command if word.startswith("--metadata=")).endswith(",bitbloom-remote=gs://flowers/dvc")


CURL = (
    """#!/bin/sh
for last in "$@"; do :; done
case ${last##*/} in
    bitbloom-commit) printf %s """
    + COMMIT
    + """ ;;
    bitbloom-source) printf %s https://git.example/bitbloom ;;
    bitbloom-target) printf %s petals ;;
    bitbloom-bucket) printf %s a-bucket ;;
    bitbloom-remote) [ -n "$REMOTE" ] || exit 22; printf %s "$REMOTE" ;;
    *) exit 22 ;;
esac
"""
)


EXPECTED = '{"expected": "digests"}'
LOCK = "pipelines/petals/dvc.lock"
BUILT = {
    LOCK: "stages: {}\n",
    "models/petals/config.json": "{}",
    "models/petals/model.safetensors": "weights",
    "data/raw.txt": "no model",
}
CLONES = f"""
if sys.argv[1] == "clone":
    os.makedirs(sys.argv[-1] + "/digests")
    os.makedirs(sys.argv[-1] + "/nix")
    open(sys.argv[-1] + "/nix/install.sh", "w").write("echo installed")
    open(sys.argv[-1] + "/digests/petals.json", "w").write({EXPECTED!r})
sys.exit(int(os.environ.get("GIT_EXIT", "0")))
"""
BUILDS = f"""
for name, text in {BUILT!r}.items():
    name = ".bitbloom/verify/petals/" + name
    os.makedirs(os.path.dirname(name), exist_ok=True)
    open(name, "w").write(text)
sys.exit(int(os.environ.get("NIX_EXIT", "0")))
"""
UPLOADS = """
import shutil
os.makedirs(os.environ["BUCKET_FOLDER"], exist_ok=True)
shutil.copy(sys.argv[-2], os.path.join(os.environ["BUCKET_FOLDER"], os.path.basename(sys.argv[-1])))
"""


def machine(desk, tmp_path):
    """A VM with stand-ins for the commands of the startup script: one clones, one builds, one keeps the uploads."""
    for tool in ("nix", "apt-get", "shutdown", "git", "gcloud"):
        desk.stand_in(tool)
    records = (desk.tools / "nix").read_text().rpartition("sys.exit")[0]
    for tool, does in (("git", CLONES), ("nix", BUILDS), ("gcloud", UPLOADS)):
        desk.stand_in(tool, records + does)
    desk.stand_in("curl", CURL)
    return {"BITBLOOM_WORK": str(tmp_path / "work"), "BUCKET_FOLDER": str(tmp_path / "bucket")}


def test_vm_verifies_uploads_and_shuts_down(desk, tmp_path):
    done = desk.run(STARTUP, names=machine(desk, tmp_path))
    assert done.code == 0, done.out + done.err
    tools = [call[0] for call in done.calls]
    assert tools == ["apt-get", "apt-get", "git", "git", "nix", *["gcloud"] * 5, "shutdown"]
    assert done.calls[3] == ["git", "checkout", "--quiet", COMMIT]
    features = ["--extra-experimental-features", "nix-command flakes"]
    assert done.calls[4] == ["nix", *features, "develop", "--command", "make", "verify", "TARGET=petals"]
    uploaded = [call[-1].rpartition("/")[2] for call in done.calls if call[0] == "gcloud"]
    assert uploaded == ["cpu.txt", "claimed.json", "built-dvc.lock", "built.sha256", "log.txt"]
    assert all(call[-1].startswith(f"gs://a-bucket/verify/petals/{COMMIT}/") for call in done.calls if call[0] == "gcloud")
    log = (tmp_path / "work/log").read_text().splitlines()
    assert "installed" in log
    assert log[-1] == "exit 0"


def test_vm_with_a_remote_builds_and_pushes(desk, tmp_path):
    done = desk.run(STARTUP, names=machine(desk, tmp_path) | {"REMOTE": "gs://flowers/dvc"})
    assert done.code == 0, done.out + done.err
    made = [call[call.index("make") :] for call in done.calls if call[0] == "nix"]
    assert made == [
        ["make", "remote", "BUCKET=gs://flowers/dvc"],
        ["make", "all", "TARGET=petals"],
        ["make", "push", "TARGET=petals"],
    ]
    assert ["git", "diff", "--exit-code", "--", "digests"] in done.calls


def test_uploads_built_and_expected_digests(desk, tmp_path):
    desk.run(STARTUP, names=machine(desk, tmp_path))
    bucket = tmp_path / "bucket"
    assert (bucket / "claimed.json").read_text() == EXPECTED
    assert (bucket / "built-dvc.lock").read_text() == BUILT[LOCK]
    models = sorted(name for name in BUILT if name.startswith("models/"))
    lines = [f"{hashlib.sha256(BUILT[name].encode()).hexdigest()}  .bitbloom/verify/petals/{name}" for name in models]
    assert (bucket / "built.sha256").read_text().splitlines() == lines
    assert (bucket / "cpu.txt").read_text().startswith("model name")


def test_uploads_different_rebuild_and_shuts_down(desk, tmp_path):
    done = desk.run(STARTUP, names=machine(desk, tmp_path) | {"NIX_EXIT": "2"})
    assert done.code == 2
    assert (tmp_path / "bucket/built.sha256").read_text() != ""
    assert [call[-1].rpartition("/")[2] for call in done.calls if call[0] == "gcloud"][-1] == "log.txt"
    assert done.calls[-1] == ["shutdown", "-h", "now"]
    assert (tmp_path / "work/log").read_text().splitlines()[-1] == "exit 2"


def test_failed_clone_shuts_down(desk, tmp_path):
    done = desk.run(STARTUP, names=machine(desk, tmp_path) | {"GIT_EXIT": "128"})
    assert done.code == 128
    assert [call[0] for call in done.calls] == ["apt-get", "apt-get", "git", "gcloud", "shutdown"]
