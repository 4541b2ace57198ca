"""Versions of data: those of the working tree, those that a git revision names, and the command that compares them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from dvc.repo import Repo
from PIL import Image

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.splits import split_of
from bitbloom.pipeline import composition
from bitbloom.versions import command, data
from bitbloom.versions.diff import ADDED, MOVED, RELABELLED, REMOVED, UNCHANGED, Sample
from support.command_line import run
from support.synthetic_manifest import manifest

RAW = Path("data/raw/petals")
PERCENTS = [70, 10, 20]
STAGE = """stages:
  ingest:
    cmd: 'true'
    wdir: ../..
    outs:
    - data/raw/petals
"""


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=t", "-c", "user.email=t@t", *arguments], check=True, capture_output=True)


def write_data(rows: pd.DataFrame) -> None:
    """Write photos and manifest."""
    shutil.rmtree(RAW, ignore_errors=True)
    for path in rows["path"]:
        (RAW / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), "red").save(RAW / path, "JPEG")
    rows.to_parquet(RAW / "manifest.parquet", index=False)


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """A repository with a commit without build, and one whose dvc.lock names three photos in DVC's cache."""
    folder = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        git("init", "-q", "-b", "main")
        Repo.init(".").close()
        canonical.write_text(Path("pipelines/petals/dvc.yaml"), STAGE)
        canonical.write_text(Path("params/petals.yaml"), f"prepare:\n  split: {PERCENTS}\n")
        canonical.write_text(Path(".gitignore"), "/data\n")
        git("add", "-A")
        git("commit", "-qm", "start")
        write_data(manifest(each=1))
        with Repo(".") as repo:
            repo.commit("pipelines/petals/dvc.yaml", force=True)
        git("add", "-A")
        git("commit", "-qm", "data")
    return folder


@pytest.fixture
def project(committed, tmp_path, monkeypatch):
    """A copy of the repository, in which a test may change what it wants."""
    shutil.copytree(committed, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.usefixtures("project")
def test_revision_has_the_data_that_its_lock_names():
    shutil.rmtree("data")
    version = data.of_revision("petals", "HEAD")
    assert [one.id for one in version.samples] == ["daisy/000.jpg", "rose/000.jpg", "tulip/000.jpg"]
    assert version.read("rose/000.jpg").startswith(b"\xff\xd8")
    assert version.photos


@pytest.mark.usefixtures("project")
def test_whole_hash_of_a_commit_is_shortened():
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    assert data.of_revision("petals", commit).name == commit[:10]


@pytest.mark.usefixtures("project")
def test_photo_moved_to_another_class_is_relabelled_and_new_photos_are_added():
    rows = manifest(each=2)
    rows.loc[rows["id"] == "rose/000.jpg", ["id", "path", "label"]] = ["tulip/009.jpg", "tulip/009.jpg", "tulip"]
    write_data(rows[rows["id"] != "daisy/000.jpg"])
    done = command.run("petals", "HEAD")
    assert {name: count for name, count in done.found.counts.items() if count} == {
        RELABELLED: 1,
        ADDED: 3,
        REMOVED: 1,
        UNCHANGED: 1,
    }
    command.write_page(done, Path("page.html"))
    assert "rose → tulip" in Path("page.html").read_text()


@pytest.mark.usefixtures("project")
def test_splits_follow_from_keys_if_nothing_is_prepared():
    rows = manifest(each=1)
    version = data.of_working_tree("petals")
    assert [one.split for one in version.samples] == [split_of(key, PERCENTS) for key in rows["key"]]
    assert "splits follow from keys" in version.notes[0]


@pytest.mark.usefixtures("project")
def test_splits_are_those_that_were_prepared():
    rows = manifest(each=1)
    prepared = pd.DataFrame({"id": rows["id"], "key": rows["key"], "split": "val"})
    prepared.loc[0, "key"] = "of other content"
    Path("data/processed/petals").mkdir(parents=True)
    prepared.to_parquet("data/processed/petals/samples.parquet", index=False)
    version = data.of_working_tree("petals")
    assert [one.split for one in version.samples] == [split_of(rows["key"][0], PERCENTS), "val", "val"]
    assert version.notes == []


@pytest.mark.usefixtures("project")
def test_changed_percentages_move_samples():
    canonical.write_text(Path("params/petals.yaml"), "prepare:\n  split: [0, 0, 100]\n")
    done = command.run("petals", "HEAD")
    assert done.found.counts[MOVED] == sum(split_of(key, PERCENTS) != "test" for key in manifest(each=1)["key"]) > 0


@pytest.mark.usefixtures("project")
def test_given_split_counts_and_rows_that_cannot_be_decoded_have_none():
    rows = manifest(each=1)
    rows["attributes"] = [json.dumps({"split": split}) for split in ("test", "val", "train")]
    rows["decodable"] = [True, False, True]
    assert data.by_law(rows, PERCENTS)[:2] == ["test", ""]
    assert data.by_law(rows, None) == ["", "", ""]


def test_texts_have_keyword_and_location_and_sentences_are_listed():
    row = {"id": "1", "text": "fire", "keyword": "arson", "location": None, "captions": '["a rose", "a red rose"]'}
    [one] = data.samples(pd.DataFrame([row]), ["train"])
    assert one == Sample("1", split="train", text="arson | fire", sentences=("a rose", "a red rose"))


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize(
    ("revision", "message"),
    [
        ("nowhere", "git has no revision 'nowhere'"),
        ("HEAD~1", r"revision HEAD~1 has no data of petals: its pipelines/petals/dvc.lock does not exist. Name a revision"),
    ],
)
def test_revision_without_data_is_explained(revision, message):
    with pytest.raises(BitBloomError, match=message):
        data.of_revision("petals", revision)


@pytest.mark.usefixtures("project")
def test_data_in_no_cache_and_no_remote_are_explained():
    shutil.rmtree(".dvc/cache")
    with pytest.raises(BitBloomError, match=r"the data of petals at revision HEAD are not here: .*manifest\.parquet is neither"):
        data.of_revision("petals", "HEAD")


def test_data_come_from_a_remote_that_was_configured_after_the_revision(project):
    with Repo(".") as repo, repo.config.edit() as config:
        config["remote"]["store"] = {"url": str(project / "store")}
        config["core"]["remote"] = "store"
    with Repo(".") as repo:
        repo.push()
    shutil.rmtree(".dvc/cache")
    shutil.rmtree("data")
    version = data.of_revision("petals", "HEAD")
    assert len(version.samples) == 3
    assert version.read("rose/000.jpg").startswith(b"\xff\xd8")


@pytest.mark.usefixtures("project")
def test_working_tree_without_data_is_explained():
    shutil.rmtree("data")
    with pytest.raises(BitBloomError, match="run `make data TARGET=petals` first"):
        data.of_working_tree("petals")


@pytest.fixture
def known_target(monkeypatch):
    monkeypatch.setattr(composition, "compose", lambda target: None)


@pytest.mark.usefixtures("project", "known_target")
def test_command_writes_page_and_summary(capsys):
    code, out, err = run(capsys, "data-diff", "petals", "HEAD")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "No difference: all 3 samples are the same.",
        "reports/petals/data-diff.html",
        "reports/petals/data-diff.md",
    ]
    assert Path("reports/petals/data-diff.md").read_text().startswith("### petals: data since HEAD")


@pytest.mark.usefixtures("project", "known_target")
def test_command_fails_if_samples_moved(capsys):
    canonical.write_text(Path("params/petals.yaml"), "prepare:\n  split: [0, 0, 100]\n")
    code, out, err = run(capsys, "data-diff", "petals", "HEAD", "--out", "diff")
    assert code == command.MOVED
    assert "samples moved between splits" in err
    assert "diff/data-diff.html" in out


@pytest.mark.usefixtures("project", "known_target")
def test_accept_data_names_the_file_and_what_is_missing(capsys):
    code, out, _ = run(capsys, "accept-data", "petals")
    assert code == 0
    assert out.startswith("expectations/profiles/petals.json: written, 3 rows\nwithout embedding centroids: models/petals/")
