"""Source `tweets_csv`: a CSV file in the format of Kaggle's "Natural Language Processing with Disaster Tweets".

Columns id, keyword, location, text, target (1 for a real disaster). `make all TARGET=tweets-kaggle TWEETS=train.csv` imports it;
`TWEETS=kaggle:nlp-getting-started` downloads it from Kaggle first. An import writes a file of another form, such as UTF-16 or
labels `True` and `False`, as Kaggle's.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data import clutter, tables
from bitbloom.data.sources import SourceFile

COLUMNS = ("id", "keyword", "location", "text", "target")
LABELS = {"0": "not disaster", "1": "disaster"}
FALSE = {"false", "f", "no", "n", "fake", "not real", "unreal", "not disaster", "no disaster", "non disaster", "not relevant"}
TRUE = {"true", "t", "yes", "y", "real", "real disaster", "disaster", "relevant"}
"""Other spellings of the labels, in lower case, with blanks for `_` and `-`."""
FILE, UNLABELLED = "train.csv", "test.csv"
TEXTS = (".csv", ".tsv", ".tab", ".txt")
WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".ods")
GIVEN = "TWEETS=path/to/train.csv"
TAKES = "Kaggle's train.csv, or a folder, a tar or a zip that holds it, or kaggle:nlp-getting-started"


@dataclass
class Config:
    """The `source` section."""

    kind: str = "tweets_csv"
    path: str = MISSING
    """The folder of train.csv."""


def collect(given: Path, destination: Path) -> None:
    """Import the labelled file, or that of a folder with the `test.csv` beside it, to `destination`.

    Raises:
        BitBloomError: the file is missing or has the wrong form.
    """
    file = _find(given) if given.is_dir() else given
    _write(file, destination / FILE, COLUMNS)
    unlabelled = [path for path in file.parent.iterdir() if path.name.lower() == UNLABELLED and path != file]
    if given.is_dir() and unlabelled:
        _write(unlabelled[0], destination / UNLABELLED, COLUMNS[:-1])


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the labelled file and return its rows as samples."""
    file = Path(config.path) / FILE
    found = [sample(FILE, row) for row in rows(file)]
    shutil.copyfile(file, destination / FILE)
    return found


def rows(file: Path) -> list[dict[str, str]]:
    """Read the rows of a labelled file, with the targets `0` and `1`.

    Raises:
        BitBloomError: the file is not a table with these columns, a row is suspicious, a target is unknown, or an id repeats.
    """
    return _rows(file, _read(file, COLUMNS), COLUMNS)


def sample(file: str, row: dict[str, str]) -> SourceFile:
    """Convert a row to a sample; ids are zero-padded, so that they sort numerically."""
    content = {name: row[name] or "" for name in ("text", "keyword", "location")}
    return SourceFile(file, LABELS[row["target"]], {}, _sample_id(row), canonical.json_line(content).encode())


def _sample_id(row: dict[str, str]) -> str:
    return row["id"].strip().zfill(6)


def target_of(value: str) -> str | None:
    """Return the target `0` or `1` of a label in any spelling (`1.0`, `True`, `real`); None for another label."""
    word = " ".join(value.replace("_", " ").replace("-", " ").casefold().split())
    if word in FALSE | TRUE:
        return "1" if word in TRUE else "0"
    whole, _, fraction = value.strip().partition(".")
    return whole if whole in LABELS and not fraction.strip("0") else None


def _find(folder: Path) -> Path:
    """The labelled file of a folder: `train.csv` at any depth, or the only table. Raises BitBloomError if it is not one."""
    files = [path for path in clutter.walk(folder) if path.is_file()]
    named = [path for path in files if path.name.lower() == FILE]
    others = (UNLABELLED, "sample_submission.csv", "submission.csv", "readme.txt")
    loose = [path for path in files if path.suffix.lower() in TEXTS and path.name.lower() not in others]
    found = named or loose
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(str(path.relative_to(folder)) for path in found[:5])
        raise BitBloomError(f"{folder} holds several tables ({several}): give the labelled file itself, {GIVEN}")
    if (folder / "xl").is_dir() or any(path.suffix.lower() in WORKBOOKS for path in files):
        raise BitBloomError(f"{folder} is or holds an Excel workbook: save its sheet as CSV in UTF-8, and give {GIVEN}")
    raise BitBloomError(f"{folder} holds no {FILE}: TWEETS= takes {TAKES}")


def _read(file: Path, columns: Sequence[str]) -> tables.Table:
    checks = {"id": _is_id if "target" in columns else str.isdigit, "target": _is_target}
    return tables.read(file, columns, checks, f"TWEETS= takes {TAKES}")


def _is_id(value: str) -> bool:
    return len(value.split()) == 1


def _is_target(value: str) -> bool:
    return target_of(value) is not None


def _rows(file: Path, table: tables.Table, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a table, with ids and targets as Kaggle writes them. Raises BitBloomError for a wrong target or id."""
    seen: set[str] = set()
    found = []
    for record in table.records:
        row = {name: record.values[name] for name in columns}
        if "target" in row:
            target = target_of(row["target"])
            if target is None:
                raise BitBloomError(f"{file}, {record.place}: target is {row['target']!r}; it has to be 0 or 1")
            row["target"] = target
        whole, _, fraction = row["id"].partition(".")  # programs that read an empty id write the others as 4.0
        row["id"] = whole if whole.isdigit() and not fraction.strip("0") else row["id"]
        if _sample_id(row) in seen or not row["id"].strip():
            raise BitBloomError(f"{file}, {record.place}: the id {row['id']!r} is empty or repeated")
        seen.add(_sample_id(row))
        found.append(row)
    return found


def _write(file: Path, destination: Path, columns: Sequence[str]) -> None:
    """Copy a file that has Kaggle's form; write the rows of another one in it, and print what it was."""
    table = _read(file, columns)
    found = _rows(file, table, columns)
    same = [{name: record.values[name] for name in columns} for record in table.records] == found
    if same and (table.encoding, table.delimiter) == (tables.UTF_8, ",") and set(columns) <= set(_names(file)):
        shutil.copyfile(file, destination)
        return
    with destination.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)
    print(f"{file.name}: read as {table.form}")


def _names(file: Path) -> list[str]:
    """The names of the columns, as they are in a file in UTF-8."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        return next(csv.reader(stream))
