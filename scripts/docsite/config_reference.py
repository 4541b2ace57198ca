"""The page of all configuration keys, from the dataclasses of `config/` and of the sources, and from the files of `conf/`.

A key has the type and default of its field. Its meaning is the docstring below the field, else the comment beside it, else the
entry in docs/config-keys.yaml, which is for keys whose dataclass is silent: an edit of a dataclass would train models again.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bitbloom.config import models, sections
from bitbloom.data import sources
from bitbloom.pipeline.composition import Base

KEYS = Path("docs/config-keys.yaml")
MISSING = "???"
"""OmegaConf's value of a key without a default."""
GROUPS = ("augment", "train", "numerics", "model")
HEAD = """\
# Configuration

Every key, with type, default and meaning. A target in `conf/` sets some of them; one build sets others:
`make all SET='train.epochs=3'`. `.venv/bin/bitbloom config petals` prints all keys of a target with their values.
[Add a target](../adding-a-target.md) describes the files.
"""
TABLE = "| key | type | default | meaning |\n| --- | --- | --- | --- |"


@dataclass(frozen=True)
class Key:
    """A key of the configuration: its full name, and what its field says."""

    name: str
    type: str
    default: str
    meaning: str


def page(root: Path) -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for title, words, found in tables(root):
        rows = [f"| `{key.name}` | `{key.type}` | {key.default} | {key.meaning} |" for key in found]
        parts.append("\n".join([f"## {title}\n", f"{words}\n", TABLE, *rows, ""]))
    parts.append("## Choices of the groups\n\nA target names one file of each group in its `defaults`; its own keys win.\n")
    parts += [group(root, name) for name in GROUPS]
    return "\n".join(parts)


def tables(root: Path) -> Iterator[tuple[str, str, list[Key]]]:
    """Title, first sentence and keys of each table: the target's own, each section, each kind of model, each source."""
    known = yaml.safe_load((root / KEYS).read_text(encoding="utf-8"))
    yield "The target", "Keys outside of sections.", [key for key in keys(Base, "", known) if key.name not in ("source", "model")]
    for name in sections.names():
        kind = sections.section_type(name)
        yield f"Section `{name}`", summary(kind), list(keys(kind, f"{name}.", known))
    for name in models.kinds():
        kind = models.model_type(name)
        yield f"Section `model` of kind `{name}`", summary(kind), list(keys(kind, "model.", known))
    for name in sources.kinds():
        kind = sources.load(name).Config
        words = inspect.getdoc(inspect.getmodule(kind)) or ""
        yield f"Section `source` of kind `{name}`", words.splitlines()[0], list(keys(kind, "source.", known))


def keys(kind: type[Any], prefix: str, known: dict[str, str]) -> Iterator[Key]:
    """The keys of a dataclass, and those of dataclasses in it, but for models inside a model, which have their own table."""
    words = meanings(kind)
    for each in dataclasses.fields(kind):
        name, value = f"{prefix}{each.name}", default(each)
        if dataclasses.is_dataclass(value) and not isinstance(value, models.Model):
            yield from keys(type(value), f"{name}.", known)
            continue
        meaning = words.get(each.name) or known.get(name, "")
        yield Key(name, type_text(each.type), shown(value), " ".join(filter(None, [_line(meaning), constraint(kind, each.name)])))


def meanings(kind: type[Any]) -> dict[str, str]:
    """The docstring below each field of a dataclass and its bases, or the comment beside it."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        text = textwrap.dedent(inspect.getsource(base))
        lines, [tree] = text.splitlines(), ast.parse(text).body
        assert isinstance(tree, ast.ClassDef)
        for node, following in zip(tree.body, [*tree.body[1:], None], strict=True):
            if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name):
                continue
            comment = lines[(node.end_lineno or node.lineno) - 1].partition("  # ")[2]
            is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
            if words := str(following.value.value) if is_text else comment:
                found[node.target.id] = words
    return found


def default(each: dataclasses.Field[Any]) -> Any:
    """The default of a field, MISSING without one."""
    if each.default_factory is not dataclasses.MISSING:
        return each.default_factory()
    return MISSING if each.default is dataclasses.MISSING else each.default


def shown(value: Any) -> str:
    """A default as YAML writes it; a model inside a model has keys of its own."""
    if value == MISSING:
        return "required"
    if isinstance(value, models.Model):
        return f"as `model` of kind `{value.kind}`"
    return f"`{json.dumps(value, ensure_ascii=False)}`".replace("|", "\\|")


def type_text(kind: Any) -> str:
    """A type as the code writes it."""
    return str(kind if isinstance(kind, str) else getattr(kind, "__name__", kind)).replace("|", "\\|")


def constraint(kind: type[Any], name: str) -> str:
    """The values that a check of the composition admits."""
    choices = getattr(kind, "CHOICES", {}).get(name)
    least = name in getattr(kind, "POSITIVE", ())
    return f"One of {', '.join(f'`{choice}`' for choice in choices)}." if choices else "At least 1." if least else ""


def summary(kind: type[Any]) -> str:
    """The first paragraph of a dataclass's docstring."""
    return _line((inspect.getdoc(kind) or "").split("\n\n")[0])


def _line(words: str) -> str:
    """A text on one line, as a sentence, for a cell of a table."""
    line = re.sub(r"\s+", " ", words.strip()).replace("|", "\\|")
    return line[:1].upper() + line[1:] + ("." if line and line[-1] not in ".:" else "") if " " in line else line


def group(root: Path, name: str) -> str:
    """The choices of a group of `conf/`: each file's comment, and the keys that it sets."""
    rows = []
    for path in sorted((root / "conf" / name).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        comment = text.splitlines()[0].removeprefix("# ") if text.startswith("#") else ""
        values = {key: value for key, value in yaml.safe_load(text).items() if key != "defaults"}
        rows.append(
            f"| `{path.stem}` | {_line(comment)} | {' '.join(f'`{key}={_flat(value)}`' for key, value in values.items())} |"
        )
    return "\n".join([f"### {name}\n", "| choice | for | sets |\n| --- | --- | --- |", *rows, ""])


def _flat(value: Any) -> str:
    """A value on one line, as an override of a command line has it."""
    return json.dumps(value).replace(" ", "").strip('"').replace("|", "\\|")
