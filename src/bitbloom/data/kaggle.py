"""Files of a Kaggle competition, got by Kaggle's own client with the user's own credentials.

    make all TARGET=tweets-kaggle TWEETS=kaggle:nlp-getting-started

The client (`kaggle`, installed by the user, who has accepted the competition's rules) reads KAGGLE_USERNAME and KAGGLE_KEY, or
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
    """What was given as a path: that path, or the zip of a competition's files while the block lasts.

    Raises:
        BitBloomError: the client is missing, or it refuses; its last line is in the message.
    """
    if not given.startswith(SCHEME):
        yield Path(given)
        return
    with tempfile.TemporaryDirectory(prefix="bitbloom-kaggle-") as folder:
        yield download(given.removeprefix(SCHEME), Path(folder))


def download(competition: str, folder: Path) -> Path:
    """The zip of all files of a competition, in `folder`."""
    if not shutil.which("kaggle"):
        raise BitBloomError(
            "kaggle: the program is missing: pip install kaggle, set KAGGLE_USERNAME and KAGGLE_KEY, "
            "accept the competition's rules, or download its files by hand and give their path"
        )
    command = ["kaggle", "competitions", "download", "-c", competition, "-p", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    found = sorted(folder.glob("*.zip"))
    if done.returncode or not found:
        said = done.stdout.strip().splitlines()
        raise BitBloomError(f"kaggle cannot download '{competition}': {said[-1] if said else f'exit code {done.returncode}'}")
    return found[0]
