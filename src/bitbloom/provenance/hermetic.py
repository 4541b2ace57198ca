"""Hermetic runs: each stage in a folder with its declared inputs only, with an empty environment and without network.

    bitbloom hermetic petals-tiny            # called by `make hermetic`; the target must be built

`strace` records every file that a stage opens, and `unshare` removes the network. A stage fails when it opens an undeclared file
of the repository or a file of the checkout, or when an output has other bytes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from bitbloom.config.target import params_path, part
from bitbloom.core.digests import digest
from bitbloom.core.errors import BitBloomError
from bitbloom.models import weights
from bitbloom.pipeline import claim, composition, graph

TOOLS = ("strace", "unshare")
QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
LAST_LINES = 15
MACHINE_NOTES = "run.json"


def check(target: str) -> None:
    """Run every stage of a built target in a separate cell, and print a line for each.

    Raises:
        BitBloomError: a tool is missing, a stage opens an undeclared file, or an output has other bytes.
    """
    lacking = [tool for tool in TOOLS if not shutil.which(tool)]
    if lacking:
        raise BitBloomError(f"hermetic needs {' and '.join(lacking)}: apt-get install strace util-linux")
    console, expected = Console(highlight=False, soft_wrap=True), claim.read(target)
    for stage in graph.stages(target, composition.compose(target)):
        with tempfile.TemporaryDirectory(prefix="bitbloom-cell-") as temporary:
            cell = Path(temporary) / "cell"
            copy_inputs(cell, stage)
            trace = Path(temporary) / "trace"
            done = run(cell, stage, trace)
            undeclared = sorted(set(undeclared_files(trace, cell, Path.cwd())))
            if undeclared:
                raise BitBloomError(f"{stage.stage} of {target} opens undeclared files: {', '.join(undeclared)}")
            if done.returncode:
                raise BitBloomError(f"{stage.stage} of {target} failed in its cell:\n{_tail(done.stdout)}")
            different = [path for path in (*stage.outputs, *stage.metrics) if digest(cell / path) != expected[path]["sha256"]]
            if different:
                raise BitBloomError(f"{stage.stage} of {target} made other bytes in its cell: {', '.join(different)}")
        console.print(f"{stage.stage}: {len(stage.inputs)} declared inputs, no other files opened, expected digests")


def copy_inputs(cell: Path, stage: graph.Stage) -> None:
    """Copy a stage's declared inputs: files, keys of the parameters, and entries of weights.lock with their stored weights."""
    for name in stage.inputs:
        source, copy = Path(name), cell / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
        else:
            shutil.copyfile(source, copy)
    params = params_path(stage.target)
    tree = yaml.safe_load(params.read_text(encoding="utf-8"))
    _write(cell / params, part(tree, stage.sections))
    if stage.weights:
        entries = yaml.safe_load(weights.LOCK.read_text(encoding="utf-8"))
        _write(cell / weights.LOCK, {name: entries[name] for name in stage.weights})
    for name in stage.weights:
        if (weights.STORE / name).is_dir():  # pinned by its entry, like a package by the lock
            shutil.copytree(weights.STORE / name, cell / weights.STORE / name)


def _write(path: Path, tree: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")


def run(cell: Path, stage: graph.Stage, trace: Path) -> subprocess.CompletedProcess[str]:
    """Run the stage's command of dvc.yaml under strace, without a network."""
    home = cell.parent / "home"
    home.mkdir()
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(home), "PYTHONPATH": str(cell / "src")}
    environment["MPLCONFIGDIR"] = str(home)  # else the venv sets the checkout's folder
    environment["WORKERS"] = "1"  # several workers need the loopback interface, which is missing
    command = [
        "unshare",
        "--map-root-user",
        "--net",
        "strace",
        "--follow-forks",
        "--quiet=all",
        "--seccomp-bpf",
        "--output-separately",
    ]
    command += ["--trace=%file", "--string-limit=4096", f"--output={trace}", *stage.as_dvc()["cmd"].split()]
    return subprocess.run(command, cwd=cell, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def undeclared_files(trace: Path, cell: Path, checkout: Path) -> Iterator[str]:
    """Undeclared files that a traced stage opened, relative to the checkout.

    They are missing in the cell, or are in the checkout itself. The virtual environment is the toolchain and does not count.
    Neither do the folders above it and the `src` folder that an editable install puts on Python's path.
    """
    environments = Path(sys.prefix), Path(sysconfig.get_paths()["purelib"])
    toolchain = {checkout / "src", *checkout.parents, checkout}
    files = sorted(trace.parent.glob(f"{trace.name}.*"))  # one for each thread, so that no call is split
    for line in (line for file in files for line in file.read_text(encoding="utf-8", errors="replace").splitlines()):
        for quoted in QUOTED.findall(line)[:2]:
            path = Path(os.path.normpath(cell / quoted))
            if path.is_relative_to(cell):
                name = path.relative_to(cell)
                if " ENOENT " in line and _is_input(checkout / name):
                    yield name.as_posix()
            elif path.is_relative_to(checkout) and path not in toolchain and not any(map(path.is_relative_to, environments)):
                yield path.relative_to(checkout).as_posix()


def _is_input(path: Path) -> bool:
    """Whether a file of the repository can change an output. Bytecode and the unhashed notes of the machine cannot."""
    return path.is_file() and "__pycache__" not in path.parts and path.name != MACHINE_NOTES


def _tail(text: str) -> str:
    return "\n".join(text.splitlines()[-LAST_LINES:])
