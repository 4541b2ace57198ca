"""The report of a captioning model: metrics, figures and tables, on synthetic data with known results.

The program `python test_caption_report.py` prints the digest of the whole report, to compare two processes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bitbloom.config.sections.evaluate import Evaluate
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.dataset import Dataset
from bitbloom.data.sources.garden import sentences
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.evaluation.report import card, html, photos, plots, style
from bitbloom.evaluation.report.content import Content, Picture
from bitbloom.tasks.captions import samples as captions
from bitbloom.tasks.captions import scoring

SPECIES, COLOURS = ("daisy", "iris", "rose", "lily"), ("red", "white", "blue")
RECALLS = {f"{way}_recall_at_{k}" for way in ("i2t", "t2i") for k in (1, 5, 10)}
ATTRIBUTES = {f"{name}_accuracy" for name in ("attribute", "species", "colour", "count")}
KEYS = {f"bleu_{n}" for n in range(1, 5)} | {"rouge_l", "cider_d", "greedy_cider_d", "nn_cider_d"} | RECALLS
KEYS |= {f"chance_{key}" for key in RECALLS} | {"i2t_median_rank", "t2i_median_rank"}
KEYS |= {"distinct_words", "distinct_share", "seen_share", "samples", "confidence_intervals", "baselines"}
FIGURES = ["captions_sheet", "curves", "retrieval", "search"]
CURVES = ("learning_rate", "train_loss", "val_loss", "val_recall")
EPOCHS = [{"epoch": epoch, "step": epoch} | dict.fromkeys(CURVES, 1 / epoch) for epoch in (1, 2)]
HISTORY = {"epochs": EPOCHS, "best_epoch": 2, "kept": "last", "steps": 2, "parameters": 1234}
QUICK = Evaluate(bootstrap=20, worst=4)


def garden(n=48, grouped=True):
    """Return flowers with generated captions, two for every fifth and three for others; half are in the test split."""
    attributes, said = [], []
    for i in range(n):
        seen = {"count": 1 + i % 3, "colour": COLOURS[i // 3 % 3], "species": SPECIES[i // 9 % 4]}
        seen |= {"background": "grass", "view": "from above"}
        seen |= {"group": f"{seen['count']} {seen['colour']} {seen['species']}"} if grouped else {}
        attributes.append(seen)
        said.append(sentences.write(seen, Dice(5, i))[: 2 if i % 5 == 0 else 3])
    return dataset(said, attributes)


def dataset(said, attributes):
    n, words = len(said), [[captions.split(sentence) for sentence in own] for own in said]
    vocabulary = captions.known_words((one for own in words for one in own), 1)
    ids = [f"{i:03d}.jpg" for i in range(n)]
    samples = pd.DataFrame(
        {
            "id": ids,
            "key": [hashlib.sha256(name.encode()).hexdigest() for name in ids],
            "captions": [json.dumps(own) for own in said],
            "attributes": [json.dumps(row) for row in attributes],
            "split": np.where(np.arange(n) % 2, "train", "test"),
            "excluded": False,
        }
    )
    pixels = np.random.default_rng(3).integers(0, 256, size=(n, 3, 12, 12)).astype(np.uint8)
    arrays = {"images": pixels, "words": captions.numbered(words, vocabulary, 24)}
    return Dataset(arrays, samples, {"vocabulary": vocabulary})


def unit(vectors):
    return (vectors / np.sqrt(np.square(vectors).sum(axis=-1, keepdims=True))).astype(np.float32)


def perfect(data):
    """Return predictions that repeat a caption, with equal embeddings of a photo and its own captions only."""
    test, train = (data.samples.iloc[data.split(name)] for name in ("test", "train"))
    said = [json.loads(own) for own in test["captions"]]
    own = unit(np.random.default_rng(0).normal(size=(len(test), 32)))
    texts = np.repeat(own[:, None], data.arrays["words"].shape[1], axis=1)
    written = [sentence[-1] for sentence in said]
    learned = unit(np.random.default_rng(1).normal(size=(len(train), 32)))
    return scoring.Predictions(own, texts, learned, written, written, np.linspace(-1, 0, len(test)))


def evaluate(data=None, found=None, config=QUICK, history=HISTORY):
    data = garden() if data is None else data
    return scoring.evaluate(found or perfect(data), data, history, config)


def content(found):
    pictures = [Picture(stem, told, figure.get_label(), style.png(figure)) for stem, (told, figure) in found.figures.items()]
    model = {"architecture": "dual", "weights": "none", "image": {"weights": "some", "mean": [0.5, 0.25]}}
    parts = ("fake", "words", "", "folder", "portable")
    return Content(*parts, found.metrics, pictures, found.tables, HISTORY, model, {"test": 24})


def digest():
    """Return the digest of metrics, tables, figures, page and card."""
    found = evaluate()
    told = content(found)
    parts = [canonical.json_text(found.metrics), canonical.json_text(found.tables), html.render(told), card.render(told)]
    return hashlib.sha256("".join(parts).encode()).hexdigest()


@pytest.fixture(scope="module")
def report():
    return evaluate()


@pytest.fixture(scope="module")
def told(report):
    return content(report)


def test_metrics_have_all_keys(report):
    assert set(report.metrics) == KEYS | ATTRIBUTES
    assert set(report.metrics["confidence_intervals"]) == RECALLS | ATTRIBUTES
    assert set(report.metrics["baselines"]) == {"nearest_neighbour", "most_frequent", "chance"}
    assert all(set(found) == {"bleu_4", "rouge_l", "cider_d"} for found in report.metrics["baselines"].values())
    assert report.metrics["nn_cider_d"] == report.metrics["baselines"]["nearest_neighbour"]["cider_d"]


def test_perfect_model_has_perfect_scores(report):
    numbers = report.metrics
    assert all(numbers[key] == 1 for key in RECALLS | ATTRIBUTES | {"bleu_1", "bleu_4", "rouge_l"})
    assert numbers["i2t_median_rank"] == numbers["t2i_median_rank"] == 1
    assert numbers["cider_d"] == numbers["greedy_cider_d"] > max(rule["cider_d"] for rule in numbers["baselines"].values())


def test_beam_and_greedy_sentences_are_scored_separately():
    data = garden()
    found = dataclasses.replace(perfect(data), greedy=["cloud overhead"] * 24)
    numbers = evaluate(data, found).metrics
    assert numbers["greedy_cider_d"] == 0 < numbers["cider_d"]
    assert numbers["attribute_accuracy"] == 1


def test_photos_of_same_group_match_only_with_groups():
    """Every test photo has another one of its group; here it has the embedding of that photo."""
    rows = {}
    for grouped in (True, False):
        data = garden(n=72, grouped=grouped)
        twins = np.roll(np.arange(36), 18)  # 36 samples have all groups, and 18 of them are in the test split
        found = perfect(data)
        rows[grouped] = evaluate(data, dataclasses.replace(found, images=found.images[twins])).metrics
    assert rows[True]["i2t_recall_at_1"] == rows[True]["t2i_recall_at_1"] == 1
    assert rows[False]["i2t_recall_at_1"] == rows[False]["t2i_recall_at_1"] == 0
    assert rows[True]["chance_t2i_recall_at_1"] == pytest.approx(2 / 36, rel=1e-5)
    assert rows[False]["chance_t2i_recall_at_1"] == pytest.approx(1 / 36, rel=1e-5)


def test_ignores_embeddings_of_absent_captions(report):
    data = garden()
    found = perfect(data)
    absent = data.arrays["words"][data.split("test")][:, :, 0] == 0
    assert absent.any()
    found.texts[absent] = np.nan
    assert evaluate(data, found).metrics == report.metrics


def test_scores_photos_without_attributes():
    program = """
import sys
from test_caption_report import dataset, evaluate, ATTRIBUTES
import bitbloom.data.sources
for name in [name for name in sys.modules if name.startswith("bitbloom.data.sources.garden")]:
    del sys.modules[name]
del bitbloom.data.sources.garden
said = [[f"a dog runs on day {i}", "the dog"] for i in range(12)]
found = evaluate(dataset(said, [{}] * 12))
assert not ATTRIBUTES & set(found.metrics), found.metrics
assert not [name for name in sys.modules if name.startswith("bitbloom.data.sources.garden")]
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_baselines_use_captions_of_included_training_photos():
    said = [["a dog runs"], ["a dog runs"], ["a dog runs"], ["the cat"], ["a bird"], ["the cat"], ["a bird"], ["no one"]] * 3
    data = dataset(said, [{}] * len(said))
    data.samples.loc[data.samples["captions"].str.contains("a dog"), "excluded"] = data.samples["split"] == "train"
    found = perfect(data)
    learned = [json.loads(own)[0] for own in data.samples["captions"].iloc[data.split("train")]]
    assert set(learned) == {"the cat", "no one"}
    alike = dataclasses.replace(found, images=np.repeat(found.train_images[:1], len(found.images), axis=0))
    rules = evaluate(data, alike).metrics
    assert rules["baselines"]["nearest_neighbour"] == rules["baselines"]["most_frequent"]  # "the cat" for all
    assert rules["seen_share"] == 0


def test_captions_of_training_split_count_as_seen():
    data = garden()
    learned = [json.loads(own)[0] for own in data.samples["captions"].iloc[data.split("train")]]
    found = evaluate(data, dataclasses.replace(perfect(data), beam=[f"{learned[0]} ."] * 12 + ["cloud overhead"] * 12))
    assert found.metrics["seen_share"] == 0.5
    assert found.metrics["distinct_share"] == pytest.approx(2 / 24, rel=1e-5)


def test_tables_have_all_sentences_and_the_most_confident_errors():
    data = garden()
    scores = np.linspace(-1, 0, 24)
    beam = [*perfect(data).beam[:-6], *["cloud overhead"] * 6]
    tables = evaluate(data, dataclasses.replace(perfect(data), beam=beam, scores=scores)).tables
    ids = data.samples["id"].iloc[data.split("test")].tolist()
    assert [row["id"] for row in tables["sentences"]] == ids
    assert [row["written"] for row in tables["sentences"]] == beam
    assert [row["id"] for row in tables["worst"]] == ids[:-5:-1]
    assert [row["cider_d"] for row in tables["worst"]] == [0] * 4


def test_figures_have_the_order_of_the_report(report):
    assert list(report.figures) == FIGURES
    assert list(evaluate(history={}).figures) == [stem for stem in FIGURES if stem != "curves"]


def test_evaluates_a_single_test_photo():
    data = dataset([["a dog"], ["a cat", "the cat"]], [{}, {}])
    found = evaluate(data)
    assert found.metrics["i2t_recall_at_1"] == found.metrics["chance_i2t_recall_at_1"] == 1
    assert all(style.png(figure) for _, figure in found.figures.values())


def test_evaluates_empty_sentences():
    data = garden()
    found = evaluate(data, dataclasses.replace(perfect(data), beam=[""] * 24))
    assert found.metrics["cider_d"] == found.metrics["attribute_accuracy"] == found.metrics["distinct_words"] == 0
    assert "(no word)" in {text.get_text() for text in found.figures["captions_sheet"][1].texts}


def test_omits_intervals_without_bootstrap():
    assert evaluate(config=Evaluate(bootstrap=0)).metrics["confidence_intervals"] == {}


CUT = {
    "images": lambda found: {"images": found.images[:-1]},
    "texts": lambda found: {"texts": found.texts[:, :-1]},
    "train_images": lambda found: {"train_images": found.train_images[:, :-1]},
    "scores": lambda found: {"scores": found.scores[:-1]},
    "sentences": lambda found: {"greedy": found.greedy[:-1]},
    "unit length": lambda found: {"images": found.images * 1.01},
    "NaN": lambda found: {"train_images": found.train_images * np.nan},
}


@pytest.mark.parametrize("named", CUT)
def test_rejects_predictions_that_do_not_fit_split(named):
    found = perfect(garden())
    with pytest.raises(BitBloomError, match=named):
        evaluate(garden(), dataclasses.replace(found, **CUT[named](found)))


def test_rejects_photo_without_words():
    data = garden()
    data.arrays["words"][0] = 0
    with pytest.raises(BitBloomError, match="prepare again"):
        evaluate(data, perfect(garden()))


def test_rejects_empty_split():
    data = garden()
    found = perfect(data)
    data.samples["excluded"] = data.samples["split"] == "train"
    with pytest.raises(BitBloomError, match="training photos"):
        evaluate(data, found)


def test_page_and_card_have_metrics_and_worst_sentences(report, told):
    page, text = html.render(told), card.render(told)
    for written in (page, text):
        assert "CIDEr-D" in written
        assert "by chance" in written
        assert "nearest neighbour" in written
    assert re.findall(r'<section id="([a-z_]+)">', page)[:2] == ["comparison", "numbers"]
    assert 'id="worst"' in page
    assert report.tables["worst"][0]["written"] in page
    assert "image weights" in page
    assert "0.5, 0.25" in page
    assert "pretrained weights some" in text


def test_page_escapes_sentences():
    data = dataset([["<b>bold</b> & brave"]] * 6, [{}] * 6)
    page = html.render(content(evaluate(data)))
    assert "&lt;b&gt;bold" in page
    assert "<b>bold" not in page


def test_headlines_and_details_are_disjoint(report, told):
    assert told.headlines[0].name == "CIDEr-D"
    assert not {line.name for line in told.headlines} & {line.name for line in told.details}
    assert {line.text for line in told.details if line.name == "Different words"} == {str(report.metrics["distinct_words"])}


def test_report_is_equal_in_another_process():
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LANG": "de_DE.UTF-8"}
    command = [sys.executable, str(Path(__file__).resolve())]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == digest(), done.stderr


PHOTO = np.random.default_rng(3).integers(0, 256, size=(3, photos.CAPTIONED, photos.CAPTIONED)).astype(np.uint8)
LONG = "a very long sentence " * 20
DRAWN = {
    "captioned": lambda: photos.captioned({"Best": [photos.Captioned(PHOTO, LONG, "a $true$ one", 1.5)]}),
    "searches": lambda: photos.searches([photos.Search(LONG, PHOTO[None], np.array([True]), 1)]),
    "retrieval": lambda: plots.retrieval({"there": ([0.0, 0.5], [0.1, 0.2]), "back": ([1.0, 1.0], [0.1, 0.2])}),
}


@pytest.mark.parametrize("draw", DRAWN.values(), ids=DRAWN)
def test_figures_ignore_user_settings(draw):
    import matplotlib

    plain = style.png(draw())
    with matplotlib.rc_context({"figure.facecolor": "black", "font.family": "serif", "font.size": 20}):
        assert style.png(draw()) == plain


def test_captioned_photo_keeps_stored_pixels():
    drawn = pixels(DRAWN["captioned"]())
    left = drawn[:, photos.MARGIN : photos.MARGIN + photos.CAPTIONED]
    assert any((left[y : y + photos.CAPTIONED] == PHOTO.transpose(1, 2, 0)).all() for y in range(photos.CAPTIONED))


def test_only_matching_photos_are_framed():
    leaf = tuple(bytes.fromhex(style.LEAF[1:]))
    black = np.zeros((2, 3, 8, 8), np.uint8)
    found = {right: pixels(photos.searches([photos.Search("", black, np.array([right, False]), 9)])) for right in (True, False)}
    frame = {right: int((drawn == leaf).all(axis=2).sum()) for right, drawn in found.items()}
    assert frame == {True: photos.SEARCHED**2 - (photos.SEARCHED - 2 * photos.FRAME) ** 2, False: 0}


def pixels(figure):
    import io

    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(style.png(figure))).convert("RGB"))


def test_pictures_for_narrow_windows_fit():
    found = evaluate()
    assert set(found.narrow) == set(found.figures)
    for stem, figure in found.narrow.items():
        width, _ = html.css_size(style.png(figure), figure.get_label())
        assert width <= html.NARROWEST, stem


if __name__ == "__main__":
    print(digest())
