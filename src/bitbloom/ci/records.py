"""What machines built, side by side: each writes a record, and the records of one build must have the same digests.

    bitbloom ci record petals .bitbloom/ci/verify          # after `make verify`, on each machine
    bitbloom ci compare .bitbloom/ci/records .bitbloom/ci/digests

A record is a folder: `record.json` (what was built, on which CPU, the digest of every output) and the `ledger.jsonl`.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bitbloom.ci import markdown
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

RECORD, LEDGER = "record.json", "ledger.jsonl"
SHOWN_DIGITS = 12


@dataclass(frozen=True)
class Record:
    """One machine's build.

    Attributes:
        name: which job it was.
        build: what was built; only records of the same build are compared.
        cpu: the CPU's name as the CPU itself tells it.
        digests: output → SHA-256.
        folder: where it lies, with the ledger.
    """

    name: str
    build: str
    cpu: str
    digests: dict[str, str]
    folder: Path


def write(folder: Path, build: str, cpu: str, digests: dict[str, str], ledger: Path) -> None:
    """Write a record; a build that stopped early has fewer digests, and perhaps no ledger."""
    canonical.write_json(folder / RECORD, {"build": build, "cpu": cpu, "digests": digests})
    if ledger.exists():
        shutil.copyfile(ledger, folder / LEDGER)


def record_rebuilt(target: str, folder: Path) -> None:
    """Write the record of what `make verify` built, as far as it came."""
    from bitbloom.core import digests
    from bitbloom.numerics import machine
    from bitbloom.pipeline import claim
    from bitbloom.provenance import rebuild

    place = rebuild.workspace(target)
    made = {output: digests.digest(place / output) for output in claim.artifacts(target) if (place / output).exists()}
    if not made:
        raise BitBloomError(f"{place} holds nothing: run `make verify TARGET={target}` first")
    write(folder, target, machine.cpu(), made, place / "models" / target / LEDGER)


def read(folder: Path) -> list[Record]:
    """Every record in a folder of folders. Raises BitBloomError when there are fewer than two: nothing would be compared."""
    records = [_read(file, file.parent.relative_to(folder).as_posix()) for file in sorted(folder.glob(f"**/{RECORD}"))]
    if len(records) < 2:
        raise BitBloomError(f"{folder} has {len(records)} records: there is nothing to compare")
    return records


def _read(file: Path, name: str) -> Record:
    content: dict[str, Any] = canonical.read_json(file)
    return Record(name, content["build"], content["cpu"], content["digests"], file.parent)


def differences(here: Record, there: Record) -> list[str]:
    """Outputs that are not the same in both; one that only one of them has is a difference."""
    return [output for output in sorted(here.digests | there.digests) if here.digests.get(output) != there.digests.get(output)]


def compare(records: Sequence[Record]) -> tuple[str, bool]:
    """The report on all records, and whether every two of one build agree."""
    parts, agree = ["## Digests on different CPUs\n", _machines(records)], True
    for build, group in _by_build(records):
        if len(group) < 2:
            parts.append(f"**{build}** was built by one job only: not compared.\n")
            continue
        pairs = [pair for pair in itertools.combinations(group, 2) if differences(*pair)]
        if not pairs:
            parts.append(f"**{build}**: all {len(group[0].digests)} digests of {len(group)} builds are the same.\n")
            continue
        agree = False
        parts += [f"**{build}**: {len(pairs)} of {_pairs(len(group))} pairs of builds differ.\n"]
        parts += [_difference(*pair) for pair in pairs]
    return "\n".join(parts), agree


def _machines(records: Sequence[Record]) -> str:
    """Which CPUs there were, and what cannot be concluded from them."""
    rows = [(record.name, record.build, record.cpu, len(record.digests)) for record in records]
    text = markdown.table(("job", "build", "CPU", "digests"), rows)
    if len({record.cpu for record in records}) == 1:
        text += "\nAll ran on the same kind of CPU: this says nothing of others. GitHub chooses the CPU, no label does.\n"
    return text


def _by_build(records: Sequence[Record]) -> Iterable[tuple[str, list[Record]]]:
    ordered = sorted(records, key=lambda record: (record.build, record.name))
    return [(build, list(group)) for build, group in itertools.groupby(ordered, key=lambda record: record.build)]


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def _difference(here: Record, there: Record) -> str:
    """What differs between two records, and the first training step in which they do."""
    rows = [
        (output, here.digests.get(output, "nothing")[:SHOWN_DIGITS], there.digests.get(output, "nothing")[:SHOWN_DIGITS])
        for output in differences(here, there)
    ]
    head = f"### {markdown.cell(here.name)} and {markdown.cell(there.name)}\n\n"
    return head + markdown.table(("output", here.cpu, there.cpu), rows) + "\n" + markdown.fenced(_ledgers(here, there))


def _ledgers(here: Record, there: Record) -> str:
    """What `bitbloom diff` says of the two ledgers."""
    from bitbloom.provenance import compare as runs

    command = f"$ bitbloom diff {here.name} {there.name}\n"
    try:
        ours, theirs = runs.read(here.folder), runs.read(there.folder)
    except BitBloomError as error:
        return f"{command}{error}"
    return command + runs.explain(runs.first_difference(ours, theirs), len(ours))
