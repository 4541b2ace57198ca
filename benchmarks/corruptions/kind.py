"""A kind of damage: a function that damages samples of a source with random parameters, and tells which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from bitbloom.data.sources import SourceFile

Files = list[SourceFile]
Change = Callable[[SourceFile, Random], SourceFile]


@dataclass(frozen=True)
class Damage:
    """Samples after the damage, and the ids of those at fault; empty if the table as a whole is at fault.

    Attributes:
        partners: ids of samples that a finding may name too, such as the original of a copy.
    """

    files: Files
    ids: set[str] = field(default_factory=set)
    partners: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Kind:
    """A kind of damage.

    Attributes:
        expects: names of expectations; one of them has to fail, and to list the damaged rows.
        damage: the damage to samples.
        alone: whether it concerns the whole table, so that no other damage can be in it.
        gate: bounds that differ from those of the clean set.
    """

    name: str
    expects: tuple[str, ...]
    damage: Callable[[Files, Random, Sequence[int]], Damage]
    alone: bool = False
    gate: dict[str, Any] = field(default_factory=dict)


def changed(name: str, expects: str, change: Change) -> Kind:
    """A kind that changes samples one by one."""

    def damage(files: Files, random: Random, chosen: Sequence[int]) -> Damage:
        made = list(files)
        for position in chosen:
            made[position] = change(files[position], random)
        return Damage(made, {made[position].id for position in chosen})

    return Kind(name, tuple(expects.split()), damage)


def copied(name: str, expects: str, change: Change) -> Kind:
    """A kind that adds a changed copy of samples, with other names that sort behind the originals."""

    def damage(files: Files, random: Random, chosen: Sequence[int]) -> Damage:
        copies = [renamed(change(files[position], random)) for position in chosen]
        return Damage([*files, *copies], {copy.id for copy in copies}, {files[position].id for position in chosen})

    return Kind(name, tuple(expects.split()), damage)


def whole(name: str, expects: str, damage: Callable[[Files, Random], Damage], **gate: Any) -> Kind:
    """A kind that concerns the whole table."""
    return Kind(name, tuple(expects.split()), lambda files, random, _: damage(files, random), alone=True, gate=gate)


def renamed(file: SourceFile) -> SourceFile:
    """A sample with another id, behind the original in the order of ids."""
    if file.row:
        return replace(file, row=f"{file.row}-copy")
    stem, dot, suffix = file.path.rpartition(".")
    return replace(file, path=f"{stem}_copy{dot}{suffix}")


def content(file: SourceFile) -> bytes:
    """The bytes of a sample in memory."""
    if file.content is None:
        raise ValueError(f"{file.id} is not in memory")
    return file.content
