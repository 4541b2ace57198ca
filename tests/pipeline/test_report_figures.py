"""The pictures of the exam report: of the graph, the history, builds, W&B's offline record, an emulated bucket, a service."""

from __future__ import annotations

import importlib
import io
import json
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
from PIL import Image

from support.checkouts import run
from support.tiny import REPOSITORY

FOLDER = REPOSITORY / "scripts/report_figures"
TINY = "petals-tiny"


@pytest.fixture(scope="module")
def figures() -> Iterator[dict[str, ModuleType]]:
    """The modules of the pictures, by name. They import each other as scripts do."""
    sys.path.insert(0, str(FOLDER))
    names = [path.stem for path in FOLDER.glob("*.py") if path.stem != "__main__"]
    found = {name: importlib.import_module(name) for name in names}
    specification = importlib.util.spec_from_file_location("report_figures", FOLDER / "__main__.py")
    assert specification and specification.loader
    found["main"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(found["main"])
    yield found
    sys.path.remove(str(FOLDER))
    for name in names:
        sys.modules.pop(name, None)


def is_drawn(picture: bytes) -> bool:
    """Whether a picture has a size to read, and ink."""
    image = Image.open(io.BytesIO(picture)).convert("L")
    return image.width >= 900 and image.height >= 200 and min(image.getextrema()) < 60


def test_own_pictures_exist_and_are_shown(figures):
    assert figures["main"].problems(REPOSITORY) == []


def test_missing_large_and_idle_pictures_are_named(figures, tmp_path):
    (tmp_path / "reports/figures").mkdir(parents=True)
    (tmp_path / "reports/README.md").write_text("![a](figures/overview.png)")
    (tmp_path / "reports/figures/overview.png").write_bytes(bytes(200_001))
    (tmp_path / "reports/figures/more.png").write_bytes(b"1")
    found = figures["main"].problems(tmp_path)
    assert "reports/figures/wandb.png is missing: run `make figures`" in found
    assert "reports/figures/overview.png has 200,001 bytes; at most 200,000" in found
    assert "reports/figures/more.png is not in reports/README.md" in found
    assert not any("overview.png is" in line for line in found)


def test_architecture_is_that_of_the_graph_and_repeats(figures, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    overview = figures["overview"]
    rows, needs = overview.load("diagram").stages()
    assert [row.name for row in rows] == list(overview.ABOVE)
    drawn = []
    for stages in (needs, needs, needs | {"evaluate": {"prepare"}}):
        monkeypatch.setattr(overview, "load", lambda name, stages=stages: Diagram(stages))
        drawn.append(overview.draw(REPOSITORY)["overview.png"])
    assert is_drawn(drawn[0])
    assert drawn[0] == drawn[1] != drawn[2]
    monkeypatch.setattr(overview, "load", lambda name: Diagram(needs | {"sing": {"package"}}))
    with pytest.raises(KeyError, match="sing"):
        overview.draw(REPOSITORY)


class Diagram:
    """A stand-in for scripts/diagram.py with other stages."""

    def __init__(self, needs):
        self.needs = needs

    def stages(self):
        return [type("Row", (), {"name": name}) for name in self.needs], self.needs


def test_history_has_a_row_for_each_changed_digest(figures, monkeypatch, tmp_path):
    builds = figures["builds"]
    monkeypatch.setattr(builds, "ROOT", tmp_path)
    with pytest.raises(figures["canvas"].Missing, match="no git repository"):
        builds.draw(tmp_path)
    run(tmp_path, "git", "init", "-q")
    shown = []
    monkeypatch.setattr(builds, "table", lambda title, note, columns, rows: shown.append((note, rows)) or b"")
    (tmp_path / "digests").mkdir()
    for weights, bento in (("a", "b"), ("a", "c"), ("d", "e")):
        content = {"models/petals/model.safetensors": {"sha256": weights * 64}, "dist/petals.bento": {"sha256": bento * 64}}
        (tmp_path / "digests/petals.json").write_text(json.dumps(content))
        run(tmp_path, "git", "add", "-A")
        run(tmp_path, "git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", bento)
    builds.draw(tmp_path)
    ((note, rows),) = shown
    assert "3 in all" in note[0]
    assert [row[2:] for row in rows] == [
        ["d" * 8, "e" * 8, "weights, Bento"],
        ["a" * 8, "c" * 8, "Bento"],
        ["a" * 8, "b" * 8, "weights, Bento"],
    ]


def test_history_without_git_is_missing(figures, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(figures["canvas"].Missing, match="git does not start"):
        figures["builds"].draw(tmp_path)


@pytest.mark.parametrize("subject", ["images", "bucket", "monitoring", "runs"])
def test_subject_that_is_not_built_keeps_its_pictures(figures, monkeypatch, tmp_path, capsys, subject):
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr(figures["main"], "ROOT", tmp_path)
    figures["main"].draw(subject, tmp_path)
    assert capsys.readouterr().err.startswith(f"{subject}: ")
    assert not (tmp_path / "reports").exists()


@pytest.mark.slow
def test_bucket_lists_what_dvc_pushed(figures, built):
    shown = []
    bucket = figures["bucket"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket, "table", lambda title, note, columns, rows: shown.append(rows) or b"")
        bucket.draw(built, TINY)
    rows = {row[0]: row for row in shown[0]}
    size = (built / f"dist/{TINY}.bento").stat().st_size
    assert rows[f"dist/{TINY}.bento"][2:] == ["1", f"{size:,}"]
    photos = len([path for path in (built / f"data/raw/{TINY}").rglob("*") if path.is_file()])
    assert int(rows[f"data/raw/{TINY}"][2]) <= photos + 1


@pytest.mark.slow
def test_run_is_drawn_from_what_the_client_sends(figures, built, monkeypatch):
    run(built, "env", "WANDB_MODE=offline", f"WANDB_DIR={built}/.bitbloom", "bitbloom", "track", TINY)
    monkeypatch.chdir(built)
    runs = figures["runs"]
    (record,) = (built / ".bitbloom/wandb").glob("offline-run-*")
    rows, sent = runs.sent(record)
    assert [row["epoch"] for row in rows if "train_loss" in row] == list(range(1, 13))
    assert dict(runs.settings(json.loads(sent["config"])))["train.epochs"] == "12"
    pictures = runs.draw(built, TINY)
    assert all(is_drawn(picture) for picture in pictures.values())
    assert runs.draw(built, TINY) == pictures


@pytest.mark.slow
def test_metrics_are_those_of_the_requests(figures, built):
    monitoring = figures["monitoring"]
    photos = sorted((built / f"data/raw/{TINY}").rglob("*.jpg"))[:5]
    with monitoring.served(built / f"dist/{TINY}.bento") as url:
        samples = monitoring.after(url, photos)
    counted = {name: 0.0 for name, _, _ in samples}
    for name, _, value in samples:
        counted[name] += value
    assert counted["bitbloom_predictions_total"] == 5
    assert counted["bitbloom_rejections_total"] == 11
    assert is_drawn(monitoring.picture(samples, TINY, 5))
