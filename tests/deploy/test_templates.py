"""How the templates of deploy/ are filled, and how its scripts ask for what is missing."""

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


def test_a_name_becomes_its_value_and_a_default_stands_in_for_one_that_is_not_set():
    assert render("a: ${A}\nb: ${B:-two}\nc: ${C:-}\n", {"A": "one", "C": ""}) == "a: one\nb: two\nc: \n"


def test_all_names_without_a_value_are_listed_at_once():
    with pytest.raises(TemplateError, match=r"not set: A, B$"):
        render("a: ${A}\nb: ${B}\nc: ${C:-three}\n", {"B": ""})


def test_a_line_with_a_condition_is_kept_without_its_comment_or_left_out():
    template = "a: 1\nsecret: ${SECRET} # if SECRET\n"
    assert render(template, {"SECRET": "s"}) == "a: 1\nsecret: s\n"
    assert render(template, {}) == "a: 1\n"


def test_a_comment_may_speak_of_names():
    assert render("# ${ANY} # not one\na: 1\n", {}) == "# ${ANY} # not one\na: 1\n"


@pytest.mark.parametrize("value", ["a: b", "a\nb: 1", "'", '"', "a #b", "${B}", "$(id)", "{a}", "&a", "*a", "- a", " "])
def test_a_value_that_would_be_more_than_a_word_is_refused(value):
    with pytest.raises(TemplateError, match="A is not a plain word"):
        render("a: ${A}\n", {"A": value})


@given(st.from_regex(PLAIN, fullmatch=True))
def test_a_quoted_word_that_is_let_in_is_that_word_in_yaml(value):
    assert yaml.safe_load(render('a: "${A}"\n', {"A": value})) == {"a": value}


def test_the_command_says_which_template_and_what_is_missing(tmp_path):
    template = tmp_path / "template.yaml"
    template.write_text("a: ${NOWHERE_SET}\n")
    command = [sys.executable, "deploy/render.py", str(template)]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"error: {template}: not set: NOWHERE_SET\n"


def test_a_printed_command_is_what_a_shell_would_run():
    words = ["gcloud", "it's", "two words", "", "$(id)", "a;b", '"', "plain-1.2/3:4@5=6,7", "*", "ümlaut"]
    printed = subprocess.check_output(["sh", "-c", f". deploy/common.sh; show {shlex.join(words)}"], cwd=REPOSITORY, text=True)
    assert shlex.split(printed) == words
