"""Recognition of folders that are splits, not classes, among the folders of a data set of photos.

Published data sets name such folders in many ways: `training_set`, `seg_test`, `Valid`, `predict`. Names alone do not decide,
because `train` is also a class of vehicles: a split holds folders of classes. Photos beside these have no class.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bitbloom.data import clutter

WORDS = {
    "train": "train training trainset traindata trainval xtrain",
    "val": "val valid valset validset validation validate validating dev devel devset development",
    "test": "test tests testing testset testdata xtest eval evaluation evaluate holdout heldout",
    "": "pred preds predict predicted prediction predictions inference infer unlabeled unlabelled unsupervised submission",
}
"""Split → words in the names of its folders; without a split: photos without labels."""
ROLES = {word: split for split, words in WORDS.items() for word in words.split()}
ALIKE = 0.5
"""Smallest ratio of common to all names of subfolders for folders of the same structure."""


@dataclass(frozen=True)
class Layout:
    """Folders that look like splits.

    Attributes:
        form: `outer` (split/class), `inner` (class/split), `flat` (splits without classes), `nameless` (the same classes in
            folders whose names are not those of splits).
        folders: the folders at the top that look like splits, sorted.
        names: names of subfolders, sorted.
    """

    form: str
    folders: tuple[Path, ...]
    names: tuple[str, ...]


def role(name: str) -> str | None:
    """Return the split of a folder's name (train, val, test, or an empty text for photos without labels), else None.

    The words of the name decide: `seg_train`, `TrainingSet`, `train2017`, `01-Train`. A name with words of two splits has none.
    """
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", unicodedata.normalize("NFKC", name))
    found = {ROLES[word] for word in re.findall(r"[a-z]+", apart.lower()) if word in ROLES}
    return found.pop() if len(found) == 1 else None


def find(root: Path, has_photos: Callable[[Path], bool]) -> Layout | None:
    """Return the split folders among the subfolders of `root`, or None if these are classes.

    Args:
        root: the folder of the folders.
        has_photos: function that tells whether photos lie directly in a folder.
    """
    tops = folders(root)
    direct = {top for top in tops if has_photos(top)}
    holders = [top for top in tops if folders(top)]
    roles = {top: role(top.name) for top in tops}
    named = [top for top in holders if roles[top]]
    strangers = [top for top in direct if roles[top] is None]
    if _share(named) or (named and not strangers and sum(roles[top] is not None for top in tops) > 1):
        return _layout("outer", [top for top in tops if roles[top] is not None])
    wide = any(len(names(level(top, frozenset(), has_photos))) > 1 for top in named)
    if wide and not all(roles[top] is not None or _kinds(top, has_photos) for top in tops):
        return _layout("outer", [top for top in tops if roles[top] is not None])
    if not named and len(direct) > 1 and not strangers:
        return _layout("flat", sorted(direct))
    if len(holders) < 2 or not direct <= set(holders):
        return None
    return _inner(holders) or _nameless(holders)


def folders(folder: Path) -> list[Path]:
    """Return the subfolders without clutter, sorted."""
    return [path for path in clutter.visible(folder) if path.is_dir()]


def level(split: Path, classes: frozenset[str], has_photos: Callable[[Path], bool]) -> Path:
    """Return the folder of the class folders in a split: the split, or the one in wrapper folders such as seg_train/seg_train.

    Args:
        split: a folder of a split.
        classes: names of the classes, as far as they are known: a folder that has one of them is not a wrapper.
        has_photos: as for `find`.
    """
    inner = folders(split)
    if len(inner) != 1 or inner[0].name in classes or not folders(inner[0]):
        return split
    own, below = role(split.name), role(inner[0].name)
    loose = below and own in (None, below)  # loose photos do not make a class of seg_train/seg_train, or of a sole train
    if (has_photos(split) and own is None) or (not loose and (has_photos(split) or has_photos(inner[0]))):
        return split
    return level(inner[0], classes, has_photos)


def names(folder: Path) -> set[str]:
    """Return the names of the subfolders, in Unicode NFC."""
    return {unicodedata.normalize("NFC", path.name) for path in folders(folder)}


def _kinds(top: Path, has_photos: Callable[[Path], bool]) -> bool:
    """Return whether the photos of a folder are only in its subfolders, as in a class of several kinds."""
    return not has_photos(top) and any(has_photos(path) or _kinds(path, has_photos) for path in folders(top))


def _layout(form: str, tops: list[Path]) -> Layout:
    return Layout(form, tuple(tops), tuple(sorted(set().union(*map(names, tops)))))


def _share(tops: list[Path]) -> bool:
    """Return whether two folders have a subfolder of the same name, perhaps in wrapper folders."""
    found = [names(level(top, frozenset(), lambda _: False)) | names(top) for top in tops]
    return any(one & other for number, one in enumerate(found) for other in found[:number])


def _inner(holders: list[Path]) -> Layout | None:
    """Return the layout class/split."""
    roles = {role(name) for top in holders for name in names(top)}
    return _layout("inner", holders) if None not in roles and len(roles) > 1 else None


def _nameless(holders: list[Path]) -> Layout | None:
    """Return the layout of folders with the same subfolders."""
    found = [names(top) for top in holders]
    common, whole = set.intersection(*found), set.union(*found)
    return _layout("nameless", holders) if len(common) > 1 and len(common) >= ALIKE * len(whole) else None
