"""Tests of a project without some tasks: a test that names what is left out is left out, and so is what only it used.

The unit is a statement of a module: a test, a fixture, a helper, a constant. Of an import, of a list of tasks and of the cases of
a test only the part is left out. Standard library only; ruff formats the result.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .leave_out import OWN_TESTS, Gone
from .names import OLD
from .rename import write

Cut = tuple[int, int]
"""Byte offsets of a piece of text to remove."""
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass
class Lost:
    """What tests can no longer use: names by module of tests, whole modules of tests, fixtures of all tests."""

    names: dict[str, set[str]] = field(default_factory=dict)
    modules: set[str] = field(default_factory=set)
    fixtures: set[str] = field(default_factory=set)


def slice_tests(root: Path, names: Iterable[str], gone: Gone) -> list[str]:
    """Leave out tests of a copy until nothing uses what is left out; return the names of the removed files."""
    before = {name: (root / name).read_text(encoding="utf-8") for name in names if re.fullmatch(r"tests/.*\.py", name)}
    now = _sliced(dict(before), gone)
    for name, text in before.items():
        if name not in now:
            (root / name).unlink()
        elif now[name] != text:
            write(root / name, now[name])
    return sorted(before.keys() - now.keys())


def _sliced(files: dict[str, str], gone: Gone) -> dict[str, str]:
    lost, changed = Lost(), True
    while changed:
        changed = False
        for name, text in sorted(files.items()):
            module = name.removeprefix("tests/").removesuffix(".py").replace("/", ".")
            sliced = Slicer(text, module, gone, lost).run()
            changed |= sliced != text
            if sliced:
                files[name] = sliced
            else:
                lost.modules.add(module)
                del files[name]
    return files


class Slicer:
    """One pass over a module of tests."""

    def __init__(self, text: str, module: str, gone: Gone, lost: Lost) -> None:
        self.data, self.module, self.gone, self.lost = text.encode(), module, gone, lost
        self.body = ast.parse(text).body
        self.mine = lost.names.setdefault(module, set())
        self.lines = self.data.splitlines(keepends=True)
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def run(self) -> str:
        """The text without what is left out; empty when no test or no definition remains."""
        cuts: list[Cut] = []
        removed = False
        for node in self.body:
            if _is_text(node):
                found = [self._whole(node)] if removed else []  # it documents the constant above
            elif isinstance(node, ast.Import | ast.ImportFrom):
                found = list(self._import(node))
            else:
                found = list(self._parts(node)) or self._statement(node)
            removed = found == [self._whole(node)]
            cuts += found
        if not cuts:
            return self.data.decode()
        text = _without(self.data, cuts)
        is_tests = self.module.rpartition(".")[2].startswith("test_")
        left = [node for node in ast.parse(text).body if not (isinstance(node, ast.Import | ast.ImportFrom) or _is_text(node))]
        if not left or (is_tests and not any(_name(node).lower().startswith("test") for node in left)):
            return ""
        return _without_unused(text, _used(self.body)) if is_tests else text

    def _import(self, node: ast.Import | ast.ImportFrom) -> Iterator[Cut]:
        base = (node.module or "") if isinstance(node, ast.ImportFrom) else ""
        away = [number for number, alias in enumerate(node.names) if self._is_lost(base, alias.name)]
        self.mine.update(node.names[number].asname or node.names[number].name for number in away)
        if len(away) == len(node.names):
            yield self._whole(node)
        elif away:
            yield from self._elements(node.names, away)

    def _is_lost(self, base: str, name: str) -> bool:
        full = f"{base}.{name}".lstrip(".")
        modules = self.gone.modules if full.startswith(f"{OLD.package}.") else self.lost.modules
        inside = any(known == module or known.startswith(f"{module}.") for known in (full, base) for module in modules)
        return inside or name in self.lost.names.get(base, ())

    def _parts(self, node: ast.stmt) -> Iterator[Cut]:
        """The left-out part of the first list in a constant or a decorator that also has other elements."""
        values = node.decorator_list if isinstance(node, DEFINITIONS) else [getattr(node, "value", None)]
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            return  # the values of several names
        for inner in (inner for value in values if value for inner in ast.walk(value)):
            if isinstance(inner, ast.List | ast.Tuple | ast.Set) and self._is_list(inner, isinstance(node, DEFINITIONS)):
                spans, away = inner.elts, [number for number, each in enumerate(inner.elts) if self._mentions(each)]
            elif isinstance(inner, ast.Dict) and None not in inner.keys:
                spans = [_Pair(key, value) for key, value in zip(inner.keys, inner.values, strict=True)]
                away = [number for number, key in enumerate(inner.keys) if self._mentions(key)]
            else:
                continue
            if 0 < len(away) < len(spans):
                yield from self._elements(spans, away, comma=isinstance(inner, ast.Tuple))
                return

    def _is_list(self, node: ast.List | ast.Tuple | ast.Set, of_cases: bool) -> bool:
        """Whether the elements are alike: names of tasks, fixtures or modules, or the cases of a test."""
        texts = [each.value for each in node.elts if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        if len(texts) == len(node.elts):
            known = self.gone.names | self.gone.kept_names
            return all(text in known for text in texts) or all(self._names(text) == self._is_tool(text) for text in texts)
        return isinstance(node, ast.List) and (of_cases or all(isinstance(each, ast.Call) for each in node.elts))

    def _elements(self, elements: Sequence[ast.AST], away: list[int], comma: bool = False) -> Iterator[Cut]:
        """Cut elements with the comma that follows; the last ones with the comma before, except in a tuple of one."""
        last = max(number for number in range(len(elements)) if number not in away)
        for number in away:
            if number < last:
                yield self._start(elements[number]), self._start(elements[number + 1])
        if last + 1 < len(elements):
            end = self._end(elements[last])
            yield self.data.index(b",", end) + 1 if comma else end, self._end(elements[-1])

    def _statement(self, node: ast.stmt) -> list[Cut]:
        """The whole statement, if it mentions or uses what is left out."""
        if not (_name(node) in OWN_TESTS or self._mentions(node) or self._uses_lost(node)):
            return []
        self.mine |= {_name(node)} if isinstance(node, DEFINITIONS) else _stored(node)
        if _is_fixture(node) and self.module.startswith(("support.", "conftest")):
            self.lost.fixtures.add(_name(node))
        return [self._whole(node)]

    def _mentions(self, node: ast.AST) -> bool:
        """Whether a string in the code names a left-out task, target or file, or a lost module or fixture of tests."""
        skipped = {id(inner.slice) for inner in ast.walk(node) if isinstance(inner, ast.Subscript)}
        skipped |= {id(inner.value) for inner in ast.walk(node) if _is_text(inner)}
        texts = (inner for inner in ast.walk(node) if isinstance(inner, ast.Constant) and id(inner) not in skipped)
        return any(isinstance(each.value, str) and self._names(each.value) for each in texts)

    def _names(self, text: str) -> bool:
        if self._is_tool(text) or self.gone.file.search(text):
            return True
        for found in self.gone.word.finditer(text):
            before, after = text[: found.start()], text[found.end() :]
            is_value = before.endswith(("TARGET=", "/")) or re.search(r"\btask\W+$", before)
            if "-" in found[0] or found[0] == text or is_value or after.startswith(("/", ".json", ".yaml")):
                return True
        return False

    def _is_tool(self, text: str) -> bool:
        return text in self.lost.fixtures or text in {module.rpartition(".")[2] for module in self.lost.modules}

    def _uses_lost(self, node: ast.stmt) -> bool:
        """Whether code refers to a lost name of this module, or a function takes a lost fixture."""
        taken = {inner.arg for inner in ast.walk(node) if isinstance(inner, ast.arg)}
        own = {each.arg for each in node.args.args} if isinstance(node, ast.FunctionDef) else set()
        return bool((_loaded(node) - _stored(node) - taken) & self.mine or own & (self.lost.fixtures | self.mine))

    def _start(self, node: ast.AST) -> int:
        return self.starts[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.AST) -> int:
        return self.starts[node.end_lineno - 1] + node.end_col_offset

    def _whole(self, node: ast.stmt) -> Cut:
        """The lines of a statement with its decorators and the comments directly above it."""
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))]) - 1
        while first and self.lines[first - 1].startswith(b"#"):
            first -= 1
        return self.starts[first], self.starts[node.end_lineno]


class _Pair:
    """The place of a key and its value in a dictionary."""

    def __init__(self, key: ast.expr, value: ast.expr) -> None:
        self.lineno, self.col_offset = key.lineno, key.col_offset
        self.end_lineno, self.end_col_offset = value.end_lineno, value.end_col_offset


def _without(data: bytes, cuts: Iterable[Cut]) -> str:
    for begin, end in sorted(cuts, reverse=True):
        data = data[:begin] + data[end:]
    return data.decode()


def _without_unused(text: str, used_before: set[str]) -> str:
    """The text without helpers and constants that were used before and no longer are."""
    while True:
        slicer = Slicer(text, "", Gone(), Lost())
        spare = used_before - _used(slicer.body)
        cuts, removed = [], False
        for node in slicer.body:
            defined = {_name(node)} if isinstance(node, DEFINITIONS) else _stored(node) if isinstance(node, ast.Assign) else set()
            removed = bool(defined) and defined <= spare if not _is_text(node) else removed
            cuts += [slicer._whole(node)] if removed else []
        if not cuts:
            return text
        text = _without(slicer.data, cuts)


def _used(body: Sequence[ast.stmt]) -> set[str]:
    """Names that the statements of a module load or take as fixtures, or that are used by their names."""
    arguments = {inner.arg for node in body for inner in ast.walk(node) if isinstance(inner, ast.arg)}
    texts = {inner.value for node in body for inner in ast.walk(node) if isinstance(inner, ast.Constant)}
    return {name for node in body for name in _loaded(node)} | arguments | {text for text in texts if isinstance(text, str)}


def _loaded(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Load)}


def _stored(node: ast.AST) -> set[str]:
    return {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)}


def _name(node: ast.AST) -> str:
    return node.name if isinstance(node, DEFINITIONS) else ""


def _is_fixture(node: ast.AST) -> bool:
    return isinstance(node, DEFINITIONS) and any("fixture" in ast.unparse(each) for each in node.decorator_list)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
