"""Validate the manifests with their readers' schemas: reject unknown fields and wrong types.

Missing fields are rejected where a schema declares required ones: those of Kubernetes, Kubeflow and Azure do, Google's do not.

    make deploy-check                                                 # all templates, filled with deploy/example.env
    .bitbloom/deploy-venv/bin/python deploy/validate.py cloud-run rendered.yaml

Runs in the venv of deploy/requirements.lock, without a network and an account.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import typing
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import NoneType, SimpleNamespace
from typing import Any

import yaml
from render import conditions, render

HERE = Path(__file__).resolve().parent
Tree = Any


class Invalid(Exception):
    """A manifest that its reader would reject; the message gives the reason."""


def cloud_run(tree: Tree) -> None:
    """A Knative service, by the discovery document of Cloud Run's API v1, to which `gcloud run services replace` sends it."""
    _discovered(tree, "run.v1", "Service")


def cloud_run_job(tree: Tree) -> None:
    """A job, by the same document; `gcloud run jobs replace` sends it."""
    _discovered(tree, "run.v1", "Job")


def alert_policy(tree: Tree) -> None:
    """An alert policy, by the discovery document of Cloud Monitoring's API v3."""
    _discovered(tree, "monitoring.v3", "AlertPolicy")


def uptime_check(tree: Tree) -> None:
    """An uptime check, by the same document."""
    _discovered(tree, "monitoring.v3", "UptimeCheckConfig")


def cloud_dashboard(tree: Tree) -> None:
    """A dashboard of Cloud Monitoring, by the discovery document of its API v1."""
    _discovered(tree, "monitoring.v1", "Dashboard")


def _discovered(tree: Tree, api: str, kind: str) -> None:
    """Reject a tree that does not match a schema of an API of Google."""
    import googleapiclient

    document = Path(googleapiclient.__file__).parent / f"discovery_cache/documents/{api}.json"
    schemas = json.loads(document.read_text())["schemas"]
    _hold(tree, kind, {name: _strict(schema) for name, schema in schemas.items()})


def _hold(tree: Tree, kind: str, definitions: dict[str, Tree]) -> None:
    """Reject a tree that does not match the JSON Schema of a kind."""
    import jsonschema

    whole = {"$ref": f"#/definitions/{kind}", "definitions": definitions}
    found = [f"{error.json_path}: {error.message}" for error in jsonschema.Draft7Validator(whole).iter_errors(tree)]
    if found:
        raise Invalid("\n".join(found))


def _strict(schema: Tree) -> Tree:
    """A schema of a discovery document as JSON Schema that rejects unknown fields.

    Discovery schemas differ from JSON Schema in three ways: references are bare names, an absent `additionalProperties` means
    none, and 64-bit numbers have the type string.
    """
    if isinstance(schema, list):
        return [_strict(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if isinstance(schema.get("$ref"), str):
        return {"$ref": f"#/definitions/{schema['$ref']}"}
    kept = {key: schema[key] for key in ("type", "enum", "items", "additionalProperties") if key in schema}
    strict = {key: _strict(value) if key in ("items", "additionalProperties") else value for key, value in kept.items()}
    if isinstance(schema.get("properties"), dict):
        strict["properties"] = {name: _strict(value) for name, value in schema["properties"].items()}
        strict.setdefault("additionalProperties", False)
    return strict


def vertex_ai(tree: Tree) -> None:
    """A CustomJobSpec, by the types of Google's client library for Vertex AI."""
    from google.cloud.aiplatform_v1.types import CustomJobSpec

    _parse(tree, CustomJobSpec)


def vertex_ai_sweep(tree: Tree) -> None:
    """A HyperparameterTuningJob, by the types of Google's client library for Vertex AI."""
    from google.cloud.aiplatform_v1.types import HyperparameterTuningJob

    _parse(tree, HyperparameterTuningJob)


def cloud_build(tree: Tree) -> None:
    """A build, by the types of Google's client library and by check-jsonschema's schema."""
    from google.cloud.devtools.cloudbuild_v1.types import Build

    _parse(tree, Build)
    _built_in("vendor.cloudbuild", tree)


def compose(tree: Tree) -> None:
    """A compose file, by the schema of the compose specification that check-jsonschema has."""
    _built_in("vendor.compose-spec", tree)


def _built_in(schema: str, tree: Tree) -> None:
    """Reject a tree that does not match a schema of check-jsonschema."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(tree, file)
        file.flush()
        tool = Path(sys.executable).with_name("check-jsonschema")
        done = subprocess.run([tool, "--builtin-schema", schema, file.name], capture_output=True, text=True)
    if done.returncode:
        raise Invalid(done.stdout + done.stderr)


def grafana(tree: Tree) -> None:
    """A dashboard of Grafana, by the models of its foundation SDK."""
    from grafana_schema import definitions

    _hold(tree, "Dashboard", definitions())


def _parse(tree: Tree, message: Any) -> None:
    """Reject unknown fields and wrong types."""
    from google.protobuf import json_format

    try:
        json_format.ParseDict(tree, message.pb(message()))
    except json_format.ParseError as error:
        raise Invalid(str(error)) from error


def kubernetes(tree: Tree) -> None:
    """An object of Kubernetes, by the OpenAPI schema of a release, without unknown fields."""
    import kubernetes_validate

    try:
        kubernetes_validate.validate(tree, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        raise Invalid(f"{'.'.join(map(str, error.path))}: {error.message}") from error
    except kubernetes_validate.InvalidSchemaError as error:
        raise Invalid(str(error)) from error


KUBERNETES = "1.34"
"""The release of the schemas: managed clusters support it."""


def pytorch_job(tree: Tree) -> None:
    """A PyTorchJob, by the models of Kubeflow's client; its metadata and pods by Kubernetes' schema."""
    from kubeflow.training import models

    if (tree.get("apiVersion"), tree.get("kind")) != ("kubeflow.org/v1", "PyTorchJob"):
        raise Invalid("not a kubeflow.org/v1 PyTorchJob")
    kinds = {name: model for name, model in vars(models).items() if name.startswith(KUBEFLOW)}
    _hold(tree, "KubeflowOrgV1PyTorchJob", {name: _of_kubeflow(model) for name, model in kinds.items()})
    for name, replica in tree["spec"]["pytorchReplicaSpecs"].items():
        if not (replica.get("template") or {}).get("spec"):
            raise Invalid(f"$.spec.pytorchReplicaSpecs.{name}.template: 'spec' is a required property")
        pod = {"apiVersion": "v1", "kind": "PodTemplate", "metadata": tree.get("metadata"), "template": replica["template"]}
        kubernetes(pod)


KUBEFLOW = "KubeflowOrgV1"
"""The prefix of Kubeflow's own models; the others are Kubernetes'."""
SIMPLE = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def _closed(properties: dict[str, Tree], required: list[str]) -> Tree:
    """An object with these fields and no other."""
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _of_kubeflow(model: Any) -> Tree:
    """A generated model as JSON Schema."""
    names = model.attribute_map
    properties = {names[field]: _written(kind) for field, kind in model.openapi_types.items()}
    return _closed(properties, [names[field] for field in model.openapi_types if _has_to_be_there(model, field)])


def _written(kind: str) -> Tree:
    """A type in the notation of the models. Kubernetes' schema validates its own types."""
    if kind.startswith("dict("):
        return {"type": "object", "additionalProperties": _written(kind.removeprefix("dict(str, ")[:-1])}
    if kind.startswith("list["):
        return {"type": "array", "items": _written(kind.removeprefix("list[")[:-1])}
    if kind in SIMPLE:
        return {"type": SIMPLE[kind]}
    return {"$ref": f"#/definitions/{kind}"} if kind.startswith(KUBEFLOW) else {}


def _has_to_be_there(model: Any, field: str) -> bool:
    """Whether the setter of a field rejects None: a generated model has no other mark of a required field."""
    try:
        getattr(model, field).fset(SimpleNamespace(local_vars_configuration=SimpleNamespace(client_side_validation=True)), None)
    except ValueError:
        return True
    return False


def azure_ml(tree: Tree) -> None:
    """A command job, by the loader of Azure's client library for Machine Learning, which `az ml job create` uses too."""
    from azure.ai.ml import load_job

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "job.yaml"
        file.write_text(yaml.safe_dump(tree))
        try:
            load_job(file)
        except Exception as error:  # invalid and unreadable files raise unrelated classes
            raise Invalid(str(error)) from error


def container_app(tree: Tree) -> None:
    """A container app, by the models of Azure's management library."""
    from azure.mgmt.appcontainers import models

    definitions: dict[str, Tree] = {}
    _add_of_azure(models.ContainerApp, models, definitions)
    _hold(tree, "ContainerApp", definitions)


def _add_of_azure(model: Any, models: Any, definitions: dict[str, Tree]) -> None:
    """Add a model and the models of its fields, as JSON Schema."""
    if model.__name__ in definitions:
        return
    definitions[model.__name__] = {}
    model({})  # the first instance sets the names of the fields
    hints = typing.get_type_hints(model, vars(sys.modules[model.__module__]) | {"_models": models})
    fields = [(field._rest_name, hints[name]) for name, field in model._attr_to_rest_field.items()]
    properties = {name: _annotated(hint, models, definitions) for name, hint in fields}
    required = [name for name, hint in fields if NoneType not in typing.get_args(hint)]
    definitions[model.__name__] = _closed(properties, required)


def _annotated(hint: Any, models: Any, definitions: dict[str, Tree]) -> Tree:
    """The type of a field. An enumeration comes with `str`, for values of later services."""
    if typing.get_origin(hint) is typing.Union:
        return _annotated([kind for kind in typing.get_args(hint) if kind is not NoneType][-1], models, definitions)
    if typing.get_origin(hint) is list:
        return {"type": "array", "items": _annotated(typing.get_args(hint)[0], models, definitions)}
    if typing.get_origin(hint) is dict:
        return {"type": "object", "additionalProperties": _annotated(typing.get_args(hint)[1], models, definitions)}
    if issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if hasattr(models, hint.__name__):
        _add_of_azure(hint, models, definitions)
        return {"$ref": f"#/definitions/{hint.__name__}"}
    return {"type": SIMPLE[hint.__name__]} if hint.__name__ in SIMPLE else {}


NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def nginx(text: str) -> None:
    """A configuration, by `nginx -t`. A certificate made here stands in for that of deploy/example.env, which does not exist."""
    if NGINX is None:
        raise Invalid("nginx is not here: apt-get install nginx-light")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("TLS_CERTIFICATE", "TLS_KEY"):
            text = text.replace(f" {example()[name]};", f" {folder}/{name};")
        pair = ["-keyout", f"{folder}/TLS_KEY", "-out", f"{folder}/TLS_CERTIFICATE"]
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=example", *pair]
        subprocess.run(made, check=True, capture_output=True)
        file = Path(folder) / "nginx.conf"
        file.write_text(text)
        done = subprocess.run([NGINX, "-e", "stderr", "-t", "-p", f"{folder}/", "-c", file], capture_output=True, text=True)
    if done.returncode or "[warn]" in done.stderr:
        raise Invalid(done.stderr.strip())


CHECKS: dict[str, Callable[[Tree], None]] = {
    "alert-policy": alert_policy,
    "azure-ml": azure_ml,
    "cloud-build": cloud_build,
    "cloud-dashboard": cloud_dashboard,
    "cloud-run": cloud_run,
    "cloud-run-job": cloud_run_job,
    "compose": compose,
    "container-app": container_app,
    "grafana": grafana,
    "kubernetes": kubernetes,
    "nginx": nginx,
    "pytorch-job": pytorch_job,
    "uptime-check": uptime_check,
    "vertex-ai": vertex_ai,
    "vertex-ai-sweep": vertex_ai_sweep,
}
TEMPLATES = {
    "azure/container-app.yaml": "container-app",
    "azure/job.yaml": "azure-ml",
    "cloud-build/cloudbuild.yaml": "cloud-build",
    "cloud-monitoring/alert-down.yaml": "alert-policy",
    "cloud-monitoring/alert-drift-job.yaml": "alert-policy",
    "cloud-monitoring/alert-errors.yaml": "alert-policy",
    "cloud-monitoring/alert-latency.yaml": "alert-policy",
    "cloud-monitoring/alert-memory.yaml": "alert-policy",
    "cloud-monitoring/alert-model.yaml": "alert-policy",
    "cloud-monitoring/dashboard.yaml": "cloud-dashboard",
    "cloud-monitoring/uptime.json": "uptime-check",
    "cloud-run/service.yaml": "cloud-run",
    "drift/cloud-run.yaml": "cloud-run-job",
    "drift/kubernetes.yaml": "kubernetes",
    "kubernetes/service.yaml": "kubernetes",
    "kubernetes/training.yaml": "pytorch-job",
    "monitoring/compose.yaml": "compose",
    "monitoring/grafana/dashboards/model.json": "grafana",
    "monitoring/grafana/dashboards/service.json": "grafana",
    "proxy/nginx.conf": "nginx",
    "vertex-ai/job-gpu.yaml": "vertex-ai",
    "vertex-ai/job.yaml": "vertex-ai",
    "vertex-ai/sweep.yaml": "vertex-ai-sweep",
}
"""All manifests of deploy/, and their kinds."""
UNRENDERED = ("cloud-build", "compose", "grafana")
"""Kinds whose readers fill `${…}` themselves."""


def check(kind: str, text: str) -> int:
    """The number of documents of a valid manifest. Raises Invalid otherwise."""
    if kind == "nginx":
        nginx(text)
        return 1
    documents = [tree for tree in yaml.safe_load_all(text) if tree is not None]
    for tree in documents:
        CHECKS[kind](tree)
    return len(documents)


def example() -> dict[str, str]:
    """The values of deploy/example.env."""
    lines = (HERE / "example.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def fillings(text: str) -> list[str]:
    """A template with all of its lines, and with its unconditional lines only."""
    least = {name: value for name, value in example().items() if name not in conditions(text)}
    return [render(text, example()), render(text, least)]


def check_all() -> int:
    """Check every template, print one line for each, and return the number of invalid ones."""
    failed = 0
    for name, kind in TEMPLATES.items():
        if kind == "nginx" and NGINX is None:
            print(f"deploy/{name}: not checked, because nginx is not here: apt-get install nginx-light")
            continue
        text = (HERE / name).read_text()
        try:
            documents = max(check(kind, filled) for filled in ([text] if kind in UNRENDERED else fillings(text)))
            print(f"deploy/{name}: valid ({kind}, {documents} object{'s' * (documents > 1)})")
        except Invalid as error:
            failed += 1
            print(f"deploy/{name}: NOT VALID\n{error}", file=sys.stderr)
    return failed


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(1 if check_all() else 0)
    if len(sys.argv) != 3 or sys.argv[1] not in CHECKS:
        sys.exit(f"usage: {sys.argv[0]} [{'|'.join(CHECKS)} FILE]")
    try:
        check(sys.argv[1], Path(sys.argv[2]).read_text())
    except Invalid as error:
        sys.exit(f"error: {sys.argv[2]}: {error}")
