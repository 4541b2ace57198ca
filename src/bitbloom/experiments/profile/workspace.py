"""The scratch workspace of a profile: a stage's declared inputs and its parameters, so that no output of a build changes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitbloom.config.target import params_path
from bitbloom.core import canonical, imports
from bitbloom.core.errors import BitBloomError
from bitbloom.models import weights
from bitbloom.pipeline import build, composition, graph
from bitbloom.pipeline.recovery import STATE

LINKED = ("data", "models")
"""Inputs in these folders are linked, because they can be large; no stage writes into its inputs. Others are copied."""
STORES = ("downloads", "weights")


def stage_of(target: str, name: str, tree: Any) -> graph.Stage:
    """A stage of a target. Raises BitBloomError when the target has none of this name."""
    found = {stage.stage: stage for stage in graph.stages(target, tree)}
    if name not in found:
        raise BitBloomError(f"'{target}' has no stage '{name}' to profile; it has: {', '.join(found)}, serve")
    return found[name]


def makers(stage: graph.Stage, tree: Any) -> dict[str, str]:
    """Each input of a stage that another stage makes → the name of that stage."""
    others = graph.stages(stage.target, tree)
    return {
        path: other.stage for path in stage.inputs for other in others if graph.is_made(path, (*other.outputs, *other.metrics))
    }


def inputs(stage: graph.Stage) -> list[str]:
    """The inputs of a stage besides its code."""
    return [path for path in stage.inputs if not path.startswith("src/")]


def require_built(stage: graph.Stage, tree: Any) -> None:
    """Raise BitBloomError with the command when an input of a stage is missing."""
    made = makers(stage, tree)
    for path in inputs(stage):
        if not Path(path).exists():
            remedy = f": make {made[path]} TARGET={stage.target}" if path in made else ""
            raise BitBloomError(f"{stage.stage} of '{stage.target}' reads {path}, which is missing{remedy}")


def make(folder: Path, stage: graph.Stage, tree: Any) -> Path:
    """Write the workspace of a stage with this configuration. The code is not in it: processes import the running package."""
    for name in (*inputs(stage), *([weights.LOCK.as_posix()] if stage.weights else [])):
        _bring(Path(name), folder / name)
    for store in STORES:
        (STATE / store).mkdir(parents=True, exist_ok=True)
        _bring(STATE / store, folder / STATE / store, link=True)
    canonical.write_text(folder / params_path(stage.target), graph.HEADER + composition.yaml_text(tree))
    return folder


def _bring(source: Path, to: Path, link: bool = False) -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    if link or source.parts[0] in LINKED:
        to.symlink_to(source.resolve(), source.is_dir())
    elif source.is_dir():
        shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, to)


def environment(profile: str) -> Mapping[str, str]:
    """The environment of a stage in a build, with the pins of its profile, this package, and without DVC."""
    found = build.environ(profile)
    found.pop("DVC_STAGE", None)
    return {**found, "PYTHONPATH": os.pathsep.join(filter(None, [str(imports.ROOT), found.get("PYTHONPATH", "")]))}
