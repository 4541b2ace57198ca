"""The rules of `styles/` find their wrong examples and pass their right ones; finds have the line where they begin."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from support.tiny import REPOSITORY

SCRIPT = REPOSITORY / "scripts/style.py"
specification = importlib.util.spec_from_file_location("style", SCRIPT)
assert specification and specification.loader
style = importlib.util.module_from_spec(specification)
specification.loader.exec_module(style)

EXAMPLE = re.compile(r"^  # wrong: (.*)\n  # right: (.*)\n  \S", re.MULTILINE)
QUOTED = re.compile(r"'([^']*)'")
FILES = sorted((REPOSITORY / "styles/BitBloom").glob("*.yml"))
RULES = list(style.rules(REPOSITORY / "styles"))
EXAMPLES = [example for file in FILES for example in EXAMPLE.findall(file.read_text(encoding="utf-8"))]


def lines(folder: Path, name: str, text: str) -> list[str]:
    """The finds in a file of this name: `path:line: what is found`."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    sections = style.configuration(REPOSITORY / ".vale.ini")
    found = style.finds(path, Path(name), RULES, sections)
    return [f"{line.split()[0]} {QUOTED.findall(line)[-1]}" for line in found]


def test_each_rule_has_an_example():
    assert len(EXAMPLES) == len(RULES)


@pytest.mark.parametrize(("rule", "example"), list(zip(RULES, EXAMPLES, strict=True)), ids=lambda value: str(value)[:40])
def test_rule_finds_its_wrong_example_and_passes_its_right_one(rule, example):
    wrong, right = example
    assert rule.pattern.search(wrong)
    assert not any(other.pattern.search(right) for other in RULES if other.name != "BitBloom.Pages")


def test_reads_prose_and_not_code_of_markdown(tmp_path):
    text = "It turns\naway one, `turned away` and [a](turned%20away).\n\n```sh\nturned away\n```\n\nturned away\n"
    assert lines(tmp_path, "a.md", text) == ["a.md:1: turns away", "a.md:8: turned away"]


def test_reads_comments_strings_and_test_names_of_python(tmp_path):
    text = 'def test_is_turned_away():\n    turned = away  # held\n    # against\n    f("turned "\n      f"away {so_many}")\n'
    assert lines(tmp_path, "a.py", text) == ["a.py:2: held against", "a.py:1: turned away", "a.py:4: turned away"]


def test_reads_whole_scripts(tmp_path):
    assert lines(tmp_path, "a.sh", "echo 'this is no\n# folder'\n") == ["a.sh:1: is no folder"]


def test_configuration_exempts_files(tmp_path):
    assert lines(tmp_path, "docs/a.md", "the claim\n") == ["docs/a.md:1: claim"]
    assert lines(tmp_path, "docs/glossary.md", "the claim\n") == []
    assert lines(tmp_path, "src/a.py", "# the claim\n") == []
    assert lines(tmp_path, "src/bitbloom/data/sources/chatter/grammar.py", '"nobody saw it"\n') == []


def test_markdown_has_a_language_in_each_fence_and_text_at_one_width():
    long = "word " * 30
    text = f"```\n{long}\n```\n\n| {long} |\n\n{long}\n\n    make\n\n```sh\n"
    assert [number for number, _ in style.layout(text)] == [1, 7, 9, 11]


def test_exit_code_tells_whether_there_are_finds(capsys):
    assert style.main(["docs/glossary.md"]) == 0
    assert capsys.readouterr().out == "style: no finds\n"
