"""Ensures that a process runs the code of the checkout in its current folder. Standard library only.

An editable install imports the package from its original folder, also in a second clone, in a git worktree, and in the copy of
the repository in which `dvc exp run --queue` and `--temp` run an experiment. DVC would then record the code of one checkout as
the input of outputs of another one. Every entry point therefore calls `require` first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bitbloom.core.errors import BitBloomError

PACKAGE = Path(__file__).parents[1]
"""The folder of the running package."""
SOURCE = Path("src")
"""The code of a checkout, relative to the current folder."""


def require() -> None:
    """Return if the running package is `./src/bitbloom`, or there is none; otherwise restart this process with `./src` first.

    The new process has the same id, arguments and open files, and `./src` as the first folder of its PYTHONPATH, which its child
    processes inherit. Modules that were imported before this call are imported again.

    Raises:
        BitBloomError: another package was imported although `./src` is the first folder of PYTHONPATH (`python -I`,
            `python -E`, a folder `./bitbloom`, a colon in the path); or the program was typed or piped into Python, so that it
            cannot be restarted.
    """
    own = SOURCE / PACKAGE.name
    if not (own / "__init__.py").is_file() or own.samefile(PACKAGE):  # links and bind mounts are the same folder
        return
    source = str(SOURCE.resolve())
    found = os.environ.get("PYTHONPATH", "")
    wrong = f"the code of {PACKAGE} is running, but this checkout has its own in {own.resolve()}"
    if f"{found}{os.pathsep}".startswith(f"{source}{os.pathsep}"):
        raise BitBloomError(
            f"{wrong}, and Python ignores PYTHONPATH: start Python without -I and -E, and without a folder "
            f"'{PACKAGE.name}' next to the program, in a checkout whose path has no '{os.pathsep}'"
        )
    if sys.argv[0] in ("", "-") or len(sys.orig_argv) < 2:
        raise BitBloomError(f"{wrong}: set PYTHONPATH={source}")
    others = [entry for entry in found.split(os.pathsep) if entry and entry != source]
    sys.stdout.flush()
    sys.stderr.flush()
    path = os.pathsep.join([source, *others])
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONPATH": path})
