"""A build with a remote: what it pulls, and that it never needs the remote for what it can make."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import composition, graph
from bitbloom.pipeline.remote import opening, prefetch, records, settings
from bitbloom.pipeline.remote.folder import Folder
from bitbloom.pipeline.remote.push import push
from remote.conftest import TARGET, contents
from remote.test_transfer import PHOTO, damage, second


def before_build(own: tuple[str, ...] = ()) -> list[str]:
    """What a build of the first two stages does first."""
    stages = graph.stages(TARGET, composition.compose(TARGET))[:2]
    return prefetch.prefetch(Path(), TARGET, stages, own)


def test_build_pulls_what_the_lock_records_for_the_present_code(built, monkeypatch):
    push(TARGET, "validate")
    other = second(built, monkeypatch)
    before_build()
    assert other.missing == 0


def test_build_pulls_the_run_that_another_machine_recorded(built, monkeypatch):
    run = built.record_run()
    push(TARGET, "validate")
    other = second(built, monkeypatch)
    (other.folder / graph.lock(TARGET)).unlink()
    before_build()
    assert (other.cache.root / run.relative_to(built.cache.root)).is_file()
    assert [name for name, _ in contents() if not other.cache.has(name)] == [contents()[-1][0]]


@pytest.mark.parametrize(
    ("key", "value", "found"), [("model.kind", "image", True), ("model.kind", "text", False), ("model", {}, False)]
)
def test_key_of_a_parameter_leads_into_its_section(tmp_path, key, value, found):
    (tmp_path / "params.yaml").write_text("model:\n  kind: image\n  rate: 1e-05\n")
    stage = graph.Stage("ingest", "x", (), (), (), ("data/raw/x",), ())
    record = records.Record("ingest", stage.as_dvc()["cmd"], {}, {"params.yaml": {key: value}}, ())
    assert (records.matching(tmp_path, [stage], [record]) == {"ingest": record}) is found


def test_build_pulls_nothing_of_other_code(built, monkeypatch):
    push(TARGET, "validate")
    other = second(built, monkeypatch)
    lock = other.folder / graph.lock(TARGET)
    read = YAML(typ="safe").load(lock.read_text())
    for stage in read["stages"].values():
        stage["deps"][0]["md5"] = "0" * 32
    with lock.open("w") as stream:
        YAML().dump(read, stream)
    before_build()
    assert other.missing == len(contents())


def test_complete_build_sends_no_request(built, monkeypatch):
    monkeypatch.setattr(prefetch, "opened", None)
    before_build()
    assert built.missing == 0


def test_unreachable_remote_does_not_stop_a_build(built, monkeypatch, capsys):
    other = second(built, monkeypatch)
    shutil.rmtree(settings.required().url)
    before_build()
    assert "building without the remote: " in capsys.readouterr().err
    assert other.missing == len(contents())


def test_damaged_object_does_not_stop_a_build(built, monkeypatch, capsys):
    push(TARGET, "validate")
    damage(settings.required().url)
    other = second(built, monkeypatch)
    before_build()
    assert "data/raw/petals-tiny: damaged in the remote: this build makes it" in capsys.readouterr().err
    assert not other.cache.has(PHOTO)


def test_own_data_comes_from_the_remote_or_stops_the_build(built, monkeypatch):
    push(TARGET, "validate")
    other = second(built, monkeypatch)
    tracked = other.folder / "data/external/mine.dvc"
    tracked.parent.mkdir(parents=True)
    tracked.write_text(f"outs:\n- md5: {contents()[0][0]}\n  hash: md5\n  path: mine\n")
    assert before_build(("data/external/mine",)) == ["data/external/mine"]
    tracked.write_text(f"outs:\n- md5: {'0' * 32}.dir\n  hash: md5\n  path: mine\n")
    with pytest.raises(BitBloomError, match=r"data/external/mine was never pushed to .*: `make push` where the data is"):
        before_build(("data/external/mine",))


def test_damaged_record_of_a_run_is_not_used(built, monkeypatch, capsys):
    run = built.record_run()
    push(TARGET, "validate")
    stored = Path(settings.required().url) / run.relative_to(built.cache.root)
    stored.chmod(0o644)
    stored.write_text(stored.read_text().replace(contents()[0][0], "0" * 32 + ".dir"))
    other = second(built, monkeypatch)
    before_build()
    assert "is damaged: this build does not use it" in capsys.readouterr().err
    assert not list(other.cache.runs())


def test_name_of_a_run_is_the_one_that_dvc_gives():
    from dvc.utils import dict_sha256

    entry = {"cmd": "x", "deps": [{"path": "a", "md5": "b", "size": 3}], "outs": [{"path": "c", "nfiles": 2, "size": 1}]}
    assert records.run_digest(entry) == dict_sha256(entry, exclude=["size", "nfiles"])


def test_remote_that_only_dvc_reads_is_left_to_dvc(built, monkeypatch):
    built.use("ssh://host/data")
    monkeypatch.setattr(opening, "unchecked", None)
    assert before_build(("data/external/mine",)) == []
    with pytest.raises(BitBloomError, match="use `dvc push` and `dvc pull`"):
        settings.required()


def test_partial_files_in_a_folder_are_no_objects(tmp_path):
    (tmp_path / "runs/ab/key").mkdir(parents=True)
    (tmp_path / "runs/ab/key/.x.partial").write_text("half")
    (tmp_path / "runs/ab/key/value").write_text("whole")
    assert Folder(tmp_path).names("runs") == ["runs/ab/key/value"]
