"""Grafana's dashboard schema, from the typed models of its foundation SDK: every field of a dashboard, of its panels and queries.

The models say which fields exist and which types they have; the reader of a dashboard ignores what it does not know, so a
misspelt field would be lost without a message. This makes a JSON Schema of the models that rejects it.
"""

from __future__ import annotations

import sys
import typing
from enum import Enum
from types import NoneType, UnionType
from typing import Any

Tree = Any
SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}


def definitions() -> dict[str, Tree]:
    """A JSON Schema for each model: `Dashboard` is that of a whole dashboard."""
    from grafana_foundation_sdk.models import dashboard, prometheus, stat, timeseries

    found: dict[str, Tree] = {}
    for name, model in {
        "Dashboard": dashboard.Dashboard,
        "PrometheusQuery": prometheus.Dataquery,
        "StatOptions": stat.Options,
        "TimeseriesOptions": timeseries.Options,
        "TimeseriesFields": timeseries.FieldConfig,
    }.items():
        found[name] = {"$ref": f"#/definitions/{_add(model, found)}"}
    _require_known_panels(found, dashboard)
    return found


def _require_known_panels(found: dict[str, Tree], dashboard: Any) -> None:
    """Give panels the options of their type, and queries those of Prometheus: the SDK's panels allow anything there."""
    panel = found[_name(dashboard.Panel)]
    panel["properties"]["targets"] = {"type": "array", "minItems": 1, "items": {"$ref": "#/definitions/PrometheusQuery"}}
    panel["properties"]["type"] = {"enum": ["stat", "timeseries"]}
    panel["required"] = ["id", "type", "title", "gridPos", "datasource", "targets", "fieldConfig", "options"]
    is_stat = {"properties": {"type": {"const": "stat"}}}
    of_stat = {"properties": {"options": {"$ref": "#/definitions/StatOptions"}}}
    custom = {"properties": {"defaults": {"properties": {"custom": {"$ref": "#/definitions/TimeseriesFields"}}}}}
    of_lines = {"properties": {"options": {"$ref": "#/definitions/TimeseriesOptions"}, "fieldConfig": custom}}
    panel |= {"if": is_stat, "then": of_stat, "else": of_lines}
    whole = found[_name(dashboard.Dashboard)]
    whole["properties"]["panels"]["items"] = {"$ref": f"#/definitions/{_name(dashboard.Panel)}"}
    whole["required"] = ["uid", "title", "schemaVersion", "panels", "templating", "annotations", "time"]


def _add(model: Any, found: dict[str, Tree]) -> str:
    """Add a model and those of its fields. Returns its name."""
    name = _name(model)
    if name not in found:
        found[name] = {}
        hints = typing.get_type_hints(model, vars(sys.modules[model.__module__]))
        keys = _keys(model, list(hints))
        properties = {keys[field]: _schema(hint, found) for field, hint in hints.items() if field in keys}
        found[name] = {"type": "object", "properties": properties, "additionalProperties": False}
    return name


def _name(model: Any) -> str:
    return f"{model.__module__.rpartition('.')[2]}.{model.__name__}"


def _keys(model: Any, fields: list[str]) -> dict[str, str]:
    """Attribute → its name in JSON: `to_json` of an instance whose attributes are marks."""
    instance = model.__new__(model)
    marks = {field: object() for field in fields}
    for field, mark in marks.items():
        setattr(instance, field, mark)
    written = {id(value): key for key, value in instance.to_json().items()}
    return {field: written[id(mark)] for field, mark in marks.items() if id(mark) in written}


def _schema(hint: Any, found: dict[str, Tree]) -> Tree:
    """A type hint as JSON Schema; anything for the types of plugins."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, UnionType):
        kinds = [kind for kind in arguments if kind is not NoneType]
        if len(kinds) == 1 and kinds[0] not in SIMPLE:
            return _schema(kinds[0], found)  # a file omits such a field, and an error inside of it names its place
        return {"anyOf": [*(_schema(kind, found) for kind in kinds), {"type": "null"}]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0], found)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1], found)}
    if hint in SIMPLE:
        return {"type": SIMPLE[hint]}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [member.value for member in hint]}
    if isinstance(hint, type) and hasattr(hint, "from_json"):
        return {"$ref": f"#/definitions/{_add(hint, found)}"}
    return {}
