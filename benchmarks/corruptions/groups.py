"""Damage to classes, to given splits, and since the accepted profile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from random import Random

from bitbloom.data.sources import SourceFile
from corruptions import photos
from corruptions.kind import Damage, Files, whole

Split = Callable[[int, Random], str]


def every(files: Files) -> set[str]:
    """The ids of all samples."""
    return {file.id for file in files}


def a_class(files: Files, random: Random) -> str:
    return random.choice(sorted({file.label for file in files}))


def relabelled(files: Files, chosen: set[str], label: Callable[[str], str]) -> Damage:
    made = [replace(file, label=label(file.label)) if file.id in chosen else file for file in files]
    return Damage(made, chosen)


def some(files: Files, random: Random, count: int) -> set[str]:
    return {file.id for file in random.sample(files, count)}


def misspelt(files: Files, random: Random) -> Damage:
    return relabelled(files, some(files, random, random.randint(1, 4)), lambda label: _swapped(label, random))


def _swapped(label: str, random: Random) -> str:
    """Exchange two different neighbours inside a word."""
    places = [at for at in range(1, len(label) - 1) if label[at] != label[at + 1] and label[at : at + 2].isalpha()]
    at = random.choice(places)
    return label[:at] + label[at + 1] + label[at] + label[at + 2 :]


def one_misspelling(files: Files, random: Random) -> Damage:
    """The same misspelling of one class, in few rows."""
    label = a_class(files, random)
    wrong, count = _swapped(label, random), max(1, sum(file.label == label for file in files) // 12)
    chosen = {file.id for file in random.sample([file for file in files if file.label == label], count)}
    return relabelled(files, chosen, lambda _: wrong)


def other_case(files: Files, random: Random) -> Damage:
    label = a_class(files, random)
    chosen = {file.id for file in [file for file in files if file.label == label][:: random.randint(3, 5)]}
    return relabelled(files, chosen, lambda _: random.choice((label.upper(), label.title(), f" {label}")))


def plural(files: Files, random: Random) -> Damage:
    label = a_class(files, random)
    chosen = {file.id for file in [file for file in files if file.label == label][:: random.randint(3, 5)]}
    return relabelled(files, chosen, lambda _: f"{label}s")


def unknown_label(files: Files, random: Random) -> Damage:
    return relabelled(files, some(files, random, random.randint(1, 5)), lambda _: random.choice(("other", "unknown", "7", "")))


def class_lost(files: Files, random: Random) -> Damage:
    label = a_class(files, random)
    return Damage([file for file in files if file.label != label], set(), every(files))


def reduced(fraction: float) -> Callable[[Files, Random], Damage]:
    """Keep a fraction of the rows of one class."""

    def damage(files: Files, random: Random) -> Damage:
        label = a_class(files, random)
        of_class = [file for file in files if file.label == label]
        kept = {file.id for file in random.sample(of_class, max(1, int(len(of_class) * fraction)))}
        return Damage([file for file in files if file.label != label or file.id in kept], kept, every(files))

    return damage


def rows_lost(files: Files, random: Random) -> Damage:
    """A broken download: the first rows only, of all classes."""
    kept = int(len(files) * random.uniform(0.3, 0.5))
    return Damage(random.sample(files, kept), set(), every(files))


def with_split(file: SourceFile, split: str) -> SourceFile:
    return replace(file, attributes={**file.attributes, "split": split})


def fairly(files: Files) -> Files:
    """Give every class the same percentages of the splits, 70, 10 and 20."""
    seen: Counter[str] = Counter()
    made = []
    for file in files:
        at = seen[file.label] % 10
        seen[file.label] += 1
        made.append(with_split(file, "train" if at < 7 else "val" if at == 7 else "test"))
    return made


def leaked(files: Files, random: Random) -> Damage:
    """Copies of training samples in the test split."""
    made = fairly(files)
    train = [file for file in made if file.attributes["split"] == "train"]
    copies = [with_split(_copy(file), "test") for file in random.sample(train, 4)]
    return Damage([*made, *copies], {file.id for file in copies}, every(files))


def _copy(file: SourceFile) -> SourceFile:
    if file.row:
        return replace(file, row=f"{file.row}-leaked")
    stem, dot, suffix = file.path.rpartition(".")
    return replace(file, path=f"{stem}_leaked{dot}{suffix}")


def class_not_in_test(files: Files, random: Random) -> Damage:
    """The test split has nothing of one class; its rows are in the training split."""
    label = a_class(files, random)
    made = [with_split(file, "train") if file.label == label else file for file in fairly(files)]
    return Damage(made, {file.id for file in made if file.label == label}, every(files))


def darker_split(files: Files, random: Random) -> Damage:
    """The test photos were taken with another exposure."""
    factor = random.uniform(0.35, 0.5)
    darken = photos.pixels(lambda image, _: image.point(lambda value: int(value * factor)))
    made = [darken(file, random) if file.attributes["split"] == "test" else file for file in fairly(files)]
    return Damage(made, {file.id for file in made if file.attributes["split"] == "test"}, every(files))


def larger_split(files: Files, random: Random) -> Damage:
    """The test photos have another size."""
    side = random.randint(110, 180)
    enlarge = photos.sized(lambda image, _: (side, side))
    made = [enlarge(file, random) if file.attributes["split"] == "test" else file for file in fairly(files)]
    return Damage(made, {file.id for file in made if file.attributes["split"] == "test"}, every(files))


def darker(files: Files, random: Random) -> Damage:
    """All photos are darker than the accepted ones; the gate names the darkest."""
    factor = random.uniform(0.4, 0.55)
    darken = photos.pixels(lambda image, _: image.point(lambda value: int(value * factor)))
    return Damage([darken(file, random) for file in files], set(), every(files))


def scaled(files: Files, random: Random) -> Damage:
    """All photos were scaled since the profile was accepted."""
    side = random.randint(64, 80)
    scale = photos.sized(lambda image, _: (side, side))
    made = [scale(file, random) for file in files]
    return Damage(made, every(made))


LABELLED = (
    whole("misspelt labels", "labels-declared", misspelt),
    whole("one misspelling, labels not declared", "labels-alike", one_misspelling, labels=None),
    whole("label in another case, labels not declared", "labels-alike", other_case, labels=None),
    whole("label in the plural, labels not declared", "labels-alike", plural, labels=None),
    whole("undeclared labels", "labels-declared", unknown_label),
    whole("a class is missing", "labels-present", class_lost),
    whole("a class has hardly any rows", "class-rows", reduced(0.15)),
    whole("a class is swamped by the others", "class-balance", reduced(0.4)),
    whole("two thirds of the rows lost", "row-count", rows_lost),
)
LEAK = whole("training samples in the test split", "split-leaks", leaked)
SPLITS = (LEAK, whole("a class is not in the test split", "split-labels", class_not_in_test))
VALUES = (
    whole("test photos with another exposure", "split-values", darker_split),
    whole("test photos of another size", "split-values", larger_split),
)
ROWS_LOST = whole("fewer rows than in the profile", "profile-rows", rows_lost, rows=[10, 100_000], class_rows=1, imbalance=99.0)
PROFILES = (
    ROWS_LOST,
    whole("a class of the profile is missing", "profile-labels", class_lost, labels=None),
    whole("a class shrank since the profile", "profile-classes", reduced(0.2), class_rows=1, imbalance=99.0),
)
SIZES = (
    whole("darker photos than in the profile", "profile-values", darker),
    whole("smaller photos than in the profile", "profile-values", scaled),
)
