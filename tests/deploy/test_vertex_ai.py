"""The custom jobs of Vertex AI, and the VM that rebuilds."""

from __future__ import annotations

import pytest
import yaml
from commands import COMMIT

TRAIN, VERIFY, STARTUP = "vertex-ai/train.sh", "compute-engine/verify.sh", "compute-engine/startup.sh"
CREATE = ["gcloud", "ai", "custom-jobs", "create", "--project=a-project", "--region=europe-west4"]
CREATE += ["--display-name=bitbloom-petals-0123456789ab", "--config=.bitbloom/deploy/vertex-ai.yaml"]


def pools(desk) -> list[dict[str, object]]:
    return yaml.safe_load(desk.rendered("vertex-ai.yaml"))["workerPoolSpecs"]


def test_a_job_is_created_as_the_dry_run_prints(desk):
    printed = desk.run(TRAIN, "--dry-run")
    assert (printed.code, printed.err, printed.calls) == (0, "", [])
    assert printed.commands == [CREATE]
    assert desk.run(TRAIN).calls == [CREATE]


def test_one_machine_or_several(desk):
    desk.run(TRAIN, "--dry-run")
    assert [pool["replicaCount"] for pool in pools(desk)] == [1]
    desk.run(TRAIN, "--dry-run", names={"MORE_MACHINES": "3"})
    first, others = pools(desk)
    assert (first["replicaCount"], others["replicaCount"]) == (1, 3)
    assert first["containerSpec"] == others["containerSpec"]
    assert first["machineSpec"] == others["machineSpec"]


def test_a_gpu_trains_with_one_process_in_the_profile_for_it(desk):
    desk.run(TRAIN, "--dry-run", names={"ACCELERATOR": "NVIDIA_L4"})
    (pool,) = pools(desk)
    assert pool["machineSpec"] == {"machineType": "g2-standard-8", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 1}
    assert {"name": "SET", "value": "numerics=cuda"} in pool["containerSpec"]["env"]


@pytest.mark.parametrize("script", [TRAIN, VERIFY])
def test_they_say_what_is_missing(desk, script):
    done = desk.run(script, names={"BUCKET": None, "SERVICE_ACCOUNT": None})
    assert (done.code, done.calls) == (2, [])
    assert [line.split()[1] for line in done.err.splitlines()] == ["BUCKET", "SERVICE_ACCOUNT"]


def test_the_vm_is_created_as_the_dry_run_prints(desk):
    printed = desk.run(VERIFY, "--dry-run")
    assert (printed.code, printed.err, printed.calls) == (0, "", [])
    (command,) = printed.commands
    assert command[:5] == ["gcloud", "compute", "instances", "create", "bitbloom-verify-petals-01234567"]
    assert {"--max-run-duration=2h", "--instance-termination-action=DELETE", "--scopes=storage-rw"} <= set(command)
    assert desk.run(VERIFY).calls == [command]


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
    *) exit 22 ;;
esac
"""
)


def machine(desk, tmp_path):
    """A VM: what the startup script calls is there, as stand-ins; git's clone makes the folder."""
    for tool in ("nix", "apt-get", "shutdown", "git", "gcloud"):
        desk.stand_in(tool)
    clone = (desk.tools / "git").read_text().rpartition("sys.exit")[0]
    clone += (
        "if sys.argv[1] == 'clone':\n    os.makedirs(sys.argv[-1] + '/digests')\nsys.exit(int(os.environ.get('GIT_EXIT', '0')))\n"
    )
    (desk.tools / "git").write_text(clone)
    nix = (desk.tools / "nix").read_text().replace("FAKE_EXIT", "NIX_EXIT")
    (desk.tools / "nix").write_text(nix)
    desk.stand_in("curl", CURL)
    return {"BITBLOOM_WORK": str(tmp_path / "work")}


def test_the_vm_verifies_uploads_and_ends(desk, tmp_path):
    done = desk.run(STARTUP, names=machine(desk, tmp_path))
    assert done.code == 0, done.out + done.err
    tools = [call[0] for call in done.calls]
    assert tools == ["apt-get", "apt-get", "git", "git", "nix", *["gcloud"] * 4, "shutdown"]
    assert done.calls[3] == ["git", "checkout", "--quiet", COMMIT]
    features = ["--extra-experimental-features", "nix-command flakes"]
    assert done.calls[4] == ["nix", *features, "develop", "--command", "make", "verify", "TARGET=petals"]
    uploaded = [call[-1].rpartition("/")[2] for call in done.calls if call[0] == "gcloud"]
    assert uploaded == ["cpu.txt", "claimed.json", "built.sha256", "log.txt"]
    assert all(call[-1].startswith(f"gs://a-bucket/verify/petals/{COMMIT}/") for call in done.calls if call[0] == "gcloud")
    assert (tmp_path / "work/log").read_text().splitlines()[-1] == "exit 0"


def test_a_rebuild_that_differs_is_uploaded_and_the_vm_ends(desk, tmp_path):
    done = desk.run(STARTUP, names=machine(desk, tmp_path) | {"NIX_EXIT": "2"})
    assert done.code == 2
    assert [call[-1].rpartition("/")[2] for call in done.calls if call[0] == "gcloud"][-1] == "log.txt"
    assert done.calls[-1] == ["shutdown", "-h", "now"]
    assert (tmp_path / "work/log").read_text().splitlines()[-1] == "exit 2"


def test_a_clone_that_fails_ends_the_vm_too(desk, tmp_path):
    done = desk.run(STARTUP, names=machine(desk, tmp_path) | {"GIT_EXIT": "128"})
    assert done.code == 128
    assert [call[0] for call in done.calls] == ["apt-get", "apt-get", "git", "gcloud", "shutdown"]
