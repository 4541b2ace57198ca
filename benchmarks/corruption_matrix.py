"""Damage clean data in every way of `corruptions`, and write what the gate finds into docs/gate-corruptions.md.

    python benchmarks/corruption_matrix.py --seeds 3 --real ../shared/data

With `--real` the table of false alarms also has the real data sets of that folder.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.core.processes import spread, workers
from bitbloom.core.progress import track
from corruptions.clean import KINDS
from corruptions.measure import Outcome, matrix
from corruptions.real import SETS, Finding, findings, reviewed

DOCUMENT = Path("docs/gate-corruptions.md")
TASKS = {"petals": "Photos in classes", "tweets": "Texts", "captions": "Photos with captions"}
START = """\
# What the gate finds

`make corruption-matrix` damages clean synthetic data in the ways below, with random parameters, and checks it with the
suite of the task. A kind is found if the expectation that is named fails and lists the damaged rows. It writes this
page. [The gate](gate.md) describes the expectations.
"""


@dataclass
class Measured:
    """The outcomes of a task by kind, and the rows that are named without damage."""

    outcomes: dict[str, list[Outcome]] = field(default_factory=lambda: defaultdict(list))
    alarms: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    checks: int = 0
    clean: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--real", type=Path, help="folder of real data sets")
    parser.add_argument("--tasks", nargs="*", choices=sorted(TASKS), default=list(TASKS))
    parser.add_argument("--to", type=Path, default=DOCUMENT)
    parser.add_argument("--findings", type=Path, help="write the findings on real sets as JSON, to look at them")
    given = parser.parse_args()
    measured = run(given.tasks, given.seeds)
    real = on_real_sets(given.real) if given.real else []
    if given.findings:
        canonical.write_json(given.findings, {name: {one.name: list(one.ids) for one in found} for name, _, found in real})
    canonical.write_text(given.to, document(measured, given.seeds, real))
    print(f"{given.to}: {sum(len(one.outcomes) for one in measured.values())} kinds of damage")


def run(tasks: Sequence[str], seeds: int) -> dict[str, Measured]:
    """Measure all kinds of some tasks with the seeds 0, 1, …"""
    jobs = [(task, seed) for seed in range(seeds) for task in tasks]
    found = {task: Measured() for task in tasks}
    for task, _, undamaged, rounds in track(spread(matrix, jobs, workers(), 1), "check damaged data", len(jobs)):
        measured = found[task]
        for name, ids in undamaged.items():
            measured.clean[name] += len(ids)
        for one in rounds:
            measured.checks += 1
            for outcome in one.outcomes:
                measured.outcomes[outcome.kind].append(outcome)
            for name, ids in one.alarms.items():
                measured.alarms[name] += len(ids)
    return found


def on_real_sets(folder: Path) -> list[tuple[str, int, list[Finding]]]:
    """Check the real data sets of a folder."""
    jobs = [(str(folder), name) for name in SETS if (folder / name).exists()]
    return list(track(spread(findings, jobs, workers(), 1), "check real data", len(jobs)))


def document(measured: dict[str, Measured], seeds: int, real: Sequence[tuple[str, int, list[Finding]]]) -> str:
    """The page."""
    parts = [START, summary(measured, seeds)]
    parts += [section(task, one) for task, one in measured.items()]
    parts += [real_section(real)] if real else []
    return "\n".join(parts)


def summary(measured: dict[str, Measured], seeds: int) -> str:
    """Kinds, recall and false alarms of each task."""
    lines = [
        "| task | kinds | found with every seed | damaged rows listed | rows named without damage | alarms on clean sets |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for task, one in measured.items():
        means = [_mean(outcomes) for outcomes in one.outcomes.values()]
        found = sum(all(outcome.failed for outcome in outcomes) for outcomes in one.outcomes.values())
        clean = f"{sum(one.clean.values())} (sets: {seeds})"
        named = f"{sum(one.alarms.values())} in {one.checks} checks{_named(one.alarms)}"
        lines.append(f"| {task} | {len(means)} | {found} | {100 * sum(means) / len(means):.1f} % | {named} | {clean} |")
    return "\n".join(
        ["", f"Seeds of the random parameters: {seeds}. A round damages other rows of one set in up to six ways.", "", *lines, ""]
    )


def section(task: str, measured: Measured) -> str:
    """The kinds of a task."""
    lines = [f"## {TASKS[task]} (`{task}`)", "", "| damage | expectations | rows listed |", "| --- | --- | --- |"]
    for kind in KINDS[task]:
        outcomes = measured.outcomes[kind.name]
        names = sorted({name for outcome in outcomes for name in outcome.failed}) or ["none"]
        lines.append(f"| {kind.name} | {', '.join(names)} | {100 * _mean(outcomes):.0f} % |")
    return "\n".join([*lines, ""])


def real_section(real: Sequence[tuple[str, int, list[Finding]]]) -> str:
    """The findings on real sets: those that were looked at and are right, and the others."""
    right = reviewed()
    lines = [
        "## Real data",
        "",
        "The data sets were checked with the bounds of the targets that read such data. A finding is right if a person who\n"
        "looks at the rows agrees with it: `benchmarks/corruptions/reviewed.json` has these rows.",
        "",
        "| data | rows | expectation | severity | rows named | looked at | right | false alarms |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, rows, found in real:
        if not found:
            lines.append(f"| {name} | {rows:,} | all hold | | 0 | 0 | 0 | 0 |")
        for one in found:
            agreed = len(set(one.ids) & set(right.get(name, {}).get(one.name, [])))
            counts = f"{one.count} | {len(one.ids)} | {agreed} | {len(one.ids) - agreed}"
            lines.append(f"| {name} | {rows:,} | {one.name} | {one.severity} | {counts} |")
    return "\n".join([*lines, ""])


def _mean(outcomes: Sequence[Outcome]) -> float:
    return sum(outcome.recall for outcome in outcomes) / max(len(outcomes), 1)


def _named(alarms: dict[str, int]) -> str:
    return f" ({', '.join(f'{name} {count}' for name, count in sorted(alarms.items()))})" if alarms else ""


if __name__ == "__main__":
    main()
