"""A run of W&B: opened where W&B's settings say, with the rows of a training and then what its build made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import yaml

from bitbloom.config.target import params_path
from bitbloom.core import canonical, git
from bitbloom.pipeline import lineage, live
from bitbloom.pipeline.tracking import logged, results
from bitbloom.pipeline.tracking.warning import Warn, first_line

INIT_SECONDS = 30.0
"""Time limit of W&B's server for the start of a run."""
LONGEST_NAME = 120


class Tracked:
    """A run of W&B. It is opened with the first row."""

    def __init__(self, target: str, workspace: Path, identity: str, warn: Warn) -> None:
        self.target, self.workspace, self.identity, self.warn = target, workspace, identity, warn
        self.run: Any = None
        self.logged = 0

    def rows(self, found: list[live.Row]) -> None:
        """Log the rows of training that are not logged yet."""
        if self.run is None:
            config = yaml.safe_load((self.workspace / params_path(self.target)).read_text(encoding="utf-8"))
            self.run = _open(self.target, self.workspace, self.identity, config, self.warn)
            self.run.define_metric("*", step_metric="epoch")
            self.logged = max(0, self.run.starting_step - 1)  # of an earlier part of this run
        for row in found:
            if row["epoch"] > self.logged:
                self.run.log(row, step=int(row["epoch"]), commit=True)
                self.logged = int(row["epoch"])

    def finish(self) -> None:
        """Log what a finished build has besides curves, unless it was logged, end the run, and note it."""
        reports = self.workspace / "reports" / self.target
        is_evaluated = "evaluate" in lineage.current(self.target, self.workspace)
        note, content = logged.note(self.target, self.workspace)
        if not is_evaluated or logged.is_new(note, content):
            if is_evaluated:
                processed = self.workspace / "data/processed" / self.target
                results.log_evaluation(self.run, reports)
                results.log_samples(self.run, reports, processed, str(self.run.config["model"]["kind"]))
            results.log_model(self.run, self.target, self.workspace)
        self.run.finish()
        if is_evaluated:
            canonical.write_text(note, content)

    def abandon(self) -> None:
        """End the run of a build that failed. The next build of the same inputs continues it."""
        if self.run is not None:
            self.run.finish(exit_code=1)


def _open(target: str, workspace: Path, identity: str, config: dict[str, Any], warn: Warn) -> Any:
    """Start or continue a run where W&B's settings say; offline if that fails, with a warning."""
    import wandb

    settings = wandb.setup().settings
    config = {**config, "data_sha256": results.data_digest(target, workspace)}
    options: dict[str, Any] = {
        "project": settings.project or "bitbloom",
        "name": settings.run_name or name(target, workspace),
        "group": settings.run_group or target,
        "job_type": settings.run_job_type or "train",
        "id": identity,
        "resume": "allow",
        "config": config,
        "settings": wandb.Settings(init_timeout=INIT_SECONDS),
    }
    mode, reason = _mode(settings.mode)
    try:
        run = wandb.init(mode=mode, **options)
    except Exception as error:  # the client raises errors of many types
        if mode != "online":
            raise
        reason, run = first_line(error), wandb.init(mode="offline", **options)
    warn(f"W&B: {reason}; logged offline: `wandb sync {Path(run.dir).parent}` sends it" if reason else "")
    return run


def _mode(wanted: str) -> tuple[Literal["online", "offline", "disabled"], str]:
    """The mode of a run, and why it is offline although W&B's settings want it online, if a key is wrong or nothing responds."""
    import wandb

    if wanted == "disabled":
        return "disabled", ""
    if wanted not in ("online", "shared"):
        return "offline", ""
    try:
        if wandb.login(prompt=False, verify=True):
            return "online", ""
    except Exception as error:  # also of a server that does not respond
        return "offline", first_line(error)
    asked = os.environ.get("WANDB_MODE") == "online"
    return "offline", "WANDB_MODE is online, and there is no key: `wandb login`" if asked else ""


def name(target: str, workspace: Path) -> str:
    """The name of a run: the target, and how it differs from other runs of it: its overrides, else its commit."""
    overrides = workspace / "overrides.txt"
    if overrides.exists():
        differs = overrides.read_text(encoding="utf-8").split("\n")
    else:
        differs = [(git.clean_commit() or "uncommitted changes")[:19]]
    return " ".join([target, *filter(None, differs)])[:LONGEST_NAME]
