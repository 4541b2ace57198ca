"""`bitbloom build`: its calls of DVC, its errors, and the separate workspace of a variant."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf
from PIL import Image

from bitbloom.config import target as targets
from bitbloom.config.target import params_path
from bitbloom.core import canonical, checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, composition, external, graph, recovery, summary
from bitbloom.pipeline.terminal import Narrator
from support.tiny import REPOSITORY

WHOLE = """\
schema: '2.0'
stages:
  ingest:
    cmd: python -m bitbloom.stages.ingest petals
    deps:
    - path: requirements.lock
      hash: md5
      md5: 58b06ed902161a8be1df9f7b44bca0b0
      size: 324902
    outs:
    - path: data/raw/petals
      hash: md5
      md5: 58b06ed902161a8be1df9f7b44bca0b0.dir
      size: 1000
      nfiles: 10
"""
"""A lock in DVC's format."""
PORTABLE = OmegaConf.create({"numerics": {"profile": "portable"}})


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A DVC repository with this project's code, configuration and generated files, without outputs."""
    for name in build.SHARED:
        (tmp_path / name).symlink_to(REPOSITORY / name)
    shutil.copytree(REPOSITORY / "params", tmp_path / "params")
    shutil.copytree(REPOSITORY / "pipelines", tmp_path / "pipelines", ignore=shutil.ignore_patterns("dvc.lock"))
    shutil.copyfile(REPOSITORY / "dvc.yaml", tmp_path / "dvc.yaml")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    no_scm = true\n    analytics = false\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    monkeypatch.setenv("WORKERS", "1")
    return tmp_path


def test_missing_own_data_error_names_the_command(repository):
    with pytest.raises(BitBloomError, match="make all TARGET=petals-folder PHOTOS=path/to/photos"):
        build.build("petals-folder", "ingest")


def test_weights_of_the_audit_are_no_start_of_a_model(repository):
    with pytest.raises(BitBloomError, match=r"'locked:efficientnet-lite0': no model can start .* minilm, vit-s-dinov2$"):
        build.check("petals", "train", ["model.weights=locked:efficientnet-lite0"])


def test_import_error_names_targets_that_take_own_data(repository):
    with pytest.raises(BitBloomError, match=r"takes no own data .*petals-folder or .*tweets-kaggle"):
        external.take("petals-tiny", str(repository))


def test_unknown_stage_error_lists_the_stages():
    with pytest.raises(BitBloomError, match=r"'petals-tiny' has no stage 'bake'; it has: ingest, validate, .*, all"):
        build.build("petals-tiny", "bake")


def test_build_environment_has_pins_and_puts_the_venv_first(monkeypatch):
    monkeypatch.setenv("PATH", "/elsewhere")
    found = build.environ("portable")
    assert found["ATEN_CPU_CAPABILITY"] == "avx2"
    assert found["PATH"].split(":") == [str(Path(sys.executable).parent), "/elsewhere"]


def test_variant_has_its_own_parameters(repository):
    tiny = graph.pipeline("petals-tiny")
    (repository / tiny / "dvc.lock").write_text(WHOLE)
    read = (tiny / "dvc.lock", tiny / "dvc.yaml", params_path("petals-tiny"))
    before = {path: (repository / path).read_bytes() for path in read}
    one, again, other = (build.variant("petals-tiny", [f"train.epochs={epochs}"]) for epochs in (3, 3, 4))
    assert one == again != other
    assert targets.load(one / params_path("petals-tiny"), ["train"])["train"].epochs == 3
    assert yaml.safe_load((one / tiny / "dvc.yaml").read_text())["stages"].keys() == graph.WRITES.keys() - {"features"}
    assert {path: (repository / path).read_bytes() for path in before} == before
    for shared in build.SHARED:
        assert (one / shared).resolve() == (REPOSITORY / shared).resolve()


def test_equal_configurations_are_the_same_variant(repository):
    one = build.variant("petals-tiny", ["train.epochs=3", "train.seed=7"])
    assert build.variant("petals-tiny", ["train.seed=7", "train.epochs=3"]) == one


def test_variant_links_to_own_data(repository):
    (repository / "data/external/petals-folder").mkdir(parents=True)
    (repository / "data/external/petals-folder/photo").write_text("petals")
    place = build.variant("petals-folder", ["train.epochs=3"])
    assert (place / "data/external/petals-folder/photo").read_text() == "petals"


def test_build_with_overrides_runs_in_its_variant_and_is_cached(repository, capfd):
    arguments = ("petals-tiny", "ingest", ["source.images=24", "source.size=32"])
    place = build.build(*arguments)
    assert len(list((place / "data/raw/petals-tiny").rglob("*.jpg"))) == 24
    assert not (repository / "data").exists()
    lock = graph.lock("petals-tiny")
    assert not (repository / lock).exists()
    assert (place / recovery.COMPLETE / "petals-tiny.lock").read_bytes() == (place / lock).read_bytes()
    capfd.readouterr()
    shutil.rmtree(place / "data/raw/petals-tiny")
    assert build.build(*arguments) == place
    assert "24 samples" not in capfd.readouterr().out
    assert len(list((place / "data/raw/petals-tiny").rglob("*.jpg"))) == 24


def test_failing_stage_stops_the_build_with_its_message(repository, capfd):
    with pytest.raises(BitBloomError, match=r"the build stopped \(dvc repro: exit code \d+\)"):
        build.build("petals-tiny", "validate", ["source.images=24", "source.size=32"])
    assert "does not pass the gate" in capfd.readouterr().err


def test_imports_photos_and_adds_them_to_dvc_once(repository, monkeypatch):
    for label in ("rose", "tulip"):
        (repository / "mine" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40), "red").save(repository / "mine" / label / "one.png")
    external.take("petals-folder", str(repository / "mine"))
    tracked = repository / "data/external/petals-folder.dvc"
    before = tracked.read_text()
    assert yaml.safe_load(before)["outs"][0]["nfiles"] == 2
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("DVC was called without new data"))
    external.take("petals-folder", str(repository / "mine"))
    assert tracked.read_text() == before


def test_import_follows_the_overrides_of_the_build(repository):
    for name in ("seg_train/seg_train/rose", "seg_train/seg_train/tulip", "seg_test/seg_test/rose", "seg_test/seg_test/tulip"):
        (repository / "mine" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), "red").save(repository / "mine" / name / "one.png")
    with pytest.raises(BitBloomError, match=r"seg_test, seg_train look like splits: SET=source\.splits=given uses them"):
        external.take("petals-folder", str(repository / "mine"))
    assert not (repository / "data/external/petals-folder").exists()
    external.take("petals-folder", str(repository / "mine"), ["source.splits=given"])
    assert sorted(path.name for path in (repository / "data/external/petals-folder").iterdir()) == ["test", "train"]


def hand_change(folder: Path) -> None:
    Image.new("RGB", (40, 40), "blue").save(folder / "rose/one.png")


def hand_add(folder: Path) -> None:
    Image.new("RGB", (40, 40), "blue").save(folder / "rose/two.png")


def hand_remove(folder: Path) -> None:
    (folder / "rose/one.png").unlink()


def hand_rename(folder: Path) -> None:
    (folder / "rose").rename(folder / "peony")


def hand_copy_of_older_file(folder: Path) -> None:
    hand_change(folder)
    os.utime(folder / "rose/one.png", (1, 1))


BY_HAND = [hand_change, hand_add, hand_remove, hand_rename, hand_copy_of_older_file]
TRACKED = Path("data/external/petals-folder.dvc")


@pytest.fixture
def imported(repository, monkeypatch):
    """A repository with imported photos. Returns the list of `.dvc` contents at the start of each build."""
    for label in ("rose", "tulip"):
        (repository / "mine" / label).mkdir(parents=True)
        Image.new("RGB", (40, 40), "red").save(repository / "mine" / label / "one.png")
    external.take("petals-folder", str(repository / "mine"))
    built = []
    monkeypatch.setattr(build, "dvc_repro", lambda *_, **__: built.append(TRACKED.read_text()))
    return built


@pytest.mark.parametrize(
    ("change", "overrides"),
    [
        (BY_HAND[0], ()),
        *(pytest.param(change, (), marks=pytest.mark.slow) for change in BY_HAND[1:]),
        (hand_change, ("train.epochs=1",)),
    ],
)
def test_photo_changed_by_hand_is_recorded_before_the_build(imported, capsys, change, overrides):
    before = TRACKED.read_text()
    change(TRACKED.with_suffix(""))
    build.build("petals-folder", "ingest", overrides)
    assert imported == [TRACKED.read_text()]
    assert imported != [before]
    assert "data/external/petals-folder was changed by hand" in capsys.readouterr().out
    build.build("petals-folder", "ingest", overrides)
    assert imported[1] == imported[0]
    assert "by hand" not in capsys.readouterr().out


@pytest.mark.parametrize("change", BY_HAND[:2])
def test_build_does_not_choose_between_a_pulled_record_and_changed_photos(imported, change):
    pulled = TRACKED.read_text().replace("md5: ", "md5: 0", 1)
    TRACKED.write_text(pulled)
    change(TRACKED.with_suffix(""))
    with pytest.raises(
        BitBloomError, match=rf"`dvc checkout {TRACKED}` restores .* `dvc add data/external/petals-folder` records"
    ):
        build.build("petals-folder", "ingest")
    assert TRACKED.read_text() == pulled
    assert imported == []


def test_unchanged_photos_change_no_record(imported):
    before = TRACKED.read_text()
    build.build("petals-folder", "ingest")
    assert imported == [before]


def _hold(folder: str, held, release) -> None:
    with contextlib.chdir(folder), build.build_lock():
        held.set()
        release.wait(20)


def test_second_build_waits_for_the_first(repository, capsys):
    context = multiprocessing.get_context("spawn")
    held, release = context.Event(), context.Event()
    first = context.Process(target=_hold, args=(str(repository), held, release))
    first.start()
    assert held.wait(20)
    threading.Timer(0.3, release.set).start()
    with build.build_lock():
        assert release.is_set()
    first.join()
    assert "another build is running in this checkout: waiting for it" in capsys.readouterr().err


def test_summary_shows_outputs_and_next_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").symlink_to(REPOSITORY / "conf")
    (tmp_path / "reports/petals-tiny").mkdir(parents=True)
    (tmp_path / "reports/petals-tiny/metrics.json").write_text('{"accuracy": 0.95, "macro_f1": 0.9, "log_loss": 1.0}')
    (tmp_path / "reports/petals-tiny/index.html").write_text("")
    (tmp_path / "models/petals-tiny").mkdir(parents=True)
    (tmp_path / "models/petals-tiny/model.safetensors").write_bytes(b"")
    (tmp_path / "reports/petals-tiny/bento.json").write_text('{"digest": "0123"}')
    summary.show("petals-tiny", Path(), "all")
    shown = capsys.readouterr().out
    for part in (
        "accuracy  0.9500",
        "macro f1  0.9000",
        "weights   sha256:e3b0c442",
        "Bento     sha256:0123",
        "reports/petals-tiny/index.html",
        "make serve TARGET=petals-tiny",
    ):
        assert part in shown
    assert "data" not in shown.replace("petals-tiny", "")
    summary.show("petals", Path(), "train")
    assert "make evaluate TARGET=petals\n" in capsys.readouterr().out


@pytest.mark.parametrize(("int8", "file"), [(False, "model.onnx"), (True, "model.int8.onnx")])
def test_summary_names_the_model_as_the_service_does(tmp_path, int8, file):
    tree = composition.compose("petals-tiny", [f"service.int8={str(int8).lower()}"])
    canonical.write_text(tmp_path / params_path("petals-tiny"), composition.yaml_text(tree))
    for name in ("model.onnx", "model.int8.onnx"):
        canonical.write_text(tmp_path / "models/petals-tiny" / name, name)
    assert list(summary.digests("petals-tiny", tmp_path)) == [("model", hashlib.sha256(file.encode()).hexdigest())]


@pytest.fixture
def several(tmp_path, monkeypatch):
    """A checkout in which two targets can be built. Returns a function that replaces DVC."""
    for shared in build.SHARED:
        (tmp_path / shared).symlink_to(REPOSITORY / shared)
    monkeypatch.setenv("WORKERS", "2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build.graph, "write_for", lambda _: [])
    return lambda dvc: monkeypatch.setattr(build, "dvc_repro", dvc)


def test_several_targets_train_in_turn_and_run_other_stages_in_parallel(several):
    both, training, rounds = threading.Barrier(2), threading.Lock(), []

    def dvc(_place, stages, _environment, label, **_):
        rounds.append((label, stages))
        if label:
            both.wait(60)  # fails unless the other target's stages run at the same time
        else:
            assert training.acquire(blocking=False), "two trainings at the same time"
            time.sleep(0.05)
            training.release()

    several(dvc)
    build.build_all(["petals-tiny", "tweets-tiny"])
    ends = {"petals-tiny": [], "tweets-tiny": []}
    for _, stages in rounds:
        target = Path(stages[0]).parent.name
        ends[target].append([name.rpartition(":")[2] for name in stages])
        assert stages == [graph.stage_name(stage, target) for stage in ends[target][-1]]
    assert ends["petals-tiny"] == ends["tweets-tiny"] == [["prepare"], ["train"], ["evaluate", "package"]]
    assert not recovery.BUILDING.exists()


def test_stages_after_training_run_in_parallel_with_labelled_lines(tmp_path, monkeypatch):
    done = []

    def dvc(_place, stages, _environment, label="", **_):
        if label:
            both.wait(60)  # fails unless the other branch runs at the same time
        done.append((label, stages))

    both = threading.Barrier(2)
    monkeypatch.setenv("WORKERS", "2")
    monkeypatch.setattr(build, "dvc_repro", dvc)
    build.repro(tmp_path, "petals", ("evaluate", "package"), composition.compose("petals"))
    evaluated = ["--single-item", graph.stage_name("evaluate", "petals")]
    packaged = ["--single-item", *(graph.stage_name(stage, "petals") for stage in ("export", "package"))]
    assert done[0] == ("", [graph.stage_name("train", "petals")])
    assert sorted(done[1:]) == [("evaluate", evaluated), ("package", packaged)]


@pytest.mark.parametrize(
    ("workers", "config"),
    [("1", ""), ("2", "[core]\n    remote = store\n['remote \"store\"']\n    url = ssh://host/data\n")],
    ids=["one worker", "a remote of DVC alone"],
)
def test_one_worker_or_a_remote_of_dvc_alone_needs_one_dvc_call(tmp_path, monkeypatch, workers, config):
    done = []
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text(config)
    monkeypatch.setenv("WORKERS", workers)
    monkeypatch.setattr(build, "dvc_repro", lambda _place, stages, _environment, **_: done.append(stages))
    build.repro(tmp_path, "petals", ("evaluate", "package"), PORTABLE)
    assert done == [[graph.stage_name(stage, "petals") for stage in ("evaluate", "package")]]


def test_failing_target_is_named_after_the_others_finish(several):
    started = []

    def dvc(_place, _stages, _environment, label, **_):
        started.append(label)
        if label == "tweets-tiny":
            raise BitBloomError("the gate failed")

    several(dvc)
    with pytest.raises(build.Stopped, match=r"^tweets-tiny stopped before the end of prepare") as stopped:
        build.build_all(["tweets-tiny", "petals-tiny"])
    assert list(stopped.value.failed) == ["tweets-tiny"]
    assert sorted(started) == ["petals-tiny", "tweets-tiny"]
    assert not recovery.BUILDING.exists()


def test_recovers_locks_after_one_of_several_dvc_processes_was_killed(several):
    locks = {target: graph.lock(target) for target in ("tweets-tiny", "petals-tiny")}
    for lock in locks.values():
        canonical.write_text(lock, WHOLE)

    def dvc(_place, _stages, _environment, label, **_):
        locks[label].write_text(WHOLE[:100] if label == "tweets-tiny" else WHOLE + "  more: {}\n")
        if label == "tweets-tiny":
            raise recovery.Killed("killed")

    several(dvc)
    with pytest.raises(recovery.Killed, match="tweets-tiny"):
        build.build_all(list(locks))
    recovery.recover(Path(), [])
    assert [lock.read_text() for lock in locks.values()] == [WHOLE, WHOLE]


DVC = """\
Stage 'pipelines/petals/dvc.yaml:ingest' didn't change, skipping
Stage 'pipelines/petals/dvc.yaml:validate' is cached - skipping run, checking out outputs
Updating lock file 'pipelines/petals/dvc.lock'

Running stage 'pipelines/petals/dvc.yaml:train':
> python -m bitbloom.stages.train petals
epoch 1: train_loss 0.5
Generating lock file 'pipelines/petals/dvc.lock'

To track the changes with git, run:

\tgit add pipelines/petals/dvc.lock

To enable auto staging, run:

\tdvc config core.autostage true
Use `dvc push` to send your updates to remote storage.
"""


def test_numbers_stages_and_drops_advice_for_users_of_dvc():
    seconds = iter([0, 1, 69, 3723])
    spoken = Narrator(lambda: ["ingest", "validate", "train"], clock=lambda: next(seconds))
    assert [line for text in DVC.splitlines() if (line := spoken.line(text)) is not None] == [
        "stage 1 of 3, 0:01: ingest: unchanged",
        "stage 2 of 3, 1:09: validate: from the cache",
        "stage 3 of 3, 1:02:03: train: fit the model on the train split",
        "epoch 1: train_loss 0.5",
    ]


def test_narrates_a_build_by_dvc(repository, capfd):
    for _ in range(2):
        build.build("petals-tiny", "ingest", ["source.images=24", "source.size=32"])
    lines = capfd.readouterr().out.splitlines()
    numbered = [line for line in lines if line.startswith("stage")]
    assert [re.sub(r"\d:\d\d", "0:00", line) for line in numbered] == [
        f"stage 1 of 1, 0:00: ingest: {graph.DOES['ingest']}",
        "stage 1 of 1, 0:00: ingest: unchanged",
    ]
    assert not re.search("dvc push|lock file|Running stage|python -m", "".join(lines))


def test_labels_lines_of_parallel_builds(tmp_path, capfd):
    (tmp_path / "dvc").write_text("#!/bin/sh\necho one; echo two >&2\nexit 3\n")
    (tmp_path / "dvc").chmod(0o755)
    with pytest.raises(BitBloomError, match="exit code 3"):
        build.dvc_repro(tmp_path, ["x"], {"PATH": f"{tmp_path}:{os.environ['PATH']}"}, "petals", narrator=Narrator(list))
    assert capfd.readouterr().out == "petals | one\npetals | two\n"


KILLED = """
import os, sys
from pathlib import Path
from bitbloom.pipeline import build
from bitbloom.pipeline.terminal import Narrator
build.dvc_repro(Path(), ["x"], os.environ, narrator=Narrator(list))
"""


def test_dvc_goes_on_when_only_the_build_is_killed(tmp_path):
    """It and its stages still write lines, without a reader."""
    (tmp_path / "dvc").write_text(
        f"#!{sys.executable}\nimport sys, time\nprint('epoch 1', flush=True)\nsys.stdin.readline()\n"
        "print('epoch 2' * 100_000, flush=True)\nopen('trained', 'w').close()\n"
    )
    (tmp_path / "dvc").chmod(0o755)
    variables = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": str(checkout.PACKAGE.parent)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=tmp_path, env=variables, **pipes) as process:
        assert process.stdout.readline() == b"epoch 1\n"
        process.kill()
        process.wait()
        process.stdin.write(b"go on\n")
    end = time.monotonic() + 30
    while not (tmp_path / "trained").exists():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_kernel_lock_lasts_as_long_as_child_processes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with build.build_lock():
        child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        with (tmp_path / recovery.STATE / "build.lock").open() as stream, pytest.raises(BlockingIOError):
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        child.kill()
        child.wait()
