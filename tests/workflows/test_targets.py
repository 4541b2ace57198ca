"""The Make targets of the workflows in small repositories, with a stand-in for GitHub's command line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitbloom.ci import comment

REPOSITORY = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not here")


def git(*arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@t")
    return subprocess.run(["git", *identity, *arguments], check=True, capture_output=True, text=True).stdout


def write(files: dict[str, str]) -> None:
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text)


def commit(files: dict[str, str]) -> None:
    write(files)
    git("add", "--all")
    git("commit", "--quiet", "--message", "change")


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Path:
    """An empty repository with this one's Makefiles and src, as the working directory."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in [name for name in os.environ if name.startswith("GITHUB_")]:  # set in CI
        monkeypatch.delenv(name)
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "output"))
    git("init", "--quiet", "--initial-branch", "main")
    (folder / ".git/info/exclude").write_text("/Makefile\n/make\n/src\n/scripts\n/.bitbloom\n")
    for name in ("Makefile", "make", "src", "scripts"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def make(target: str, *variables: str, fails: bool = False) -> str:
    done = subprocess.run(["make", "--no-print-directory", target, *variables], capture_output=True, text=True)
    assert (done.returncode != 0) == fails, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_targets_whose_lock_changed_are_listed(checkout, tmp_path):
    commit({f"pipelines/{name}/dvc.lock": "old" for name in ("captions", "petals", "tweets")})
    git("switch", "--quiet", "--create", "change")
    Path("pipelines/captions/dvc.lock").unlink()
    commit({"pipelines/petals/dvc.lock": "new", "pipelines/petals-tiny/dvc.lock": "new", "pipelines/tweets/dvc.yaml": "new"})
    make("ci-changed-targets", "BASE=main")
    assert (tmp_path / "output").read_text() == 'targets=["petals-tiny","petals"]\n'


def test_no_target_is_listed_when_no_lock_changed(checkout, tmp_path):
    commit({"README.md": "text"})
    make("ci-changed-targets", "BASE=main")
    assert (tmp_path / "output").read_text() == "targets=[]\n"


@pytest.mark.parametrize(
    "active",
    [
        "![x](//evil/b.png)",
        "[y][c]",
        "[c]: //evil",
        "<b>",
        "@me",
        "&#64;me",
        "#1",
        "https://evil",
        "www.evil.example",
        "WWW.evil",
    ],
)
def test_disarms_active_text(active):
    text = comment.disarm(f"before {active} after")
    assert active not in text
    assert text.replace(comment.BREAK, "") == f"before {active} after"


def test_keeps_tables():
    table = "| metric | HEAD |\n|--------|------|\n| loss   | 0.5  |\n"
    assert comment.disarm(table) == table


def test_truncates_long_report():
    assert len(comment.disarm("@" * 100_000)) < 65_536


def test_ignores_symbolic_link(tmp_path):
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "report").mkdir()
    (tmp_path / "report/comment.md").symlink_to(tmp_path / "secret")
    assert comment.read(tmp_path) == ""


GH = """#!{python}
import json, sys
assert sys.argv[1:5] == ["api", "--method", "GET", "repos/o/r/pulls"], sys.argv
assert "head=fork:branch" in sys.argv
print(json.dumps([{{"number": 3, "sha": "abc"}}]))
"""


@pytest.fixture
def github(checkout, tmp_path, monkeypatch) -> None:
    """A stand-in for `gh` that knows one open pull request, and the variables of comment.yaml."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/gh").write_text(GH.format(python=sys.executable))
    (tmp_path / "bin/gh").chmod(0o755)
    variables = {"GITHUB_REPOSITORY": "o/r", "HEAD": "fork:branch", "HEAD_SHA": "abc", "RUN_URL": "https://h/run"}
    for name, value in (variables | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}).items():
        monkeypatch.setenv(name, value)


def test_reports_of_a_run_become_one_comment_for_its_pull_request(github, tmp_path):
    write({f".bitbloom/ci/comment/report-{name}/comment.md": f"## {name} @me\n" for name in ("petals", "tweets")})
    make("ci-comment")
    assert (tmp_path / "output").read_text() == "number=3\n"
    text = Path(".bitbloom/ci/comment.md").read_text()
    assert "## petals" in text
    assert "## tweets" in text
    assert "@me" not in text
    assert text.endswith("Of abc. Pictures and plots: [artifacts of the run](https://h/run).\n")


def test_outdated_commit_gets_no_comment(github, tmp_path, monkeypatch):
    monkeypatch.setenv("HEAD_SHA", "older")
    write({".bitbloom/ci/comment/report/comment.md": "text"})
    make("ci-comment")
    assert (tmp_path / "output").read_text() == ""


def test_run_without_a_report_gets_no_comment(github, tmp_path):
    make("ci-comment")
    assert not (tmp_path / "output").exists()


LOCKED = {
    "requirements.lock": "one==1.0 \\\n    --hash=sha256:aa\n",
    ".github/requirements.lock": "two==2.0\n",
    "pipelines/petals/dvc.lock": "old\n",
    "digests/petals.json": '{"model": "old"}\n',
    "code.py": "old\n",
}


def patch_of(change: dict[str, str]) -> None:
    """Commit LOCKED, and write the patch of a change to the download folder of the workflow."""
    commit(LOCKED)
    write(change)
    git("add", "--all")
    text = git("diff", "--binary", "--cached", "HEAD")
    git("reset", "--quiet", "--hard")
    write({".bitbloom/ci/update/update.patch": text, ".bitbloom/ci/update/comment.md": "+one==1.1 @me\n"})


def test_update_takes_locks_and_digests_only(checkout):
    new = {name: text.replace("old", "new").replace("1.0", "1.1") for name, text in LOCKED.items()} | {
        "digests/tweets.json": "{}\n"
    }
    patch_of(new)
    make("ci-take-update")
    changed = git("status", "--porcelain", "--untracked-files=all").split()[1::2]
    assert changed == ["digests/petals.json", "pipelines/petals/dvc.lock", "requirements.lock", "digests/tweets.json"]
    assert "one==1.1" in Path(".bitbloom/ci/comment.md").read_text()


def test_rejects_update_with_a_symbolic_link(checkout):
    patch_of({})
    Path("requirements.lock").unlink()
    Path("requirements.lock").symlink_to("/etc/passwd")
    write({".bitbloom/ci/update/update.patch": git("diff", "--binary", "HEAD")})
    git("reset", "--quiet", "--hard")
    assert "more than plain files" in make("ci-take-update", fails=True)


def test_nothing_changes_when_every_lock_is_the_newest(checkout):
    patch_of({})
    make("ci-take-update")
    assert git("status", "--porcelain") == ""


STAGE = """\
import json, pathlib
steps = json.loads(pathlib.Path("params.json").read_text())["steps"]
for name, value in (
    ("reports/tiny/metrics.json", {"accuracy": steps / 10}),
    ("models/tiny/training.json", {"epochs": [{"epoch": epoch, "step": epoch, "loss": 1 / epoch} for epoch in range(1, steps)]}),
    ("reports/tiny/figures/curve.json", {"same": 1}),
):
    pathlib.Path(name).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(name).write_text(json.dumps(value))
"""
PIPELINE = """\
stages:
  evaluate:
    cmd: python stage.py
    params: [params.json: [steps]]
    deps: [stage.py]
    outs: [models/tiny/training.json, reports/tiny/figures]
    metrics: [reports/tiny/metrics.json]
"""


@pytest.fixture
def built(tmp_path, monkeypatch) -> Path:
    """A repository with one commit and a target `tiny` that `make` builds fast with DVC."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    git("init", "--quiet", "--initial-branch", "main")
    subprocess.run(["dvc", "init", "--quiet"], check=True)
    write({"stage.py": STAGE, "dvc.yaml": PIPELINE, "conf/tiny.yaml": "", "Makefile": "evaluate:\n\tdvc repro --quiet\n"})
    write({"params.json": '{"steps": 3}', ".gitignore": "/models\n/reports\n/.bitbloom\n"})
    outputs = ("models/tiny/training.json", "reports/tiny/figures", "reports/tiny/metrics.json")
    write({"digests/tiny.json": json.dumps(dict.fromkeys(outputs))})
    subprocess.run(["make", "evaluate"], check=True, capture_output=True)
    commit({})
    return folder


@pytest.mark.slow
def test_comparison_of_two_builds_shows_parameters_metrics_outputs_and_plots(built):
    base = git("rev-parse", "HEAD").strip()
    write({"params.json": '{"steps": 5}'})
    subprocess.run(["make", "evaluate"], check=True, capture_output=True)
    commit({})
    shutil.rmtree(".dvc/cache/files")  # as on a fresh runner, no cache has the outputs of BASE
    subprocess.run(["dvc", "commit", "--force", "--quiet"], check=True)
    script = REPOSITORY / "scripts/ci_model.sh"
    done = subprocess.run(["sh", script, base, "tiny", "report"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = [line.replace(" ", "") for line in Path("report/comment.md").read_text().splitlines()]
    assert "|params.json|steps|3|5|" in rows
    assert "|accuracy|0.3|0.5|0.2|" in rows
    assert "|modified|reports/tiny/metrics.json|" in rows
    assert not any("figures" in row for row in rows)
    page = Path("report/plots/loss/index.html").read_text()
    assert base[:7] in page
    assert "workspace" in page


@pytest.mark.slow
def test_target_missing_in_the_base_is_shown_whole(built):
    git("rm", "--quiet", "-r", "conf", "dvc.yaml", "dvc.lock", "digests")
    git("commit", "--quiet", "--message", "without")
    base = git("rev-parse", "HEAD").strip()
    git("revert", "--no-edit", "HEAD")
    done = subprocess.run(["sh", REPOSITORY / "scripts/ci_model.sh", base, "tiny", "report"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "|accuracy|-|0.3|-|" in Path("report/comment.md").read_text().replace(" ", "")
