"""The programs of a stack: each installed one is run directly, the others by the compose file where there is a container engine.

Prometheus and Alertmanager are Debian's packages `prometheus` and `prometheus-alertmanager`. Debian has no Grafana.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bitbloom.monitoring.stack.configuration import ALERTMANAGER, PROMETHEUS, SOURCE

PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/share/grafana/bin"))
NAMES = ("prometheus", "alertmanager", "grafana")
PROGRAMS: Mapping[str, tuple[str, ...]] = {
    "prometheus": ("prometheus",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "grafana": ("grafana-server", "grafana"),
}
"""The names that distributions give to each program."""
COMPOSE = (("docker", "compose"), ("podman", "compose"))
PACKAGES: Mapping[str, str] = {"prometheus": "prometheus", "alertmanager": "prometheus-alertmanager"}
"""Debian's packages."""


@dataclass(frozen=True)
class Places:
    """Folder of the configuration, folder of the data, and the ports of the parts on loopback."""

    configuration: Path
    data: Path
    ports: Mapping[str, int]

    def address(self, name: str) -> str:
        """Host and port of a part."""
        return f"127.0.0.1:{self.ports[name]}"


def installed(name: str) -> str | None:
    """The path of a part's program; None where it is not installed."""
    return next((found for program in PROGRAMS[name] if (found := shutil.which(program, path=PATH))), None)


def engine() -> tuple[str, ...] | None:
    """The container engine that reads compose files; None where there is none."""
    return next((words for words in COMPOSE if shutil.which(words[0], path=PATH)), None)


def command(name: str, program: str, places: Places) -> list[str]:
    """The command of an installed part."""
    configuration, data, address = places.configuration, places.data / name, places.address(name)
    if name == "prometheus":
        return [
            program,
            f"--config.file={configuration / PROMETHEUS}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=15d",
            f"--web.listen-address={address}",
        ]
    if name == "alertmanager":
        return [
            program,
            f"--config.file={configuration / ALERTMANAGER}",
            f"--storage.path={data}",
            f"--web.listen-address={address}",
            "--cluster.listen-address=",
        ]
    return [*([program, "server"] if Path(program).name == "grafana" else [program]), f"--homepath={home(program)}"]


def home(program: str) -> Path:
    """The folder of Grafana's defaults and web pages: above the program, or in the share folder of an installation."""
    above = Path(program).resolve().parents[1]
    shared = above / "share/grafana"
    return shared if (shared / "conf/defaults.ini").is_file() else above


def composed(words: tuple[str, ...], names: list[str]) -> list[str]:
    """The command that starts parts in containers, and ends with them."""
    return [*words, "--file", str((SOURCE / "compose.yaml").resolve()), "up", "--no-color", *names]


def environment(places: Places) -> dict[str, str]:
    """Variables of Grafana and of the compose file."""
    configuration = places.configuration.resolve()
    return os.environ | {
        "CONFIG": str(configuration),
        **{f"{name.upper()}_PORT": str(port) for name, port in places.ports.items()},
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(places.ports["grafana"]),
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_AUTH_ANONYMOUS_ORG_ROLE": "Viewer",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_PATHS_DATA": str((places.data / "grafana").resolve()),
        "GF_PATHS_PROVISIONING": str(configuration / "grafana/provisioning"),
        "BITBLOOM_DASHBOARDS": str(configuration / "grafana/dashboards"),
        "BITBLOOM_PROMETHEUS": f"http://{places.address('prometheus')}",
    }
