"""Notifications of Alertmanager: the JSON of its webhook, version 4."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from bitbloom.core.errors import BitBloomError

RETRAIN = "retrain"
"""The value of the label `action` of alerts that ask for a retraining."""


@dataclass(frozen=True)
class Alert:
    """An alert that fires or is resolved."""

    name: str
    fingerprint: str
    firing: bool
    severity: str
    action: str
    summary: str

    @property
    def line(self) -> str:
        """The alert as a line of text."""
        return f"{'FIRING  ' if self.firing else 'resolved'} {self.name}: {self.summary}"


def parse(body: bytes) -> list[Alert]:
    """The alerts of a notification. Raises BitBloomError when the body is not one of Alertmanager's webhook."""
    try:
        tree = json.loads(body)
        if tree["version"] != "4":
            raise BitBloomError(f"version {tree['version']!r} of Alertmanager's webhook is unknown; it has to be '4'")
        return [_alert(one) for one in tree["alerts"]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BitBloomError(f"the body is not a notification of Alertmanager ({type(error).__name__}: {error})") from error


def _alert(tree: dict[str, Any]) -> Alert:
    labels, annotations = tree["labels"], tree.get("annotations", {})
    return Alert(
        name=str(labels["alertname"]),
        fingerprint=str(tree["fingerprint"]),
        firing=tree["status"] == "firing",
        severity=str(labels.get("severity", "")),
        action=str(labels.get("action", "")),
        summary=str(annotations.get("summary", "")),
    )
