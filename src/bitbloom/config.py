"""How `conf/` becomes the configuration of a target: one tree, typed by `bitbloom.schema` and checked.

A target is one YAML file in `conf/`; Hydra composes it from the groups beside it and from `key=value`
overrides. What the stages read is the composed tree, written to `params/<target>.yaml` by `make graph`, so that
DVC sees every key and `dvc exp run -S` can change one.

    python -m bitbloom.config petals train.epochs=3     # print the composed tree
"""

from __future__ import annotations

import difflib
import functools
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bitbloom import sources
from bitbloom.errors import BitBloomError
from bitbloom.schema import MODELS, Config, model

CONF = Path("conf")


def targets() -> list[str]:
    """Names of all targets: the YAML files directly in `conf/`."""
    return sorted(path.stem for path in CONF.glob("*.yaml"))


def compose(target: str, overrides: Sequence[str] = ()) -> DictConfig:
    """The target's configuration with overrides applied, every key typed.

    Raises:
        BitBloomError: no such target, an unknown key (with the nearest right one), or a value of a wrong type.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException

    if target not in targets():
        raise BitBloomError(f"no target '{target}' in {CONF}/{_nearest(target, targets())}")
    for override in overrides:
        if not override.partition("=")[0].strip("+~ "):
            raise BitBloomError(f"'{override}' is not key=value (for example train.epochs=3)")
    _name_types()
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF.resolve()), version_base="1.3"):
            composed = hydra_compose(target, overrides=list(overrides))
        tree = typed(OmegaConf.to_container(composed), f"{CONF}/{target}.yaml")
        check(tree)
        return tree
    except (HydraException, OmegaConfBaseException) as error:
        raise BitBloomError(_explain(target, overrides, error)) from error


@functools.cache
def _name_types() -> None:
    """Tell Hydra, once, the types of sections by the names they have in `defaults`."""
    from hydra.core.config_store import ConfigStore

    store = ConfigStore.instance()
    store.store(name="base", node=Config)
    for kind in sources.KINDS:
        store.store(group="source", name=kind, node=sources.load(kind).Config)
    for kind, network in MODELS.items():
        store.store(group="model", name=kind, node=network)


POSITIVE = {
    "train": ("epochs", "batch_size", "checkpoint_every", "part"),
    "prepare": ("image_size",),
    "model": ("image_size", "patch_size", "hidden_size", "layers", "heads", "mlp_ratio", "embedding_size", "sentences", "views"),
    "evaluate": ("calibration_bins",),
    "service": ("max_bytes", "max_pixels", "max_batch", "max_requests", "body_seconds"),
}
ARCHITECTURES = {"image": ("vit", "cnn", "dinov2", "auto"), "text": ("bert", "auto"), "caption": ("dual",)}
PROFILES = ("portable", "fast", "cuda")
CHOICES = {"stem": ("patch", "conv"), "pooling": ("class", "mean")}
"""Of a model, or of a part of one."""


def check(tree: DictConfig) -> None:
    """Values that would stop a build only when it is half done. Raises BitBloomError that names the key."""
    networks = ["model", *(f"model.{name}" for name, part in tree.model.items() if isinstance(part, DictConfig))]
    for section, keys in ((section, POSITIVE[section.partition(".")[0]]) for section in (*POSITIVE, *networks[1:])):
        for key in keys:
            value = OmegaConf.select(tree, f"{section}.{key}")
            if value is not None and value < 1:
                raise BitBloomError(f"{section}.{key} is {value}: it has to be 1 or more")
    if tree.service.held_bytes < tree.service.max_bytes:
        raise BitBloomError("service.held_bytes is less than service.max_bytes: no photo of that size could be asked about")
    _check_choice(tree, "numerics.profile", PROFILES)
    for network in networks:
        for key, choices in CHOICES.items():
            _check_choice(tree, f"{network}.{key}", choices)
        if kind := OmegaConf.select(tree, f"{network}.kind"):
            _check_choice(tree, f"{network}.architecture", ARCHITECTURES[kind])
    if tree.service.int8 and not any("int8" in name for name in MODELS[tree.model.kind].EXPORTS):
        raise BitBloomError(f"service.int8: a model of kind {tree.model.kind} has no int8 graph")
    if tree.service.int8 and not tree.export.int8:
        raise BitBloomError("service.int8 needs the graph that export.int8=true writes")


def _check_choice(tree: DictConfig, key: str, choices: Sequence[str]) -> None:
    value = OmegaConf.select(tree, key)
    if value is not None and value not in choices:
        raise BitBloomError(f"{key} '{value}'{_nearest(str(value), choices)}")


def load(path: Path, keys: Iterable[str]) -> DictConfig:
    """Sections of a composed tree, or dotted keys of them, read back from `params/<target>.yaml` and checked again.

    (`dvc exp run` may have changed them.) The others are not looked at: a stage that reads no `source` does not depend on the
    module that defines it.
    """
    try:
        tree: Any = OmegaConf.to_container(OmegaConf.load(path))
        return typed(part(tree, keys), str(path), keys)
    except FileNotFoundError as error:
        raise BitBloomError(f"{path} is missing: run `make graph`") from error
    except OmegaConfBaseException as error:
        raise BitBloomError(f"{path}: {_first_line(error)}") from error


def part(tree: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """What a plain tree has of these keys, dotted for one inside a section, and nothing else."""
    found: dict[str, Any] = {}
    for key in keys:
        *above, last = key.split(".")
        there, here = tree, found
        for name in above:
            there, here = there.get(name) or {}, here.setdefault(name, {})
        if last in there:
            here[last] = there[last]
    return found


def typed(tree: Any, where: str, keys: Iterable[str] = tuple(Config.__dataclass_fields__)) -> DictConfig:
    """Merge a plain tree into the typed schema, these keys of it. `source` and `model` have the schema of their kind."""
    schema, sections = OmegaConf.structured(Config), {key.partition(".")[0] for key in keys}
    if "source" in sections:
        kind = (tree.get("source") or {}).get("kind")
        if not kind:
            raise BitBloomError(f"{where}: source.kind is missing: it names a module of bitbloom.sources")
        schema.source = OmegaConf.structured(sources.load(kind).Config)
    if "model" in sections and isinstance(tree.get("model"), Mapping):
        schema.model = OmegaConf.structured(type(model(tree["model"])))
    merged = OmegaConf.merge(schema, tree)
    missing = {name for name in OmegaConf.missing_keys(merged) if any(f"{name}.".startswith(f"{key}.") for key in keys)}
    if missing:
        raise BitBloomError(f"{where}: no value for {', '.join(sorted(missing))}")
    assert isinstance(merged, DictConfig)
    return merged


def yaml_text(config: DictConfig) -> str:
    """The composed tree as YAML with sorted keys."""
    return OmegaConf.to_yaml(config, sort_keys=True)


def _explain(target: str, overrides: Sequence[str], error: Exception) -> str:
    """What is wrong with an override, a key or a group's choice, and the nearest right one."""
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
    return f"target '{target}': {_first_line(error)}"


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


def _first_line(error: BaseException) -> str:
    """The innermost reason that names a key, else the innermost: Hydra wraps what OmegaConf says."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and all(cause is not earlier for earlier in chain):  # OmegaConf can make an error its own cause
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    named = [one for one in chain if getattr(one, "full_key", None)]
    reason = (named or chain)[-1]
    line, key = str(reason).splitlines()[0], getattr(reason, "full_key", None)
    return f"{key}: {line}" if key else line


if __name__ == "__main__":
    sys.stdout.write(yaml_text(compose(sys.argv[1], sys.argv[2:])))
