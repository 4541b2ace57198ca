"""Kinds of damage with parameters of hypothesis: each is visible in the manifest, and the gate names it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bitbloom.config.sections.gate import Gate
from bitbloom.core import canonical
from bitbloom.data import languages, photo_facts, text_facts
from bitbloom.data.sources import SourceFile, chatter, garden
from bitbloom.validation import profile
from bitbloom.validation.check import suite_path
from bitbloom.validation.derived import files, labels, splits
from corruptions import photos, texts
from corruptions.clean import KINDS, Clean
from corruptions.kind import Kind
from corruptions.measure import measure
from corruptions.photos import opened

GATE = Gate()
SEEN: dict[str, Callable[[dict[str, Any]], bool]] = {
    "brightness": lambda facts: not GATE.brightness[0] <= facts["brightness"] <= GATE.brightness[1],
    "contrast": lambda facts: facts["contrast"] < GATE.contrast[0],
    "low-information": lambda facts: facts["variety"] < (GATE.variety or 0),
    "noisy": lambda facts: facts["noise"] > (GATE.noise or 1),
    "dark": lambda facts: facts["highlights"] < (GATE.highlights or 0),
    "light": lambda facts: facts["shadows"] > (GATE.shadows or 1),
    "blurred": lambda facts: facts["sharpness"] < (GATE.sharpness or 0),
    "grey": lambda facts: facts["saturation"] < (GATE.saturation or 0),
    "margins": lambda facts: facts["margin"] > (GATE.margin or 1),
    "complete": lambda facts: facts["decodable"] and not facts["complete"],
    "decodable": lambda facts: not facts["decodable"],
    "colour-mode": lambda facts: facts["mode"] != "RGB",
    "upright": lambda facts: facts["orientation"] != 1,
    "shortest-side": lambda facts: min(facts["width"], facts["height"]) < GATE.side[0],
    "longest-side": lambda facts: max(facts["width"], facts["height"]) > GATE.side[1],
    "aspect": lambda facts: not GATE.aspect[0] <= facts["aspect"] <= GATE.aspect[1],
}
"""Expectation → whether the facts of a photo fail it."""
SINGLE = [kind for kind in photos.KINDS if set(kind.expects) <= set(SEEN)]
EVIDENCE: dict[str, Callable[[str, Random], str]] = {
    name: getattr(texts, name)
    for name in (
        *("macintosh", "lost_apostrophe", "escaped", "homoglyphs", "invisible", "markup", "data", "template", "encoded"),
        *("placeholder", "file_name", "stutter", "long_letter", "email", "telephone", "card"),
    )
}
FACTS = ("damage", "invisible", "residue", "private")


@cache
def photo(number: int) -> SourceFile:
    data, label, attributes = garden.draw(garden.Config(), number)
    return SourceFile(f"{label}/{number}.jpg", label, attributes, content=data)


@pytest.mark.parametrize("kind", SINGLE, ids=lambda kind: kind.name)
@settings(max_examples=4)
@given(number=st.integers(0, 11), random=st.randoms(use_true_random=True))
def test_damage_to_photo_is_visible_in_manifest(kind: Kind, number: int, random: Random) -> None:
    damaged = kind.damage([photo(number)], random, [0])
    facts = photo_facts.describe(damaged.files[0].content or b"")
    assert any(SEEN[name](facts) for name in kind.expects)


@given(number=st.integers(0, 40))
def test_clean_photo_has_no_fault(number: int) -> None:
    facts = photo_facts.describe(photo(number).content or b"")
    assert [name for name, fails in SEEN.items() if fails(facts)] == []


def faded(image: Image.Image, contrast: float) -> NDArray[np.int32]:
    """The luma of a photo, with a fraction of its contrast."""
    return np.asarray(image.convert("L").point(lambda value: round(128 + (value - 128) * contrast)), np.int32)


@settings(max_examples=20)
@given(number=st.integers(0, 40), contrast=st.floats(0.2, 1))
def test_sharp_photo_of_little_contrast_is_sharp(number: int, contrast: float) -> None:
    assert photo_facts.sharpness(faded(opened(photo(number)), contrast)) > (GATE.sharpness or 0)


@settings(max_examples=20)
@given(number=st.integers(0, 40), contrast=st.floats(0.85, 1), radius=st.floats(2.2, 5))
def test_blurred_photo_of_less_contrast_is_blurred(number: int, contrast: float, radius: float) -> None:
    blurred = opened(photo(number)).filter(ImageFilter.GaussianBlur(radius))
    assert photo_facts.sharpness(faded(blurred, contrast)) < (GATE.sharpness or 0)


@given(shape=st.tuples(st.integers(1, 4), st.integers(1, 4)), level=st.integers(0, 255))
def test_photo_of_few_pixels_or_one_colour_has_no_edges(shape: tuple[int, int], level: int) -> None:
    assert photo_facts.sharpness(np.full(shape, level, np.int32)) == 0.0


@pytest.mark.parametrize("name", EVIDENCE)
@given(number=st.integers(0, 3999), random=st.randoms(use_true_random=True))
def test_damage_to_text_leaves_evidence(name: str, number: int, random: Random) -> None:
    text = chatter.write(chatter.Config(), number).content["text"]
    facts = text_facts.describe([EVIDENCE[name](text, random)])
    assert any(facts[fact] for fact in FACTS)


@given(number=st.integers(0, 3999))
def test_clean_text_has_no_evidence(number: int) -> None:
    facts = text_facts.describe([chatter.write(chatter.Config(), number).content["text"]])
    assert {fact: facts[fact] for fact in FACTS} == dict.fromkeys(FACTS, "")
    assert facts["language"] in GATE.languages


@pytest.mark.parametrize(
    ("code", "sentences"),
    [
        ("de", texts.GERMAN),
        ("fr", texts.FRENCH),
        ("es", texts.SPANISH),
        ("it", texts.ITALIAN),
        ("pt", texts.PORTUGUESE),
        ("nl", texts.DUTCH),
        ("cyrillic", texts.RUSSIAN),
        ("greek", texts.GREEK),
        ("arabic", texts.ARABIC),
        ("cjk", texts.CHINESE),
        ("en", ("the dog runs in the rain", "Deeds are the Reason of this #earthquake", "no el nino in this year")),
        ("", ("", "Summer #sunset", "12:30")),
    ],
)
def test_language_is_guessed(code: str, sentences: tuple[str, ...]) -> None:
    assert {languages.guess(sentence) for sentence in sentences} == {code}


@pytest.mark.parametrize("task", sorted(KINDS))
def test_kinds_name_expectations_of_their_suite(task: str) -> None:
    names = {one["meta"]["name"] for one in canonical.read_json(suite_path(task))["expectations"]}
    assert {name for kind in KINDS[task] for name in kind.expects} <= names
    assert len({kind.name for kind in KINDS[task]}) == len(KINDS[task]) >= 45


@pytest.mark.parametrize("task", sorted(KINDS))
@settings(max_examples=1, deadline=None)
@given(data=st.data())
def test_gate_lists_rows_of_random_damage(task: str, data: st.DataObject) -> None:
    clean = small(task)
    chosen = [kind for kind in KINDS[task] if not kind.alone and not set(kind.expects) & {"longest-side", "odd-size"}]
    kinds = data.draw(st.lists(st.sampled_from(chosen), min_size=2, max_size=4, unique_by=lambda kind: kind.expects))
    found = measure(clean, kinds, data.draw(st.randoms(use_true_random=True)))
    assert all(outcome.failed for outcome in found.outcomes), found


@cache
def small(task: str) -> Clean:
    clean = Clean.make(task, 5, 60)
    clean.gate.update(rows=[30, 100], class_rows=1, imbalance=99.0, new_words=1.0, drift_rows=None, split_ratio=None)
    return clean


@pytest.mark.parametrize(
    ("names", "meant"),
    [
        ({"daisy": 40, "dasiy": 2}, {"dasiy": "daisy"}),
        ({"daisy": 40, "daisies": 2}, {}),
        ({"rose": 40, "roses": 39}, {"roses": "rose"}),
        ({"Wild Rose": 40, "wild_rose": 4}, {"wild_rose": "Wild Rose"}),
        ({"horse": 40, "house": 38}, {}),
        ({"cat": 40, "rat": 1}, {}),
        ({"class 12": 40, "class 13": 2}, {}),
    ],
)
def test_spellings_of_one_label_are_named(names: dict[str, int], meant: dict[str, str]) -> None:
    table = pd.DataFrame({"label": [name for name, count in names.items() for _ in range(count)]})
    found = labels.label_like(table, Gate())
    assert dict(zip(table["label"][found.notna()], found[found.notna()], strict=True)) == meant


@pytest.mark.parametrize(
    ("path", "kind", "wrong"),
    [("a.JPG", "JPEG", None), ("a.jpg", "PNG", "PNG"), ("a.png", "PNG", None), ("a", "PNG", None), ("a.photo", "GIF", None)],
)
def test_suffix_of_another_format_is_named(path: str, kind: str, wrong: str | None) -> None:
    assert files.wrong_suffix(pd.DataFrame({"path": [path], "format": [kind]}), Gate()).tolist() == [wrong]


@pytest.mark.parametrize(
    ("before", "now", "named"),
    [
        ({"daisy": 100, "rose": 100}, {"daisy": 100, "rose": 20}, {"rose"}),
        ({"daisy": 100, "rose": 100}, {"daisy": 100, "rose": 500}, {"rose"}),
        ({"daisy": 100, "rose": 100}, {"daisy": 300, "rose": 20}, {"daisy", "rose"}),
        ({"daisy": 100, "rose": 100, "iris": 100}, {"daisy": 300, "rose": 300, "iris": 100}, {"iris"}),
        ({"daisy": 100, "rose": 100}, {"daisy": 40, "rose": 40}, set()),
        ({"daisy": 10, "rose": 10}, {"daisy": 10, "rose": 6}, set()),
    ],
    ids=("shrank", "grew", "moved", "stayed behind", "fewer rows of all", "chance"),
)
def test_class_that_changed_since_profile_is_named(before: dict[str, int], now: dict[str, int], named: set[str]) -> None:
    table = pd.DataFrame({"label": [label for label, count in now.items() for _ in range(count)]})
    found = profile.label_drift(table, {"labels": before}, Gate())
    assert set(table["label"][found.notna()]) == named
    assert found.notna().sum() == sum(now[label] for label in named)


def test_splits_of_other_sizes_are_no_fault() -> None:
    table = pd.DataFrame(
        {
            "label": ["daisy", "rose"] * 60,
            "width": list(range(120)),
            "attributes": ['{"split": "test"}' if row % 4 < 2 else '{"split": "train"}' for row in range(120)],
        }
    )
    assert splits.split_labels(table, Gate()).isna().all()
    assert splits.split_values(table, Gate()).isna().all()
