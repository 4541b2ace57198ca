"""Make a target, or a choice of a config group, of a trial. The pipeline then builds it like any other; no file is copied.

bitbloom sweep adopt petals --as conf/petals-best.yaml         # a target: make all TARGET=petals-best
bitbloom sweep adopt petals --as conf/train/best.yaml          # a group: make all SET='train=best'
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from omegaconf import OmegaConf

from bitbloom.config import models, sections
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.history import History
    from bitbloom.experiments.sweep.study import Row


def adopt(history: History, number: int | None, path: Path) -> str:
    """Write a target or a config group with the overrides of a trial (None: the winner). Returns what to do next.

    Raises:
        BitBloomError: the path is not in conf/ or exists, or a group cannot hold the overrides.
    """
    parts = path.parts
    if path.suffix != ".yaml" or parts[0] != composition.CONF.name or len(parts) not in (2, 3) or parts[1] == "sweep":
        raise BitBloomError(f"{path} is neither a target, conf/NAME.yaml, nor a choice of a group, conf/GROUP/NAME.yaml")
    if path.exists():
        raise BitBloomError(f"{path} exists: choose another name, or remove it first")
    row, target = history.row(number), str(history.head["space"]["target"])
    metric, value = history.head["space"]["metric"], "none" if row.value is None else f"{row.value:.6g}"
    comment = f"# Trial {row.number} of sweep {history.head['sweep']}, {metric} {value}; history sha256:{history.digest()}\n"
    text = _target(target, row) if len(parts) == 2 else _group(target, row, parts[1])
    if not _same(target, row, path, text, group=parts[1] if len(parts) == 3 else ""):
        raise BitBloomError(f"trial {row.number} cannot be written as {path}: it would have another configuration")
    canonical.write_text(path, comment + text)
    return (
        f"make graph && make all TARGET={path.stem}"
        if len(parts) == 2
        else f"make all TARGET={target} SET='{parts[1]}={path.stem}'"
    )


def _target(target: str, row: Row) -> str:
    """A target that begins with another one, and overrides keys and groups of it."""
    groups, keys = split(row.overrides)
    defaults: list[Any] = [target, *({f"override {group}": choice} for group, choice in groups.items()), "_self_"]
    tree: dict[str, Any] = {"defaults": defaults}
    tree["title"] = f"{composition.compose(target).title} (sweep)"
    return yaml.safe_dump(_nested(tree, keys), sort_keys=False, allow_unicode=True)


def _group(target: str, row: Row, group: str) -> str:
    """A choice of a group: the keys that differ from the defaults of the section. Raises BitBloomError for keys of others."""
    others = [item for item in row.overrides if item.split("=")[0].split(".")[0] != group]
    if others:
        raise BitBloomError(f"trial {row.number} also sets {', '.join(others)}: adopt it as a target, conf/NAME.yaml")
    section = OmegaConf.to_container(composition.compose(target, row.overrides)[group])
    assert isinstance(section, dict)
    if group == "model":
        kind: Any = models.model_type(section["kind"])
        head: dict[str, Any] = {"defaults": [section["kind"], "_self_"]}
    else:
        kind, head = sections.section_type(group), {}
    usual = asdict(kind())
    return yaml.safe_dump(
        head | {str(key): value for key, value in section.items() if usual.get(str(key), ...) != value}, sort_keys=False
    )


def split(overrides: Sequence[str]) -> tuple[dict[str, str], dict[str, Any]]:
    """Overrides as choices of groups and values of keys; of one key, the last override counts."""
    groups, keys = dict[str, str](), dict[str, Any]()
    for override in overrides:
        key, _, text = override.partition("=")
        if (composition.CONF / key).is_dir():
            groups[key] = text
        else:
            keys[key] = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]))["value"]  # type: ignore[index,call-overload]
    return groups, keys


def _nested(tree: dict[str, Any], keys: Mapping[str, Any]) -> dict[str, Any]:
    """Add dotted keys."""
    for key, value in keys.items():
        *above, last = key.split(".")
        inside = tree
        for name in above:
            inside = inside.setdefault(name, {})
        inside[last] = value
    return tree


def _same(target: str, row: Row, path: Path, text: str, group: str) -> bool:
    """Whether the file would compose to the configuration of the trial, except its title.

    It is composed in a copy of `conf/` elsewhere, so no other command sees a target that is not checked.
    """
    with tempfile.TemporaryDirectory() as elsewhere:
        shutil.copytree(composition.CONF, Path(elsewhere) / composition.CONF)
        canonical.write_text(Path(elsewhere) / path, text)
        with contextlib.chdir(elsewhere):
            ours = composition.compose(target, [f"{group}={path.stem}"]) if group else composition.compose(path.stem)
    wanted = composition.compose(target, row.overrides)
    for tree in (ours, wanted):
        tree.title = ""
    return composition.yaml_text(ours) == composition.yaml_text(wanted)
