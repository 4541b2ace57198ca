"""A new user adds a task and a source: the number of files, the build, and the unchanged stages of other targets."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import httpx
import pytest
import yaml

from bitbloom.serving import archive
from support.checkouts import ROOT, run
from support.standin import installed

pytestmark = pytest.mark.slow

FIXTURES = ROOT / "tests/fixtures/leaves"
TREES = {"birch", "linden", "maple", "willow"}
PARTS = ("samples", "model", "evaluate", "export")
SOURCE = "src/bitbloom/data/sources/drawn_leaves.py"
REASONS = """
import json
from bitbloom.pipeline import composition, graph, why
recorded = [target for target in composition.targets() if graph.lock(target).exists()]
found = why.reasons(recorded).items()
print(json.dumps({target: {stage: sorted(map(str, each)) for stage, each in stages.items()} for target, stages in found}))
"""
Reasons = dict[str, dict[str, list[str]]]
"""Target → stage → the reasons why it would run again."""


def add_source(folder: Path) -> None:
    """Add one module that generates a few dozen pictures."""
    shutil.copyfile(FIXTURES / "drawn_leaves.py", folder / SOURCE)


def add_task(folder: Path) -> list[PurePosixPath]:
    """Add the files of task `leaves`, copies of those of `petals`, and a target. Returns their paths."""
    made = {f"src/bitbloom/tasks/leaves/{part}.py": f"src/bitbloom/tasks/petals/{part}.py" for part in PARTS}
    made["expectations/leaves.json"] = "expectations/petals.json"
    for name, like in made.items():
        text = (folder / like).read_text().replace("petals", "leaves").replace("flower", "leaf")
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    shutil.copyfile(FIXTURES / "leaves-tiny.yaml", folder / "conf/leaves-tiny.yaml")
    return [PurePosixPath(name) for name in (*made, "conf/leaves-tiny.yaml")]


def reasons(folder: Path) -> Reasons:
    """The reasons of every target with a `dvc.lock`."""
    return json.loads(run(folder, "python", "-c", REASONS).splitlines()[-1])


def invalidated(before: Reasons, after: Reasons) -> dict[str, set[str]]:
    """The stages, by target, that have a new reason to run."""
    return {
        target: {stage for stage, found in stages.items() if set(after[target][stage]) - set(found)}
        for target, stages in before.items()
    }


def depend_on(folder: Path, file: str) -> dict[str, list[str]]:
    """The stages, by target, that depend on a file."""
    found = {}
    for path in sorted((folder / "pipelines").glob("*/dvc.yaml")):
        stages = yaml.safe_load(path.read_text())["stages"]
        found[path.parent.name] = [name for name, stage in stages.items() if file in stage["deps"]]
    return found


def changed(folder: Path) -> dict[str, str]:
    """The status of each file that differs from the commit."""
    return {line[3:]: line[:2] for line in run(folder, "git", "status", "--porcelain", "-uall").splitlines()}


@pytest.fixture(scope="module")
def before(built: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Reasons]:
    """A checkout with petals-tiny built and committed, and the reasons to run stages there: none of petals-tiny."""
    copy = tmp_path_factory.mktemp("newcomer") / "checkout"
    shutil.copytree(built, copy, symlinks=True)
    run(copy, "make", "graph")
    run(copy, "git", "add", "-A")
    run(copy, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", "built")
    found = reasons(copy)
    assert not any(found["petals-tiny"].values())
    return copy, found


@pytest.fixture(scope="module")
def added(before: tuple[Path, Reasons]) -> tuple[Path, list[PurePosixPath]]:
    """The same checkout with a new source and a new task, and the paths of the task."""
    folder, _ = before
    add_source(folder)
    return folder, add_task(folder)


@pytest.fixture(scope="module")
def leaves(added: tuple[Path, list[PurePosixPath]]) -> Path:
    """The same checkout with a complete build of the new target."""
    folder, _ = added
    run(folder, "make", "all", "TARGET=leaves-tiny")
    return folder


@contextlib.contextmanager
def edited(folder: Path, file: str, more: str) -> Iterator[None]:
    """Append lines to a file and update the graph, while the block runs."""
    text = (folder / file).read_text()
    try:
        (folder / file).write_text(text + more)
        run(folder, "make", "graph")
        yield
    finally:
        (folder / file).write_text(text)
        run(folder, "make", "graph")


def test_task_needs_six_files_and_a_source_one(added: tuple[Path, list[PurePosixPath]]) -> None:
    folder, task = added
    new = {name for name, state in changed(folder).items() if state == "??"}
    assert new == {*map(str, task), SOURCE}
    assert len(task) <= 6
    assert len({path.parent for path in task}) <= 4


def test_adding_them_changes_only_the_list_of_models(added: tuple[Path, list[PurePosixPath]]) -> None:
    folder, task = added
    run(folder, "make", "graph")
    generated = {"params/leaves-tiny.yaml", "pipelines/leaves-tiny/dvc.yaml"}
    new = dict.fromkeys([*map(str, task), SOURCE, *generated], "??")
    assert changed(folder) == new | {"dvc.yaml": " M"}


def test_stages_of_other_targets_stay_current(before: tuple[Path, Reasons], leaves: Path) -> None:
    _, earlier = before
    now = reasons(leaves)
    assert invalidated(earlier, now) == {target: set() for target in earlier}
    assert {stage for stage, found in now["leaves-tiny"].items() if found} == set()
    for stage in ("train", "package"):
        assert "nothing changed" in run(leaves, "bitbloom", "why", stage, "petals-tiny")


def test_new_task_predicts(leaves: Path) -> None:
    photo = sorted((leaves / "data/raw/leaves-tiny").glob("*/*.png"))[0]
    prediction = json.loads(run(leaves, "bitbloom", "predict", "leaves-tiny", str(photo)))
    assert prediction["label"] in TREES
    assert {each["label"] for each in prediction["top5"]} == TREES


def test_new_task_has_the_service_and_page_of_its_kind(leaves: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    photo = sorted((leaves / "data/raw/leaves-tiny").glob("*/*.png"))[0]
    prediction = json.loads(run(leaves, "bitbloom", "predict", "leaves-tiny", str(photo)))
    page = archive.read(leaves / "dist/leaves-tiny.bento", "src/page/index.html").decode()
    assert "<h1>Which tree is this leaf of?</h1>" in page
    with installed(leaves, "leaves-tiny", tmp_path_factory) as served:
        assert httpx.get(served.url).text == page
        assert httpx.get(f"{served.url}/service.json").json()["task"] == "leaves"
        assert httpx.post(f"{served.url}/predict", content=photo.read_bytes()).json()["label"] == prediction["label"]


def test_new_service_key_invalidates_only_packaging(before: tuple[Path, Reasons]) -> None:
    folder, _ = before
    earlier = reasons(folder)
    file = "src/bitbloom/config/sections/service.py"
    with edited(folder, file, '    greeting: str = ""\n    """What the page says first."""\n'):
        assert "greeting" in (folder / "params/petals-tiny.yaml").read_text()
        assert invalidated(earlier, reasons(folder)) == {target: {"package"} for target in earlier}
        found = depend_on(folder, file)
    assert found == {target: ["package"] for target in found}


def test_new_figure_invalidates_only_evaluation(before: tuple[Path, Reasons]) -> None:
    folder, _ = before
    earlier = reasons(folder)
    file = "src/bitbloom/evaluation/report/plots.py"
    with edited(folder, file, '\n\ndef blank() -> Figure:\n    """Nothing."""\n    return style.figure(1, 1)\n'):
        assert invalidated(earlier, reasons(folder)) == {target: {"evaluate"} for target in earlier}
        found = depend_on(folder, file)
    assert found == {target: ["evaluate"] for target in found}
