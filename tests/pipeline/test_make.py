"""The Makefile: the changes that trigger a build, and the help."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from bitbloom.core import canonical
from bitbloom.pipeline import build, composition, graph, recovery
from bitbloom.serving.build import service_file
from support import makefiles
from support.standin import free_port
from support.tiny import REPOSITORY

RECORDER = '#!/bin/sh\necho "$(basename "$0") $*" >> "{log}"\n'
COMMANDS = ("bitbloom", "python", "dvc", "pytest", "ruff", "mypy", "bentoml")
COPIED = (
    "Makefile",
    "make",
    "pyproject.toml",
    "weights.lock",
    "conf",
    "params",
    "pipelines",
    "expectations",
    "bentos",
    "scripts",
    "src",
    ".github",
)
OLD = 1_500_000_000
"""A time in seconds that is older than all files of a test."""


class Project:
    """A copy of the project whose commands only record their calls."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "called.log"

    def make(self, *arguments: str, **variables: str) -> str:
        """Run make. Returns its output."""
        kept = {
            key: value
            for key, value in os.environ.items()
            if key not in ("TARGET", "SET", "PHOTOS", "TWEETS", "CAPTIONS", "ACCEL")
        }
        done = subprocess.run(["make", *arguments], cwd=self.folder, env=kept | variables, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def calls(self, *arguments: str) -> list[str]:
        """The commands that make calls with these arguments."""
        self.log.unlink(missing_ok=True)
        self.make(*arguments)
        return self.log.read_text().splitlines() if self.log.exists() else []

    def build(self, target: str, last: str, workspace: str = ".") -> None:
        """Create every output of a build."""
        for path in self.listed("OUTPUTS", target, last):
            (self.folder / workspace / path).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / workspace / path).touch()

    def listed(self, kind: str, target: str, last: str) -> list[str]:
        """A list of the target's graph."""
        return re.search(rf"^{kind}\.{last} := (.*)$", self.graph(target).read_text(), re.MULTILINE)[1].split()

    def graph(self, target: str) -> Path:
        """The rules for make of a target."""
        return self.folder / graph.MAKE / f"{target}.mk"

    def touch(self, path: str) -> None:
        """Set a file's time to one after all stamps."""
        newest = max(file.stat().st_mtime_ns for file in self.folder.rglob("*") if file.is_file())
        os.utime(self.folder / path, ns=(newest + 10_000_000, newest + 10_000_000))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    """The copy, with a current venv and the rules of some targets."""
    folder = tmp_path_factory.mktemp("pristine")
    for name in COPIED:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copyfile
        copy(REPOSITORY / name, folder / name)
    for lock in REPOSITORY.glob("requirements*.lock"):
        (folder / lock.name).write_text("")
    for target in ("petals", "petals-folder", "petals-tiny"):
        text = graph.make_text(target, graph.every_stage(target, composition.compose(target)))
        canonical.write_text(folder / graph.MAKE / f"{target}.mk", text)
    for path in folder.rglob("*"):
        os.utime(path, (OLD, OLD))
    (folder / "scripts/venv.sh").write_text('echo "venv $1" >> called.log\n')
    os.utime(folder / "scripts/venv.sh", (OLD, OLD))
    (folder / ".venv/bin").mkdir(parents=True)
    for accelerator in ("cpu", "cuda", "dev"):
        (folder / f".bitbloom/venv-{accelerator}").touch()
    return folder


@pytest.fixture
def project(pristine, tmp_path):
    folder = tmp_path / "project"
    shutil.copytree(pristine, folder)
    for command in COMMANDS:
        (folder / ".venv/bin" / command).write_text(RECORDER.format(log=folder / "called.log"))
        (folder / ".venv/bin" / command).chmod(0o755)
    (folder / ".venv/pyvenv.cfg").touch()
    (folder / ".venv/itself").symlink_to(folder / ".venv/pyvenv.cfg")
    return Project(folder)


@pytest.fixture
def built(project):
    """The project with a complete build of `petals-tiny`."""
    project.build("petals-tiny", "all")
    assert project.calls("all", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until all"]
    return project


ENTRY = re.compile(r"  make (\S+) +(?=\S)")
"""The start of a target's first line in the help, up to its description."""


def sections(shown: str) -> list[str]:
    """The first word of each section's title, in order."""
    return [line.split()[0] for line in shown.splitlines() if line and line[0].isalpha()]


def test_help_fits_a_screen_and_names_help_all(project):
    lines = project.make("help").splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert lines[-1] == "`make help-all` lists the rest."
    shown = [found[1] for line in lines if (found := ENTRY.match(line))]
    assert {"all", "data", "train", "package", "serve", "containerize", "test", "lint", "verify", "setup", "clean"} <= set(shown)
    assert set(shown) <= makefiles.targets()
    assert sections(project.make("help")) == ["Build", "Use", "Check", "Maintain"]


def test_help_has_every_selected_target(project):
    selected = re.search(r"only='([^']*)'", project.make("-n", "help"))[1].split()
    shown = [found[1] for line in project.make("help").splitlines() if (found := ENTRY.match(line))]
    assert shown == selected


def test_help_all_lists_every_target_once_in_sections(project):
    shown = project.make("help-all")
    names = [found[1] for line in shown.splitlines() if (found := ENTRY.match(line))]
    assert sorted(names) == sorted(makefiles.targets())
    assert sections(shown) == [
        "Build",
        "Use",
        "Check",
        "Maintain",
        "Share",
        "Version",
        "Labels",
        "Measure",
        "Experiment",
        "Monitor",
        "Documentation",
        "Deploy",
        "Workflows",
    ]


def test_help_all_aligns_descriptions(project):
    lines = project.make("help-all").splitlines()
    assert max(map(len, lines)) <= 100
    [column] = {found.end() for line in lines if (found := ENTRY.match(line))}
    below = [line for line in lines if line.startswith(" " * 8)]
    assert below
    assert {len(line) - len(line.lstrip()) for line in below} == {column}


def test_long_name_widens_the_column(project):
    name = "deploy-" + "very-" * 8 + "long"
    with (project.folder / "make/deploy.mk").open("a") as file:
        file.write(f"\n{name}: ## {'word ' * 40}\n")
    lines = project.make("help-all").splitlines()
    assert max(map(len, lines)) <= 100
    assert {found.end() for line in lines if (found := ENTRY.match(line))} == {len(f"  make {name}  ")}


def test_makefile_is_short():
    assert len((REPOSITORY / "Makefile").read_text(encoding="utf-8").splitlines()) <= 230


def test_make_without_target_shows_help(project):
    assert project.make() == project.make("help")


@pytest.mark.parametrize(
    "name",
    sorted(
        makefiles.targets()
        - {"help", "bench-real", "bench-tweets", "bench-captions", "bench-labels", "predict", "relabel", "remote", "retrain"}
    ),
)
def test_every_target_has_a_dry_run(project, name):
    assert project.make("-n", name)


def test_does_nothing_without_a_change(built):
    assert "Nothing to be done" in built.make("all", "TARGET=petals-tiny")
    assert built.calls("all", "TARGET=petals-tiny") == []


def test_runs_lists_all_targets_unless_one_is_named(project):
    assert project.calls("runs") == ["bitbloom runs"]
    assert project.calls("runs", "TARGET=petals-tiny", "SORT=accuracy") == ["bitbloom runs petals-tiny --sort accuracy"]
    assert project.calls("compare", "RUNS=petals 3f2a") == ["bitbloom compare petals 3f2a"]


@pytest.mark.parametrize("name", ["data", "validate", "prepare", "train", "evaluate", "export", "package"])
def test_each_stage_has_a_target_and_a_stamp(project, name):
    last = "ingest" if name == "data" else name
    project.build("petals-tiny", last)
    assert project.calls(name, "TARGET=petals-tiny") == [f"bitbloom build petals-tiny --until {last}"]
    assert project.calls(name, "TARGET=petals-tiny") == []


def test_audit_of_labels_has_a_stamp_of_its_own(built):
    built.build("petals-tiny", "audit")
    page = "reports/petals-tiny/label-errors.html"
    assert built.calls("audit-labels", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until audit"]
    assert built.calls("all", "TARGET=petals-tiny") == []
    assert built.calls("audit-labels", "TARGET=petals-tiny") == []
    assert page in built.make("audit-labels", "TARGET=petals-tiny")
    built.touch("src/bitbloom/audit/templates/label-errors.html.j2")
    assert built.calls("all", "TARGET=petals-tiny") == []
    assert built.calls("audit-labels", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until audit"]
    longer = ["bitbloom audit-labels petals-tiny --percentage 10"]
    assert built.calls("audit-labels", "TARGET=petals-tiny", "PERCENTAGE=10") == longer


@pytest.mark.parametrize(
    "output", ["data/processed/petals-tiny", "models/petals-tiny/model.onnx", "reports/petals-tiny/metrics.json"]
)
def test_deleted_output_triggers_a_build(built, output):
    (built.folder / output).unlink()
    assert built.calls("all", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until all"]


@pytest.mark.parametrize(
    "path",
    [
        "src/bitbloom/stages/train.py",
        "src/bitbloom/evaluation/report/templates/report.html.j2",
        "conf/petals.yaml",
        "conf/train/scratch.yaml",
        "params/petals-tiny.yaml",
        "pipelines/petals-tiny/dvc.yaml",
        "src/bitbloom/pipeline/graph.py",
        "expectations/petals.json",
        str(service_file("petals", "image")),
        "requirements-serve.lock",
    ],
)
def test_touched_input_triggers_a_build(built, path):
    built.touch(path)
    assert built.calls("all", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until all"]


@pytest.mark.parametrize(
    "path",
    [
        "src/bitbloom/cli/__init__.py",
        "src/bitbloom/pipeline/tracking/run.py",
        "src/bitbloom/optimise/make.py",
        "params/petals-photos.yaml",
        "pipelines/petals/dvc.yaml",
    ],
)
def test_touched_unrelated_file_triggers_no_build(built, path):
    built.touch(path)
    assert built.calls("all", "TARGET=petals-tiny") == []


def test_builds_until_rules_of_the_target_exist(built):
    place = built.graph("petals-tiny")
    kept = place.rename(built.folder / "kept.mk")
    for _ in range(2):
        assert built.calls("all", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until all"]
    script = built.folder / ".venv/bin/bitbloom"
    script.write_text(f"{script.read_text()}cp '{kept}' '{place}'\n")
    assert built.calls("all", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until all"]
    assert built.calls("all", "TARGET=petals-tiny") == []


def test_new_target_is_built_and_triggers_no_other(built):
    shutil.copyfile(built.folder / "conf/petals-tiny.yaml", built.folder / "conf/petals-mine.yaml")
    assert built.calls("all", "TARGET=petals-mine") == ["bitbloom build petals-mine --until all"]
    assert built.calls("all", "TARGET=petals-tiny") == []


def test_deleted_module_triggers_a_build(built):
    (built.folder / "src/bitbloom/training/sampler.py").unlink()
    assert built.calls("all", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until all"]


@pytest.mark.parametrize(
    "path",
    ["bentos/petals/words.txt", "bentos/petals/page/more.svg", "bentos/common/image/page/words.css", "bentos/leaves/page/x.svg"],
)
def test_added_service_file_triggers_a_build(built, path):
    (built.folder / path).parent.mkdir(parents=True, exist_ok=True)
    (built.folder / path).touch()
    assert len(built.calls("all", "TARGET=petals-tiny")) == 1


def test_missing_output_of_later_stage_triggers_no_earlier_stage(built):
    built.calls("train", "TARGET=petals-tiny")
    (built.folder / "models/petals-tiny/model.onnx").unlink()
    assert built.calls("train", "TARGET=petals-tiny") == []


def test_each_target_has_its_own_stamps(built):
    built.build("petals", "all")
    assert built.calls("all", "TARGET=petals") == ["bitbloom build petals --until all"]
    assert built.calls("all") == []


def test_overrides_have_their_own_stamp_and_workspace(built):
    arguments = ("all", "TARGET=petals-tiny", "SET=train.epochs=3 train.seed=7")
    [call] = built.calls(*arguments)
    command, _, note = call.partition(" --where ")
    assert command == "bitbloom build petals-tiny --until all train.epochs=3 train.seed=7"
    built.build("petals-tiny", "all", "somewhere")
    (built.folder / note).write_text("somewhere")
    assert built.calls(*arguments) == []
    (built.folder / "somewhere/models/petals-tiny/model.onnx").unlink()
    assert len(built.calls(*arguments)) == 1


def test_each_accelerator_has_its_own_stamp(built):
    calls = built.calls("all", "TARGET=petals-tiny", "ACCEL=cuda")
    assert len(calls) == 1
    assert calls[0].startswith("bitbloom build petals-tiny --until all")
    assert built.calls("all", "TARGET=petals-tiny") == []


def test_edit_during_a_build_triggers_another(project):
    project.build("petals-tiny", "all")
    edited = project.listed("INPUTS", "petals-tiny", "all")[-1]
    script = project.folder / ".venv/bin/bitbloom"
    script.write_text(script.read_text() + f"sleep 0.05; touch {edited}\n")
    assert len(project.calls("all", "TARGET=petals-tiny")) == 1
    assert len(project.calls("all", "TARGET=petals-tiny")) == 1


def test_added_own_photo_triggers_a_build(project):
    project.build("petals-folder", "all")
    (project.folder / "data/external/petals-folder/rose").mkdir(parents=True)
    project.calls("all", "TARGET=petals-folder")
    assert project.calls("all", "TARGET=petals-folder") == []
    project.touch("data/external/petals-folder/rose")
    assert len(project.calls("all", "TARGET=petals-folder")) == 1


def test_failed_build_leaves_no_stamp(project):
    project.build("petals-tiny", "all")
    (project.folder / ".venv/bin/bitbloom").write_text("#!/bin/sh\nexit 1\n")
    failed = subprocess.run(["make", "all", "TARGET=petals-tiny"], cwd=project.folder, capture_output=True, text=True)
    assert failed.returncode != 0
    assert not any((project.folder / ".bitbloom").glob("stamps/*"))


def test_killed_build_leaves_no_earlier_stamp(built):
    output = built.folder / "models/petals-tiny/model.onnx"
    output.unlink()
    (built.folder / ".venv/bin/bitbloom").write_text(f"#!/bin/sh\ntouch {output}\nkill -KILL $PPID\n")
    assert subprocess.run(["make", "all", "TARGET=petals-tiny"], cwd=built.folder, capture_output=True).returncode != 0
    assert output.exists()
    assert not any((built.folder / ".bitbloom").glob("stamps/*-cpu"))


def test_killed_build_triggers_recovery_for_any_goal(built):
    built.calls("train", "TARGET=petals-tiny")
    assert built.calls("train", "TARGET=petals-tiny") == []
    (built.folder / recovery.BUILDING).touch()
    assert built.calls("train", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until train"]


def test_killed_variant_triggers_only_its_own_recovery(built):
    arguments = ("all", "TARGET=petals-tiny", "SET=train.epochs=3")
    note = built.calls(*arguments)[0].partition(" --where ")[2]
    built.build("petals-tiny", "all", "somewhere")
    (built.folder / note).write_text("somewhere")
    assert built.calls(*arguments) == []
    (built.folder / "somewhere" / recovery.BUILDING).parent.mkdir()
    (built.folder / "somewhere" / recovery.BUILDING).touch()
    assert len(built.calls(*arguments)) == 1
    assert built.calls("all", "TARGET=petals-tiny") == []


@pytest.mark.skipif(not shutil.which("flock"), reason="needs flock, of util-linux")
def test_does_not_wait_for_a_running_build_without_work(built, monkeypatch):
    monkeypatch.chdir(built.folder)
    with build.build_lock():
        recovery.BUILDING.touch()
        assert built.calls("all", "TARGET=petals-tiny") == []


def test_second_build_keeps_the_stamp_of_the_first(project):
    project.build("petals-tiny", "all")
    edited = project.listed("INPUTS", "petals-tiny", "all")[-1]
    script = project.folder / ".venv/bin/bitbloom"
    second = "mkdir second || exit 1; make all TARGET=petals-tiny; exit 0"
    script.write_text(script.read_text() + f"sleep 0.05; touch {edited}; sleep 0.05; {second}\n")
    assert len(project.calls("all", "TARGET=petals-tiny")) == 2
    assert len(list((project.folder / ".bitbloom").glob("stamps/*"))) == 1
    script.write_text(RECORDER.format(log=project.log))
    assert len(project.calls("all", "TARGET=petals-tiny")) == 1  # the edit is later than the start of the first build
    assert project.calls("all", "TARGET=petals-tiny") == []


def test_imports_photos_before_the_build(project):
    project.build("petals-folder", "all")
    calls = project.calls("all", "TARGET=petals-folder", "PHOTOS=my photos.zip")
    assert calls == ["bitbloom import petals-folder my photos.zip", "bitbloom build petals-folder --until all"]
    (project.folder / "data/external/petals-folder").mkdir(parents=True)
    project.calls("all", "TARGET=petals-folder")
    assert project.calls("all", "TARGET=petals-folder") == []


@pytest.mark.parametrize("variable", ["PHOTOS", "TWEETS", "CAPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "it's mine",
        'a "b" c',
        "cost $5",
        "$HOME",
        "a$(b",
        "x`y`",
        "back\\slash",
        "a#b",
        "a;b&c|d",
        "50%",
        "(1), 2",
        "ü $$ é",
        "* ?",
    ],
)
def test_path_of_own_data_may_hold_any_character(project, variable, path):
    calls = project.calls("data", "TARGET=petals-folder", f"{variable}={path}")
    assert calls == [f"bitbloom import petals-folder {path}", "bitbloom build petals-folder --until ingest"]


def test_import_knows_the_overrides_of_the_build(project):
    calls = project.calls("data", "TARGET=petals-folder", "PHOTOS=mine", "SET=source.splits=given train.epochs=2")
    assert calls[0] == "bitbloom import petals-folder mine source.splits=given train.epochs=2"
    assert calls[1].startswith("bitbloom build petals-folder --until ingest source.splits=given train.epochs=2 --where")


@pytest.mark.parametrize(
    ("target", "given"),
    [("tweets-kaggle", "TWEETS=kaggle:nlp-getting-started"), ("captions-folder", "CAPTIONS=my photos/and captions.tar")],
)
def test_each_kind_of_own_data_has_a_variable(project, target, given):
    source = given.partition("=")[2]
    calls = [f"bitbloom import {target} {source}", f"bitbloom build {target} --until ingest"]
    assert project.calls("data", f"TARGET={target}", given) == calls
    assert given.partition("=")[0] in project.make("help")


@pytest.mark.parametrize(("development", "lock"), [(True, "requirements-dev.lock"), (False, "requirements.lock")])
def test_changed_lock_updates_the_venv_with_its_development_tools(built, development, lock):
    if not development:
        (built.folder / ".bitbloom/venv-dev").unlink()
    built.touch("requirements.lock")
    assert built.calls("all", "TARGET=petals-tiny") == [f"venv {lock}", "bitbloom build petals-tiny --until all"]


def move(project: Project) -> None:
    project.folder = project.folder.rename(project.folder.with_name("a moved, (renamed) 'checkout'"))
    project.log = project.folder / "called.log"
    for command in COMMANDS:
        (project.folder / ".venv/bin" / command).write_text(RECORDER.format(log=project.log))


def copy(project: Project) -> None:
    shutil.copytree(project.folder, project.folder.with_name("copy"), symlinks=True)
    project.folder = project.folder.with_name("copy")
    project.log = project.folder / "called.log"
    for command in COMMANDS:
        (project.folder / ".venv/bin" / command).write_text(RECORDER.format(log=project.log))


def lose_python(project: Project) -> None:
    (project.folder / ".venv/bin/python").unlink()
    (project.folder / ".venv/bin/python").symlink_to("/nowhere/python3.11")


def never_finish(project: Project) -> None:
    (project.folder / ".venv/itself").unlink()


@pytest.mark.parametrize("change", [move, copy, lose_python, never_finish])
@pytest.mark.parametrize("goal", ["setup", "targets"])
def test_makes_a_broken_venv_again_before_any_command(built, change, goal):
    change(built)
    calls = built.calls(goal)
    assert calls[0] == "venv requirements-dev.lock"
    assert calls[1:] == (["bitbloom targets"] if goal == "targets" else [])


def test_makes_a_deleted_venv_again(built):
    shutil.rmtree(built.folder / ".venv")
    assert built.calls("setup") == ["venv requirements-dev.lock"]


def test_accepts_a_link_to_a_venv(built, tmp_path):
    (built.folder / ".venv").rename(tmp_path / "shared")
    (built.folder / ".venv").symlink_to(tmp_path / "shared")
    (tmp_path / "shared/itself").unlink()
    (tmp_path / "shared/itself").symlink_to(tmp_path / "shared/pyvenv.cfg")
    assert built.calls("targets") == ["bitbloom targets"]


def written_by_builds(target: str) -> set[str]:
    """Every output of every stage, in the graph."""
    paths = [path for outputs in (graph.WRITES, graph.METRICS) for stage in outputs.values() for path in stage]
    return {path.format(target=target) for path in paths}


def test_clean_removes_everything_that_a_build_writes(built):
    outputs = written_by_builds("petals-tiny") | written_by_builds("captions-folder")
    outputs |= {f".bitbloom/{folder}/a" for folder in ("stamps", "graph", "variants", "checkpoints", "verify")}
    for path in outputs:
        (built.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (built.folder / path).touch()
    built.make("clean")
    assert not [path for path in outputs if (built.folder / path).exists()]


def test_clean_keeps_own_data_and_committed_files(built):
    kept = {"data/external/petals-folder/rose/one.jpg", "data/external/petals-folder.dvc", "reports/figures/sheet.png"}
    kept |= {"data/README.md", "reports/README.md", "notebooks/README.md", ".bitbloom/building"}
    for path in kept:
        (built.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (built.folder / path).touch()
    built.make("clean")
    assert kept <= {path.relative_to(built.folder).as_posix() for path in built.folder.rglob("*") if path.is_file()}


def test_git_ignores_outputs_and_tracks_the_pages_of_their_folders():
    pages = {"data/README.md", "reports/README.md", "notebooks/README.md", "data/external/petals-folder.dvc"}
    paths = written_by_builds("petals") | {"data/external/petals-folder"} | pages
    ignored = subprocess.run(
        ["git", "check-ignore", "--no-index", "--stdin"], cwd=REPOSITORY, input="\n".join(paths), capture_output=True, text=True
    )
    assert set(ignored.stdout.splitlines()) == paths - pages
    assert all((REPOSITORY / page).is_file() for page in pages if page.endswith(".md"))


def test_clean_works_in_a_fresh_clone(project):
    project.make("clean")
    project.make("distclean")
    assert (project.folder / "Makefile").exists()
    assert not (project.folder / ".venv").exists()


MARKERS = ["<<<<<<< HEAD", "=======", ">>>>>>> theirs"]


@pytest.mark.parametrize("marker", MARKERS)
def test_rules_with_merge_conflicts_are_generated_anew(built, marker):
    with built.graph("petals-tiny").open("a") as file:
        file.write(f"{marker}\n")
    assert built.calls("graph", "TARGET=petals-tiny") == ["bitbloom graph"]
    assert built.calls("all", "TARGET=petals-tiny") == ["bitbloom build petals-tiny --until all"]


@pytest.mark.parametrize("marker", MARKERS)
@pytest.mark.parametrize("goal", ["all", "graph", "help", "setup"])
def test_makefile_with_merge_conflicts_is_named(project, marker, goal):
    (project.folder / "make/deploy.mk").write_text(f"# a\n{marker}\n")
    done = subprocess.run(["make", goal], cwd=project.folder, capture_output=True, text=True)
    assert done.returncode != 0
    [line] = done.stderr.splitlines()
    assert "make/deploy.mk: merge conflict: edit this file, then git add it" in line


@pytest.mark.parametrize("file", ["requirements.lock", "requirements-dev.lock", "pyproject.toml"])
def test_setup_names_conflicts_in_what_it_installs(project, file):
    shutil.copyfile(REPOSITORY / "scripts/venv.sh", project.folder / "scripts/venv.sh")
    with (project.folder / file).open("a") as stream:
        stream.write("<<<<<<< HEAD\n=======\n>>>>>>> theirs\n")
    done = subprocess.run(["make", "ci-setup"], cwd=project.folder, capture_output=True, text=True)
    assert done.returncode != 0
    assert f"{file}:" in done.stderr
    assert "error: merge conflicts: " in done.stderr
    assert "make lock" in done.stderr


@pytest.mark.parametrize(("words", "call"), [((), "bitbloom merge"), (("SIDE=theirs",), "bitbloom merge --side theirs")])
def test_merge_passes_the_side(project, words, call):
    assert project.calls("merge", *words) == [call]


def refused(project, *arguments):
    """The error of a call of make that fails, after no output and no command that starts a service."""
    project.log.unlink(missing_ok=True)
    done = subprocess.run(["make", "--no-print-directory", *arguments], cwd=project.folder, capture_output=True, text=True)
    assert done.returncode != 0
    assert done.stdout == ""
    called = project.log.read_text() if project.log.exists() else ""
    assert "bentoml" not in called and "podman" not in called
    line, _of_make = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("command", ["serve", "run-container"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_busy_port_is_an_error_before_the_address_is_printed(built, command, host):
    with socket.create_server((host, 0)) as server:
        port = server.getsockname()[1]
        line = refused(built, command, "TARGET=petals-tiny", f"PORT={port}", "BACKEND=podman")
    assert line.startswith(f"error: port {port} of 127.0.0.1 is in use: ")
    assert re.search(r"PORT=\d+$", line)


@pytest.mark.parametrize("port", ["", "0", "65536", "http", "-1", "3000.0", "٣"])
def test_rejects_what_is_not_a_port(built, port):
    assert (
        refused(built, "serve", "TARGET=petals-tiny", f"PORT={port}")
        == f"error: PORT={port!r} is not a port: give a number from 1 to 65535"
    )


def test_serves_on_a_free_port(built):
    port = free_port()
    calls = built.calls("serve", "TARGET=petals-tiny", f"PORT={port}")
    assert calls[-1] == f"bentoml serve petals-tiny:latest --host 127.0.0.1 --port {port}"


def test_predict_passes_source_and_folder_as_they_are(built):
    built.build("petals-tiny", "export")
    built.make("export", "TARGET=petals-tiny")
    found = built.calls("predict", "TARGET=petals-tiny", "SOURCE=gs://b/it's $HOME", "OUT=o p", "FORMAT=jsonl")
    assert found == ["bitbloom predict petals-tiny gs://b/it's $HOME --out o p --format jsonl"]


def test_hub_publishes_the_built_target_as_named(built):
    call = "bitbloom hub push petals-tiny org/name"
    assert built.calls("hub", "TARGET=petals-tiny", "REPO=org/name") == [call]
    assert built.calls("hub", "TARGET=petals-tiny", "REPO=org/name", "DRY_RUN=1", "PRIVATE=1") == [f"{call} --dry-run --private"]
    command = ["make", "hub", "TARGET=petals-tiny", "REPO=org/name", "SET=train.epochs=3"]
    done = subprocess.run(command, cwd=built.folder, capture_output=True, text=True)
    assert (done.returncode, done.stdout, "make hub takes no SET" in done.stderr) == (2, "", True)


def test_check_hub_names_a_target_only_if_one_is_given(built):
    assert built.calls("check-hub", "REPO=org/name@0123") == ["bitbloom hub check org/name@0123"]
    assert built.calls("check-hub", "REPO=a/b@0", "TARGET=petals-tiny") == ["bitbloom hub check a/b@0 --target petals-tiny"]
