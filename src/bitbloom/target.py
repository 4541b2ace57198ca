"""A target as a stage sees it: its name, its paths, and the config sections the stage declared to read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from bitbloom import config, schema
from bitbloom.errors import BitBloomError

ALL = tuple(schema.Config.__dataclass_fields__)


def params_path(name: str) -> Path:
    """The composed configuration of a target, relative to the workspace."""
    return Path("params") / f"{name}.yaml"


@dataclass(frozen=True)
class Target:
    """A target's paths, relative to the workspace, and its declared config sections.

    Reading a section that was not declared is an error: what a stage reads is what DVC compares.
    """

    name: str
    sections: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, name: str, reads: Iterable[str] = ALL) -> Target:
        """Read `params/<name>.yaml` and keep `reads` of it: sections, as instances of their types in `schema`, or dotted keys."""
        unknown = {key.partition(".")[0] for key in reads} - set(ALL)
        if unknown:
            raise BitBloomError(f"sections {sorted(unknown)} are not in bitbloom.schema.Config")
        tree = config.load(params_path(name), tuple(reads))
        found = {key: OmegaConf.select(tree, key) for key in reads}
        return cls(name, {key: OmegaConf.to_object(it) if OmegaConf.is_config(it) else it for key, it in found.items()})

    def section(self, key: str) -> Any:
        """One section, or one dotted key. Raises KeyError when the stage did not declare just that."""
        if key not in self.sections:
            raise KeyError(f"the stage reads config section '{key}' but does not declare it in READS")
        return self.sections[key]

    @property
    def raw(self) -> Path:
        """data/raw/<target>: the files of the source and `manifest.parquet`."""
        return Path("data/raw") / self.name

    @property
    def manifest(self) -> Path:
        """data/raw/<target>/manifest.parquet, one row a sample."""
        return self.raw / "manifest.parquet"

    @property
    def processed(self) -> Path:
        """data/processed/<target>: memory-mapped arrays and `samples.parquet`."""
        return Path("data/processed") / self.name

    @property
    def features(self) -> Path:
        """data/features/<target>: what the frozen parts of a model say of each sample."""
        return Path("data/features") / self.name

    @property
    def models(self) -> Path:
        """models/<target>: weights, ledger, exported graphs."""
        return Path("models") / self.name

    @property
    def reports(self) -> Path:
        """reports/<target>: validation, metrics, figures, the report."""
        return Path("reports") / self.name

    @property
    def external(self) -> Path:
        """data/external/<target>: the user's own data, imported once by content."""
        return Path("data/external") / self.name

    @property
    def bento(self) -> Path:
        """dist/<target>.bento: the canonical archive of the Bento."""
        return Path("dist") / f"{self.name}.bento"

    @property
    def task(self) -> str:
        return cast(str, self.section("task"))

    @property
    def source(self) -> Any:
        return self.section("source")

    @property
    def gate(self) -> schema.Gate:
        return cast(schema.Gate, self.section("gate"))

    @property
    def prepare(self) -> schema.Prepare:
        return cast(schema.Prepare, self.section("prepare"))

    @property
    def model(self) -> schema.Model:
        return cast(schema.Model, self.section("model"))

    @property
    def augment(self) -> schema.Augment:
        return cast(schema.Augment, self.section("augment"))

    @property
    def train(self) -> schema.Train:
        return cast(schema.Train, self.section("train"))

    @property
    def numerics(self) -> schema.Numerics:
        return cast(schema.Numerics, self.section("numerics"))

    @property
    def evaluate(self) -> schema.Evaluate:
        return cast(schema.Evaluate, self.section("evaluate"))

    @property
    def export(self) -> schema.Export:
        return cast(schema.Export, self.section("export"))

    @property
    def service(self) -> schema.Service:
        return cast(schema.Service, self.section("service"))


def workers() -> int:
    """Worker processes: `WORKERS`, or one a core this process may use. It never changes a byte.

    Raises:
        BitBloomError: `WORKERS` is not a positive integer.
    """
    value = os.environ.get("WORKERS", "")
    if not value:
        return len(os.sched_getaffinity(0))
    if not value.isdigit() or int(value) < 1:
        raise BitBloomError(f"WORKERS={value!r} is not a positive integer")
    return int(value)
