"""The dataset card: its metadata as Hugging Face reads them, its sections, and names that hold Markdown."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import yaml
from huggingface_hub import DatasetCard
from huggingface_hub.utils import yaml_dump

from bitbloom.config.sections.dataset import Dataset as Provenance
from bitbloom.evaluation.report import card, dataset_card
from bitbloom.evaluation.report.content import Content, DataFacts, Leak
from bitbloom.pipeline import composition

ARRAYS = {"images": "uint8 [100, 3, 8, 8]", "labels": "int64 [100]"}
FACTS = DataFacts(Provenance("cc-by-2.0", origin="Photos of somebody."), [("rose", (60, 10, 30))], [], ARRAYS)
MODEL = {"architecture": "vit"}
FAILED = {
    "name": "few_repeats",
    "notes": "Photos differ.",
    "advice": "Remove copies.",
    "severity": "warning",
    "success": False,
    "rows_at_fault": {"count": 1200, "first": [{"id": "a|b.jpg", "value": 1}, {"id": "c.jpg", "value": 1}]},
}
HELD = {**FAILED, "name": "has_rows", "success": True, "rows_at_fault": {"count": 0, "first": []}}


def content(facts: DataFacts = FACTS, gate: object = None, **changed: object) -> Content:
    made = Content(
        target="petals",
        task="petals",
        title="Flowers: *all*",
        source="folder",
        profile="portable",
        metrics={},
        pictures=[],
        tables={},
        history={},
        model={},
        splits={"training": 60, "validation": 10, "test": 30},
        gate=gate,
        digests={"data/processed/petals": "ab" * 32, "models/petals/config.json": "cd" * 32},
        data=facts,
    )
    return replace(made, **changed)


def read(text: str) -> dict:
    """The metadata as the hub's own library reads them, which checks their types."""
    return DatasetCard(text).data.to_dict()


def test_hub_reads_the_metadata():
    found = read(dataset_card.render(content()))
    assert found == {
        "pretty_name": "Flowers: *all*",
        "license": "cc-by-2.0",
        "task_categories": ["image-classification"],
        "size_categories": ["n<1K"],
        "tags": ["bitbloom", "petals"],
        "dataset_info": {
            "config_name": "petals",
            "splits": [
                {"name": "train", "num_examples": 60},
                {"name": "validation", "num_examples": 10},
                {"name": "test", "num_examples": 30},
            ],
        },
    }


def test_metadata_survive_the_librarys_own_writer():
    found = dataset_card.metadata(content())
    assert yaml.safe_load(yaml_dump(DatasetCard(dataset_card.render(content())).data.to_dict())) == found


def test_licence_other_has_name_and_link():
    given = Provenance("other", terms="rules of the competition", terms_url="https://example.org/rules", language="en")
    found = read(dataset_card.render(content(replace(FACTS, provenance=given))))
    assert (found["license_name"], found["license_link"]) == ("petals-terms", "https://example.org/rules")
    assert re.fullmatch(r"[a-z0-9.-]+", found["license_name"])
    assert found["language"] == ["en"]


@pytest.mark.parametrize(
    ("arrays", "category"),
    [
        (["images", "labels"], "image-classification"),
        (["tokens", "lengths", "labels"], "text-classification"),
        (["images", "words", "tokens"], "image-to-text"),
    ],
)
def test_task_follows_from_the_arrays(arrays, category):
    assert replace(FACTS, arrays=dict.fromkeys(arrays, "")).task_category == category


@pytest.mark.parametrize(
    ("count", "category"), [(999, "n<1K"), (1000, "1K<n<10K"), (999_999, "100K<n<1M"), (10**9, "10M<n<100M")]
)
def test_size_category_has_the_bounds_of_the_hub(count, category):
    assert dataset_card.size_category(count) == category


def test_card_has_provenance_splits_and_classes():
    text = dataset_card.render(content())
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert headings == ["Provenance", "Content", "Splits and classes", "Known problems", "How to load"]
    assert "Photos of somebody." in text
    assert "cc-by-2.0" in text
    assert f"**SHA-256 of `data/processed/petals`:** `{'ab' * 32}`" in text
    assert "cd" * 32 not in text
    assert "| validation | 10 |" in text


def test_card_has_the_address_and_digest_of_a_published_file():
    given = Provenance("cc-by-2.0", origin="An archive.", url="https://example.org/photos.tgz", sha256="ef" * 32)
    text = dataset_card.render(content(replace(FACTS, provenance=given)))
    assert "- **Address:** <https://example.org/photos.tgz>\n" in text
    assert f"- **SHA-256 of the published file:** `{'ef' * 32}`\n" in text


def test_card_lists_failed_expectations_with_rows():
    text = dataset_card.render(content(gate={"rows": 100, "expectations": [HELD, FAILED], "left_out": ["new_words"]}))
    assert "Of 2 expectations of the gate, these do not hold for 100 rows:" in text
    assert "- Photos differ. [few\\_repeats, warning] Rows at fault: 1,200, for example a\\|b.jpg, c.jpg. Remove copies." in text
    assert "Not checked, because the target sets no bound: new\\_words." in text
    assert "has\\_rows" not in text


def test_card_counts_problems_that_it_does_not_list():
    many = [{**FAILED, "name": f"check{number}"} for number in range(dataset_card.PROBLEMS + 3)]
    assert "- 3 more are in `validation.json`." in dataset_card.render(content(gate={"rows": 9, "expectations": many}))


def test_card_of_clean_data_says_so():
    text = dataset_card.render(content(gate={"rows": 100, "expectations": [HELD], "left_out": []}))
    assert "All 1 expectations of the gate hold for 100 rows." in text
    assert "No sample is excluded" in text


def test_card_lists_some_excluded_near_duplicates():
    excluded = [(f"{number}.jpg", "near-duplicate of z.jpg in test") for number in range(dataset_card.EXCLUDED + 5)]
    text = dataset_card.render(content(replace(FACTS, excluded=excluded)))
    assert text.count("near-duplicate of z.jpg in test") == dataset_card.EXCLUDED
    assert "| … | 5 more in `samples.parquet` |" in text


@pytest.mark.parametrize("render", [dataset_card.render, card.render])
def test_cards_say_that_splits_are_hashes_of_the_content(render):
    text = render(content(model=MODEL))
    assert "A sample's split is the hash of its own content" in text
    assert "source gives" not in text.replace("its source says", "")


@pytest.mark.parametrize("render", [dataset_card.render, card.render])
def test_cards_count_given_splits_and_leaks_between_them(render):
    given = {"training": 1200, "validation": 10, "test": 30}
    leaks = [Leak("training", "test", 3), Leak("validation", "test", 1)]
    facts = replace(FACTS, given=given, leaks=leaks)
    text = render(content(facts, splits={"training": 1197, "validation": 10, "test": 30, "excluded": 3}, model=MODEL))
    assert "The source gives the splits training (1,200), validation (10) and test (30), in samples before exclusion." in text
    assert "in two splits that the source gives: 3 of training and test and 1 of validation and test." in text
    assert "the hash of" not in text
    without = render(content(replace(facts, leaks=[]), model=MODEL))
    assert "No near-duplicates are in two of the splits that the source gives." in without


def test_card_says_where_a_split_comes_from_that_the_source_lacks():
    facts = replace(FACTS, given={"training": 70, "test": 30})
    text = dataset_card.render(content(facts))
    assert "It gives no validation split: that comes from the training split, by the hash of the content." in text
    assert "A sample without a given split" not in text
    some = dataset_card.render(content(replace(FACTS, given={"training": 10})))
    assert "It gives no validation and test split" in some
    assert "A sample without a given split is split by the hash of its own content." in some


def test_markup_in_names_is_text():
    classes = [("<img src=x>", (1, 2, 3)), ("a|b", (0, 0, 1))]
    text = dataset_card.render(content(replace(FACTS, classes=classes)))
    assert "# Dataset card: Flowers: \\*all\\*" in text
    assert "\\<img src=x\\>" in text
    assert "| a\\|b | 0 | 0 | 1 |" in text


@pytest.mark.parametrize("target", composition.targets())
def test_every_target_names_origin_and_licence(target):
    tree = composition.compose(target)
    assert tree.dataset.origin
    assert tree.dataset.licence != "unknown" or tree.source.get("path")
    assert tree.dataset.licence != "other" or (tree.dataset.terms and tree.dataset.terms_url)
    assert tree.dataset.sha256 in ("", tree.source.get("sha256"), *(each.sha256 for each in tree.source.get("zips", {}).values()))
