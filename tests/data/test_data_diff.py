"""The difference of two versions of data: its laws, its words, its page and its Markdown."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bitbloom.ci.data_diff import summary
from bitbloom.versions import page, words
from bitbloom.versions.command import Compared
from bitbloom.versions.data import Version
from bitbloom.versions.diff import (
    ADDED,
    CATEGORIES,
    EDITED,
    MOVED,
    RELABELLED,
    REMOVED,
    RENAMED,
    UNCHANGED,
    Pair,
    Sample,
    compare,
)

SAMPLES = st.builds(
    Sample,
    id=st.sampled_from(["a", "b", "c", "d"]),
    sha256=st.sampled_from(["", "1", "2", "3"]),
    key=st.sampled_from(["", "x", "y"]),
    label=st.sampled_from(["rose", "tulip"]),
    split=st.sampled_from(["", "train", "test"]),
    sentences=st.sampled_from([(), ("a rose",)]),
)
VERSIONS = st.lists(SAMPLES, max_size=8)
"""Few values, so that equal content, repeated names and missing digests are frequent."""
ROSE = Sample("rose/1.jpg", "s1", "k1", "rose", "train", "rose/1.jpg")


def mirrored(pair: Pair) -> Pair:
    return Pair(pair.after, pair.before)


@given(VERSIONS)
def test_version_does_not_differ_from_itself(one):
    assert compare(one, reversed(one)).same


@given(VERSIONS, VERSIONS)
def test_difference_is_mirrored_if_versions_are_swapped(one, other):
    found, back = compare(one, other), compare(other, one)
    assert Counter(found.pairs) == Counter(map(mirrored, back.pairs))
    opposite = {ADDED: REMOVED, REMOVED: ADDED}
    assert found.counts == {category: back.counts[opposite.get(category, category)] for category in CATEGORIES}


@given(VERSIONS, VERSIONS)
def test_every_sample_is_in_exactly_one_category(one, other):
    found = compare(one, other)
    listed = [pair for category in CATEGORIES for pair in found.of(category)]
    assert Counter(listed) == Counter(found.pairs)
    assert Counter(pair.before for pair in listed if pair.before) == Counter(one)
    assert Counter(pair.after for pair in listed if pair.after) == Counter(other)


@given(VERSIONS, st.permutations(range(8)))
def test_order_of_samples_does_not_matter(one, order):
    shuffled = [one[place] for place in order if place < len(one)]
    assert compare(one, [ROSE]).pairs == compare(shuffled, [ROSE]).pairs


@given(VERSIONS)
def test_added_and_removed_samples_share_no_content_and_no_name(one):
    found = compare(one, [replace(sample, label="iris") for sample in one[: len(one) // 2]])
    added, removed = found.of(ADDED), found.of(REMOVED)
    for field in ("sha256", "key", "id"):
        before, after = ({getattr(pair.sample, field) for pair in pairs} - {""} for pairs in (removed, added))
        assert not before & after


def category(after: Sample, before: Sample = ROSE) -> str:
    [pair] = compare([before], [after]).pairs
    return pair.category


def test_photo_in_another_class_folder_is_relabelled():
    assert category(replace(ROSE, id="tulip/1.jpg", path="tulip/1.jpg", label="tulip")) == RELABELLED


def test_photo_with_another_sentence_is_relabelled():
    assert category(replace(ROSE, sentences=("a red rose",)), replace(ROSE, sentences=("a rose",))) == RELABELLED


def test_photo_under_another_name_is_renamed():
    assert category(replace(ROSE, id="rose/2.jpg")) == RENAMED


def test_photo_with_equal_pixels_in_other_bytes_is_edited():
    assert category(replace(ROSE, sha256="s2", id="rose/1.png")) == EDITED


def test_other_content_under_the_same_name_is_edited():
    assert category(replace(ROSE, sha256="s2", key="k2", split="test")) == EDITED


def test_same_content_in_another_split_is_moved_even_if_it_is_relabelled():
    assert category(replace(ROSE, split="test", label="tulip")) == MOVED


def test_unknown_split_is_not_a_move():
    assert category(replace(ROSE, split="")) == UNCHANGED


def test_copy_of_a_photo_is_added_once():
    copied = compare([ROSE], [ROSE, replace(ROSE, id="rose/copy.jpg")])
    assert {name: count for name, count in copied.counts.items() if count} == {ADDED: 1, UNCHANGED: 1}
    assert copied.of(ADDED)[0].sample.id == "rose/copy.jpg"


def test_words_name_moved_samples_and_ways():
    moved = words.moved(compare([ROSE], [replace(ROSE, split="test")]))
    assert moved.startswith("1 samples moved between splits (1 train → test): rose/1.jpg.")
    assert words.moved(compare([ROSE], [ROSE])) == ""


def photo(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(stream, "PNG")
    return stream.getvalue()


def versions(before: list[Sample], after: list[Sample], photos: bool = True) -> Compared:
    def read(path: str) -> bytes:
        return b"no photo" if "broken" in path else photo("red")

    sides = [Version(name, samples, read, photos) for name, samples in (("v1", before), ("the working tree", after))]
    return Compared("petals", *sides, compare(before, after))


def rendered(done: Compared) -> str:
    return page.render(done.target, done.before, done.after, done.found)


def test_page_needs_no_other_file_and_escapes_names():
    hostile = replace(ROSE, id="<script>alert(1)</script>", sha256="s2", key="k2", label="<img src=x>")
    shown = rendered(versions([ROSE], [hostile]))
    assert shown.count("data:image/jpeg;base64,") == 2
    assert "&lt;script&gt;" in shown
    assert not any(part in shown for part in ("<script", "<img src=x", "http://", "https://", "url("))


def test_page_has_equal_bytes_for_equal_versions():
    done = versions([ROSE], [replace(ROSE, label="tulip")])
    assert rendered(done) == rendered(done)


def test_page_shows_some_samples_of_many_and_counts_all():
    many = [replace(ROSE, id=f"{number:04}", sha256=f"{number}", key=f"{number}") for number in range(1000)]
    shown = rendered(versions([], many))
    assert shown.count("<figure>") == page.SHOWN
    assert "The page shows 24 of 1,000" in shown


def test_photo_that_cannot_be_read_is_named_without_picture():
    shown = rendered(versions([], [replace(ROSE, path="broken.jpg")]))
    assert "This photo cannot be shown." in shown
    assert "rose/1.jpg" in shown


def test_page_marks_changed_words_of_a_text():
    before, after = (Sample("1", sha, sha, "no", text=text) for sha, text in (("a", "a big fire"), ("b", "a small fire")))
    shown = rendered(versions([before], [after], photos=False))
    assert "<del>big</del>" in shown
    assert "<ins>small</ins>" in shown


def test_text_with_markup_is_shown_as_text():
    shown = rendered(versions([], [Sample("1", "a", "a", "no", text="<b>fire</b> & smoke")], photos=False))
    assert "&lt;b&gt;fire&lt;/b&gt; &amp; smoke" in shown


def test_summary_has_counts_labels_samples_and_the_warning():
    after = [replace(ROSE, split="test"), replace(ROSE, id="a|b", sha256="s2", key="k2", label="*tulip*")]
    text = summary(versions([ROSE], after))
    assert text.startswith("### petals: data since v1\n\n1 moved, 1 added; 0 unchanged.")
    assert "**1 samples moved between splits" in text
    assert "| \\*tulip\\* | 0 | 1 | +1 |" in text
    assert "| added |  | a\\|b · \\*tulip\\* · train |" in text


def test_summary_of_equal_versions_is_one_sentence():
    assert summary(versions([ROSE], [ROSE])) == "### petals: data since v1\n\nNo difference: all 1 samples are the same.\n"
