"""What the workflows say and do: records compared, comments made harmless, updates proposed, vulnerabilities reported."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from bitbloom.ci import audit, comment, markdown, records, update
from bitbloom.core.errors import BitBloomError

PNG = comment.PNG + b"rest"


def test_a_cell_is_text_whatever_is_in_it():
    text = markdown.cell("a|b\n<img src=x> @someone ![x](http://y)")
    assert "|" not in text.replace("\\|", "")
    assert "<" not in text
    assert "@s" not in text
    assert "](" not in text


def test_output_cannot_end_its_own_fence():
    assert markdown.fenced("a\n```\nb").startswith("````text\n")


def ledger(*weights: str) -> str:
    fields = {"batch": "b", "loss": 1.0, "gradient": "g"}
    return "".join(json.dumps({"step": step, **fields, "weights": value}) + "\n" for step, value in enumerate(weights))


def machines(folder: Path, *builds: tuple[str, str, dict[str, str], str]) -> list[records.Record]:
    for name, cpu, digests, lines in builds:
        (folder / "ledger").write_text(lines)
        records.write(folder / "all" / name, "petals", cpu, digests, folder / "ledger")
    return records.read(folder / "all")


def test_equal_records_agree(tmp_path):
    text, agree = records.compare(
        machines(tmp_path, ("a", "Intel", {"x": "1"}, ledger("w")), ("b", "AMD", {"x": "1"}, ledger("w")))
    )
    assert agree
    assert "all 1 digests of 2 builds are the same" in text
    assert "same kind of CPU" not in text


def test_one_kind_of_cpu_is_said_to_prove_nothing_of_others(tmp_path):
    text, _ = records.compare(machines(tmp_path, ("a", "AMD", {"x": "1"}, ""), ("b", "AMD", {"x": "1"}, "")))
    assert "same kind of CPU: this says nothing of others" in text


def test_records_that_differ_fail_with_the_first_step_that_does(tmp_path):
    builds = ("a", "Intel", {"x": "1", "y": "2"}, ledger("w", "v")), ("b", "AMD", {"x": "1", "y": "3"}, ledger("w", "u"))
    text, agree = records.compare(machines(tmp_path, *builds))
    assert not agree
    assert "| y | 2 | 3 |" in text
    assert "first difference: step 1, weights: v here, u there" in text


def test_an_output_that_one_machine_lacks_is_a_difference(tmp_path):
    _, agree = records.compare(machines(tmp_path, ("a", "Intel", {"x": "1"}, ""), ("b", "AMD", {}, "")))
    assert not agree


def test_one_record_alone_is_refused(tmp_path):
    with pytest.raises(BitBloomError, match="nothing to compare"):
        machines(tmp_path, ("a", "AMD", {"x": "1"}, ""))


def test_a_report_keeps_its_own_pictures_and_nothing_else_that_is_active():
    text = comment.harmless("![ours](a.png) ![x](//evil/b.png) [y](c) <b> @me #1 https://z [r]: //s", {"a.png": PNG})
    assert "![ours](a.png)" in text
    assert text.count("](") == 1
    assert not any(active in text for active in ("<", "@m", "#1", "://", "]:"))


@pytest.mark.parametrize(
    ("name", "content"), [("a.svg", PNG), ("A b.png", PNG), ("a.png", b"<svg>"), ("a.png", PNG + bytes(2_000_000))]
)
def test_what_is_no_picture_of_ours_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BitBloomError):
        comment.read_pictures(tmp_path)


GH = """#!/usr/bin/env python3
import json, os, sys
path, body = sys.argv[4], json.load(sys.stdin) if "--input" in sys.argv else None
with open(os.environ["RECORD"], "a") as file:
    file.write(json.dumps([sys.argv[3], path, body]) + "\\n")
answers = json.loads(os.environ["ANSWERS"])
print(json.dumps(next((answer for part, answer in answers.items() if part in path), {"sha": "c0ffee", "html_url": "there"})))
"""


@pytest.fixture
def github(tmp_path, monkeypatch):
    """A stand-in for `gh`, and what a workflow is told; gives a function that lists the calls."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gh").write_text(GH)
    (tmp_path / "bin/gh").chmod(0o755)
    run = {"id": 7, "name": "data", "head_sha": "abc", "head_branch": "b", "head_repository": {"owner": {"login": "fork"}}}
    (tmp_path / "event.json").write_text(json.dumps({"workflow_run": run}))
    variables = {"GITHUB_REPOSITORY": "o/r", "GITHUB_SERVER_URL": "https://h", "GITHUB_EVENT_PATH": str(tmp_path / "event.json")}
    for name, value in {
        **variables,
        "RECORD": str(tmp_path / "calls"),
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
    }.items():
        monkeypatch.setenv(name, value)
    return lambda: [json.loads(line) for line in (tmp_path / "calls").read_text().splitlines()]


def report(folder: Path) -> Path:
    folder.mkdir()
    (folder / "comment.md").write_text("![p](p.png)")
    (folder / "p.png").write_bytes(PNG)
    return folder


def test_a_report_is_put_on_the_forks_pull_request_with_its_picture(tmp_path, github, monkeypatch):
    pulls = [{"number": 3, "head": {"sha": "abc"}}]
    monkeypatch.setenv("ANSWERS", json.dumps({"pulls?": pulls, "matching-refs": [], "comments?": []}))
    assert comment.post(report(tmp_path / "report")) == "pull request 3: said"
    method, path, body = github()[-1]
    assert (method, path) == ("POST", "repos/o/r/issues/3/comments")
    assert "![p](https://h/o/r/raw/c0ffee/7/p.png)" in body["body"]


def test_nothing_is_said_of_a_commit_that_is_no_longer_the_newest(tmp_path, github, monkeypatch):
    monkeypatch.setenv("ANSWERS", json.dumps({"pulls?": [{"number": 3, "head": {"sha": "newer"}}]}))
    assert "nothing to say" in comment.post(report(tmp_path / "report"))
    assert [method for method, *_ in github()] == ["GET"]


def test_an_earlier_comment_is_renewed_and_anothers_is_not(tmp_path, github, monkeypatch):
    mark = "<!-- bitbloom data -->"
    comments = [{"id": 1, "user": {"login": "x"}, "body": mark}, {"id": 2, "user": {"login": comment.AUTHOR}, "body": mark}]
    answers = {"pulls?": [{"number": 3, "head": {"sha": "abc"}}], "matching-refs": [], "comments?": comments}
    monkeypatch.setenv("ANSWERS", json.dumps(answers))
    assert comment.post(report(tmp_path / "report")) == "pull request 3: renewed"
    assert github()[-1][:2] == ["PATCH", "repos/o/r/issues/comments/2"]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A clone of a repository with a lock and a claim."""
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    origin, clone = tmp_path / "origin.git", tmp_path / "clone"
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", origin], check=True)
    subprocess.run(["git", "clone", "-q", origin, clone], check=True, capture_output=True)
    monkeypatch.chdir(clone)
    for key in ("user.name", "user.email"):
        subprocess.run(["git", "config", key, "t"], check=True)
    Path("digests").mkdir()
    Path("requirements.lock").write_text("one==1.0 \\\n    --hash=sha256:aa\n")
    Path("digests/petals.json").write_text('{"model": {"sha256": "old", "bytes": 1}}')
    Path("code.py").write_text("old\n")
    subprocess.run(["git", "switch", "-q", "-C", "main"], check=True)
    subprocess.run(["git", "add", "."], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "start"], check=True)
    return clone


def test_an_update_is_pushed_with_locks_and_claims_alone(checkout, tmp_path, github, monkeypatch):
    monkeypatch.setenv("ANSWERS", json.dumps({"pulls?": []}))
    Path("requirements.lock").write_text("one==1.1 \\\n    --hash=sha256:bb\n")
    Path("digests/petals.json").write_text('{"model": {"sha256": "new", "bytes": 1}}')
    assert update.write(tmp_path / "update")
    text = (tmp_path / "update/comment.md").read_text()
    assert "| one | 1.0 | 1.1 |" in text
    assert "| model | old | new |" in text
    Path("code.py").write_text("evil\n")
    with (tmp_path / "update" / update.PATCH).open("a") as patch:
        patch.write(subprocess.check_output(["git", "diff", "--", "code.py"], text=True))
    subprocess.run(["git", "checkout", "-q", "."], check=True)
    assert update.propose(tmp_path / "update") == "there"
    pushed = subprocess.check_output(["git", "diff", "--name-only", "main", "origin/update-lock"], text=True).split()
    assert pushed == ["digests/petals.json", "requirements.lock"]


def test_no_update_is_proposed_where_nothing_changed(checkout, tmp_path, github):
    assert not update.write(tmp_path / "update")
    assert update.propose(tmp_path / "update") == "nothing to propose"


def test_an_audit_that_could_not_ask_says_so_and_is_not_sound():
    text, sound = audit.vulnerability_section([], "connection refused", 3)
    assert not sound
    assert "no vulnerability database could be asked" in text


def test_a_vulnerability_and_a_package_that_was_not_asked_about_are_named():
    known = [
        {"name": "a", "version": "1", "vulns": [{"id": "CVE-1", "fix_versions": ["2"]}]},
        {"name": "b", "skip_reason": "absent"},
    ]
    text, sound = audit.vulnerability_section(known, "", 2)
    assert not sound
    assert "| a | 1 | CVE-1 | 2 |" in text
    assert "| b | absent |" in text


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "GNU Affero General Public License v3", "UNKNOWN", ""])
def test_strong_copyleft_and_the_unknown_want_a_review(licence):
    assert audit.needs_review(licence)


@pytest.mark.parametrize("licence", ["MIT", "LGPL-2.1-or-later", "GNU Lesser General Public License v3 (LGPLv3)", "Apache-2.0"])
def test_other_licences_do_not(licence):
    assert not audit.needs_review(licence)


def test_a_builds_own_label_is_dropped_for_the_database(tmp_path):
    (tmp_path / "lock").write_text("torch==2.13.0+cpu \\\n    --hash=sha256:aa\n")
    assert audit.pins([str(tmp_path / "lock")]) == {"torch": "2.13.0"}
