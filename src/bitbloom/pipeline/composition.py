"""Composition of a target's configuration from `conf/`: one tree with every key typed and checked.

A target is one YAML file in `conf/`. Hydra composes it from the groups beside it and from `key=value` overrides.
`make graph` writes the composed tree to `params/<target>.yaml`. The stages read that file, so DVC sees every key and
`dvc exp run -S` can change one.

    python -m bitbloom.pipeline.composition petals train.epochs=3     # print the composed tree
"""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import MISSING, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bitbloom.config import models, sections
from bitbloom.config.target import first_line
from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.data import sources
from bitbloom.numerics.pins import PROFILES
from bitbloom.pipeline import conflicts

CONF = Path("conf")


@dataclass
class Base:
    """The keys of a target outside of sections. A stage sees only the keys that it declares."""

    task: str = MISSING
    embedded: bool = False
    """Whether it builds from the package index alone. Its `dvc.lock` and expected digests are then committed."""
    overrides: list[str] = field(default_factory=list)
    """The overrides of a variant. The build sets them."""
    title: str = ""
    source: Any = MISSING
    model: Any = MISSING


def config_type() -> type[Any]:
    """`Base` and every section of `config/sections`, as one dataclass."""
    found = [(name, sections.section_type(name)) for name in sections.names()]
    return make_dataclass("Config", [(name, kind, field(default_factory=kind)) for name, kind in found], bases=(Base,))


def targets() -> list[str]:
    """Names of all targets: the YAML files directly in `conf/`."""
    return sorted(path.stem for path in CONF.glob("*.yaml"))


def embedded() -> list[str]:
    """Names of the targets that build from the package index alone."""
    return [name for name in targets() if compose(name).embedded]


def compose(target: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The target's configuration with overrides applied, every key typed.

    Raises:
        BitBloomError: the target or a key is unknown (the message has the nearest one), or a value has a wrong type.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    if target not in targets():
        raise BitBloomError(f"no target '{target}' in {CONF}/{_nearest(target, targets())}")
    for override in overrides:
        _check_override(target, override)
    _name_types()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            composed = hydra_compose(target, overrides=list(overrides))
        tree = typed(OmegaConf.to_container(composed), f"{CONF}/{target}.yaml")
        check(tree)
        return tree
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        conflicts.require_unmarked([f"{CONF}/**/*.yaml"], conflicts.EDIT)
        raise BitBloomError(_explain(target, overrides, error)) from error


def _check_override(target: str, override: str) -> None:
    """Raise BitBloomError for an override that gives no single value to a key: Hydra also removes keys and sweeps over values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import OverrideParseException

    if not override.partition("=")[0].strip("+~ "):
        raise BitBloomError(f"'{override}' is not key=value (for example train.epochs=3)")
    try:
        (parsed,) = OverridesParser.create().parse_overrides([override])
    except OverrideParseException:
        return  # the composition explains it
    if parsed.is_delete():
        key = parsed.key_or_group
        raise BitBloomError(f"'{override}' removes a key, and every key has a value: set it ({key}=VALUE), or omit it")
    if parsed.is_sweep_override():
        key, listed = parsed.get_key_element().lstrip("+"), parsed.is_choice_sweep() or parsed.is_range_sweep()
        queue = (
            f", or queue them: `dvc exp run --queue -S 'params/{target}.yaml:{override.lstrip('+')}' "
            f"pipelines/{target}/dvc.yaml:evaluate`, then `dvc queue start`"
        )
        raise BitBloomError(
            f"'{override}' has several values, and a build takes one: run `make all TARGET={target} SET='{key}=VALUE'` for each"
            + (queue if listed and not (CONF / key).is_dir() else "")  # DVC changes keys, not groups of them
        )


@functools.cache
def _name_types() -> None:
    """Register the types of sections with Hydra, once, by their names in `defaults`."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="base", node=config_type())
    for kind in sources.kinds():
        store.store(group="source", name=kind, node=sources.load(kind).Config)
    for kind in models.kinds():
        store.store(group="model", name=kind, node=models.model_type(kind))


def check(tree: DictConfig) -> None:
    """Check values that would otherwise stop a build late. Raises BitBloomError that names the key."""
    for name in sections.names():
        _check_positive(tree, name, getattr(sections.section_type(name), "POSITIVE", ()))
    for name, part in {"model": tree.model, **{f"model.{name}": part for name, part in tree.model.items()}}.items():
        if isinstance(part, DictConfig) and part.get("kind"):
            kind = models.model_type(part.kind)
            _check_positive(tree, name, kind.POSITIVE)
            for key, choices in kind.CHOICES.items():
                _check_choice(tree, f"{name}.{key}", choices)
    if tree.service.held_bytes < tree.service.max_bytes:
        raise BitBloomError("service.held_bytes is less than service.max_bytes: no photo of that size could be sent")
    _check_choice(tree, "numerics.profile", list(PROFILES))
    train: Any = OmegaConf.to_object(tree.train)
    train.check(str(tree.numerics.profile))
    if tree.service.int8 and not any("int8" in name for name in models.model_type(tree.model.kind).EXPORTS):
        raise BitBloomError(f"service.int8: a model of kind {tree.model.kind} has no int8 graph")
    if tree.service.int8 and not tree.export.int8:
        raise BitBloomError("service.int8 needs the graph that export.int8=true writes")


def _check_positive(tree: DictConfig, section: str, keys: Iterable[str]) -> None:
    for key in keys:
        value = OmegaConf.select(tree, f"{section}.{key}")
        if value is not None and value < 1:
            raise BitBloomError(f"{section}.{key} is {value}: it has to be 1 or more")


def _check_choice(tree: DictConfig, key: str, choices: Sequence[str]) -> None:
    value = OmegaConf.select(tree, key)
    if value is not None and value not in choices:
        raise BitBloomError(f"{key} '{value}'{_nearest(str(value), choices)}")


def typed(tree: Any, where: str) -> DictConfig:
    """Merge a plain tree into the typed sections; `source` and `model` have the type of their kind. Raises BitBloomError."""
    schema = OmegaConf.structured(config_type())
    kind = (tree.get("source") or {}).get("kind")
    if not kind:
        raise BitBloomError(f"{where}: source.kind is missing: it names a module of bitbloom.data.sources")
    schema.source = OmegaConf.structured(sources.load(kind).Config)
    if isinstance(tree.get("model"), Mapping):
        schema.model = OmegaConf.structured(models.model_type(tree["model"].get("kind")))
    merged = OmegaConf.merge(schema, tree)
    if missing := sorted(OmegaConf.missing_keys(merged)):
        raise BitBloomError(f"{where}: no value for {', '.join(missing)}")
    assert isinstance(merged, DictConfig)
    return merged


def yaml_text(config: DictConfig) -> str:
    """The composed tree as YAML with sorted keys."""
    return OmegaConf.to_yaml(config, sort_keys=True)


def _explain(target: str, overrides: Sequence[str], error: Exception) -> str:
    """The error in an override, a key or a group's choice, and the nearest valid one."""
    from hydra.errors import MissingConfigException

    known = sorted(_keys(compose(target))) if overrides else []
    for override in overrides:
        key = override.split("=", 1)[0].lstrip("+~")
        if "=" not in override:
            return f"'{override}' is not key=value (for example train.epochs=3)"
        if key not in known and not (CONF / key).is_dir():
            return f"unknown key '{key}'{_nearest(key, known)}"
    if isinstance(error, MissingConfigException) and error.options:
        group, _, choice = str(error.missing_cfg_file).rpartition("/")
        files = [path.stem for path in (CONF / group).glob("*.yaml")]  # the other options are the types of these
        return f"target '{target}': there is no {group} '{choice}'{_nearest(choice, files or error.options)}"
    return f"target '{target}': {first_line(error)}"


def _keys(tree: DictConfig, prefix: str = "") -> Iterable[str]:
    for key in map(str, tree):
        name = f"{prefix}{key}"
        yield name
        value = tree._get_node(key)
        if isinstance(value, DictConfig) and not value._is_none():
            yield from _keys(value, f"{name}.")


def _nearest(word: str, known: Iterable[str]) -> str:
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f": did you mean '{close[0]}'?" if close else f"; there are: {', '.join(known)}"


if __name__ == "__main__":
    checkout.require()
    sys.stdout.write(yaml_text(compose(sys.argv[1], sys.argv[2:])))
