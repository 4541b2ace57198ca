"""What a project without some tasks does not need: their files, what only they use, and the mentions of them.

The package's modules that only left-out modules import are left out too: `core/imports.py` reads the imports.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bitbloom.core import imports

from .names import OLD, Refused
from .rename import write

PACKAGE = f"src/{OLD.package}"
OF_TESTS = "petals"
"""The task whose target petals-tiny the tests build: every project keeps it."""
ITSELF = ("scripts/new_project", "tests/pipeline/test_new_project.py", "tests/e2e/test_new_project.py", "docs/new-project.md")
"""What makes a new project, which a new project does not have."""
COMMANDS = ("new",)
"""The targets of make for it."""
OWN_TESTS = (
    "test_own_statements_hold_except_the_coverage_that_a_run_measures",
    "test_every_entry_names_a_block_and_a_test",
)
"""Tests of what this repository says of itself: numbers of tests, commits and files; which test runs which command of a page."""
BY_NAME = (f"{PACKAGE}/config/", f"{PACKAGE}/data/sources/", f"{PACKAGE}/tasks/")
USERS = ("bentos", "benchmarks", "deploy", "scripts")
"""Folders of programs that import the package."""
GROUPS = ("source", "model", "augment", "train", "numerics")


@dataclass
class Gone:
    """What is left out: tasks, targets, choices of groups, and files (POSIX paths; a folder stands for its content).

    `kept_names` has the tasks and targets that stay, `kept` their choices, too.
    """

    tasks: set[str] = field(default_factory=set)
    targets: set[str] = field(default_factory=set)
    kept_names: set[str] = field(default_factory=set)
    kept: set[str] = field(default_factory=set)
    choices: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        """The names of tasks and targets."""
        return self.tasks | self.targets

    @property
    def modules(self) -> set[str]:
        """Dotted names of the modules of the package that are left out."""
        files = (path.removeprefix("src/").removesuffix(".py") for path in self.paths if path.startswith(f"{PACKAGE}/"))
        return {name.removesuffix("/__init__").replace("/", ".") for name in files}

    def has(self, path: str) -> bool:
        """Whether a file is left out."""
        return any(path == gone or path.startswith(f"{gone}/") for gone in self.paths)

    @functools.cached_property
    def word(self) -> re.Pattern[str]:
        """A name of a left-out task or target as a word of its own."""
        return self.word_of(self.names)

    @staticmethod
    def word_of(names: Iterable[str]) -> re.Pattern[str]:
        """One of these names as a word of its own."""
        return re.compile(rf"(?<![\w-])(?:{any_of(names)})(?![\w-])")

    @functools.cached_property
    def file(self) -> re.Pattern[str]:
        """A left-out file in a path or as a module. The folder of the package may be missing: data/sources/coco.py."""
        paths = self.paths | self.modules | {path.removeprefix(f"{PACKAGE}/") for path in self.paths if path.startswith(PACKAGE)}
        return re.compile(rf"(?<![\w-])(?:{any_of(paths)})(?![\w-])")


def any_of(words: Iterable[str]) -> str:
    """A pattern of one of these words, the longest first; without words, one that nothing matches."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True)) or "(?!)"


def targets(root: Path) -> dict[str, str]:
    """Each target of `conf/` → its task."""
    texts = {path.stem: path.read_text(encoding="utf-8") for path in sorted(root.glob("conf/*.yaml"))}

    def task(name: str) -> str:
        if found := re.search(r"^task: (\S+)", texts[name], re.MULTILINE):
            return found[1]
        return next((task(base) for base in re.findall(r"^  - ([\w-]+)$", texts[name], re.MULTILINE) if base in texts), "")

    return {name: task(name) for name in texts}


def plan(root: Path, wanted: Iterable[str]) -> Gone:
    """What is left out of a project with these tasks. Raises Refused for an unknown task."""
    known = targets(root)
    tasks = set(known.values())
    if unknown := sorted(set(wanted) - tasks):
        raise Refused(f"TASK={unknown[0]}: no such task; there are: {', '.join(sorted(tasks))}")
    kept = {*wanted, OF_TESTS} if wanted else tasks
    gone = Gone(tasks - kept, {target for target, task in known.items() if task not in kept})
    gone.kept_names = {target for target in known if target not in gone.targets} | kept
    choices = _choices_of(root, gone)
    gone.choices = {choice for _, choice in choices}
    gone.kept = gone.kept_names | {path.stem for path in root.glob("conf/*/*.yaml")} | set(_sources(root))
    gone.kept -= gone.choices - gone.kept_names
    gone.paths = {path for path in (*_files_of(gone), *_files_of_choices(choices)) if (root / path).exists()}
    gone.paths |= _only_imported_by(root, gone)
    gone.paths |= {path for path in ITSELF if (root / path).exists()}
    return gone


def _files_of(gone: Gone) -> Iterator[str]:
    for task in gone.tasks:
        yield from (f"{PACKAGE}/tasks/{task}", f"expectations/{task}.json", f"bentos/{task}", f"benchmarks/{task}.py")
        yield from (f"docs/images/page-{task}.png", f"docs/{task}.md")
    for target in gone.targets:
        yield from (f"conf/{target}.yaml", f"params/{target}.yaml", f"pipelines/{target}", f"digests/{target}.json")
        yield f"data/external/{target}.dvc"


def _choices_of(root: Path, gone: Gone) -> set[tuple[str, str]]:
    """Groups with the choices, sources too, that only left-out targets select."""
    used: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for path in root.glob("conf/*.yaml"):
        text = path.read_text(encoding="utf-8")
        used[path.stem in gone.targets] |= set(re.findall(rf"^  - ({'|'.join(GROUPS)}): ([\w-]+)", text, re.MULTILINE))
    return used[True] - used[False]


def _files_of_choices(choices: Iterable[tuple[str, str]]) -> Iterator[str]:
    for group, choice in choices:
        yield f"conf/{group}/{choice}.yaml"
        if group == "source":
            yield from (f"{PACKAGE}/data/sources/{choice}.py", f"{PACKAGE}/data/sources/{choice}")


def _sources(root: Path) -> Iterator[str]:
    return (path.stem for path in (root / PACKAGE / "data/sources").iterdir() if not path.name.startswith("_"))


def _only_imported_by(root: Path, gone: Gone) -> set[str]:
    """Files of the package whose importers are all left out. Modules that are loaded by name stay."""
    importers: dict[str, set[str]] = {}
    for place in ("src", *USERS):
        for path in (root / place).rglob("*.py"):
            name = path.relative_to(root).as_posix()
            module = name[4:-3].removesuffix("/__init__").replace("/", ".") if place == "src" else ""
            for other, _ in imports.imported(path, module, root / "src"):
                if found := imports.module_file(other, root / "src"):
                    importers.setdefault(found.relative_to(root).as_posix(), set()).add(name)
    extra: set[str] = set()
    while more := {
        name
        for name, users in importers.items()
        if not name.startswith(BY_NAME) and not gone.has(name) and name not in extra
        if all(gone.has(user) or user in extra for user in users - {name})
    }:
        extra |= more
    return extra


def remove(root: Path, names: Iterable[str], gone: Gone) -> list[str]:
    """Remove the left-out files of a copy; return the names of those that stay."""
    stay = []
    for name in names:
        if gone.has(name):
            (root / name).unlink()
        else:
            stay.append(name)
    return stay


def forget(root: Path, names: Iterable[str], unknown: Iterable[str]) -> None:
    """Remove from expected digests those of outputs that the new name changes: the first build writes them."""
    for name in names:
        path = root / name
        outputs = {output.format(path.stem) for output in unknown}
        claim = {output: entry for output, entry in json.loads(path.read_text(encoding="utf-8")).items() if output not in outputs}
        write(path, json.dumps(claim, indent=1, sort_keys=True) + "\n")
