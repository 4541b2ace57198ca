"""The report: complete, self-contained, safe with any name, and reproducible.

The program `python test_report.py FOLDER` writes a report of synthetic data, to compare two processes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.text import Text

from bitbloom.config.models.image import ImageModel
from bitbloom.config.sections.dataset import Dataset as Provenance
from bitbloom.config.sections.evaluate import Evaluate
from bitbloom.config.sections.numerics import Numerics
from bitbloom.config.target import Target
from bitbloom.contracts import Evaluation
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.evaluation import classification
from bitbloom.evaluation.report import card, html, photos, plots, style
from bitbloom.evaluation.report.content import Content, Picture
from bitbloom.stages import evaluate
from bitbloom.training import inference

NASTY = ["<script>alert(1)</script>", "a | b", "**bold** $x$", "daisy & Co", "großblütige Königskerze mit sehr langem Namen"]
FIGURES = ["contact_sheet", "curves", "confusion", "recall", "reliability", "mistakes"]
WORST = {"worst": [{"id": "1", "written": "a", "truth": "b", "cider_d": 0.1}]}
GATE = {
    "suite": "petals",
    "success": True,
    "rows": 60,
    "expectations": [
        {"name": "ids-unique", "notes": "Every <id> occurs once", "outcome": "passed", "success": True},
        {"name": "enough-rows", "notes": "There are enough rows", "outcome": "passed", "success": True},
    ],
    "left_out": [],
}


def fake_dataset(classes=NASTY, n=60, side=12, images=True):
    generator = np.random.default_rng(7)
    labels = np.arange(n) % len(classes)
    split = np.array(["train", "train", "test", "val", "test", "train"])[np.arange(n) // len(classes) % 6]
    pixels = generator.integers(0, 256, size=(n, 3, side, side)).astype(np.uint8)
    ids = [f"{i:03d}" for i in range(n)]
    samples = pd.DataFrame(
        {
            "id": ids,
            "label": [classes[i] for i in labels],
            "key": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
            "split": split,
            "attributes": [f'{{"split": "{name}"}}' for name in split],
            "excluded": np.arange(n) == 0,
            "reason": "",
            "text": [f"tweet <b>{name}</b>" for name in ids],
        }
    )
    meta = {"classes": list(classes), "leaks": [{"lower": "train", "higher": "test", "pairs": 1}]}
    return Dataset({"labels": labels} | ({"images": pixels} if images else {}), samples, meta)


def fake_logits(dataset, test=None):
    """Return logits that are correct for most samples, and confident and wrong for every seventh."""
    test = dataset.split("test") if test is None else test
    labels = dataset.arrays["labels"][test]
    predicted = np.where(np.arange(len(test)) % 7 == 0, labels + 1, labels) % len(dataset.meta["classes"])
    logits = torch.zeros(len(test), len(dataset.meta["classes"]))
    logits[torch.arange(len(test)), torch.from_numpy(predicted)] = torch.linspace(1, 5, len(test))
    return logits


def fake_history(epochs=3):
    keys = ("learning_rate", "train_loss", "val_loss", "val_accuracy")
    rows = [{"epoch": e, "step": 4 * e} | dict.fromkeys(keys, 1 / e) for e in range(1, epochs + 1)]
    return {"epochs": rows, "best_epoch": epochs, "kept": "last", "steps": 4 * epochs, "parameters": 1234}


def fake_target():
    sections = {
        "task": "petals",
        "title": "Flowers <of> the test",
        "source.kind": "folder",
        "dataset": Provenance(licence="cc-by-2.0", origin="Photos <by> someone"),
        "numerics": Numerics(),
        "evaluate": Evaluate(bootstrap=50),
    }
    return Target("fake", sections)


def write_report(folder):
    """Run the whole stage in `folder` with a stand-in for the network; return reports/fake."""
    os.chdir(folder)
    target, dataset = fake_target(), fake_dataset()
    dataset.save(target.processed)
    target.models.mkdir(parents=True, exist_ok=True)
    canonical.write_json(target.models / "training.json", fake_history())
    canonical.write_json(target.models / "config.json", {})
    canonical.write_bytes(target.models / "model.safetensors", b"weights")
    canonical.write_json(target.reports / "validation.json", GATE)
    trained = inference.Trained(None, None, ImageModel(), dataset.meta, dataset, "0" * 64)
    inference.load = lambda target, task: trained
    inference.outputs = lambda task, network, dataset, positions, model: {"logits": fake_logits(dataset, positions)}
    evaluate.run(target)
    return target.reports


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """Return the same report from this process and from another process with the same inputs."""
    here, there = (tmp_path_factory.mktemp(name) for name in ("here", "there"))
    (there / "matplotlibrc").write_text("font.family: serif\nfigure.facecolor: black\nsavefig.dpi: 50\n")
    environment = {
        "TZ": "Asia/Tokyo",
        "LANG": "de_DE.UTF-8",
        "PYTHONHASHSEED": "2",
        "SOURCE_DATE_EPOCH": "99",
        "HOME": str(there),
    }
    command = [sys.executable, str(Path(__file__).resolve()), str(there)]
    other = subprocess.Popen(command, cwd=there, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
    stale = here / "reports" / "fake" / "figures" / "stale.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier run")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        patch.setattr(inference, "outputs", None)
        patch.setattr(inference, "load", None)
        write_report(here)
    _, errors = other.communicate()
    assert other.returncode == 0, errors
    return [folder / "reports" / "fake" for folder in (here, there)]


@pytest.fixture(scope="module")
def page(reports):
    return (reports[0] / "index.html").read_text()


def test_report_does_not_depend_on_environment(reports):
    first, second = map(contents, reports)
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_writes_all_files_of_contract(reports):
    names = set(contents(reports[0]))
    assert {"metrics.json", "index.html", "model_card.md", "dataset_card.md"} <= names
    assert {f"figures/{stem}.png" for stem in FIGURES} == {name for name in names if name.startswith("figures/")}
    assert {"tables/confusion.json", "tables/reliability.json"} <= names


def test_metrics_have_keys_of_contract(reports):
    found = canonical.read_json(reports[0] / "metrics.json")
    assert set(found) == {"accuracy", "top5_accuracy", "macro_f1", "log_loss", "expected_calibration_error", "samples"}
    assert all(isinstance(value, int | float) for value in found.values())


def test_tables_have_every_number_with_its_interval_and_the_baselines(reports):
    headlines = canonical.read_json(reports[0] / "metrics.json")
    numbers = {row.pop("metric"): row for row in canonical.read_json(reports[0] / "tables/numbers.json")}
    assert {key: numbers[key]["value"] for key in headlines} == headlines
    assert set(numbers) - set(headlines) == {"temperature", "uncalibrated_error"}
    assert numbers["accuracy"]["low"] <= headlines["accuracy"] <= numbers["accuracy"]["high"]
    baselines = canonical.read_json(reports[0] / "tables/baselines.json")
    assert [row["baseline"] for row in baselines] == ["majority_class", "nearest_mean_colour"]
    rows = {row["class"]: row for row in canonical.read_json(reports[0] / "tables/per_class.json")}
    assert set(rows) == set(NASTY)


@pytest.mark.parametrize("numbers", [{"accuracy": 0.5, "per_class": {"a": {}}, "confusion": [[1]], "baselines": {"b": {}}}])
def test_metrics_are_scalars_only(numbers):
    assert content(Evaluation(numbers, {})).scalars == {"accuracy": 0.5}


def test_confusion_table_has_row_per_test_sample(reports):
    rows = canonical.read_json(reports[0] / "tables" / "confusion.json")
    found = canonical.read_json(reports[0] / "metrics.json")
    assert len(rows) == found["samples"]
    assert sum(row["actual"] == row["predicted"] for row in rows) / len(rows) == pytest.approx(found["accuracy"], rel=1e-5)


def test_figures_have_no_software_time_or_host(reports):
    for name, data in contents(reports[0] / "figures").items():
        assert data.startswith(b"\x89PNG"), name
        for word in (b"Software", b"matplotlib", b"tIME", b"Creation"):
            assert word not in data, name


def test_page_has_all_figures_and_no_external_address(page):
    assert len(re.findall(r"<img[^>]* src=\"data:image/png;base64,", page)) == len(FIGURES)
    assert len(re.findall(r"<source[^>]* srcset=\"data:image/png;base64,", page)) == len(FIGURES)
    assert all(f'<section id="{stem}">' in page for stem in FIGURES)
    assert not re.search(r"https?:|//[a-z]|<script|@import|url\(", re.sub(r"base64,[^\"]*", "", page))


def test_page_is_well_formed(page):
    open_tags = []
    parser = HTMLParser()
    empty = {"meta", "link", "img", "br", "source"}
    parser.handle_starttag = lambda tag, _: open_tags.append(tag) if tag not in empty else None

    def close(tag):
        assert open_tags.pop() == tag

    parser.handle_endtag = close
    parser.feed(page)
    assert open_tags == []


@pytest.mark.parametrize(
    "numbers",
    [
        {"accuracy": 0.5},
        {"accuracy": 0.5, "temperature": 1.0, "baselines": {"chance": {"accuracy": 0.1}}},
        {"cider_d": 1.0, "baselines": {"chance": {"cider_d": 0.1}}},
    ],
)
@pytest.mark.parametrize("table", [{}, {"mistakes": [{"text": "a", "actual": "b", "predicted": "c", "confidence": 1.0}]}, WORST])
def test_navigation_names_every_section_in_order(numbers, table):
    figures = {stem: ("Caption.", plots.curves(fake_history())) for stem in ("curves", "of_a_new_task")}
    text = html.render(replace(content(Evaluation(numbers, figures, table)), gate=GATE))
    sections = re.findall(r'<section id="([^"]+)">\n<h2>(.*?)</h2>', text)
    navigation = text.partition("<nav>")[2].partition("</nav>")[0]
    assert re.findall(r'<a href="#([^"]+)">(.*?)</a>', navigation) == sections
    assert len(sections) == text.count("<section") >= 5


@pytest.mark.parametrize(("kept", "marked", "says"), [("last", None, "of the last epoch"), ("best", 2, "best validation score")])
def test_marks_the_best_epoch_only_if_it_is_kept(kept, marked, says):
    history = fake_history() | {"best_epoch": 2, "kept": kept}
    panels = plots.curves(history).axes
    lines = [line.get_xdata()[0] for axes in panels for line in axes.lines if line.get_linestyle() != "-"]
    assert lines == [marked] * len(panels) * (marked is not None)
    assert says in plots.curves_caption(history)
    shown = replace(content(Evaluation({"accuracy": 1.0}, {})), history=history)
    assert shown.kept == ("best, 2" if kept == "best" else "last")
    assert "best epoch" not in html.render(shown).lower()


def test_describes_calibration_error_as_gap_by_bin(page, reports):
    gap = "mean absolute gap of accuracy and confidence by bin of confidence, weighted by samples"
    for text in (page, (reports[0] / "model_card.md").read_text()):
        assert gap in text
        assert "on average" not in text


def smallest_letters(figure):
    """The size of the smallest text of a chart or sheet in CSS pixels, where the picture is not scaled."""
    scale = 96 / 72 if figure.get_label() == style.CHART else style.DPI / 72
    found = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    return min(text.get_fontsize() for text in found) * scale


@pytest.mark.parametrize("classes", [2, 12, 30, 31])
@pytest.mark.parametrize("images", [True, False])
def test_pictures_for_narrow_windows_fit_and_keep_the_size_of_their_text(classes, images):
    dataset = fake_dataset([f"rather long name {i}" for i in range(classes)], n=classes * 6, images=images)
    found = classification.evaluate(fake_logits(dataset), dataset, fake_history(), Evaluate(bootstrap=0), 1.0)
    assert set(found.narrow) == set(found.figures)
    for stem, figure in found.narrow.items():
        width, _ = html.css_size(style.png(figure), figure.get_label())
        assert width <= html.NARROWEST or (stem == "confusion" and classes > 16), stem  # a matrix of many classes scrolls
        assert smallest_letters(figure) >= 8, stem


def test_page_scrolls_pictures_without_a_narrow_one():
    figures = {"of_a_new_task": ("Caption.", plots.curves(fake_history()))}
    text = html.render(content(Evaluation({"accuracy": 1.0}, figures)))
    assert 'class="chart fits alone"' in text
    assert "<source" not in text


def test_page_escapes_names(page):
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    assert "Flowers &lt;of&gt; the test" in page
    assert "Every &lt;id&gt; occurs once" in page


def test_page_has_gate_metrics_and_provenance(page):
    assert "all hold" in page
    assert "(95 %)" in page
    assert hashlib.sha256(b"weights").hexdigest() in page
    assert "make verify TARGET=fake" in page
    assert "<code>make audit-labels TARGET=fake</code> writes <code>reports/fake/label-errors.html</code>" in page


def test_card_escapes_names_and_has_valid_tables(reports):
    text = (reports[0] / "model_card.md").read_text()
    assert "<script>" not in text
    assert "a \\| b" in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1, table


def test_page_shows_the_dataset_card(reports, page):
    assert '<section id="dataset">' in page
    assert "Photos &lt;by&gt; someone" in page
    card = (reports[0] / "dataset_card.md").read_text()
    assert "license: cc-by-2.0" in card
    assert "Photos \\<by\\> someone" in card


def test_page_and_cards_count_given_splits_and_leaks_that_prepare_found(reports, page):
    for text in (page, *((reports[0] / name).read_text() for name in ("model_card.md", "dataset_card.md"))):
        assert "The source gives the splits training (" in text
        assert "in two splits that the source gives: 1 of training and test." in text


def test_card_has_the_sections_of_a_model_card(reports):
    text = (reports[0] / "model_card.md").read_text()
    sections = ["Model details", "Intended use", "Data", "Metrics", "Limitations", "How to reproduce"]
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == sections


def test_removes_figures_of_earlier_run_and_keeps_gate(reports):
    assert not (reports[0] / "figures" / "stale.png").exists()
    assert canonical.read_json(reports[0] / "validation.json") == GATE


def test_rejects_missing_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake_dataset().save(fake_target().processed)
    with pytest.raises(BitBloomError, match="make train TARGET=fake"):
        evaluate.run(fake_target())


def test_rejects_empty_test_split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dataset, target = fake_dataset(), fake_target()
    dataset.samples["split"] = "train"
    dataset.save(target.processed)
    canonical.write_bytes(target.models / "model.safetensors", b"")
    with pytest.raises(BitBloomError, match="no test samples"):
        evaluate.run(target)


def test_report_of_texts_has_no_photos():
    dataset = fake_dataset(classes=["real", "not"], images=False)
    found = classification.evaluate(fake_logits(dataset), dataset, fake_history(), Evaluate(bootstrap=20), 1.0, text="text")
    assert list(found.figures) == ["curves", "confusion", "recall", "reliability"]
    assert set(found.metrics["baselines"]) == {"majority_class"}
    page = html.render(content(found))
    assert "tweet &lt;b&gt;" in page
    assert "tweet <b>" not in page


def test_shows_metrics_of_task_without_classes():
    found = Evaluation({"recall_at_1": 0.25, "recall_at_5_images": 0.5}, {})
    for text in (html.render(content(found)), card.render(content(found))):
        assert "Recall at 1" in text
        assert "0.250" in text


def content(found):
    pictures = [
        Picture(stem, caption, figure.get_label(), style.png(figure)) for stem, (caption, figure) in found.figures.items()
    ]
    return Content(
        "fake",
        "tweets",
        "",
        "csv",
        "portable",
        found.metrics,
        pictures,
        found.tables,
        fake_history(),
        {"architecture": "x", "weights": "none"},
        {},
    )


def test_mistakes_are_sorted_by_confidence():
    dataset = fake_dataset()
    found = classification.evaluate(fake_logits(dataset), dataset, fake_history(), Evaluate(bootstrap=0, worst=2), 1.0)
    rows = found.tables["mistakes"]
    assert len(rows) == 2
    assert rows[0]["confidence"] > rows[1]["confidence"]
    assert all(row["actual"] != row["predicted"] for row in rows)


def test_figure_of_no_mistakes_has_text():
    assert "No mistakes" in photos.mistakes([]).texts[0].get_text()


def test_contact_sheet_keeps_stored_pixels():
    photo = np.random.default_rng(3).integers(0, 256, size=(3, photos.THUMB, photos.THUMB)).astype(np.uint8)
    drawn = pixels(photos.contact_sheet({"daisy": [photo]}, {"daisy": 1}))
    top = next(y for y in range(drawn.shape[0]) if (drawn[y, photos.MARGIN] == photo[:, 0, 0]).all())
    found = drawn[top : top + photos.THUMB, photos.MARGIN : photos.MARGIN + photos.THUMB]
    assert np.array_equal(found, photo.transpose(1, 2, 0))


@pytest.mark.parametrize("classes", [2, 5, 12, 25, 30])
def test_figures_are_readable_for_any_number_of_classes(classes):
    counts = np.eye(classes, dtype=np.int64) * 9
    counts[0, 1] = 1
    names = [f"species {i}" for i in range(classes)]
    drawn = plots.confusion(counts, names)
    smallest = min(label.get_fontsize() for label in drawn.axes[0].get_yticklabels())
    assert smallest >= 6
    height = drawn.get_figheight() * style.DPI
    assert height / classes >= smallest / 72 * style.DPI  # a row is no lower than its letters
    sheet = photos.contact_sheet({name: [np.zeros((3, 8, 8), np.uint8)] * 12 for name in names}, dict.fromkeys(names, 12))
    assert sheet.get_figheight() * style.DPI < 3000


def test_single_mistake_is_visible_among_many_samples():
    counts = np.array([[999, 1], [0, 1000]])
    colours = plots._confusion_colours(counts)
    assert np.abs(colours[0, 1] - colours[1, 0]).max() > 0.05


def test_draws_curves_of_one_epoch_and_missing_values():
    history = fake_history(1)
    history["epochs"][0]["val_loss"] = None
    assert pixels(plots.curves(history)).std() > 1


def pixels(figure):
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(style.png(figure))).convert("RGB"))


def test_drawing_does_not_change_global_style():
    import matplotlib

    before = json.dumps({key: str(value) for key, value in matplotlib.rcParams.items()})
    style.png(plots.curves(fake_history()))
    assert json.dumps({key: str(value) for key, value in matplotlib.rcParams.items()}) == before


CLASS_ROWS = [{"class": "a", "recall": 0.5, "precision": 0.7, "support": 3}]
SLICE_ROWS = [{"slice": "length", "value": "short", "samples": 5, "f1": 0.8}]
DRAWN = {
    "curves": lambda: plots.curves(fake_history()),
    "confusion": lambda: plots.confusion(np.array([[3, 1], [0, 2]]), ["a", "b"]),
    "recall": lambda: plots.recall(CLASS_ROWS),
    "slices": lambda: plots.slices(SLICE_ROWS),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_ignore_user_settings(draw):
    import matplotlib

    plain = style.png(draw())
    with matplotlib.rc_context({"figure.facecolor": "black", "font.family": "serif", "axes.spines.top": True, "font.size": 20}):
        assert style.png(draw()) == plain


if __name__ == "__main__":
    write_report(Path(sys.argv[1]))
