"""The front door: build a target with DVC, in this workspace or, with overrides, in one of its own.

    bitbloom build petals                       # what `make all` calls
    bitbloom build petals --until train train.epochs=3
    bitbloom build-all petals tweets            # what `make everything` calls

One build at a time holds a kernel lock, so what a killed build left behind (DVC's own locks, half a `dvc.lock`) is
known to be dead and is cleared.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

from bitbloom import canonical, config, graph, schema, sources
from bitbloom.errors import BitBloomError
from bitbloom.numerics import pins
from bitbloom.provenance.digests import file_digest
from bitbloom.target import params_path, workers

STATE = Path(".bitbloom")
LOCK = Path("dvc.lock")
LAST_LOCK = STATE / "dvc.lock.complete"
BUILDING = STATE / "building"
"""There while DVC runs: found at a start, it says that the last build was killed."""
ROUNDS = (("prepare", False), ("train", True), ("all", False))
"""Up to which stage several targets are built at a time, and whether one after another."""
SHARED = (
    "src",
    "conf",
    "expectations",
    "bentos",
    "requirements.lock",
    "requirements-cuda.lock",
    "requirements-serve.lock",
    "weights.lock",
)
"""What a variant's workspace takes from the repository, as links."""


def build(target: str, until: str = "all", overrides: Sequence[str] = ()) -> Path:
    """Build a target up to a stage; the workspace that holds the outputs (`.` without overrides).

    Raises:
        BitBloomError: an unknown target, key or stage, or a stage that failed (its own message is already printed).
    """
    tree = config.compose(target, overrides)
    stages = graph.last_stages(until, target, tree)
    with only_one():
        for path in graph.write({target: config.compose(target) if overrides else tree}):
            print(f"{path} brought up to date")
        place = variant(target, overrides) if overrides else Path()
        needs_external(tree, target)
        heal(place)
        needed = graph.upstream({stage.stage: stage for stage in graph.stages(target, tree)}, stages)
        watched = sorted({path for stage in needed for path in stage.inputs if path.startswith(SHARED)})
        repro(place, [graph.stage_name(stage, target) for stage in stages], tree.numerics.profile, watched)
    return place


def build_all(targets: Sequence[str]) -> None:
    """Build several targets: trainings in turn, because each uses all cores; the stages before and after them side by side.

    Raises:
        BitBloomError: an unknown target, or targets that failed. The others are built as far as theirs let them.
    """
    trees = {target: config.compose(target) for target in targets}
    with only_one():
        for path in graph.write(trees):
            print(f"{path} brought up to date")
        heal(Path())
        for target, tree in trees.items():
            needs_external(tree, target)
        stages = [stage for target, tree in trees.items() for stage in graph.stages(target, tree)]
        with guarded(Path(), sorted({path for stage in stages for path in stage.inputs if path.startswith(SHARED)})):
            for until, in_turn in ROUNDS:
                with ThreadPoolExecutor(1 if in_turn else workers()) as pool:
                    runs = {target: pool.submit(_round, target, tree, until, in_turn) for target, tree in trees.items()}
                failed = [target for target, run in runs.items() if run.exception()]
                for target in failed:
                    print(f"{target}: {runs[target].exception()}", file=sys.stderr)
                if failed:
                    killed = any(isinstance(runs[target].exception(), Killed) for target in failed)
                    raise (Killed if killed else BitBloomError)(f"{', '.join(failed)} stopped before the end of {until}")


def _round(target: str, tree: DictConfig, until: str, alone: bool) -> None:
    """Build one target up to a stage; beside others, its lines bear its name."""
    names = [graph.stage_name(stage, target) for stage in graph.last_stages(until, target, tree)]
    dvc_repro(Path(), names, environ(tree.numerics.profile), label="" if alone else target)


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Hold the build lock. The kernel lets go of it when this process ends, however it ends."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "build.lock").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)  # the lock lasts as long as DVC, should this process be killed alone
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("another build is running in this checkout: waiting for it", file=sys.stderr)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def needs_external(tree: DictConfig, target: str) -> None:
    """The user's own data has been imported. Raises BitBloomError that says how."""
    for path in graph.external(tree):
        if not Path(path).exists() and not Path(f"{path}.dvc").exists():
            given = sources.own_data(str(tree.source.kind)).GIVEN
            raise BitBloomError(f"target '{target}' is built on your own data: make all TARGET={target} {given}")


def heal(workspace: Path) -> None:
    """Clear what a killed build left: DVC's lock files, and a `dvc.lock` that was not written to its end."""
    for name in ("rwlock", "rwlock.lock", "lock"):
        (workspace / ".dvc/tmp" / name).unlink(missing_ok=True)
    lock, complete = workspace / LOCK, workspace / LAST_LOCK
    killed = (workspace / BUILDING).exists()
    if lock.exists() and (not is_whole(lock.read_bytes()) or (killed and lost_an_end(workspace))):
        print("dvc.lock was cut off by a killed build: restored from its last complete copy", file=sys.stderr)
        lock.unlink()
        if complete.exists():
            shutil.copyfile(complete, lock)
    (workspace / BUILDING).unlink(missing_ok=True)


def parsed(text: bytes) -> Any:
    """What YAML says, by libyaml: a `dvc.lock` is long."""
    return yaml.load(text, Loader=yaml.CSafeLoader)


def is_whole(lock: bytes) -> bool:
    """Whether these are the bytes of a `dvc.lock` that DVC reads and that was written to the end of a line."""
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from voluptuous import Invalid

    try:
        record = COMPILED_LOCKFILE_SCHEMA(parsed(lock))
    except (yaml.YAMLError, UnicodeDecodeError, Invalid):
        return False
    return "stages" in record and lock.endswith(b"\n")


def lost_an_end(workspace: Path) -> bool:
    """Whether a `dvc.lock` that DVC reads was cut off between two lines: a stage is gone, or the last one lacks outputs.

    DVC writes the file in place and in order, so that this is all a kill can do to it.
    """
    stages = parsed((workspace / LOCK).read_bytes())["stages"]
    complete = workspace / LAST_LOCK
    before = parsed(complete.read_bytes())["stages"] if complete.exists() else {}
    if _committed_lock(workspace) == (workspace / LOCK).read_bytes():
        return False
    if not stages or not before.keys() <= stages.keys():
        return True
    name, last = list(stages.items())[-1]
    wanted = parsed((workspace / graph.DVC).read_bytes())["stages"].get(name, {})
    outputs = last.get("outs", [])
    sound = all("size" in out and ("nfiles" in out or not out["md5"].endswith(".dir")) for out in outputs)
    return not sound or len(outputs) < len(wanted.get("outs", [])) + len(wanted.get("metrics", []))


def _committed_lock(workspace: Path) -> bytes | None:
    """What git has of `dvc.lock`: somebody may have checked it out after the kill."""
    done = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], cwd=workspace, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def repro(workspace: Path, stages: Sequence[str], profile: str, watched: Sequence[str] = (), **variables: str) -> None:
    """`dvc repro` of some stages, from the remote's run-cache where there is a remote.

    Args:
        workspace: where.
        stages: their names in dvc.yaml.
        profile: the numerics profile whose pins they run with.
        watched: code that has to stay as it is until they are done.
        variables: more of the environment.

    Raises:
        BitBloomError: a stage failed.
    """
    with guarded(workspace, watched):
        dvc_repro(workspace, stages, environ(profile) | variables)


class Killed(BitBloomError):
    """DVC itself was killed: what it was writing may be half there."""


@contextlib.contextmanager
def guarded(workspace: Path, watched: Sequence[str]) -> Iterator[None]:
    """While DVC runs in here: leave a mark for `heal`, should it be killed, keep `dvc.lock`, and see that no code changes."""
    _keep_lock(workspace)
    (workspace / BUILDING).touch()
    before = code(watched)
    try:
        yield
    except Killed:
        raise
    except BitBloomError:
        _came_to_its_end(workspace, before)
        raise
    _came_to_its_end(workspace, before)


def _came_to_its_end(workspace: Path, before: dict[str, str]) -> None:
    """DVC said whatever it had to say: its files are whole."""
    (workspace / BUILDING).unlink()
    _still_the_same(workspace, before)
    _keep_lock(workspace)


def dvc_repro(workspace: Path, stages: Sequence[str], environment: Mapping[str, str], label: str = "") -> None:
    """Run `dvc repro` of some stages, the label before each line. Raises BitBloomError when it fails, Killed when killed."""
    command = ["dvc", "--wait-for-lock", "repro", *(["--pull"] if has_remote(workspace) else []), *stages]
    out, errors = (subprocess.PIPE, subprocess.STDOUT) if label else (None, None)
    # close_fds: it holds the kernel lock too.
    with subprocess.Popen(
        command, cwd=workspace, env=environment, close_fds=False, stdout=out, stderr=errors, text=True
    ) as process:
        for line in process.stdout or ():
            print(f"{label} | {line.rstrip()}", flush=True)
    if process.returncode < 0:
        raise Killed(f"the build was killed (signal {-process.returncode}); run it again")
    if process.returncode:
        raise BitBloomError(f"the build stopped (dvc repro: exit code {process.returncode}); what to do is said above")


def code(paths: Sequence[str]) -> dict[str, str]:
    """SHA-256 of every file at and below these paths."""
    found = [file for name in paths for file in (Path(name).rglob("*") if Path(name).is_dir() else [Path(name)])]
    return {file.as_posix(): file_digest(file) for file in found if file.is_file() and "__pycache__" not in file.parts}


def _still_the_same(workspace: Path, before: dict[str, str]) -> None:
    """The code is as it was when the build began. DVC reads it again at the end, and would record what never ran.

    Raises:
        BitBloomError: a file changed; `dvc.lock` is put back, and DVC's memory of runs is forgotten.
    """
    after = code(list(before))
    changed = sorted(name for name in before if before[name] != after.get(name))
    if not changed:
        return
    shutil.rmtree(".dvc/cache/runs", ignore_errors=True)
    (workspace / LOCK).unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        shutil.copyfile(workspace / LAST_LOCK, workspace / LOCK)
    raise BitBloomError(
        f"{', '.join(changed[:5])} changed while the build ran, so nothing of it is kept in dvc.lock: build again"
    )


def _keep_lock(workspace: Path) -> None:
    """Copy a whole `dvc.lock` to where a killed build is healed from."""
    (workspace / STATE).mkdir(exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        canonical.write_bytes(workspace / LAST_LOCK, (workspace / LOCK).read_bytes())


def environ(profile: str) -> dict[str, str]:
    """This process's environment with the pins of a profile and this interpreter's commands first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return os.environ | pins.environment(profile) | {"PATH": path}


def has_remote(workspace: Path) -> bool:
    """Whether DVC has a default remote, in the committed or the local configuration."""
    files = (workspace / ".dvc" / name for name in ("config", "config.local"))
    lines = (line.split("=") for file in files if file.exists() for line in file.read_text(encoding="utf-8").splitlines())
    return any(parts[0].strip() == "remote" and len(parts) == 2 and parts[1].strip() for parts in lines)


def workspace(target: str, overrides: Sequence[str]) -> Path:
    """Where a build has its outputs: `.`, or for overrides a folder named after the whole configuration they make."""
    if not overrides:
        return Path()
    text = config.yaml_text(config.compose(target, overrides))
    return STATE / "variants" / f"{target}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def variant(target: str, overrides: Sequence[str]) -> Path:
    """The workspace of a build with overrides: a DVC repository of its own, ignored by git, sharing code and cache.

    Paths inside are the same as in the main workspace, so stages that the overrides leave alone come from the cache.
    """
    place = workspace(target, overrides)
    for shared in SHARED:
        _link(place / shared, Path(shared))
    tree = config.compose(target, overrides)
    tree.overrides = list(overrides)
    lay_out(place, target, tree, cache=Path(".dvc/cache"))
    canonical.write_text(place / "overrides.txt", "\n".join(overrides) + "\n")
    return place


def lay_out(place: Path, target: str, tree: DictConfig, cache: Path | None) -> None:
    """Make a folder that holds the code a workspace of one target: its graph, its parameters, and DVC with this cache or its own.

    What a build takes in by content is linked: the user's own data, downloads and pretrained weights.
    """
    model = schema.model(tree.model)
    own = (folder for spec in (*model.starts_from(), str(tree.prepare.tokenizer)) for folder in graph.own_folder(spec))
    for external in (*graph.external(tree), *own):
        _link(place / external, Path(external))
    for store in ("weights", "downloads"):
        (STATE / store).mkdir(exist_ok=True)
        _link(place / STATE / store, STATE / store)
    shared = "cache" if cache is None else os.path.relpath(cache, place / ".dvc")
    settings = f"[core]\n    no_scm = true\n    analytics = false\n[cache]\n    dir = {shared}\n"
    canonical.write_text(place / ".dvc/config", settings)
    canonical.write_text(place / params_path(target), graph.HEADER + config.yaml_text(tree))
    canonical.write_text(place / graph.DVC, graph.dvc_text(graph.stages(target, tree), {target: model}))


def _link(link: Path, to: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(to, link.parent))
