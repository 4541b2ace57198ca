"""A page for each module of the package, from its docstrings, by room in the order of their imports."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

CODE = "docs/reference/code"
PACKAGE = Path("src/bitbloom")
HIDDEN = {"cli"}
"""Rooms without a page: `bitbloom --help` and its own page describe the commands."""
HEAD = """\
# The code

The rooms of `src/bitbloom/`, in the order of imports: each imports only from those above it. The pages show the docstrings of
what is public. [Architecture](../../layout.md) has the picture.

| room | what is in it |
| --- | --- |
"""


def rooms(root: Path) -> list[str]:
    """Names of the rooms, the most basic first: import-linter's layers in pyproject.toml."""
    settings = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    [contract] = settings["tool"]["importlinter"]["contracts"]
    return [name for name in reversed(contract["layers"]) if (root / PACKAGE / name).is_dir() and name not in HIDDEN]


def modules(root: Path, room: str) -> list[str]:
    """Dotted names of a room's modules and packages, itself first."""
    folder = root / PACKAGE / room
    paths = sorted(path for path in folder.rglob("*.py") if not path.stem.startswith("_") or path.stem == "__init__")
    names = {path.relative_to(root / "src").with_suffix("").as_posix().replace("/", ".") for path in paths}
    return sorted(name.removesuffix(".__init__") for name in names)


def address(module: str) -> str:
    """The path of a module's page: the index of a folder for a room."""
    parts = module.split(".")[1:]
    return f"{CODE}/{parts[0]}/{'.'.join(parts[1:]) or 'index'}.md"


def pages(root: Path) -> dict[str, str]:
    """The pages by their paths."""
    found = {
        address(module): f"# {module}\n\n::: {identifier(module)}\n" for room in rooms(root) for module in modules(root, room)
    }
    rows = [f"| [`{room}/`]({room}/index.md) | {summary(root, room)} |" for room in rooms(root)]
    return {f"{CODE}/index.md": HEAD + "\n".join(rows) + "\n", **found}


def identifier(module: str) -> str:
    """How mkdocstrings finds a module: a task's folder has no `__init__.py`, so it is found from its own folder (mkdocs.yml)."""
    return module.removeprefix("bitbloom.tasks.")


def summary(root: Path, room: str) -> str:
    """The first line of a room's docstring."""
    text = (root / PACKAGE / room / "__init__.py").read_text(encoding="utf-8")
    return text.split('"""')[1].splitlines()[0]


def navigation(root: Path) -> list[Any]:
    """The part of the navigation: a section for each room."""
    return [
        f"{CODE}/index.md",
        *(
            {
                room: [
                    {short(module): address(module)} if module.count(".") > 1 else address(module)
                    for module in modules(root, room)
                ]
            }
            for room in rooms(root)
        ),
    ]


def short(module: str) -> str:
    """A module's name in its room."""
    return ".".join(module.split(".")[2:])
