"""`python -m bitbloom`: the command `bitbloom`, also when it is not on PATH."""

from __future__ import annotations

import sys


def main() -> None:
    """Entry point: the command line. Code with a merge conflict becomes one line on stderr and exit code 1."""
    try:
        from bitbloom import cli

        cli.main()
    except SyntaxError as error:
        if not (error.text or "").startswith(("<<<<<<<", "=======", ">>>>>>>")):
            raise
        sys.exit(f"error: {error.filename}:{error.lineno}: merge conflict: edit this file, then git add it")


if __name__ == "__main__":
    main()
