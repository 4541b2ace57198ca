"""A venv that imports `bitbloom` from a checkout, like an editable install, with the packages of the current venv."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from support.tiny import REPOSITORY

SCRIPT = """#!{python}
import sys
from {module} import main
if __name__ == "__main__":
    sys.exit(main())
"""
COMMANDS = {"bitbloom": "bitbloom.cli", "dvc": "dvc.cli"}


def install(checkout: Path) -> Path:
    """Create `.venv` in a checkout, with the package installed from its `src`; return the folder of its commands."""
    venv = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # A path in a .pth file is not searched for .pth files, so this venv's own editable install is ignored.
    paths = [checkout / "src", *dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))]
    (venv / "lib" / version / "site-packages/installed.pth").write_text("".join(f"{path}\n" for path in paths))
    for command, module in COMMANDS.items():
        script = venv / "bin" / command
        script.write_text(SCRIPT.format(python=venv / "bin/python", module=module))
        script.chmod(0o755)
    return venv / "bin"


def copy_of_the_working_tree(folder: Path) -> Path:
    """Create a git repository with the current files of this one, committed."""
    listed = subprocess.check_output(["git", "ls-files", "-co", "--exclude-standard"], cwd=REPOSITORY, text=True).splitlines()
    for name in listed:
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    for command in ("init -q", "config user.name t", "config user.email t@t", "add -A", "commit -qm start"):
        subprocess.run(["git", *command.split()], cwd=folder, check=True)
    return folder
