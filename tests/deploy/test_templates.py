"""The templates of deploy/: rendering, and errors of missing variables."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from render import PLAIN, TemplateError, render

from support.commands import REPOSITORY


def test_replaces_names_with_values_or_defaults():
    assert render("a: ${A}\nb: ${B:-two}\nc: ${C:-}\n", {"A": "one", "C": ""}) == "a: one\nb: two\nc: \n"


def test_lists_all_names_without_a_value():
    with pytest.raises(TemplateError, match=r"not set: A, B$"):
        render("a: ${A}\nb: ${B}\nc: ${C:-three}\n", {"B": ""})


def test_keeps_or_drops_conditional_line():
    template = "a: 1\nsecret: ${SECRET} # if SECRET\n"
    assert render(template, {"SECRET": "s"}) == "a: 1\nsecret: s\n"
    assert render(template, {}) == "a: 1\n"


def test_ignores_names_in_comments():
    assert render("# ${ANY} # not one\na: 1\n", {}) == "# ${ANY} # not one\na: 1\n"


@pytest.mark.parametrize("value", ["a: b", "a\nb: 1", "'", '"', "a #b", "${B}", "$(id)", "{a}", "&a", "*a", "- a", " "])
def test_rejects_value_that_is_more_than_a_word(value):
    with pytest.raises(TemplateError, match="A is not a plain word"):
        render("a: ${A}\n", {"A": value})


@given(st.from_regex(PLAIN, fullmatch=True))
def test_accepted_word_is_the_same_in_yaml(value):
    assert yaml.safe_load(render('a: "${A}"\n', {"A": value})) == {"a": value}


def test_command_names_template_and_missing_variable(tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text("a: ${NOWHERE_SET}\n")
    command = [sys.executable, "deploy/render.py", str(template)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {template}: not set: NOWHERE_SET\n"


def test_printed_command_is_valid_in_a_shell():
    words = ["gcloud", "it's", "two words", "", "$(id)", "a;b", '"', "plain-1.2/3:4@5=6,7", "*", "ümlaut"]
    printed = subprocess.check_output(["sh", "-c", f". deploy/common.sh; show {shlex.join(words)}"], cwd=REPOSITORY, text=True)
    assert shlex.split(printed) == words
