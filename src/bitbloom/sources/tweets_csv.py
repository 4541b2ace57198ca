"""Source `tweets_csv`: a file in the form of Kaggle's "Natural Language Processing with Disaster Tweets".

Columns id, keyword, location, text, target (1 for a real disaster). `make all TARGET=tweets-kaggle TWEETS=train.csv` imports it.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from bitbloom import canonical
from bitbloom.errors import BitBloomError
from bitbloom.sources import SourceFile

COLUMNS = ("id", "keyword", "location", "text", "target")
LABELS = {"0": "not disaster", "1": "disaster"}
FILE = "train.csv"


@dataclass
class Config:
    """The `source` section."""

    kind: str = "tweets_csv"
    path: str = "data/external/tweets-kaggle"
    """The folder that holds train.csv."""


def collect(source: Path, destination: Path) -> None:
    """Copy the CSV file, or the `train.csv` of a folder, to `destination`. Raises BitBloomError when it is not of this form."""
    file = source / FILE if source.is_dir() else source
    rows(file)
    (destination / FILE).write_bytes(file.read_bytes())


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the file and name its rows."""
    collect(Path(config.path), destination)
    return [sample(FILE, row) for row in rows(destination / FILE)]


def rows(file: Path) -> list[dict[str, str]]:
    """The rows of the file. Raises BitBloomError when it cannot be read, a column or a target is missing, or ids repeat."""
    try:
        with file.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise BitBloomError(f"{file} lacks the columns {', '.join(missing)}: it has to be Kaggle's train.csv")
            found = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BitBloomError(f"{file} cannot be read as CSV in UTF-8: {error}") from error
    seen: set[str] = set()
    for number, row in enumerate(found, start=2):
        if row["target"] not in LABELS:
            raise BitBloomError(f"{file}, row {number}: target is {row['target']!r}; it has to be 0 or 1")
        if row["id"] in seen or not row["id"]:
            raise BitBloomError(f"{file}, row {number}: the id {row['id']!r} is empty or not the first of its kind")
        seen.add(row["id"])
    return found


def sample(file: str, row: dict[str, str]) -> SourceFile:
    """A row as a sample; ids are padded so that they sort as numbers do."""
    content = {name: row[name] or "" for name in ("text", "keyword", "location")}
    return SourceFile(file, LABELS[row["target"]], {}, row["id"].zfill(6), canonical.json_line(content).encode())
