"""A venv that imports `bitbloom` from one checkout, as an editable install does, and has the packages of this one."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

SCRIPT = """#!{python}
import sys
from {module} import main
if __name__ == "__main__":
    sys.exit(main())
"""
COMMANDS = {"bitbloom": "bitbloom.cli", "dvc": "dvc.cli"}


def install(checkout: Path) -> Path:
    """Make `.venv` in a checkout, with the package installed from its `src`; the folder of its commands."""
    venv = checkout / ".venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    # A path in a .pth file is searched, but not for .pth files: what this venv's own editable install says is not read.
    paths = [checkout / "src", *dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))]
    (venv / "lib" / version / "site-packages/installed.pth").write_text("".join(f"{path}\n" for path in paths))
    for command, module in COMMANDS.items():
        script = venv / "bin" / command
        script.write_text(SCRIPT.format(python=venv / "bin/python", module=module))
        script.chmod(0o755)
    return venv / "bin"
