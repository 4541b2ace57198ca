"""Damage a clean set, check it, and count what the gate finds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from bitbloom.validation import verdict as reports
from bitbloom.validation.check import check, suite_path
from bitbloom.validation.verdict import FAILED, Verdict
from corruptions.clean import KINDS, Clean
from corruptions.kind import Files, Kind

ALL = 100_000
TOGETHER, EACH = 6, 2
"""Number of kinds that damage different rows of one set, and rows of each; together less than a twentieth of the rows."""


@dataclass(frozen=True)
class Outcome:
    """What the gate finds of one kind of damage.

    Attributes:
        failed: expectations of the kind that fail.
        recall: fraction of the damaged rows that they list; without rows at fault, whether one fails.
    """

    kind: str
    failed: tuple[str, ...]
    recall: float


@dataclass(frozen=True)
class Round:
    """The result of a check: outcomes by kind, and ids that are named without damage, by expectation."""

    outcomes: tuple[Outcome, ...]
    alarms: dict[str, list[str]]


def rounds(kinds: Sequence[Kind], random: Random) -> Iterator[tuple[Kind, ...]]:
    """Group kinds: those of single rows together, the others alone."""
    single = [kind for kind in kinds if not kind.alone]
    random.shuffle(single)
    for start in range(0, len(single), TOGETHER):
        yield tuple(single[start : start + TOGETHER])
    yield from ((kind,) for kind in kinds if kind.alone)


def measure(clean: Clean, kinds: Sequence[Kind], random: Random) -> Round:
    """Apply kinds of damage to different rows of a clean set, check it, and compare what is named with what was damaged."""
    files: Files = clean.files
    free = random.sample(range(len(files)), EACH * len(kinds))
    damaged, partners = [], set()
    for number, kind in enumerate(kinds):
        damage = kind.damage(files, random, free[EACH * number : EACH * (number + 1)])
        files = damage.files
        damaged.append(damage.ids)
        partners |= damage.partners
    gate = clean.bounds(**{key: value for kind in kinds for key, value in kind.gate.items()})
    verdict = check(clean.manifest(files), suite_path(clean.task), gate, accepted=clean.profile)
    outcomes = tuple(outcome(kind, ids, verdict) for kind, ids in zip(kinds, damaged, strict=True))
    return Round(outcomes, alarms(verdict, set().union(partners, *damaged)))


def outcome(kind: Kind, ids: set[str], verdict: Verdict) -> Outcome:
    """Return what a verdict says about a kind of damage to samples with these ids."""
    failed = [one for one in verdict.with_outcome(FAILED) if one.name in kind.expects]
    named = {row["id"] for one in failed for row in one.rows}
    recall = len(named & ids) / len(ids) if ids else float(bool(failed))
    return Outcome(kind.name, tuple(one.name for one in failed), recall)


def alarms(verdict: Verdict, expected: set[str]) -> dict[str, list[str]]:
    """Return the ids that failed expectations name without reason."""
    found = {one.name: [row["id"] for row in one.rows if row["id"] not in expected] for one in verdict.with_outcome(FAILED)}
    return {name: ids for name, ids in found.items() if ids}


def matrix(job: tuple[str, int]) -> tuple[str, int, dict[str, list[str]], list[Round]]:
    """Measure every kind of a task with a seed. Returns task, seed, alarms on the clean set, and the rounds."""
    task, seed = job
    reports.ROWS_NAMED = ALL  # a report lists the first rows only
    os.environ["WORKERS"] = "1"  # the jobs run in parallel already
    clean, random = Clean.make(task, seed), Random(seed)
    undamaged = measure(clean, (), random).alarms
    return task, seed, undamaged, [measure(clean, kinds, random) for kinds in rounds(KINDS[task], random)]
