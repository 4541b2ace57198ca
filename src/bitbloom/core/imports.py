"""The import closure: all modules of `bitbloom` that a piece of code needs, read from the source without running it.

The build graph takes each stage's dependencies from it, and a Bento contains only the modules in the closure of its
service. Imports inside functions count, because they run with the code; imports under `if TYPE_CHECKING:` do not,
because they never run. Modules that are loaded by a computed name are not found: pass them as additional starts.

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
    """Return the files of all `bitbloom` modules that the starting code needs, including `__init__` files of packages.

    Args:
        start: dotted names of modules, whose own files belong to the closure, or paths of Python files. A file
            outside the package is read for its imports, but does not belong to the closure.
        root: the folder that contains `bitbloom/`; the paths of the result begin with it.

    Raises:
        BitBloomError: an imported module does not exist, or a file cannot be parsed; names the file and line.
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
        for name, where in imported(file, module, root):
            waiting.extend(_files(name, root, where))
    return found


def _files(module: str, root: Path, where: str) -> list[Path]:
    """Return the module's file and the `__init__` files of its packages."""
    file = module_file(module, root)
    if file is None and root.joinpath(*module.split(".")).is_dir():
        return []  # a folder without __init__.py has no code of its own
    if file is None:
        raise BitBloomError(f"{where}: there is no module '{module}' in {root}")
    parts = module.split(".")
    packages = (root.joinpath(*parts[:depth], "__init__.py") for depth in range(1, len(parts)))
    return [file, *(package for package in packages if package.is_file())]


def module_file(module: str, root: Path = ROOT) -> Path | None:
    """Return the file of a module by its dotted name, or None."""
    base = root.joinpath(*module.split("."))
    for file in (base.with_suffix(".py"), base / "__init__.py"):
        if file.is_file():
            return file
    return None


def _module_name(file: Path, root: Path) -> str:
    """Return the dotted name of a file of the package, or "" for a file outside of it."""
    if not file.is_relative_to(root / PACKAGE):
        return ""
    parts = file.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(file: Path, module: str, root: Path = ROOT) -> Iterator[tuple[str, str]]:
    """Iterate over the `bitbloom` modules that a file imports, each with the file and line of the import.

    Args:
        file: the file to read.
        module: its dotted name, or "" outside the package.
        root: as in `closure`.

    Raises:
        BitBloomError: the file cannot be read or parsed.
    """
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
            yield from ((name, where) for name in submodules if module_file(name, root))


@dataclass(frozen=True)
class Statement:
    """One import: `from <level dots><base> import <names>`, or `import <names>` when `level` is None."""

    line: int
    level: int | None
    base: str
    names: tuple[str, ...]


@functools.lru_cache(maxsize=4096)
def _named(source: bytes) -> tuple[Statement, ...]:
    """Return the imports of a source text; cached, because the build graph reads each file for each stage and target."""
    found = []
    for node in _running(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.append(Statement(node.lineno, None, "", tuple(alias.name for alias in node.names)))
        elif isinstance(node, ast.ImportFrom):
            found.append(Statement(node.lineno, node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return tuple(found)


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Iterate over all nodes of a tree except those under `if TYPE_CHECKING:`."""
    yield node
    skipped: list[ast.stmt] = []
    if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
        skipped = node.body
    for child in ast.iter_child_nodes(node):
        if child not in skipped:
            yield from _running(child)


def _base(statement: Statement, file: Path, module: str) -> str:
    """Return the absolute name of the module between `from` and `import`."""
    if not statement.level:
        return statement.base
    package = module.split(".") if file.name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*package[: len(package) - statement.level + 1], *statement.base.split(".")]).rstrip(".")


def _is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")
