"""Compare the latest rows of a prediction log with the training data of the served model, in a container of the training image.

    BITBLOOM_LOG=gs://bucket/petals python deploy/drift/job.py

The model and its reference come from the Bento that serves, so the job needs no build. It writes drift.html and drift.json to a
new folder of REPORTS, and ends as `bitbloom drift` does: exit code 0 without a drift, 3 after one, 1 after an error.

| variable | what |
| --- | --- |
| `BITBLOOM_LOG` | the log, as the service has it: gs://bucket/prefix, s3://bucket/prefix or a folder |
| `TARGET` | the target; default: petals |
| `BENTO` | the archive of the Bento; default: `$BITBLOOM_LOG/$TARGET.bento` |
| `REPORTS` | where the report goes; default: `$BITBLOOM_LOG/drift` |
| `ROWS` | latest rows of the log; default: 5000 |
"""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import yaml

from bitbloom.core import checkout
from bitbloom.core.errors import BitBloomError
from bitbloom.monitoring.drift import command
from bitbloom.serving import archive, bento
from bitbloom.serving.prediction_log import storage
from bitbloom.serving.prediction_log.settings import LogSettings

ROWS = 5000
FOLDER = "%Y-%m-%dT%H%M%SZ"
"""A report's folder: a new one each time, so the job needs no right to replace or to delete objects."""


def fetch(address: str, file: Path) -> None:
    """Copy a file from a folder or a bucket. Raises BitBloomError when it cannot be read."""
    from pyarrow import ArrowInvalid

    try:
        system, path = storage.file_system(address)
        with system.open_input_stream(path) as source, file.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    except (OSError, ArrowInvalid) as error:
        raise BitBloomError(f"{address} cannot be read: {str(error).splitlines()[0]}") from error


def unpack(file: Path, address: str, model: Path) -> None:
    """Unpack a Bento, and move what its service reads to `model`. Raises BitBloomError for a broken or other archive."""
    whole = file.with_suffix(".folder")
    try:
        archive.unpack(file, whole)
        version = yaml.safe_load((whole / bento.MANIFEST).read_bytes())["version"]
    except (OSError, KeyError, TypeError, tarfile.TarError, yaml.YAMLError) as error:
        raise BitBloomError(f"{address} is not an archive of a Bento ({error}): copy dist/TARGET.bento there") from error
    if bento.version(bento.digest(whole)) != version:
        raise BitBloomError(f"{address} differs from its version {version}: copy it again")
    model.parent.mkdir(parents=True, exist_ok=True)
    (whole / "src").rename(model)


def save(address: str, files: list[Path]) -> None:
    """Copy files to a folder or a bucket. Raises BitBloomError when it cannot be written."""
    try:
        place = storage.opened(LogSettings(address))
        for file in files:
            place.write(file.name, file.read_bytes())
    except OSError as error:
        raise BitBloomError(f"{address} cannot be written: {str(error).splitlines()[0]}") from error


def rows(environment: Mapping[str, str]) -> int:
    """The number of rows. Raises BitBloomError unless it is positive."""
    text = environment.get("ROWS") or str(ROWS)
    if not text.isdecimal() or not int(text):
        raise BitBloomError(f"ROWS={text} is not a positive integer")
    return int(text)


def main(environment: Mapping[str, str], workspace: Path) -> int:
    """Compare, and save the report; `workspace` is an empty folder. Returns the exit code."""
    log, target = environment.get("BITBLOOM_LOG", "").rstrip("/"), environment.get("TARGET") or "petals"
    if not log:
        raise BitBloomError("BITBLOOM_LOG is not set: it has to be the folder or bucket of the service's prediction log")
    source, most = environment.get("BENTO") or f"{log}/{target}.bento", rows(environment)
    fetch(source, workspace / "bento")
    unpack(workspace / "bento", source, workspace / "models" / target)
    found = command.run(target, log, None, workspace / "report", most, workspace)
    print("\n".join(found.lines), flush=True)
    place = f"{environment.get('REPORTS') or f'{log}/drift'}/{datetime.now(UTC):{FOLDER}}"
    save(place, [found.html, found.json])
    print(f"{place}/{found.html.name}\n{place}/{found.json.name}")
    return command.DRIFTED if found.comparison.drifted else 0


if __name__ == "__main__":
    try:
        checkout.require()
        with tempfile.TemporaryDirectory(prefix="bitbloom-drift-") as temporary:
            code = main(os.environ, Path(temporary))
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    sys.exit(code)
