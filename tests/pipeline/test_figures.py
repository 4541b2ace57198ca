"""Figures in README and docs equal those of the build: the check names stale ones, and the command updates them."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from bitbloom.core.digests import digest
from support.tiny import REPOSITORY

SCRIPT = REPOSITORY / "scripts/figures.py"
specification = importlib.util.spec_from_file_location("figures", SCRIPT)
assert specification and specification.loader
figures = importlib.util.module_from_spec(specification)
specification.loader.exec_module(figures)

METRICS = {"accuracy": 0.969432, "macro_f1": 0.96949}
NUMBERS = [{"metric": "accuracy", "value": 0.969432, "low": 0.9, "high": 1.0}, {"metric": "temperature", "value": 0.65}]
BASELINES = [{"baseline": "mean", "accuracy": 0.25}]
DATA = "05e54b41d60cd943" + "0" * 48


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with one built target and one page without figures."""
    build(tmp_path)
    (tmp_path / "docs").mkdir()
    (tmp_path / "README.md").write_text(
        "Accuracy 0.000<!-- mine accuracy -->, F1 0.970<!-- mine macro_f1 -->, "
        "of the mean 0.0<!-- mine baselines.mean.accuracy -->, at 0.00<!-- mine temperature -->.\n"
        "\n<!-- summary mine -->\n```text\n  accuracy  0.0000\n  data      sha256:00000000…\n```\n"
    )
    return tmp_path


def build(root: Path, metrics: dict[str, float] = METRICS, baselines: list[dict[str, object]] = BASELINES) -> None:
    """Write the outputs of a build of the target `mine`."""
    report = root / "reports/mine"
    (report / "tables").mkdir(parents=True, exist_ok=True)
    (report / "metrics.json").write_text(json.dumps(metrics))
    (report / "tables/numbers.json").write_text(json.dumps(NUMBERS))
    (report / "tables/baselines.json").write_text(json.dumps(baselines))
    claim = {
        **{f"reports/mine/{name}": {"sha256": digest(report / name)} for name in ("metrics.json", "tables")},
        "data/processed/mine": {"sha256": DATA},
    }
    (root / "digests").mkdir(exist_ok=True)
    (root / "digests/mine.json").write_text(json.dumps(claim))


def test_figures_are_rounded_once_to_the_shown_places(checkout):
    figures.write(checkout, checkout / "reports")
    text = (checkout / "README.md").read_text()
    assert "Accuracy 0.969<!-- mine accuracy -->, F1 0.969<!-- mine macro_f1 -->" in text
    assert "the mean 0.2<!-- mine baselines.mean.accuracy -->, at 0.65<!-- mine temperature -->" in text
    assert "  accuracy  0.9694\n  data      sha256:05e54b41…\n" in text
    assert list(figures.differences(checkout)) == []


def test_names_each_stale_figure_with_its_line(checkout):
    figures.write(checkout, checkout / "reports")
    page = checkout / "README.md"
    page.write_text(page.read_text().replace("F1 0.969", "F1 0.970").replace("05e54b41", "05e54b42").replace("0.9694", "0.9695"))
    assert list(figures.differences(checkout)) == [
        "README.md:1: mine macro_f1 is 0.969, not 0.970",
        "README.md:3: accuracy of mine is 0.9694, not 0.9695",
        "README.md:3: data of mine is sha256:05e54b41, not sha256:05e54b42",
    ]


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"metrics": METRICS | {"macro_f1": 0.5}}, "F1 0.500<!--"),
        ({"baselines": [{"baseline": "mean", "accuracy": 0.5}]}, "the mean 0.5<!--"),
    ],
)
def test_figures_of_an_earlier_build_are_stale(checkout, change, shown):
    figures.write(checkout, checkout / "reports")
    build(checkout, **change)
    assert list(figures.differences(checkout)) == ["docs/figures.json: the figures of mine are not those of digests/mine.json"]
    figures.write(checkout, checkout / "reports")
    assert shown in (checkout / "README.md").read_text()


@pytest.mark.parametrize("changed", ["metrics.json", "tables/numbers.json"])
def test_omits_build_with_unexpected_digests(checkout, capsys, changed):
    (checkout / "reports/mine" / changed).write_text("{}")
    figures.write(checkout, checkout / "reports")
    assert figures.read(checkout) == {}
    assert "is not what digests/mine.json expects" in capsys.readouterr().err


def test_names_unknown_metric_and_target(checkout):
    figures.write(checkout, checkout / "reports")
    (checkout / "docs/a.md").write_text("1<!-- mine recall --> 2<!-- yours accuracy -->\n")
    first, second = figures.differences(checkout)
    known = "accuracy, baselines.mean.accuracy, macro_f1, temperature"
    assert first == f"docs/a.md:1: docs/figures.json has no 'recall' of mine; it has {known}"
    assert second == "docs/a.md:1: docs/figures.json has no figures of yours"
