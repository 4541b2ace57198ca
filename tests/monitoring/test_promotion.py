"""Promotion and rollback of Bentos by digest: what serves, what is kept, what is rejected."""

from __future__ import annotations

import fcntl
import shutil
from pathlib import Path

import pytest

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.retrain import promotion, run
from bitbloom.monitoring.retrain.compare import Comparison, Part, Rule
from bitbloom.monitoring.retrain.labelled import Joined, Labelled
from bitbloom.pipeline import build
from bitbloom.serving import archive, bento, store


def write_bento(path: Path, model: bytes, target: str = "petals") -> Path:
    """An archive with the parts of a Bento that have a meaning for a promotion."""
    folder = path.parent / f".{path.stem}"
    (folder / "src").mkdir(parents=True)
    (folder / "src/model.onnx").write_bytes(model)
    canonical.write_json(folder / "src/provenance.json", {"target": target, "model_digest": model.hex(), "data_digest": "d"})
    (folder / bento.MANIFEST).write_text(f"name: {target}\nversion: x\ncreation_time: y\n")
    bento.name_after_content(folder)
    path.parent.mkdir(exist_ok=True)
    archive.write(folder, path)
    shutil.rmtree(folder)
    return path


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with the built Bento of `petals`, and a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path / "home"))
    write_bento(Path("dist/petals.bento"), b"old")
    write_bento(Path("dist/petals-log.bento"), b"new", "petals-log")
    write_bento(Path("dist/third.bento"), b"third", "petals-log")
    return tmp_path


def serving() -> str:
    return promotion.identity(promotion.serving("petals")).model


def test_build_serves_until_a_promotion():
    assert serving() == b"old".hex()
    assert promotion.history("petals") == []


def test_promotion_records_both_digests_and_installs_the_bento():
    entry = promotion.promote("petals", Path("dist/petals-log.bento"), {"why": "better"})
    record = canonical.read_json(Path("promotions/petals/record.json"))
    assert [one["action"] for one in record["entries"]] == ["initial", "promote"]
    last = record["entries"][-1]
    assert (last["serving"]["model"], last["previous"]["model"]) == (b"new".hex(), b"old".hex())
    assert len(last["serving"]["bento"]) == len(last["previous"]["bento"]) == 64
    assert last["reason"] == {"why": "better"}
    assert (store.folder() / "petals-log/latest").read_text() == bento.version(entry.serving.bento)
    assert serving() == b"new".hex()


def test_rollback_returns_to_the_previous_bento_after_another_build_replaced_it():
    promotion.promote("petals", Path("dist/petals-log.bento"))
    Path("dist/petals.bento").unlink()
    assert promotion.rollback("petals").serving.model == b"old".hex()
    assert serving() == b"old".hex()
    assert (store.folder() / "petals/latest").exists()


def test_rollback_by_digest_reaches_any_promoted_bento():
    first = promotion.promote("petals", Path("dist/petals-log.bento"))
    promotion.promote("petals", Path("dist/third.bento"))
    assert promotion.rollback("petals", first.serving.bento[:16]).serving == first.serving
    assert [entry.action for entry in promotion.history("petals")] == ["initial", "promote", "promote", "rollback"]


@pytest.mark.parametrize(("digest", "message"), [("ab", "too short"), ("0" * 16, "no promoted Bentos")])
def test_rollback_rejects_unknown_digests(digest, message):
    promotion.promote("petals", Path("dist/petals-log.bento"))
    with pytest.raises(BitBloomError, match=message):
        promotion.rollback("petals", digest)


def test_rollback_without_a_promotion_is_rejected():
    with pytest.raises(BitBloomError, match="nothing to roll back"):
        promotion.rollback("petals")


def test_bento_that_serves_is_not_promoted_again():
    promotion.promote("petals", Path("dist/petals-log.bento"))
    with pytest.raises(BitBloomError, match="already serves"):
        promotion.promote("petals", Path("dist/petals-log.bento"))


@pytest.mark.parametrize("content", [b"", b"words"])
def test_damaged_archive_changes_nothing(content):
    Path("dist/petals-log.bento").write_bytes(content)
    with pytest.raises(BitBloomError, match="not an archive"):
        promotion.promote("petals", Path("dist/petals-log.bento"))
    assert promotion.history("petals") == []


def test_replaced_archive_is_not_rolled_back_to():
    entry = promotion.promote("petals", Path("dist/petals-log.bento"))
    shutil.copy("dist/third.bento", promotion.archive_of("petals", entry.previous))
    with pytest.raises(BitBloomError, match="holds another Bento"):
        promotion.rollback("petals")


def test_damaged_record_is_named():
    Path("promotions/petals").mkdir(parents=True)
    Path("promotions/petals/record.json").write_text('{"entries": [{}]}')
    with pytest.raises(BitBloomError, match=r"record\.json is damaged"):
        promotion.serving("petals")


def test_nothing_replaces_the_compared_bento_before_its_promotion(monkeypatch):
    held: list[bool] = []
    part = Part(20, 0.5, 0.9, 0, 8)
    joined = Joined([Labelled("", b"", "rose", "tulip")], "image", 1, 1, 0, 0, 0)

    def promote(*_: object) -> promotion.Entry:
        held.append(fcntl.LOCK_EX in build._held)
        return promotion.Entry("promote", 0, promotion.Identity("", "", "", ""))

    monkeypatch.setattr(run.labelled, "read", lambda _: joined)
    monkeypatch.setattr(run.targets, "write", lambda _: None)
    monkeypatch.setattr(run, "_import", lambda *_: None)
    monkeypatch.setattr(run.build, "build", lambda _: None)
    monkeypatch.setattr(run, "_compare", lambda *_: Comparison(part, part, ()))
    monkeypatch.setattr(run.promotion, "promote", promote)
    assert run.retrain("petals", "/log", Rule()).entry
    assert held == [True]
