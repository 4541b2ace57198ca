"""The difference of two versions of data: every sample of both is in exactly one pair, and every pair in one category.

    compare(before, after).of(RELABELLED)

A sample is found again by its content first, so that a photo that moves to another folder is relabelled, and not removed and
added. The levels of MATCHES go from the strictest to the loosest. The comparison is symmetric: the difference of `after` and
`before` has the same pairs, swapped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

MOVED, RELABELLED, EDITED, RENAMED = "moved", "relabelled", "edited", "renamed"
ADDED, REMOVED, UNCHANGED = "added", "removed", "unchanged"
CATEGORIES = (MOVED, RELABELLED, EDITED, RENAMED, ADDED, REMOVED, UNCHANGED)
"""All categories. Of those that fit a pair of two samples, the first one counts."""


@dataclass(frozen=True)
class Sample:
    """One sample of a version.

    Attributes:
        id: its name.
        sha256: the digest of its bytes.
        key: the digest of its content (pixels, or words), equal for files that differ in their encoding only.
        label: its class.
        split: train, val or test; empty if it has none.
        path: of its file, relative to the raw data.
        text: of a tweet; empty for photos.
        sentences: the sentences about a photo.
    """

    id: str
    sha256: str = ""
    key: str = ""
    label: str = ""
    split: str = ""
    path: str = ""
    text: str = ""
    sentences: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[object, ...]:
        """All fields: samples of equal content are paired in this order."""
        return (self.id, self.sha256, self.key, self.label, self.sentences, self.split, self.path, self.text)


@dataclass(frozen=True)
class Pair:
    """A sample before and after; None where the version lacks it."""

    before: Sample | None
    after: Sample | None

    @property
    def category(self) -> str:
        """The first category of CATEGORIES that fits."""
        if self.before is None or self.after is None:
            return ADDED if self.before is None else REMOVED
        before, after = self.before, self.after
        if self.same_content and before.split and after.split and before.split != after.split:
            return MOVED
        if (before.label, before.sentences) != (after.label, after.sentences):
            return RELABELLED
        if before.sha256 != after.sha256:
            return EDITED
        return RENAMED if before.id != after.id else UNCHANGED

    @property
    def same_content(self) -> bool:
        """Whether both have equal bytes, or equal pixels or words. Other content may have another split without a leak."""
        if self.before is None or self.after is None:
            return False
        return self.before.sha256 == self.after.sha256 or (bool(self.before.key) and self.before.key == self.after.key)

    @property
    def sample(self) -> Sample:
        """The sample after the change, or before it if it was removed."""
        found = self.after or self.before
        assert found is not None
        return found


Identity = Callable[[Sample], tuple[Hashable, ...]]
MATCHES: Sequence[Identity] = (
    lambda one: (one.sha256, one.id, one.label, one.sentences),
    lambda one: (one.sha256, one.id),
    lambda one: (one.sha256, one.label, one.sentences),
    lambda one: (one.sha256,),
    lambda one: (one.key, one.id),
    lambda one: (one.key, one.label),
    lambda one: (one.key,),
    lambda one: (one.id,),
)
"""What two samples have in common that are one sample of two versions, the strictest first. An empty first value matches none."""


@dataclass(frozen=True)
class Difference:
    """All pairs of two versions, sorted by the name of the sample."""

    pairs: Sequence[Pair]

    @cached_property
    def by_category(self) -> dict[str, list[Pair]]:
        """Category → its pairs, for every category."""
        found: dict[str, list[Pair]] = {category: [] for category in CATEGORIES}
        for pair in self.pairs:
            found[pair.category].append(pair)
        return found

    def of(self, category: str) -> list[Pair]:
        """Return the pairs of a category."""
        return self.by_category[category]

    @property
    def counts(self) -> dict[str, int]:
        """Category → number of pairs."""
        return {category: len(pairs) for category, pairs in self.by_category.items()}

    @property
    def same(self) -> bool:
        """Whether no sample changed."""
        return len(self.pairs) == len(self.of(UNCHANGED))


def compare(before: Iterable[Sample], after: Iterable[Sample]) -> Difference:
    """Pair the samples of two versions."""
    left, right = sorted(before, key=lambda one: one.order), sorted(after, key=lambda one: one.order)
    pairs: list[Pair] = []
    for identity in MATCHES:
        found, left, right = _matched(identity, left, right)
        pairs += found
    pairs += [Pair(one, None) for one in left] + [Pair(None, one) for one in right]
    return Difference(sorted(pairs, key=_order))


def _matched(
    identity: Identity, left: Sequence[Sample], right: Sequence[Sample]
) -> tuple[list[Pair], list[Sample], list[Sample]]:
    """Pair samples with an equal identity, in order; return the pairs, and the samples of both sides without one."""
    waiting: dict[tuple[Hashable, ...], list[Sample]] = defaultdict(list)
    for one in reversed(right):
        waiting[identity(one)].append(one)
    pairs, unmatched = [], []
    for one in left:
        shared = identity(one)
        if shared[0] and waiting.get(shared):
            pairs.append(Pair(one, waiting[shared].pop()))
        else:
            unmatched.append(one)
    taken = {id(pair.after) for pair in pairs}
    return pairs, unmatched, [one for one in right if id(one) not in taken]


def _order(pair: Pair) -> tuple[object, ...]:
    return (pair.sample.id, pair.sample.order, pair.before is None)
