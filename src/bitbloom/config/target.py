"""A target in a stage: its name, its paths, and the config sections that the stage declares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bitbloom.config import sections
from bitbloom.config.models import Model, model_type
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.config.sections.augment import Augment
    from bitbloom.config.sections.evaluate import Evaluate
    from bitbloom.config.sections.export import Export
    from bitbloom.config.sections.gate import Gate
    from bitbloom.config.sections.numerics import Numerics
    from bitbloom.config.sections.prepare import Prepare
    from bitbloom.config.sections.service import Service
    from bitbloom.config.sections.train import Train


def params_path(name: str) -> Path:
    """Return the file of a target's composed configuration, relative to the workspace."""
    return Path("params") / f"{name}.yaml"


@dataclass(frozen=True)
class Target:
    """A target's paths, relative to the workspace, and its declared config sections.

    Reading an undeclared section is an error, because DVC compares only the declared ones.
    """

    name: str
    sections: dict[str, Any] = field(repr=False)

    @classmethod
    def load(cls, name: str, reads: Iterable[str] | None = None) -> Target:
        """Read `params/<name>.yaml` and select `reads`, sections or dotted keys (all sections if None).

        A section with a module in `config/sections` is an instance of its type, `model` one of its kind; others are plain values.

        Raises:
            BitBloomError: the file is missing, lacks one of `reads`, or has a value of the wrong type.
        """
        return cls(name, load(params_path(name), reads))

    def section(self, key: str) -> Any:
        """Return a section or a dotted key. Raises KeyError if the stage did not declare it."""
        if key not in self.sections:
            raise KeyError(f"the stage reads config section '{key}' but does not declare it in READS")
        return self.sections[key]

    @property
    def raw(self) -> Path:
        """data/raw/<target>: the files of the source and `manifest.parquet`."""
        return Path("data/raw") / self.name

    @property
    def manifest(self) -> Path:
        """data/raw/<target>/manifest.parquet, one row per sample."""
        return self.raw / "manifest.parquet"

    @property
    def processed(self) -> Path:
        """data/processed/<target>: memory-mapped arrays and `samples.parquet`."""
        return Path("data/processed") / self.name

    @property
    def features(self) -> Path:
        """data/features/<target>: outputs of the frozen parts of a model for each sample."""
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
    def bento(self) -> Path:
        """dist/<target>.bento: the canonical archive of the Bento."""
        return Path("dist") / f"{self.name}.bento"

    @property
    def task(self) -> str:
        return cast(str, self.section("task"))

    @property
    def source(self) -> dict[str, Any]:
        """The keys of the source; `data.sources.configured` converts them to the type of its kind."""
        return cast("dict[str, Any]", self.section("source"))

    @property
    def gate(self) -> Gate:
        return cast("Gate", self.section("gate"))

    @property
    def prepare(self) -> Prepare:
        return cast("Prepare", self.section("prepare"))

    @property
    def model(self) -> Model:
        return cast(Model, self.section("model"))

    @property
    def augment(self) -> Augment:
        return cast("Augment", self.section("augment"))

    @property
    def train(self) -> Train:
        return cast("Train", self.section("train"))

    @property
    def numerics(self) -> Numerics:
        return cast("Numerics", self.section("numerics"))

    @property
    def evaluate(self) -> Evaluate:
        return cast("Evaluate", self.section("evaluate"))

    @property
    def export(self) -> Export:
        return cast("Export", self.section("export"))

    @property
    def service(self) -> Service:
        return cast("Service", self.section("service"))


def load(path: Path, reads: Iterable[str] | None = None) -> dict[str, Any]:
    """Read sections, or dotted keys, from a composed tree and check their types, because `dvc exp run` may have changed them.

    Other sections are ignored: a stage does not depend on the modules of sections that it does not read.
    """
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path))
        keys = list(tree) if reads is None else list(reads)
        typed = {name: typed_section(name, value, str(path)) for name, value in part(tree, keys).items()}
        return {key: _plain(key, typed, path) for key in keys}
    except FileNotFoundError as error:
        raise BitBloomError(f"{path} is missing: run `make graph`") from error
    except OmegaConfBaseException as error:
        raise BitBloomError(f"{path}: {first_line(error)}") from error


def part(tree: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return the part of a plain tree with these keys, which may be dotted."""
    found: dict[str, Any] = {}
    for key in keys:
        *above, last = key.split(".")
        source, selected = tree, found
        for name in above:
            source, selected = source.get(name) or {}, selected.setdefault(name, {})
        if last in source:
            selected[last] = source[last]
    return found


def typed_section(name: str, value: Any, where: str) -> Any:
    """Merge a section into its type, as a config node; return plain values of other sections. Raises BitBloomError."""
    if name == "model" and isinstance(value, Mapping):
        kind: Any = model_type(value.get("kind"))
    elif name in sections.names():
        kind = sections.section_type(name)
    else:
        return value
    merged = OmegaConf.merge(OmegaConf.structured(kind), value)
    if missing := sorted(f"{name}.{key}" for key in OmegaConf.missing_keys(merged)):
        raise BitBloomError(f"{where}: no value for {', '.join(missing)}")
    return merged


def _plain(key: str, typed: Mapping[str, Any], path: Path) -> Any:
    """Return a key of typed sections: an instance of the section's type, or a plain value."""
    name, _, inner = key.partition(".")
    if name not in typed:
        raise BitBloomError(f"{path} has no '{name}': run `make graph`")
    found = typed[name]
    if inner:
        found = OmegaConf.select(found if isinstance(found, DictConfig) else OmegaConf.create(found), inner)
    return OmegaConf.to_object(found) if OmegaConf.is_config(found) else found


def first_line(error: BaseException) -> str:
    """Return the first line of the innermost error with a key, else of the innermost error: Hydra wraps OmegaConf's errors."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and all(cause is not earlier for earlier in chain):  # in OmegaConf, an error can be its own cause
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    with_key = [link for link in chain if getattr(link, "full_key", None)]
    reason = (with_key or chain)[-1]
    line, key = str(reason).splitlines()[0], getattr(reason, "full_key", None)
    return f"{key}: {line}" if key else line
