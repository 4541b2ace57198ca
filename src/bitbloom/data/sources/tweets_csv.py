"""Source `tweets_csv`: a CSV file in the format of Kaggle's "Natural Language Processing with Disaster Tweets".

Columns id, keyword, location, text, target (1 for a real disaster). `make all TARGET=tweets-kaggle TWEETS=train.csv` imports it;
`TWEETS=kaggle:nlp-getting-started` downloads it from Kaggle first.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path

from omegaconf import MISSING

from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources import SourceFile

COLUMNS = ("id", "keyword", "location", "text", "target")
LABELS = {"0": "not disaster", "1": "disaster"}
FILE, UNLABELLED = "train.csv", "test.csv"
GIVEN = "TWEETS=path/to/train.csv"
TAKES = "Kaggle's train.csv, or a folder, a tar or a zip that holds it, or kaggle:nlp-getting-started"


@dataclass
class Config:
    """The `source` section."""

    kind: str = "tweets_csv"
    path: str = MISSING
    """The folder of train.csv."""


def collect(given: Path, destination: Path) -> None:
    """Copy the CSV file, or the `train.csv` (and optional `test.csv`) of a folder, to `destination`.

    Raises:
        BitBloomError: the file is missing or has the wrong form.
    """
    file = given / FILE if given.is_dir() else given
    rows(file)
    shutil.copyfile(file, destination / FILE)
    if given.is_dir() and (given / UNLABELLED).is_file():
        shutil.copyfile(given / UNLABELLED, destination / UNLABELLED)


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Copy the labelled file and return its rows as samples."""
    file = Path(config.path) / FILE
    found = [sample(FILE, row) for row in rows(file)]
    shutil.copyfile(file, destination / FILE)
    return found


def rows(file: Path) -> list[dict[str, str]]:
    """Read the rows of the file. Raises BitBloomError if it is unreadable, a column or target is missing, or an id repeats."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream)
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise BitBloomError(f"{file} lacks the columns {', '.join(missing)}: TWEETS= takes {TAKES}")
            found = list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BitBloomError(f"{file} cannot be read as CSV in UTF-8: {error}") from error
    seen: set[str] = set()
    for number, row in enumerate(found, start=2):
        if row["target"] not in LABELS:
            raise BitBloomError(f"{file}, row {number}: target is {row['target']!r}; it has to be 0 or 1")
        if row["id"] in seen or not row["id"]:
            raise BitBloomError(f"{file}, row {number}: the id {row['id']!r} is empty or repeated")
        seen.add(row["id"])
    return found


def sample(file: str, row: dict[str, str]) -> SourceFile:
    """Convert a row to a sample; ids are zero-padded, so that they sort numerically."""
    content = {name: row[name] or "" for name in ("text", "keyword", "location")}
    return SourceFile(file, LABELS[row["target"]], {}, row["id"].zfill(6), canonical.json_line(content).encode())
