"""What an exam report states about its repository: `python report.py check --strict` compares it.

Checked are, in every answer, links to files of the repository and names of files in code; in question 7 the number of tests, in 8
the coverage, in 11 the workflows, in 15 the Dockerfiles. Both forms of the report have these numbers.

It needs Python 3.10 or later and no package. With pytest it counts parametrised tests, with coverage.py it reads `.coverage`.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
COUNT = rf"\b(?:\d{{1,3}}(?:,\d{{3}})+|\d+|{'|'.join(NUMBERS[1:])})\b"
NUMBER = f"({COUNT})"
OTHER = rf"(?:(?!{COUNT})[\w-]+\s+)"
"""A word that is no number."""
NAME = re.compile(r"(?:\.?[\w-]+/)*\.?[\w.-]+\.(?:py|ya?ml|toml|md|lock|dockerfile|sh|mk|ipynb)")
"""A name in code that has to be a file of the repository."""
LINK = re.compile(r"(?<!!)\[(?:[^\[\]]|\[[^\[\]]*\])*\]\(([^)\s]*)[^)]*\)")
GITHUB = re.compile(r"https://github\.com/[^/]+/[^/]+/(?:blob|tree|raw)/[^/]+/([^#?]+)")
NEAR = 0.05
"""The fraction of the number of tests by which a statement may differ: the tests change after the report."""


def false_statements(answers: dict[int, str], folder: Path) -> Iterator[tuple[int, str]]:
    """The statements that do not hold: the question and what the repository has instead.

    Args:
        answers: the text of each answer, without code blocks, by the number of its question.
        folder: the folder of the report, directly below the root of the repository.
    """
    root = folder.parent
    files = tracked(root)
    for number, text in answers.items():
        yield from ((number, problem) for problem in paths(text, folder.name, files))
    for number, check in CHECKS.items():
        if number in answers:
            yield from ((number, problem) for problem in check(answers[number], root, files))


def tracked(root: Path) -> set[str]:
    """The files of the repository: those that git tracks, or would; without git all of them."""
    listed = run(root, "git", "ls-files", "-co", "--exclude-standard")
    if listed is not None:
        return {name for name in listed.splitlines() if (root / name).exists()}
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def run(root: Path, *command: str) -> str | None:
    """The output of a command in the repository, None if it failed or is not installed."""
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout if done.returncode == 0 else None


def paths(text: str, folder: str, files: set[str]) -> Iterator[str]:
    """Links to files of the repository, and names of files in code, that are not there."""
    known = files | {str(parent) for name in files for parent in Path(name).parents}
    for address in LINK.findall(text):
        there = GITHUB.match(address)
        local = "" if re.match(r"\w+:|#|/", address) else os.path.normpath(f"{folder}/{unquote(address.split('#')[0])}")
        name = there[1].rstrip("/") if there else local
        if name and name not in known:
            yield f"the link to {address} leads nowhere in the repository"
    for name in sorted(set(re.findall(r"`([^`]+)`", text))):
        if NAME.fullmatch(name) and not any(file == name or file.endswith(f"/{name}") for file in files):
            yield f"{name} is not in the repository"


def tests(text: str, root: Path, files: set[str]) -> Iterator[str]:
    """A number of tests is that of the test functions, or of the tests that pytest collects; and none is larger than both."""
    stated = [int_of(found) for found in re.findall(rf"{NUMBER}\s+{OTHER}{{0,3}}tests?\b", text, re.IGNORECASE)]
    written = sum(functions(root / name) for name in files if re.search(r"(^|/)(test_[^/]*|[^/]*_test)\.py$", name))
    if not stated:
        yield "it names no number of tests"
    elif not fits(stated, [written]):
        collected = collect(root)
        if not fits(stated, [written, collected]):
            yield f"the repository has {written} test functions" + (f"; pytest collects {collected} tests" if collected else "")


def fits(stated: list[int], real: list[int]) -> bool:
    """Whether one of the numbers is near a real one, and none is larger."""
    is_near = any(abs(each - total) <= NEAR * total for each in stated for total in real)
    return is_near and max(stated) <= (1 + NEAR) * max(real)


def int_of(text: str) -> int:
    """A number in digits or as a word."""
    return NUMBERS.index(text.lower()) if text.lower() in NUMBERS else int(text.replace(",", ""))


def functions(path: Path) -> int:
    """How many functions of a file are tests by their name."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return 0
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return sum(isinstance(node, kinds) and node.name.startswith("test") for node in ast.walk(tree))


def collect(root: Path) -> int:
    """How many tests pytest collects, with those of every mark, and parametrised ones counted; 0 if it cannot."""
    output = run(root, sys.executable, "-m", "pytest", "--collect-only", "-q", "-m", "", "-p", "no:cacheprovider")
    found = re.search(r"^(\d+)(?:/\d+)? tests? collected", output or "", re.MULTILINE)
    by_file = re.findall(r"^\S+\.py: (\d+)$", output or "", re.MULTILINE)  # where the project's own options have another -q
    return int(found[1]) if found else sum(map(int, by_file))


PERCENTAGE = re.compile(r"(at least |over |above |more than |≥ ?|> ?)?(?<![\d.])(\d+(?:\.\d+)?)\s*(?:%|per ?cent)", re.IGNORECASE)
SUPPOSED = re.compile(r"\b(?:if|even|near|close to|not|never|would|trust)\b", re.IGNORECASE)
"""A percentage after such a word is not the measured one."""


def coverage(text: str, root: Path, files: set[str]) -> Iterator[str]:
    """The first percentage is the measured one, within one point; "at least" and the like make it a lower bound."""
    sentences = re.split(r"(?<=[.!?;])\s+|\n\n", text)
    about = [sentence for sentence in sentences if "cover" in sentence.lower() and PERCENTAGE.search(sentence)] or sentences
    stated = [
        found for sentence in about for found in PERCENTAGE.finditer(sentence) if not SUPPOSED.search(sentence[: found.start()])
    ]
    measured = measured_coverage(root)
    if not stated:
        yield "it names no percentage"
    elif measured is None:
        yield "no measured coverage to compare with: run the tests with coverage, then `coverage json`"
    else:
        bound, value = stated[0][1], float(stated[0][2])
        if (measured < value) if bound else abs(measured - value) > 1:
            yield f"the measured coverage is {measured:.1f} %"


def measured_coverage(root: Path) -> float | None:
    """The percentage in coverage.json, coverage.xml or .coverage of the repository, the newest of them; None without any."""
    found = [path for path in (root / name for name in ("coverage.json", "coverage.xml", ".coverage")) if path.exists()]
    path = max(found, key=lambda path: path.stat().st_mtime, default=None)
    if path is None:
        return None
    try:
        if path.suffix == ".json":
            return float(json.loads(path.read_text(encoding="utf-8"))["totals"]["percent_covered"])
        if path.suffix == ".xml":
            return 100 * float(ElementTree.parse(path).getroot().attrib["line-rate"])  # noqa: S314 - the tests of the project wrote it
    except (ValueError, KeyError, TypeError, ElementTree.ParseError):
        return None
    total = run(root, sys.executable, "-m", "coverage", "report", "--format=total", "--precision=1")
    return float(total) if total else None


def workflows(text: str, root: Path, files: set[str]) -> Iterator[str]:
    """There are workflows, and as many as the text says. The largest number counts: others are of some of them."""
    found = [name for name in files if re.fullmatch(r"\.github/workflows/[^/]+\.ya?ml", name)]
    stated = re.findall(rf"{NUMBER}\s+{OTHER}{{0,2}}workflows\b", text, re.IGNORECASE)
    stated += re.findall(r"\b(?:have|has|only)\s+(one|1)\s+(?:[\w-]+\s+){0,2}workflow\b", text, re.IGNORECASE)
    most = max(stated, key=int_of, default=None)
    if not found:
        yield "the repository has no workflow in .github/workflows"
    elif most and int_of(most) != len(found):
        yield f"the repository has {len(found)} workflows, not {most}"


def dockerfiles(text: str, root: Path, files: set[str]) -> Iterator[str]:
    """There is a Dockerfile, the text names one, and each names its base."""
    found = sorted(name for name in files if re.fullmatch(r"Dockerfile.*|.*\.dockerfile", Path(name).name))
    if not found:
        yield "the repository has no Dockerfile and no *.dockerfile"
    elif not any(Path(name).name in text for name in found):
        yield f"it links to no Dockerfile; the repository has {', '.join(found)}"
    denied = re.search(r"\b(?:we|there) (?:have|is|are|use|wrote|write) no dockerfiles?\b", text, re.IGNORECASE)
    if denied and found:
        yield f"'{denied[0]}', but the repository has {', '.join(found)}"
    for name in found:
        if not re.search(
            r"^FROM\s+\S", (root / name).read_text(encoding="utf-8", errors="replace"), re.MULTILINE | re.IGNORECASE
        ):
            yield f"{name} has no FROM"


CHECKS: dict[int, Callable[[str, Path, set[str]], Iterator[str]]] = {7: tests, 8: coverage, 11: workflows, 15: dockerfiles}
"""What is checked in which question, beside paths."""
