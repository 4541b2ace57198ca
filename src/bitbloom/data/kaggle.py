"""Download of a Kaggle competition by Kaggle's client, with the user's credentials.

    make all TARGET=tweets-kaggle TWEETS=kaggle:nlp-getting-started

The user installs the client (`kaggle`) and accepts the competition's rules. The client reads KAGGLE_USERNAME and KAGGLE_KEY, or
`~/.kaggle/kaggle.json`.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bitbloom.core.errors import BitBloomError

SCHEME = "kaggle:"


@contextmanager
def opened(given: str) -> Iterator[Path]:
    """Yield a given path, or a temporary zip of a competition's files.

    Raises:
        BitBloomError: the client is missing or fails; the message has its last line.
    """
    if not given.startswith(SCHEME):
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="bitbloom-kaggle-") as folder:
        yield download(given.removeprefix(SCHEME), Path(folder))


def download(competition: str, folder: Path) -> Path:
    """Download the zip of all files of a competition to `folder`."""
    if not shutil.which("kaggle"):
        raise BitBloomError(
            "kaggle: the program is missing: pip install kaggle, set KAGGLE_USERNAME and KAGGLE_KEY, "
            "accept the competition's rules, or download its files by hand and give their path"
        )
    command = ["kaggle", "competitions", "download", "-c", competition, "-p", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = sorted(folder.glob("*.zip"))
    if done.returncode or not found:
        output = done.stdout.strip().splitlines()
        raise BitBloomError(f"kaggle cannot download '{competition}': {output[-1] if output else f'exit code {done.returncode}'}")
    return found[0]
