"""Make a project of your own from this checkout: `make new NAME=my_project TASK=… DIR=../my_project`.

    python -m scripts.new_project my_project --task … --folder ../my_project

In order: copy the tracked files, leave out the other tasks, rename, state the origin, generate anew, check, and commit. The work
happens in a folder beside the new one, which appears as the last step. It needs the packages of `make setup` for the generated
files only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "src"))

from scripts.new_project import attribution, leave_out, mentions, pages, rename, slices  # noqa: E402 -- of this checkout
from scripts.new_project.names import OLD, Names, Refused, require_valid  # noqa: E402

UNKNOWN = (
    "dist/{}.bento",
    "reports/{}/bento.json",
    "reports/{}/index.html",
    "reports/{}/model_card.md",
    "reports/{}/dataset_card.md",
)
"""Outputs that contain the project's name: the first build writes their digests."""


def main() -> int:
    """Make the project. Exit code 1 with one line when it cannot be made, and nothing is left behind."""
    parser = argparse.ArgumentParser(prog="make new", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the new package: my_project")
    parser.add_argument("--task", default="", help="the tasks to keep, separated by blanks or commas (default: all)")
    parser.add_argument("--folder", default="", help="the new project's folder (default: ../NAME)")
    asked = parser.parse_args()
    try:
        require_valid(asked.name, ROOT)
        folder = Path(asked.folder or ROOT.parent / asked.name).resolve()
        create(ROOT, folder, Names.of(asked.name), asked.task.replace(",", " ").split())
    except (Refused, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("error: interrupted: nothing was written", file=sys.stderr)
        return 130
    return 0


def create(root: Path, folder: Path, new: Names, wanted: list[str]) -> None:
    """Make the project in a folder that does not exist or is empty. Raises Refused."""
    if folder.is_relative_to(root):
        raise Refused(f"DIR={folder} is inside this checkout: name a folder outside of it")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Refused(f"DIR={folder} exists and is not empty: name another folder")
    gone, commit = leave_out.plan(root, wanted), clean_commit(root)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _beside(folder) as work:
        _say("copy the tracked files")
        names = copy(root, work)
        _say(f"leave out {', '.join(sorted(gone.tasks)) or 'no task'}")
        names = leave(work, names, gone)
        _say(f"rename {OLD.package} to {new.package}")
        attribution.mark(work)
        moved = rename.rename_files(work, map(PurePosixPath, names), new)
        remove_empty_folders(work)
        attribution.state(work, new, commit)
        _say("generate and format anew")
        generate(work, new)
        require_no_trace(work, moved)
        _say("commit")
        begin_history(work, new, commit)
        work.replace(folder)
    _say(f"{folder} is yours: cd there, `make all TARGET=petals-tiny`, `make test`, and commit the new digests/ and pipelines/")


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A new folder beside another one, removed when the block leaves it there."""
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    work.chmod(0o755)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _say(step: str) -> None:
    print(step, flush=True)


def _git(folder: Path, *command: str) -> str:
    done = subprocess.run(["git", *command], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        says = (done.stderr.strip().splitlines() or ["failed"])[-1]
        raise Refused(f"git {command[0]} in {folder}: {says}: a clone with git is needed")
    return done.stdout.strip()


def clean_commit(root: Path) -> str:
    """The commit that the tracked files have, which NOTICE names. Raises Refused when one of them was changed."""
    if changed := _git(root, "status", "--porcelain", "--untracked-files=no").splitlines():
        path = changed[0].split(maxsplit=1)[1]
        raise Refused(f"{path} has uncommitted changes, and NOTICE names the commit of the copy: commit or stash them")
    return _git(root, "rev-parse", "HEAD")


def copy(root: Path, work: Path) -> list[str]:
    """Copy the tracked files; return their names."""
    names = [name for name in _git(root, "ls-files", "-z").split("\0") if name and os.path.lexists(root / name)]
    for name in names:
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, work / name, follow_symlinks=False)
    return names


def leave(work: Path, names: list[str], gone: leave_out.Gone) -> list[str]:
    """Leave out files, tests and mentions of tasks, records of builds, and digests that the name changes; return what stays."""
    names = leave_out.remove(work, names, gone)
    removed = set(slices.slice_tests(work, names, gone))
    names = [name for name in names if name not in removed]
    mentions.trim(work, names, gone)
    pages.trim_pages(work, names, gone)
    records = [name for name in names if PurePosixPath(name).match("pipelines/*/dvc.lock")]
    for name in records:
        (work / name).unlink()
    leave_out.forget(work, [name for name in names if PurePosixPath(name).match("digests/*.json")], UNKNOWN)
    return [name for name in names if name not in records]


def remove_empty_folders(work: Path) -> None:
    """Remove the folders of which no file is left."""
    for path in sorted((path for path in work.rglob("*") if path.is_dir()), key=lambda path: len(path.parts), reverse=True):
        if not any(path.iterdir()):
            path.rmdir()


def generate(work: Path, new: Names) -> None:
    """Sort imports, format, and write pipelines/, params/, dvc.yaml and the diagram with the new project's own code."""
    python = [sys.executable, "-m"]
    _run(work, *python, "ruff", "check", "--quiet", "--fix", "--exit-zero", "--select", "I,F401", "src", "tests", "scripts", ".")
    _run(work, *python, "ruff", "format", "--quiet", ".")
    _run(work, *python, "ruff", "check", "--quiet", "--select", "E501", "--add-noqa", ".")
    _run(work, *python, new.package, "graph")
    _run(work, sys.executable, "scripts/diagram.py")
    for made in (f".{new.package}", ".ruff_cache", *work.rglob("__pycache__")):
        shutil.rmtree(work / made, ignore_errors=True)


def _run(work: Path, *command: str) -> None:
    environment = os.environ | {"PYTHONPATH": str(work / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=work, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise Refused(f"{' '.join(command[1:4])} fails in the new project; is `make setup` done here?\n{done.stdout.strip()}")


def require_no_trace(work: Path, names: list[PurePosixPath]) -> None:
    """Check that only the statement of the origin has the old name. Raises Refused with the files."""
    where = [name.as_posix() for name in names if name.as_posix() not in attribution.FILES]
    found = [name for name in where if rename.FOUND.search(rename.text_of(work / name) or "") or rename.FOUND.search(name)]
    if found:
        raise Refused(f"the old name is still in {', '.join(found[:5])}")


def begin_history(work: Path, new: Names, commit: str) -> None:
    """Make a repository with one commit, by the user of git, or under the project's name where git knows none."""
    _git(work, "init", "--quiet", "--initial-branch=main")
    _git(work, "add", "--all")
    known = subprocess.run(["git", "config", "user.email"], cwd=work, capture_output=True).returncode == 0
    author = () if known else ("-c", f"user.name={new.title}", "-c", f"user.email={new.package}@localhost")
    says = f"Begin {new.title}\n\nDerived from {OLD.title}, commit {commit}."
    _git(work, *author, "commit", "--quiet", "--no-verify", f"--message={says}")


if __name__ == "__main__":
    sys.exit(main())
