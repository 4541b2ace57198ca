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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from omegaconf import DictConfig

from bitbloom import canonical, config, dvc_lock, graph, schema, sources
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
        repro(place, target, stages, tree, _code_read_by(needed))
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
        with guarded(Path(), _code_read_by(stages), targets):
            for until, in_turn in ROUNDS:
                runs = {}
                for target, tree in trees.items():
                    names = [graph.stage_name(stage, target) for stage in graph.last_stages(until, target, tree)]
                    label = "" if in_turn else target
                    runs[target] = partial(dvc_repro, Path(), names, environ(tree.numerics.profile), label)
                _side_by_side(runs, until, 1 if in_turn else workers())


def _code_read_by(stages: Iterable[graph.Stage]) -> list[str]:
    """What of their inputs a person may edit while they run."""
    return sorted({path for stage in stages for path in stage.inputs if path.startswith(SHARED)})


def _side_by_side(runs: Mapping[str, Callable[[], None]], until: str, at_a_time: int) -> None:
    """Run several at a time, each to its end. Raises BitBloomError that names those that failed, Killed when one was killed."""
    with ThreadPoolExecutor(at_a_time) as pool:
        begun = {name: pool.submit(run) for name, run in runs.items()}
    failed = {name: run.exception() for name, run in begun.items() if run.exception()}
    for name, error in failed.items():
        print(f"{name}: {error}", file=sys.stderr)
    if failed:
        killed = any(isinstance(error, Killed) for error in failed.values())
        raise (Killed if killed else BitBloomError)(f"{', '.join(failed)} stopped before the end of {until}")


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
    """Clear what a killed build left: DVC's lock files, and a `dvc.lock` that lacks the other targets or its end."""
    for name in ("rwlock", "rwlock.lock", "lock"):
        (workspace / ".dvc/tmp" / name).unlink(missing_ok=True)
    lock, complete = workspace / LOCK, workspace / LAST_LOCK
    if (workspace / BUILDING).exists():
        found = lock.read_bytes() if lock.exists() else b""
        if not found or found != _committed_lock(workspace):  # else somebody has checked it out since
            print("a build was killed: dvc.lock is its last complete copy and what was recorded since", file=sys.stderr)
            _put_back(workspace, dvc_lock.cut_off(found.decode(errors="replace")))
        (workspace / BUILDING).unlink()
    if lock.exists() and not dvc_lock.is_whole(lock.read_bytes()):
        print("dvc.lock was cut off by a killed build: restored from its last complete copy", file=sys.stderr)
        lock.unlink()
        if complete.exists():
            shutil.copyfile(complete, lock)


def _committed_lock(workspace: Path) -> bytes | None:
    """What git has of `dvc.lock`: somebody may have checked it out after the kill."""
    done = subprocess.run(["git", "show", f"HEAD:./{LOCK}"], cwd=workspace, capture_output=True)
    return done.stdout if done.returncode == 0 else None


def repro(
    workspace: Path, target: str, last: Sequence[str], tree: DictConfig, watched: Sequence[str] = (), **variables: str
) -> None:
    """Build a target up to some stages; what each of several needs of a trained model alone, side by side.

    Args:
        workspace: where.
        target: its name.
        last: the stages.
        tree: its configuration.
        watched: code that has to stay as it is until they are done.
        variables: more of the environment.

    Raises:
        BitBloomError: a stage failed.
    """
    environment = environ(tree.numerics.profile) | variables
    with guarded(workspace, watched, [target]):
        if len(last) == 1 or workers() == 1 or has_remote(workspace):  # each call would fetch the remote's run-cache
            dvc_repro(workspace, [graph.stage_name(stage, target) for stage in last], environment)
            return
        dvc_repro(workspace, [graph.stage_name("train", target)], environment)
        runs = {}
        for end, names in after_training(target, tree, last).items():
            # One by one: DVC takes what a stage before them wrote for itself while it looks whether that has changed.
            runs[end] = partial(dvc_repro, workspace, ["--single-item", *names], environment, end)
        _side_by_side(runs, "all", workers())


def after_training(target: str, tree: DictConfig, last: Sequence[str]) -> dict[str, list[str]]:
    """For each of the last stages, it and the stages between it and the trained model, in order, as DVC names them."""
    mine = {stage.stage: stage for stage in graph.stages(target, tree)}
    trained = {stage.name for stage in graph.upstream(mine, ["train"])}
    return {end: [stage.name for stage in graph.upstream(mine, [end]) if stage.name not in trained] for end in last}


class Killed(BitBloomError):
    """DVC itself was killed: what it was writing may be half there."""


@contextlib.contextmanager
def guarded(workspace: Path, watched: Sequence[str], targets: Collection[str]) -> Iterator[None]:
    """While DVC runs: keep `dvc.lock`, show DVC its records of these targets alone, leave a mark for `heal`, watch the code."""
    _keep_lock(workspace)
    (workspace / BUILDING).touch()
    _write_lock(workspace, dvc_lock.only(_text(workspace / LOCK), lambda stage: graph.target_of(stage) in targets))
    before = code(watched)
    try:
        yield
    except Killed:
        raise
    except KeyboardInterrupt:
        heal(workspace)
        raise
    except BitBloomError:
        _came_to_its_end(workspace, before)
        raise
    _came_to_its_end(workspace, before)


def _came_to_its_end(workspace: Path, before: dict[str, str]) -> None:
    """DVC said whatever it had to say: its files are whole."""
    _put_back(workspace, _text(workspace / LOCK))
    (workspace / BUILDING).unlink()
    _still_the_same(workspace, before)
    _keep_lock(workspace)


def _put_back(workspace: Path, recorded: str) -> None:
    """`dvc.lock` as it was before the build, with what was recorded since."""
    _write_lock(workspace, dvc_lock.joined(_text(workspace / LAST_LOCK), recorded))


def _write_lock(workspace: Path, text: str) -> None:
    """Write `dvc.lock`, or take it away where there is nothing in it."""
    if text:
        canonical.write_text(workspace / LOCK, text)
    else:
        (workspace / LOCK).unlink(missing_ok=True)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def dvc_repro(workspace: Path, asked: Sequence[str], environment: Mapping[str, str], label: str = "") -> None:
    """`dvc repro` of some stages, from the remote's run-cache where there is a remote; the label before each line.

    Raises:
        BitBloomError: it failed.
        Killed: it was killed.
    """
    command = ["dvc", "--wait-for-lock", "repro", *(["--pull"] if has_remote(workspace) else []), *asked]
    out, errors = (subprocess.PIPE, subprocess.STDOUT) if label else (None, None)
    # close_fds: it holds the kernel lock too.
    with subprocess.Popen(
        command, cwd=workspace, env=environment, close_fds=False, stdout=out, stderr=errors, text=True
    ) as process:
        try:
            for line in process.stdout or ():
                print(f"{label} | {line.rstrip()}", flush=True)
            process.wait()
        except KeyboardInterrupt:
            process.wait()  # it was interrupted too, and is writing its last
            raise
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
    if (workspace / LOCK).exists():
        canonical.write_bytes(workspace / LAST_LOCK, (workspace / LOCK).read_bytes())
    else:
        (workspace / LAST_LOCK).unlink(missing_ok=True)


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
