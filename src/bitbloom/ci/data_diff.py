"""The difference of two versions of data in Markdown, for a pull request: numbers, labels and some samples of each category."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitbloom.ci import markdown
from bitbloom.versions import words
from bitbloom.versions.diff import CATEGORIES, UNCHANGED

if TYPE_CHECKING:
    from bitbloom.versions.command import Compared
    from bitbloom.versions.diff import Pair, Sample

NAMED, LABELS, LONGEST = 5, 20, 100
"""Samples of each category, labels, and characters of a text in the summary. The page shows more."""


def summary(done: Compared) -> str:
    """The section on one target."""
    return "\n".join(_parts(done))


def _parts(done: Compared) -> Iterator[str]:
    yield f"### {done.target}: data since {markdown.escaped(done.before.name)}\n"
    yield f"{words.verdict(done.found)}\n"
    if moved := words.moved(done.found):
        yield f"**{markdown.escaped(moved)}.**\n"
    if done.found.same:
        return
    counts = [(category, count, words.MEANINGS[category]) for category, count in done.found.counts.items() if count]
    yield markdown.table(("", "samples", ""), counts)
    changed = [row for row in words.by_label(done.found) if row[1] != row[2]]
    if changed:
        rows = [(markdown.escaped(label) or "(none)", before, after, f"{after - before:+}") for label, before, after in changed]
        yield markdown.table(("label", "before", "after", "change"), rows[:LABELS])
    if len(changed) > LABELS:
        yield f"{len(changed) - LABELS} more labels changed less.\n"
    named = [pair for category in CATEGORIES if category != UNCHANGED for pair in done.found.of(category)[:NAMED]]
    yield markdown.table(("", "before", "after"), [(pair.category, _cell(pair, before=True), _cell(pair)) for pair in named])
    for note in (*done.before.notes, *done.after.notes):
        yield f"{markdown.escaped(note)}\n"


def _cell(pair: Pair, before: bool = False) -> str:
    one = pair.before if before else pair.after
    return markdown.escaped(_described(one)) if one else ""


def _described(one: Sample) -> str:
    text = one.text or " / ".join(one.sentences)
    shortened = text if len(text) <= LONGEST else text[:LONGEST] + "…"
    return " · ".join(part for part in (one.id, one.label, one.split, shortened) if part)
