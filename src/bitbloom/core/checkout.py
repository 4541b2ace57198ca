"""The code that runs is that of the checkout it runs in. Standard library only.

An editable install imports the package from the folder it was installed from, wherever a command runs: also in a second clone,
in a git worktree, and in the copy of the repository in which `dvc exp run --queue` and `--temp` run an experiment. DVC would then
record one checkout's code as the input of outputs that the code of another one made. So every entry point calls `require` first.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from bitbloom.core.errors import BitBloomError

PACKAGE = Path(__file__).parents[1]
"""The folder of the running package."""
SOURCE = Path("src")
"""Where a checkout has its code, relative to the folder that a command runs in."""


def require() -> None:
    """Return when the running package is `./src/bitbloom`, or there is none; else start this process again with `./src` first.

    The new process has the same id, arguments and open files, and `./src` as the first folder in its PYTHONPATH; so have the
    processes that it starts. Modules that were imported before this call are imported again.

    Raises:
        BitBloomError: PYTHONPATH already names `./src` first and another package was imported nevertheless (`python -I`,
            `python -E`, a folder `./bitbloom`, a colon in the path), or the program was typed or piped into Python,
            so that it cannot be started again.
    """
    own = SOURCE / PACKAGE.name
    if not (own / "__init__.py").is_file() or own.samefile(PACKAGE):  # links and bind mounts are the same folder
        return
    source = str(SOURCE.resolve())
    found = os.environ.get("PYTHONPATH", "")
    wrong = f"the code of {PACKAGE} is running, but this checkout has its own in {own.resolve()}"
    if f"{found}{os.pathsep}".startswith(f"{source}{os.pathsep}"):
        raise BitBloomError(
            f"{wrong}, and Python does not take it from PYTHONPATH: start Python without -I and -E, and without a folder "
            f"'{PACKAGE.name}' beside the program, in a checkout whose path has no '{os.pathsep}'"
        )
    if sys.argv[0] in ("", "-") or len(sys.orig_argv) < 2:
        raise BitBloomError(f"{wrong}: set PYTHONPATH={source}")
    others = [entry for entry in found.split(os.pathsep) if entry and entry != source]
    sys.stdout.flush()
    sys.stderr.flush()
    path = os.pathsep.join([source, *others])
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"PYTHONPATH": path})
