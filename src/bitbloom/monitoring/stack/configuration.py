"""The configuration of one stack: the files of `deploy/monitoring/`, with its addresses and intervals filled in."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

SOURCE = Path("deploy/monitoring")
PROMETHEUS, ALERTMANAGER = "prometheus.yml", "alertmanager.yml"
CREDENTIALS = "webhook-token"
"""The file with the token of the webhook, which only its owner reads."""
RULES = ("recording.yml", "alerts.yml")
DURATION = re.compile(r"([0-9]+(ms|s|m|h|d))+")
"""A duration as Prometheus writes it."""


@dataclass(frozen=True)
class Addresses:
    """Host and port of each part, without a scheme."""

    service: str
    prometheus: str
    alertmanager: str
    webhook: str


@dataclass(frozen=True)
class Pace:
    """Intervals that replace those of the files; None keeps them.

    Attributes:
        every: between two scrapes, and between two evaluations of the rules.
        hold: how long a condition has to last before its alert fires, for every alert.
    """

    every: str | None = None
    hold: str | None = None

    def check(self) -> None:
        """Raise BitBloomError for a value that is not a duration of Prometheus."""
        for name, value in (("--every", self.every), ("--hold", self.hold)):
            if value is not None and not DURATION.fullmatch(value):
                raise BitBloomError(f"{name} {value} is not a duration: give one such as 1s, 30s or 5m")


def write(folder: Path, addresses: Addresses, pace: Pace, source: Path = SOURCE, token: str = "") -> None:
    """Write the configuration of a stack to a folder: Prometheus, Alertmanager, rules, Grafana.

    Args:
        folder: an existing one is replaced.
        addresses: of the parts.
        pace: intervals that replace those of the files.
        source: the folder of the committed configuration.
        token: which the webhook needs; "" for none.

    Raises:
        BitBloomError: `source` is not the folder of the configuration, or the pace is invalid.
    """
    pace.check()
    if not (source / PROMETHEUS).is_file():
        raise BitBloomError(f"{source / PROMETHEUS} is missing: run this in a checkout of the repository")
    with canonical.replacing_folder(folder) as staged:
        _write(staged / PROMETHEUS, _prometheus(_read(source / PROMETHEUS), addresses, pace))
        _write(staged / ALERTMANAGER, _alertmanager(_read(source / ALERTMANAGER), addresses, pace, token))
        if token:
            (staged / CREDENTIALS).touch(0o600)
            (staged / CREDENTIALS).write_text(token, encoding="ascii")
        (staged / "rules").mkdir()
        for name in RULES:
            _write(staged / "rules" / name, _held(_read(source / "rules" / name), pace))
        shutil.copytree(source / "grafana", staged / "grafana")


def _prometheus(tree: Any, addresses: Addresses, pace: Pace) -> Any:
    """Targets, intervals and the address of Alertmanager."""
    targets = {"bitbloom": addresses.service, "prometheus": addresses.prometheus, "alertmanager": addresses.alertmanager}
    for job in tree["scrape_configs"]:
        job["static_configs"][0]["targets"] = [targets[job["job_name"]]]
    tree["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] = [addresses.alertmanager]
    if pace.every:
        tree["global"] |= {"scrape_interval": pace.every, "evaluation_interval": pace.every, "scrape_timeout": pace.every}
    return tree


def _alertmanager(tree: Any, addresses: Addresses, pace: Pace, token: str) -> Any:
    """The address and the token of the webhook; with a faster pace, notifications wait as long as one scrape."""
    for receiver in tree["receivers"]:
        for hook in receiver["webhook_configs"]:
            hook["url"] = f"http://{addresses.webhook}/alerts"
            if token:  # a file beside this one
                hook["http_config"] = {"authorization": {"credentials_file": CREDENTIALS}}
    if pace.every:
        tree["route"] |= {"group_wait": pace.every, "group_interval": pace.every}
    return tree


def _held(tree: Any, pace: Pace) -> Any:
    """The rules, with another duration before alerts fire."""
    for rule in (rule for group in tree["groups"] for rule in group["rules"] if "alert" in rule):
        if pace.hold:
            rule["for"] = pace.hold
    return tree


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _write(path: Path, tree: Any) -> None:
    path.write_text(yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=1000), encoding="utf-8")
