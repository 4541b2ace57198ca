"""The name of a project in its forms, and the rules for a new one. Standard library only."""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

LONGEST = 30
"""Characters of a service account of Google Cloud, the shortest limit of the names that contain the project's."""


class Refused(Exception):
    """The project cannot be made: the message says what is wrong, where, and what to do."""


@dataclass(frozen=True)
class Names:
    """The forms of a name. `package` is the import package, the command, the state folder and the distribution."""

    package: str
    title: str
    camel: str

    @classmethod
    def of(cls, package: str) -> Names:
        """The forms of a package's name: my_project, My Project, MyProject."""
        words = [word.capitalize() for word in package.split("_")]
        return cls(package, " ".join(words), "".join(words))

    @property
    def upper(self) -> str:
        """The prefix of environment variables: MY_PROJECT."""
        return self.package.upper()

    @property
    def dashed(self) -> str:
        """The form in names of clouds, clusters and images, which allow no underscore: my-project."""
        return self.package.replace("_", "-")


OLD = Names("bitbloom", "BitBloom", "BitBloom")


def require_valid(name: str, root: Path) -> None:
    """Check the name of a new package. Raises Refused with the reason."""
    if not name:
        raise Refused("NAME is missing: make new NAME=my_project")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) < 2:
        nearest = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        raise Refused(
            f"NAME={name}: a name has lower-case letters, digits and single underscores, and begins with a letter"
            + (f": NAME={nearest}" if len(nearest) > 1 else "")
        )
    if len(name) > LONGEST:
        raise Refused(f"NAME={name}: {len(name)} characters; services of clouds take at most {LONGEST}")
    if OLD.package in name.replace("_", ""):
        raise Refused(f"NAME={name} contains the name of this project: choose another one")
    for what, taken in _taken(name, root).items():
        if name in taken:
            raise Refused(f"NAME={name} is the name of {what}: choose another one")


def _taken(name: str, root: Path) -> dict[str, set[str]]:
    """Names that `import`, a folder, a task or a target of the repository, or a program already has."""
    folders = {path.name for where in (root, root / "tests") for path in where.iterdir() if path.is_dir()}
    locked = {
        re.sub(r"[-.]+", "_", found.lower())
        for lock in root.glob("requirements*.lock")
        for found in re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    }
    return {
        "a keyword of Python": set(keyword.kwlist),
        "a module of Python's standard library": set(sys.stdlib_module_names),
        "a locked package": locked,
        "a folder of this repository": folders,
        "a task or a target of this project": {path.stem for path in root.glob("conf/*.yaml")}
        | {path.name for path in root.glob(f"src/{OLD.package}/tasks/*")},
        "an installed package": {name} if importlib.util.find_spec(name) else set(),
        "a program of this machine, which the new command would hide": {name} if _program(name) else set(),
    }


def _program(name: str) -> str | None:
    """The program of this name on PATH, outside of venvs: theirs are of packages."""
    folders = [Path(folder) for folder in os.environ.get("PATH", os.defpath).split(os.pathsep) if folder]
    outside = [str(folder) for folder in folders if not (folder.parent / "pyvenv.cfg").exists()]
    return shutil.which(name, path=os.pathsep.join([*outside, *os.defpath.split(os.pathsep)]))
