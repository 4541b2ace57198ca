"""The target of a retraining, `<target>-log`: the configuration of another target, on a version of the data with logged inputs.

It is an ordinary target on own data, in `conf/`: the pipeline builds it, and `make all TARGET=<target>-log` builds it again.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from bitbloom.config.sections.gate import Gate
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.retrain.version import SOURCES
from bitbloom.pipeline import composition

SUFFIX = "-log"
LOOSE = ("rows", "side", "aspect", "modes", "imbalance", "repeats")
"""Bounds of the gate that describe the old data; those for data of any origin replace them."""
LEFT_OUT = ("embedded", "overrides", "source", "title")
HEADER = (
    "# {target} with logged inputs and their true labels. Written by `bitbloom retrain {target}`, which keeps an edited file.\n"
)


def name_of(target: str) -> str:
    """The name of the retrained target. Raises BitBloomError for a name of one."""
    if target.endswith(SUFFIX):
        raise BitBloomError(f"'{target}' is retrained by the name of its origin: TARGET={target.removesuffix(SUFFIX)}")
    return f"{target}{SUFFIX}"


def data(target: str) -> Path:
    """The folder of the imported version of the data."""
    return Path("data/external") / name_of(target)


def write(target: str) -> Path:
    """Write `conf/<target>-log.yaml` unless it exists, and return its path.

    Raises:
        BitBloomError: the target is unknown, its model cannot learn from labels, or its data has no form of own data.
    """
    path = composition.CONF / f"{name_of(target)}.yaml"
    tree = composition.compose(target)
    if str(tree.model.kind) not in SOURCES:
        raise BitBloomError(f"'{target}' cannot learn from feedback: retraining is for photos and texts with labels")
    if not path.exists():
        canonical.write_text(path, HEADER.format(target=target) + yaml.safe_dump(_tree(target, tree), sort_keys=False))
    return path


def _tree(target: str, tree: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(tree)
    assert isinstance(plain, dict)
    kind = SOURCES[str(tree.model.kind)]
    source: dict[str, Any] = {"path": data(target).as_posix()}
    if kind == "folder":
        source["splits"] = "given"
    usual = asdict(Gate())
    sections = {str(key): value for key, value in plain.items() if key not in LEFT_OUT}
    sections["gate"] |= {name: usual[name] for name in LOOSE}
    sections["gate"]["class_rows"] = min(sections["gate"]["class_rows"], usual["class_rows"])
    return {
        "defaults": ["base", {"source": kind}, {"model": str(tree.model.kind)}, "_self_"],
        "title": f"{tree.title} (with feedback)",
        "source": source,
        **sections,
    }
