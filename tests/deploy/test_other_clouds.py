"""Artifact Registry, Cloud Build, Kubernetes and Azure: dry runs, commands and manifests."""

from __future__ import annotations

import shutil

import pytest
import yaml

from support.commands import REPOSITORY

PLACE = ["--project=a-project"]
CLUSTER = ["kubectl", "--context=a-cluster", "--namespace=a-namespace"]
AZURE = ["--resource-group", "a-group"]
EXPECTED = {
    "artifact-registry/create.sh": [
        [
            "gcloud",
            "artifacts",
            "repositories",
            "create",
            "bitbloom",
            *PLACE,
            "--location=europe-west4",
            "--repository-format=docker",
            "--immutable-tags",
        ],
        [
            "gcloud",
            "artifacts",
            "repositories",
            "describe",
            "bitbloom",
            *PLACE,
            "--location=europe-west4",
            "--format=value(registryUri)",
        ],
    ],
    "artifact-registry/push.sh": [
        ["gcloud", "auth", "configure-docker", "registry.example", "--quiet"],
        ["podman", "tag", "bitbloom/petals:1", "registry.example/bitbloom/petals:1"],
        ["podman", "push", "registry.example/bitbloom/petals:1"],
    ],
    "cloud-build/trigger.sh": [
        [
            "gcloud",
            "builds",
            "triggers",
            "create",
            "github",
            *PLACE,
            "--region=europe-west4",
            "--name=bitbloom-petals",
            "--repository=projects/a-project/locations/europe-west4/connections/c/repositories/r",
            "--branch-pattern=^main$",
            "--build-config=deploy/cloud-build/cloudbuild.yaml",
            "--service-account=projects/a-project/serviceAccounts/bitbloom@a-project.example",
            "--substitutions=_TARGET=petals,_REGISTRY=registry.example/bitbloom",
        ],
    ],
    "kubernetes/apply.sh": [
        [*CLUSTER, "apply", "--filename=.bitbloom/deploy/kubernetes-service.yaml"],
        [*CLUSTER, "rollout", "status", "deployment/bitbloom-petals", "--timeout=120s"],
    ],
    "kubernetes/train.sh": [[*CLUSTER, "apply", "--filename=.bitbloom/deploy/kubernetes-training.yaml"]],
    "azure/deploy.sh": [
        ["az", "containerapp", "create", "--name", "bitbloom-petals", *AZURE, "--yaml", ".bitbloom/deploy/container-app.yaml"],
        [
            "az",
            "containerapp",
            "show",
            "--name",
            "bitbloom-petals",
            *AZURE,
            "--query",
            "properties.configuration.ingress.fqdn",
            "--output",
            "tsv",
        ],
    ],
    "azure/train.sh": [
        ["az", "ml", "job", "create", "--file", ".bitbloom/deploy/azure-job.yaml", *AZURE, "--workspace-name", "a-workspace"],
    ],
}


@pytest.mark.parametrize("script", EXPECTED)
def test_dry_run_prints_the_commands_of_a_run(desk, script):
    printed = desk.run(script, "--dry-run")
    assert (printed.code, printed.err, printed.calls) == (0, "", [])
    assert printed.commands == EXPECTED[script]
    assert desk.run(script).calls == EXPECTED[script]


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("artifact-registry/create.sh", "REPOSITORY"),
        ("artifact-registry/push.sh", "LOCAL_IMAGE"),
        ("cloud-build/trigger.sh", "CONNECTED"),
        ("kubernetes/apply.sh", "CONTEXT"),
        ("kubernetes/train.sh", "NAMESPACE"),
        ("azure/deploy.sh", "AZURE_IDENTITY_ID"),
        ("azure/train.sh", "WORKSPACE_NAME"),
    ],
)
def test_script_names_missing_variable(desk, script, name):
    done = desk.run(script, names={name: None})
    assert (done.code, done.calls, done.out) == (2, [], "")
    assert done.err.startswith(f"error: {name} is not set: ")


def test_pushes_with_docker_when_podman_is_missing(desk, tmp_path):
    bare = tmp_path / "bare"
    bare.mkdir()
    for tool in ("sh", "dirname"):
        (bare / tool).symlink_to(shutil.which(tool))
    (desk.tools / "podman").unlink()
    names = {"PATH": f"{desk.tools}:{bare}"}
    assert [call[0] for call in desk.run("artifact-registry/push.sh", names=names).calls] == ["gcloud", "docker", "docker"]
    names = {"BACKEND": "podman"}
    assert [line[0] for line in desk.run("artifact-registry/push.sh", "--dry-run", names=names).commands] == [
        "gcloud",
        *["podman"] * 2,
    ]


def test_every_script_has_a_test():
    elsewhere = {
        "cloud-monitoring/deploy.sh",
        "cloud-run/canary.sh",
        "cloud-run/deploy.sh",
        "drift/apply.sh",
        "drift/deploy.sh",
        "drift/rights.sh",
        "cloud-functions/deploy.sh",
        "cloud-functions/source.sh",
        "vertex-ai/sweep.sh",
        "vertex-ai/train.sh",
        "proxy/proxy.sh",
    }
    elsewhere |= {
        "compute-engine/verify.sh",
        "compute-engine/startup.sh",
        "container/debian-base.sh",
        "torchserve/torchserve.sh",
    }
    deploy = REPOSITORY / "deploy"
    assert {path.relative_to(deploy).as_posix() for path in deploy.glob("*/*.sh")} == set(EXPECTED) | elsewhere


def objects(desk) -> dict[str, dict]:
    desk.run("kubernetes/apply.sh", "--dry-run", names={"TOKEN_SECRET": "a-token"})
    return {tree["kind"]: tree for tree in yaml.safe_load_all(desk.rendered("kubernetes-service.yaml"))}


def test_pods_fit_the_restricted_security_standard(desk):
    pod = objects(desk)["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 1034)
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert container["securityContext"] == expected
    assert container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert pod["automountServiceAccountToken"] is False


def test_all_objects_select_the_same_pods(desk):
    found = objects(desk)
    labels = found["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels == {"app.kubernetes.io/name": "bitbloom", "app.kubernetes.io/instance": "petals"}
    assert found["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert found["Service"]["spec"]["selector"] == labels
    assert found["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    assert found["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"] == labels
    assert found["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]["name"] == found["Deployment"]["metadata"]["name"]


def test_only_the_first_pod_of_a_training_mounts_the_volume_claim(desk):
    desk.run("kubernetes/train.sh", "--dry-run")
    assert set(yaml.safe_load(desk.rendered("kubernetes-training.yaml"))["spec"]["pytorchReplicaSpecs"]) == {"Master"}
    desk.run("kubernetes/train.sh", "--dry-run", names={"MORE_MACHINES": "3", "MODEL_CLAIM": "models"})
    replicas = yaml.safe_load(desk.rendered("kubernetes-training.yaml"))["spec"]["pytorchReplicaSpecs"]
    assert replicas["Worker"]["replicas"] == 3
    first, other = (replicas[name]["template"]["spec"] for name in ("Master", "Worker"))
    nowhere, models = {"name": "tmp", "emptyDir": {}}, {"claimName": "models"}
    assert first.pop("volumes") == [nowhere, {"name": "models", "persistentVolumeClaim": models}]
    assert other.pop("volumes") == [nowhere, {"name": "models", "emptyDir": {}}]
    assert first == other


def test_azure_job_keeps_expressions_of_azure(desk):
    desk.run("azure/train.sh", "--dry-run", names={"MACHINES": "2"})
    job = yaml.safe_load(desk.rendered("azure-job.yaml"))
    assert "${{outputs.model}}" in job["command"]
    assert job["resources"] == {"instance_count": 2}
