"""Make an untrusted report safe to post: disarm all links, pictures, mentions, references and HTML in it.

    python3 src/bitbloom/ci/comment.py FOLDER comment.md      # every comment.md below the folder; called by `make ci-comment`

The job that runs this may write comments, so this module imports only the standard library.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LONGEST = 60_000
"""Largest number of characters of a comment. GitHub's own limit is 65,536."""
BREAK = "\u200b"
"""A zero-width space: between two characters it removes their meaning in Markdown and changes no letter."""
ACTIVE = re.compile(r"(?<=[<&@])|(?<=\])(?=[\[(:])|(?<=#)(?=\d)|(?<=:)(?=//)|(?<=www)(?=\.)", re.IGNORECASE)
CUT = "\n\n… cut: the whole report is on the page of the run\n"


def disarm(text: str) -> str:
    """The text without control characters, with BREAK in all active sequences, and truncated to LONGEST."""
    plain = ACTIVE.sub(BREAK, "".join(letter for letter in text if letter == "\n" or letter.isprintable()))
    return plain if len(plain) <= LONGEST else plain[:LONGEST] + CUT


def read(folder: Path) -> str:
    """All reports of a run, one after another. Symbolic links are ignored."""
    files = [file for file in sorted(folder.glob("**/comment.md")) if file.is_file() and not file.is_symlink()]
    return "\n".join(file.read_bytes()[: 4 * LONGEST].decode("utf-8", errors="replace") for file in files)


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(disarm(read(Path(sys.argv[1]))), encoding="utf-8")
