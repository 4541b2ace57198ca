"""A difference of data in words."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bitbloom.versions.diff import ADDED, EDITED, MOVED, RELABELLED, REMOVED, RENAMED, UNCHANGED

if TYPE_CHECKING:
    from bitbloom.versions.diff import Difference, Pair

MEANINGS = {
    MOVED: "the same content in another split: the test split of one version trains the other",
    RELABELLED: "the same sample with another label or other sentences",
    EDITED: "the same name or the same words with other bytes, and the same label",
    RENAMED: "the same content under another name",
    ADDED: "no sample of the earlier version has this content or this name",
    REMOVED: "no sample of the working tree has this content or this name",
    UNCHANGED: "the same content, name, label and split",
}
"""Category → what it says of a sample."""
ARROW = " → "


def verdict(found: Difference) -> str:
    """One sentence about a difference."""
    if found.same:
        return f"No difference: all {len(found.pairs):,} samples are the same."
    changed = [f"{count:,} {category}" for category, count in found.counts.items() if count and category != UNCHANGED]
    return f"{', '.join(changed)}; {found.counts[UNCHANGED]:,} unchanged."


def moved(found: Difference) -> str:
    """The sentence about samples in another split; empty without any."""
    pairs = found.of(MOVED)
    if not pairs:
        return ""
    ways = Counter(change(pair.before.split, pair.after.split) for pair in pairs if pair.before and pair.after)
    listed = ", ".join(f"{count:,} {way}" for way, count in sorted(ways.items()))
    names = ", ".join(pair.sample.id for pair in pairs[:3])
    more = f" and {len(pairs) - 3:,} more" if len(pairs) > 3 else ""
    return (
        f"{len(pairs):,} samples moved between splits ({listed}): {names}{more}. A model of one version was trained on test "
        f"samples of the other, so their metrics cannot be compared: restore prepare.split, or the splits of the source"
    )


def change(before: str, after: str) -> str:
    """`rose`, or `rose → tulip`."""
    return after if before == after else f"{before or '(none)'}{ARROW}{after or '(none)'}"


def by_label(found: Difference) -> list[tuple[str, int, int]]:
    """Label, and number of samples before and after; the most changed first."""
    before = Counter(pair.before.label for pair in found.pairs if pair.before)
    after = Counter(pair.after.label for pair in found.pairs if pair.after)
    rows = [(label, before[label], after[label]) for label in {*before, *after}]
    return sorted(rows, key=lambda row: (-abs(row[2] - row[1]), row[0]))


def by_split(found: Difference) -> list[tuple[str, int, int]]:
    """Split, and number of samples before and after."""
    before = Counter(pair.before.split for pair in found.pairs if pair.before)
    after = Counter(pair.after.split for pair in found.pairs if pair.after)
    return [(split, before[split], after[split]) for split in ("train", "val", "test", "") if before[split] or after[split]]


def details(pair: Pair) -> list[str]:
    """What changed of a sample, in short lines; its name, label and split if it has no other side."""
    one, other = pair.before, pair.after
    if one is None or other is None:
        return [part for part in (pair.sample.label, pair.sample.split, pair.sample.id) if part]
    lines = [change(one.label, other.label), change(one.split, other.split), change(one.id, other.id)]
    return [line for line in lines if line]
