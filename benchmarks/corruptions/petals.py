"""Kinds of damage to photos in folders of classes."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from corruptions import photos
from corruptions.groups import LABELLED, PROFILES, SIZES, SPLITS, VALUES, every
from corruptions.kind import Damage, Files, Kind, copied, whole


def everything_twice(files: Files, random: Random) -> Damage:
    copies = [replace(file, path=f"z-copy/{file.path}") for file in files]
    return Damage([*files, *copies], {copy.id for copy in copies}, every(files))


def another(label: str, random: Random) -> str:
    return random.choice([one for one in ("daisy", "rose", "tulip", "iris") if one != label])


COPIES: tuple[Kind, ...] = (
    copied(
        "the same file under two labels", "label-conflicts", lambda file, random: replace(file, label=another(file.label, random))
    ),
    copied(
        "the same photo under two labels, compressed again",
        "near-duplicates label-conflicts",
        lambda file, random: replace(
            file, label=another(file.label, random), content=photos.saved(photos.opened(file), quality=random.randint(60, 85))
        ),
    ),
)
KINDS = (
    *photos.KINDS,
    *COPIES,
    whole("everything twice", "repeated-files", everything_twice),
    *LABELLED,
    *SPLITS,
    *VALUES,
    *PROFILES,
    *SIZES,
)
