"""Comparison of builds on several machines: each writes a record, and the records of one build must have equal digests.

    bitbloom ci record petals .bitbloom/ci/verify          # after `make verify`, on each machine
    bitbloom ci compare .bitbloom/ci/records .bitbloom/ci/digests

A record is a folder: `record.json` (build, CPU, the digest of every output) and the `ledger.jsonl`.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitbloom.ci import markdown
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

RECORD, LEDGER = "record.json", "ledger.jsonl"
SHOWN_DIGITS = 12
ONE_KIND = "\nAll ran on the same kind of CPU, so this proves nothing for others. GitHub chooses the CPU; no label does.\n"


@dataclass(frozen=True)
class Record:
    """One machine's build.

    Attributes:
        folder: of the record and the ledger, named after the job.
        build: the name of the build; only records of the same build are compared.
        cpu: the CPU's own name.
        digests: output → SHA-256.
    """

    folder: Path
    build: str
    cpu: str
    digests: dict[str, str]


def write(folder: Path, build: str, cpu: str, digests: dict[str, str], ledger: Path) -> None:
    """Write a record. A build that stopped early has fewer digests, and may have no ledger."""
    canonical.write_json(folder / RECORD, {"build": build, "cpu": cpu, "digests": digests})
    if ledger.exists():
        shutil.copyfile(ledger, folder / LEDGER)


def record_rebuilt(target: str, folder: Path) -> None:
    """Write the record of the outputs of `make verify`. Raises BitBloomError when there are none."""
    from bitbloom.core import digests
    from bitbloom.numerics import machine
    from bitbloom.pipeline import claim
    from bitbloom.provenance import rebuild

    place = rebuild.workspace(target)
    made = {output: digests.digest(place / output) for output in claim.artifacts(target) if (place / output).exists()}
    if not made:
        raise BitBloomError(f"{place} has no outputs: run `make verify TARGET={target}` first")
    write(folder, target, machine.cpu(), made, place / "models" / target / LEDGER)


def read(folder: Path) -> list[Record]:
    """Every record below a folder. Raises BitBloomError when there are fewer than two."""
    records = [Record(file.parent, **canonical.read_json(file)) for file in sorted(folder.glob(f"**/{RECORD}"))]
    if len(records) < 2:
        raise BitBloomError(f"{folder} has {len(records)} records: there is nothing to compare")
    return records


def compare(records: Sequence[Record]) -> tuple[str, bool]:
    """The report on all records, and whether all records of each build agree. An output that only one has is a difference."""
    rows = [(record.folder.name, record.build, record.cpu, len(record.digests)) for record in records]
    parts, agree = ["## Digests on different CPUs\n", markdown.table(("job", "build", "CPU", "digests"), rows)], True
    if len({record.cpu for record in records}) == 1:
        parts.append(ONE_KIND)
    for build in sorted({record.build for record in records}):
        group = [record for record in records if record.build == build]
        differing = [pair for pair in itertools.combinations(group, 2) if pair[0].digests != pair[1].digests]
        agree &= not differing
        alone = " by one job only: not compared" if len(group) == 1 else f" {len(group)} times: {len(differing)} pairs differ"
        parts += [
            f"**{build}**, {len(group[0].digests)} digests, was built{alone}.\n",
            *(_difference(*pair) for pair in differing),
        ]
    return "\n".join(parts), agree


def _difference(here: Record, there: Record) -> str:
    """The differences of two records, and of their ledgers as by `bitbloom diff`."""
    from bitbloom.provenance import compare as runs

    digests = [
        (output, here.digests.get(output, "none"), there.digests.get(output, "none")) for output in here.digests | there.digests
    ]
    rows = sorted((output, ours[:SHOWN_DIGITS], theirs[:SHOWN_DIGITS]) for output, ours, theirs in digests if ours != theirs)
    command = f"$ bitbloom diff {here.folder.name} {there.folder.name}\n"
    try:
        ours, theirs = runs.read(here.folder), runs.read(there.folder)
        command += runs.explain(runs.first_difference(ours, theirs), len(ours))
    except BitBloomError as error:
        command += str(error)
    return f"{markdown.table(('output', here.cpu, there.cpu), rows)}\n{markdown.fenced(command)}"
