"""Each checkout runs its own code, for any checkout that the package is installed from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import yaml

from support.installs import copy_of_the_working_tree, install
from support.tiny import REPOSITORY

TOOL = """
import multiprocessing, os, subprocess, sys
print("begun in", {name!r}, file=sys.stderr)

from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError

NAME = {name!r}

def say(queue):
    queue.put(NAME)

def main():
    try:
        checkout.require()
    except BitBloomError as error:
        sys.exit(f"error: {{error}}")
    print(NAME, *sys.argv[1:])
    if "processes" in sys.argv:
        context = multiprocessing.get_context("spawn")
        queue = context.Queue()
        worker = context.Process(target=say, args=(queue,))
        worker.start()
        print("worker:", queue.get())
        worker.join()
        print("child:", subprocess.check_output([sys.executable, "-m", "bitbloom.cli"], text=True).strip(), flush=True)
    if "path" in sys.argv:
        print(os.environ["PYTHONPATH"])
    if "input" in sys.argv:
        print(sys.stdin.read())

if __name__ == "__main__":
    main()
"""

CALL = "import bitbloom.cli as c; c.main()"


def small_checkout(folder: Path, name: str) -> Path:
    """A checkout whose package has the check and one command, `bitbloom.cli`, which prints the name of its checkout."""
    core = folder / "src/bitbloom/core"
    core.mkdir(parents=True)
    (core.parent / "__init__.py").touch()
    (core / "__init__.py").touch()
    for module in ("checkout.py", "errors.py"):
        shutil.copy2(REPOSITORY / "src/bitbloom/core" / module, core / module)
    (core.parent / "cli.py").write_text(TOOL.format(name=name))
    return folder


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The commands of a venv in which the package is installed from the checkout `first`."""
    return install(small_checkout(tmp_path_factory.mktemp("installed"), "first"))


@pytest.fixture
def second(tmp_path: Path) -> Path:
    return small_checkout(tmp_path / "clone", "second")


def run(folder: Path, *command: str | Path, text: str = "", **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without the tests' own variables of Python's path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    return subprocess.run(command, cwd=folder, env=kept | variables, input=text, capture_output=True, text=True, timeout=60)


def test_installed_checkout_starts_once(commands):
    done = run(commands.parents[1], commands / "python", "-m", "bitbloom.cli")
    assert (done.stdout, done.stderr) == ("first\n", "begun in first\n")


def test_other_checkout_runs_its_own_code_after_one_restart(commands, second):
    done = run(second, commands / "python", "-m", "bitbloom.cli")
    assert (done.stdout, done.stderr) == ("second\n", "begun in first\nbegun in second\n")


def test_console_script_of_the_first_checkout_runs_the_code_of_the_second(commands, second):
    done = run(second, commands / "bitbloom", "build", "a b")
    assert (done.stdout, done.stderr) == ("second build a b\n", "begun in first\nbegun in second\n")


def test_options_arguments_and_input_survive_the_restart(commands, second):
    done = run(second, commands / "python", "-X", "dev", "-W", "error", "-c", CALL, "input", text="in")
    assert done.stdout == "second input\nin\n"


def test_folder_without_code_uses_the_installed_package(commands, tmp_path):
    assert run(tmp_path, commands / "bitbloom").stdout == "first\n"


def test_ignores_source_folder_without_package(commands, tmp_path):
    (tmp_path / "src/bitbloom/__pycache__").mkdir(parents=True)
    assert run(tmp_path, commands / "bitbloom").stdout == "first\n"


def test_workspace_that_links_to_the_code_starts_once(commands, tmp_path):
    (tmp_path / "src").symlink_to(commands.parents[1] / "src")
    assert run(tmp_path, commands / "bitbloom").stderr == "begun in first\n"


def test_workspace_that_links_to_the_code_of_another_checkout_runs_that(commands, second):
    variant = second / ".bitbloom/variants/x"
    variant.mkdir(parents=True)
    (variant / "src").symlink_to("../../../src")
    assert run(variant, commands / "python", "-m", "bitbloom.cli").stdout == "second\n"


def test_copy_named_in_pythonpath_starts_once(commands, second):
    done = run(second, commands / "python", "-m", "bitbloom.cli", PYTHONPATH="src")
    assert (done.stdout, done.stderr) == ("second\n", "begun in second\n")


def test_other_entries_of_pythonpath_are_kept_behind_the_checkout(commands, second):
    first, own = commands.parents[1] / "src", second / "src"
    done = run(second, commands / "bitbloom", "path", PYTHONPATH=f"{first}:/elsewhere:{own}")
    assert done.stdout == f"second path\n{own}:{first}:/elsewhere\n"


def test_workers_and_children_run_the_same_code(commands, second):
    assert run(second, commands / "bitbloom", "processes").stdout == "second processes\nworker: second\nchild: second\n"


@pytest.mark.slow
def test_every_process_of_torchrun_runs_the_code_of_the_checkout(commands, second):
    start = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bitbloom.cli")
    done = run(second, commands / "python", *start, OMP_NUM_THREADS="1")
    assert done.stdout == "second\nsecond\n"


def test_child_in_a_third_checkout_runs_the_code_of_that(commands, second, tmp_path):
    third = small_checkout(tmp_path / "third", "third")
    done = run(third, commands / "bitbloom", PYTHONPATH=str(second / "src"))
    assert done.stdout == "third\n"


@pytest.mark.parametrize("start", [("-E", "-m", "bitbloom.cli"), ("-I", "-c", CALL)], ids=["E", "I"])
def test_stops_when_python_ignores_pythonpath(commands, second, start):
    done = run(second, commands / "python", *start)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"error: the code of {commands.parents[1]}/src/bitbloom is running" in done.stderr
    assert f"this checkout has its own in {second}/src/bitbloom" in done.stderr
    assert "without -I and -E" in done.stderr


def test_safe_path_does_not_hide_the_checkout(commands, second):
    assert run(second, commands / "python", "-P", "-m", "bitbloom.cli", PYTHONSAFEPATH="1").stdout == "second\n"


def test_stops_when_a_folder_beside_the_program_hides_the_checkout(commands, second):
    shutil.copytree(commands.parents[1] / "src/bitbloom", second / "bitbloom")
    done = run(second, commands / "python", "-m", "bitbloom.cli")
    assert (done.returncode, done.stdout) == (1, "")
    assert "without a folder 'bitbloom' next to the program" in done.stderr


def test_rejects_path_that_pythonpath_cannot_name(commands, tmp_path):
    odd = small_checkout(tmp_path / "a:b", "odd")
    done = run(odd, commands / "bitbloom")
    assert (done.returncode, done.stdout) == (1, "")
    assert "in a checkout whose path has no ':'" in done.stderr


@pytest.mark.parametrize("arguments", [(), ("-",)])
def test_rejects_program_from_standard_input(commands, second, arguments):
    done = run(second, commands / "python", *arguments, text=CALL)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"set PYTHONPATH={second}/src" in done.stderr


def entry_points() -> list[str]:
    """Every program below `src` that imports the package. Other programs need no check."""
    source = REPOSITORY / "src"
    texts = {file: file.read_text() for file in sorted(source.rglob("*.py"))}
    files = [file for file, text in texts.items() if '\nif __name__ == "__main__":' in text and "\nfrom bitbloom" in text]
    return [".".join(file.relative_to(source).with_suffix("").parts) for file in files]


@pytest.mark.slow
@pytest.mark.parametrize("module", entry_points())
def test_every_program_of_the_package_runs_the_code_of_its_checkout(tmp_path_factory, tmp_path, module):
    """The first checkout has the real program, the second one a program of this name that only prints a word."""
    first = tmp_path_factory.getbasetemp() / "real"
    if not first.exists():
        (first / "src").mkdir(parents=True)
        (first / "src/bitbloom").symlink_to(REPOSITORY / "src/bitbloom")
        install(first)
    program = tmp_path.joinpath("src", *module.split(".")).with_suffix(".py")
    program.parent.mkdir(parents=True)
    for folder in program.relative_to(tmp_path).parents:
        if "bitbloom" in folder.parts:
            (tmp_path / folder / "__init__.py").touch()
    program.write_text("print('own')\n")
    name = module.removesuffix(".__main__")
    assert run(tmp_path, first / ".venv/bin/python", "-m", name).stdout == "own\n"


LAST = "pipelines/petals-tiny/dvc.yaml:validate"
STAGE = Path("src/bitbloom/stages/validate.py")
LOCK = Path("pipelines/petals-tiny/dvc.lock")
OUTPUT = Path("reports/petals-tiny/validation.json")
BUILD = ("bitbloom", "build", "petals-tiny", "--until", "validate")


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout that the package is installed from, built up to `validate` and committed."""
    folder = copy_of_the_working_tree(tmp_path_factory.mktemp("workspace"))
    install(folder)
    succeed(folder, folder, *BUILD)
    succeed(folder, folder, "git", "commit", "-qam", "built", "--allow-empty")
    return folder


def succeed(folder: Path, workspace: Path, *command: str) -> str:
    """Run a command in a folder of a shell in which the venv of the workspace is active; its output."""
    own = {"DVC_SITE_CACHE_DIR": str(folder / ".bitbloom/dvc"), "DVC_NO_ANALYTICS": "1", "BITBLOOM_TRACK": "0"}
    path = f"{workspace / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_", "MAKE", "DVC_"))}
    done = subprocess.run(
        command, cwd=folder, env=kept | own | {"PATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def change(folder: Path, mark: str) -> None:
    """Change the stage `validate` of a checkout, so that it writes a mark into its report."""
    text, written = (folder / STAGE).read_text(), "write_json(report, verdict.as_json()"
    assert text.count(f"{written})") == 1
    (folder / STAGE).write_text(text.replace(f"{written})", f'{written} | {{"mark": "{mark}"}})'))


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def recorded(lock: str) -> tuple[str, str]:
    """MD5 of the stage's code and of its output in a dvc.lock."""
    stage = yaml.safe_load(lock)["stages"]["validate"]
    (code,) = (entry["md5"] for entry in stage["deps"] if entry["path"] == STAGE.as_posix())
    (output,) = (entry["md5"] for entry in stage["outs"] if entry["path"] == OUTPUT.as_posix())
    return code, output


def mark_of(report: bytes) -> str | None:
    return json.loads(report).get("mark")


def built_with(folder: Path, workspace: Path, *command: str) -> str | None:
    """Build, and check that dvc.lock has the current code and output. Returns the output's mark."""
    succeed(folder, workspace, *command)
    output = (folder / OUTPUT).read_bytes()
    assert recorded((folder / LOCK).read_text()) == (md5((folder / STAGE).read_bytes()), md5(output))
    return mark_of(output)


def clone(workspace: Path, folder: Path) -> Path:
    """A second clone with the DVC cache of the first."""
    succeed(workspace, workspace, "git", "clone", "-q", str(workspace), str(folder))
    for key in ("user.name", "user.email"):
        succeed(folder, workspace, "git", "config", key, "t@t")
    (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {workspace / '.dvc/cache'}\n")
    return folder


def worktree(workspace: Path, folder: Path) -> Path:
    """A git worktree with the DVC cache of the first."""
    succeed(workspace, workspace, "git", "worktree", "add", "-q", "--detach", str(folder))
    (folder / ".dvc/config.local").write_text(f"[cache]\n    dir = {workspace / '.dvc/cache'}\n")
    return folder


def assert_experiment(folder: Path, workspace: Path, name: str) -> None:
    """Check that an experiment's commit has the changed code, its MD5, and an output of this code."""
    refs = succeed(folder, workspace, "git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    (ref,) = (ref for ref in refs if ref.endswith(f"/{name}"))
    code, output = recorded(succeed(folder, workspace, "git", "show", f"{ref}:{LOCK.as_posix()}"))
    assert code == md5(succeed(folder, workspace, "git", "show", f"{ref}:{STAGE.as_posix()}").encode())
    assert mark_of((workspace / ".dvc/cache/files/md5" / output[:2] / output[2:]).read_bytes()) == name


def run_all(workspace: Path) -> None:
    succeed(workspace, workspace, "dvc", "exp", "run", "--run-all")


def queue_start(workspace: Path) -> None:
    """`dvc queue start` returns at once: wait until the experiment has ended."""
    succeed(workspace, workspace, "dvc", "queue", "start")
    while "Success" not in (shown := succeed(workspace, workspace, "dvc", "queue", "status")):
        assert "Failed" not in shown, shown
        time.sleep(1)


@pytest.mark.slow
@pytest.mark.parametrize("start", [run_all, queue_start])
def test_queued_experiment_runs_its_own_code_and_leaves_the_run_cache_right(workspace, start):
    name = start.__name__.replace("_", "-")
    change(workspace, name)
    succeed(workspace, workspace, "dvc", "exp", "run", "--queue", "--name", name, LAST)
    succeed(workspace, workspace, "git", "checkout", "-q", "src")
    start(workspace)
    assert_experiment(workspace, workspace, name)
    assert built_with(workspace, workspace, *BUILD) is None
    change(workspace, name)
    assert built_with(workspace, workspace, *BUILD) == name
    succeed(workspace, workspace, "git", "checkout", "-q", ".")
    succeed(workspace, workspace, "dvc", "queue", "remove", "--all")


@pytest.mark.slow
def test_temporary_experiment_of_a_second_clone_runs_the_code_of_the_clone(workspace, tmp_path):
    second = clone(workspace, tmp_path / "second")
    change(second, "temporary")
    succeed(second, workspace, "dvc", "exp", "run", "--temp", "--name", "temporary", LAST)
    assert_experiment(second, workspace, "temporary")
    assert built_with(workspace, workspace, *BUILD) is None


@pytest.mark.slow
@pytest.mark.parametrize("make", [clone, worktree])
def test_other_checkout_builds_with_its_own_code_in_the_venv_of_the_first(workspace, tmp_path, make):
    other = make(workspace, tmp_path / "other")
    change(other, make.__name__)
    assert built_with(other, workspace, *BUILD) == make.__name__
    assert built_with(workspace, workspace, *BUILD) is None
    change(workspace, make.__name__)  # now from the run-cache of the other checkout
    assert built_with(workspace, workspace, *BUILD) == make.__name__
    succeed(workspace, workspace, "git", "checkout", "-q", ".")


@pytest.mark.slow
@pytest.mark.parametrize("make", [clone, worktree])
@pytest.mark.parametrize("command", [("python", "-m", "bitbloom.stages.validate", "petals-tiny"), ("dvc", "repro", "-s", LAST)])
def test_stage_of_another_checkout_runs_the_code_of_that(workspace, tmp_path, make, command):
    other = make(workspace, tmp_path / "other")
    shutil.copytree(workspace / "data/raw/petals-tiny", other / "data/raw/petals-tiny")
    change(other, "by hand")
    succeed(other, workspace, *command)
    assert mark_of((other / OUTPUT).read_bytes()) == "by hand"
