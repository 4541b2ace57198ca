"""Every manifest is valid by the schema of its platform, and the checks reject invalid ones."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from render import render

from support.commands import REPOSITORY
from support.proxy import needs_nginx

pytestmark = pytest.mark.slow

DEPLOY = REPOSITORY / "deploy"
TEMPLATES = [
    *DEPLOY.glob("*/*.yaml"),
    *DEPLOY.glob("monitoring/grafana/dashboards/*.json"),
    DEPLOY / "cloud-monitoring/uptime.json",
    DEPLOY / "proxy/nginx.conf",
]
UNRENDERED = ("cloud-build", "compose", "grafana")


def example() -> dict[str, str]:
    lines = (DEPLOY / "example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def validate(validators: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(validators / "bin/python"), "deploy/validate.py", *arguments]
    environment = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]}
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)


@needs_nginx
def test_every_manifest_is_valid(validators):
    done = validate(validators)
    assert done.returncode == 0, done.stderr
    valid = set(re.findall(r"^deploy/(\S+): valid", done.stdout, re.MULTILINE))
    assert valid == {path.relative_to(DEPLOY).as_posix() for path in TEMPLATES}


@pytest.mark.parametrize(
    ("kind", "template", "right", "wrong", "named"),
    [
        ("cloud-run", "cloud-run/service.yaml", "startupProbe:", "startProbe:", "startProbe"),
        ("cloud-run", "cloud-run/service.yaml", "timeoutSeconds: 60", "timeoutSeconds: long", "long"),
        ("cloud-run-job", "drift/cloud-run.yaml", "maxRetries:", "retries:", "retries"),
        ("cloud-run-job", "drift/cloud-run.yaml", "taskCount: 1", "taskCount: one", "one"),
        ("kubernetes", "drift/kubernetes.yaml", "concurrencyPolicy:", "concurrency:", "concurrency"),
        ("kubernetes", "drift/kubernetes.yaml", "backoffLimit: 0", "backoffLimit: none", "none"),
        ("vertex-ai", "vertex-ai/job.yaml", "replicaCount: 1", "replicas: 1", "replicas"),
        ("vertex-ai", "vertex-ai/job-gpu.yaml", "${ACCELERATOR}", "NVIDIA_L5", "NVIDIA_L5"),
        ("alert-policy", "cloud-monitoring/alert-errors.yaml", "thresholdValue:", "threshold:", "threshold"),
        ("alert-policy", "cloud-monitoring/alert-model.yaml", "evaluationInterval:", "interval:", "interval"),
        ("alert-policy", "cloud-monitoring/alert-down.yaml", "ALIGN_NEXT_OLDER", "ALIGN_OLDEST", "ALIGN_OLDEST"),
        ("cloud-dashboard", "cloud-monitoring/dashboard.yaml", "xyChart:", "lineChart:", "lineChart"),
        ("uptime-check", "cloud-monitoring/uptime.json", '"useSsl": true', '"useSsl": "yes"', "useSsl"),
        ("compose", "monitoring/compose.yaml", "read_only:", "readonly:", "readonly"),
        ("grafana", "monitoring/grafana/dashboards/model.json", '"expr"', '"expression"', "expression"),
        ("grafana", "monitoring/grafana/dashboards/service.json", '"graphMode": "none"', '"graphMode": "no"', "no"),
        ("grafana", "monitoring/grafana/dashboards/service.json", '"stacking"', '"stacked"', "stacked"),
        ("vertex-ai-sweep", "vertex-ai/sweep.yaml", "parameterId:", "parameter:", "parameter"),
        ("vertex-ai-sweep", "vertex-ai/sweep.yaml", "UNIT_LOG_SCALE", "LOG_SCALE", "LOG_SCALE"),
        ("cloud-build", "cloud-build/cloudbuild.yaml", "machineType:", "machine:", "machine"),
        ("kubernetes", "kubernetes/service.yaml", "readOnlyRootFilesystem:", "readOnlyRoot:", "readOnlyRoot"),
        ("kubernetes", "kubernetes/service.yaml", "minReplicas:", "minimum:", "minimum"),
        pytest.param("nginx", "proxy/nginx.conf", "server_tokens", "server_token", "server_token", marks=needs_nginx),
        pytest.param("nginx", "proxy/nginx.conf", "size 8k", "size many", "invalid value", marks=needs_nginx),
        ("pytorch-job", "kubernetes/training.yaml", "backoffLimit:", "backOffLimit:", "backOffLimit"),
        ("pytorch-job", "kubernetes/training.yaml", "claimName:", "claim:", "claim"),
        ("azure-ml", "azure/job.yaml", "instance_count:", "instances:", "instances"),
        ("container-app", "azure/container-app.yaml", "targetPort:", "port:", "port"),
        ("container-app", "azure/container-app.yaml", "failureThreshold:", "failures:", "failures"),
        ("container-app", "azure/container-app.yaml", "targetPort: 3000", "targetPort: http", "properties.configuration.ingress"),
        ("container-app", "azure/container-app.yaml", "external: true", "external: 1", "1 is not of type 'boolean'"),
        ("container-app", "azure/container-app.yaml", 'value: "3000"', "value: 3000", "3000 is not of type 'string'"),
        ("container-app", "azure/container-app.yaml", "probes:", "probes: many\n        args:", "'many' is not of type 'array'"),
        ("container-app", "azure/container-app.yaml", "type: Startup", "type: Start", "'Start' is not one of"),
        ("container-app", "azure/container-app.yaml", "location: ${LOCATION}", "", "'location' is a required property"),
        ("container-app", "azure/container-app.yaml", "  type: UserAssigned", "", "'type' is a required property"),
        ("container-app", "azure/container-app.yaml", "              port: 3000", "", "'port' is a required property"),
        ("pytorch-job", "kubernetes/training.yaml", "backoffLimit: 0", "backoffLimit: none", "'none' is not of type 'integer'"),
        ("pytorch-job", "kubernetes/training.yaml", "restartPolicy: Never", "restartPolicy: 0", "0 is not of type 'string'"),
        ("pytorch-job", "kubernetes/training.yaml", "Master:", "Master: []\n    Other:", "[] is not of type 'object'"),
        ("pytorch-job", "kubernetes/training.yaml", "  runPolicy:", "  elasticPolicy:", "'runPolicy' is a required property"),
        ("pytorch-job", "kubernetes/training.yaml", "Master:", "Master: {}\n    Other:", "'spec' is a required property"),
        ("pytorch-job", "kubernetes/training.yaml", "  name: bitbloom-", "  names: bitbloom-", "names"),
    ],
)
def test_rejects_and_names_each_error(validators, tmp_path, kind, template, right, wrong, named):
    text = (DEPLOY / template).read_text()
    assert right in text
    file = tmp_path / "wrong.yaml"
    file.write_text(text.replace(right, wrong, 1) if kind in UNRENDERED else render(text.replace(right, wrong, 1), example()))
    done = validate(validators, kind, str(file))
    assert done.returncode == 1
    assert named in done.stderr


def test_shellcheck_finds_nothing(validators):
    scripts = sorted(map(str, [*DEPLOY.glob("*.sh"), *DEPLOY.glob("*/*.sh")]))
    done = subprocess.run([validators / "bin/shellcheck", "-x", *scripts], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_example_has_exactly_the_names_of_the_templates():
    used = set()
    for template in TEMPLATES:
        if template.parent.name not in ("cloud-build", "monitoring", "dashboards"):
            used |= set(re.findall(r"(?<!\$)\$\{([A-Z_]+)\}", template.read_text()))
            used |= set(re.findall(r"# if ([A-Z_]+)$", template.read_text(), re.MULTILINE))
    assert set(example()) == used
