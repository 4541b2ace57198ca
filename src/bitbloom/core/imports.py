"""Which modules of `bitbloom` a piece of code needs: the import closure, read from the source without running it.

The build graph takes each stage's dependencies from it, and a Bento carries just the modules in the closure of its
service. Imports inside functions count, since they run when the code does; imports under `if TYPE_CHECKING:` do
not, since they never run. A module loaded by a computed name is invisible here: name it as a start of its own.

    closure(["bitbloom.stages.train", "bitbloom.tasks.petals.model"])
    closure([Path("bentos/petals/service.py")])
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bitbloom.core.errors import BitBloomError

PACKAGE = __name__.partition(".")[0]
ROOT = Path(__file__).parents[2]
"""The folder that holds the running package."""


def closure(start: Iterable[str | Path], root: Path = ROOT) -> set[Path]:
    """The files of all `bitbloom` modules that run when the starting code runs, `__init__` files of packages included.

    Args:
        start: dotted names of modules, whose own files belong to the closure, or paths of Python files. A file
            outside the package is read for its imports, and does not belong to the closure.
        root: the folder that holds `bitbloom/`; the result's paths begin with it.

    Raises:
        BitBloomError: an imported module is not there, or a file does not parse; names the file and line.
    """
    found: set[Path] = set()
    waiting: list[Path] = []
    for item in start:
        if isinstance(item, Path):
            waiting.append(item)
        else:
            waiting.extend(_files(item, root, f"start of the closure: {item}"))
    seen: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        module = _module_name(file, root)
        if module:
            found.add(file)
        for name, where in _imported(file, module, root):
            waiting.extend(_files(name, root, where))
    return found


def direct(module: str, root: Path = ROOT) -> set[Path]:
    """The files of the modules that a module itself imports, without the packages around them. Raises as `closure` does."""
    file = _file(module, root)
    if file is None:
        raise BitBloomError(f"there is no module '{module}' in {root}")
    return {found for name, _ in _imported(file, module, root) if (found := _file(name, root))}


def _files(module: str, root: Path, where: str) -> list[Path]:
    """The module's file and the `__init__` files of the packages around it."""
    file = _file(module, root)
    if file is None and root.joinpath(*module.split(".")).is_dir():
        return []  # a folder without __init__.py: only modules in it have code
    if file is None:
        raise BitBloomError(f"{where}: there is no module '{module}' in {root}")
    parts = module.split(".")
    packages = (root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts)))
    return [file, *(package for package in packages if package.is_file())]


def _file(module: str, root: Path) -> Path | None:
    base = root.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


def _module_name(file: Path, root: Path) -> str:
    """The dotted name of a file of the package, or "" for a file outside of it."""
    if not file.is_relative_to(root / PACKAGE):
        return ""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imported(file: Path, module: str, root: Path) -> Iterator[tuple[str, str]]:
    """Every `bitbloom` module a file imports, with the place that does."""
    try:
        named = _named(file.read_bytes())
    except (OSError, SyntaxError) as error:
        raise BitBloomError(f"cannot read the imports of {file}: {error}") from error
    for statement in named:
        where = f"{file}:{statement.line}"
        if statement.level is None:
            yield from ((name, where) for name in statement.names if _is_ours(name))
            continue
        base = _base(statement, file, module)
        if _is_ours(base):
            yield base, where
            submodules = (f"{base}.{name}" for name in statement.names)
            yield from ((name, where) for name in submodules if _file(name, root))


@dataclass(frozen=True)
class Statement:
    """One import: `from <level dots><base> import <names>`, or `import <names>` when `level` is None."""

    line: int
    level: int | None
    base: str
    names: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def _named(source: bytes) -> tuple[Statement, ...]:
    """The imports of a source text, whoever asks: the build graph asks for each stage of each target."""
    found = []
    for node in _running(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.append(Statement(node.lineno, None, "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            found.append(Statement(node.lineno, node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return tuple(found)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes of a tree but those under `if TYPE_CHECKING:`."""
    yield node
    skipped: list[ast.stmt] = []
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        skipped = node.body
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            yield from _running(child)


def _base(statement: Statement, file: Path, module: str) -> str:
    """The absolute name of what stands between `from` and `import`."""
    if not statement.level:
        return statement.base
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - statement.level + 1], *statement.base.split(".")]).rstrip(".")


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")
