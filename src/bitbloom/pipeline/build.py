"""Build a target with DVC, in the main workspace or, with overrides, in a separate one.

    bitbloom build petals                       # called by `make all`
    bitbloom build petals --until train train.epochs=3
    bitbloom build-all petals tweets            # called by `make everything`

A build holds a kernel lock from its start to its summary, so only one runs at a time. It may therefore remove what a killed build
left: DVC's own locks and a truncated `dvc.lock`. DVC shortens a `dvc.lock` before it writes it, so commands that read one wait
for the kernel lock too.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TextIO

from omegaconf import DictConfig

from bitbloom.config.models import typed_model
from bitbloom.config.target import params_path
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError
from bitbloom.core.processes import workers
from bitbloom.data import sources
from bitbloom.models import weights
from bitbloom.numerics import pins
from bitbloom.pipeline import composition, conflicts, graph, live, merging, shell
from bitbloom.pipeline.recovery import STATE, Killed, guarded, recover
from bitbloom.pipeline.remote import settings
from bitbloom.pipeline.remote.prefetch import prefetch
from bitbloom.pipeline.terminal import Narrator

ROUNDS = (("prepare", False), ("train", True), ("all", False))
"""The last stage of each round of a build of several targets, and whether the targets run one after another."""
LOCK = STATE / "build.lock"
"""Locked by the kernel while a build runs: exclusively by the build, shared by commands that read its records."""
LOOK_SECONDS = 0.1
"""Time between two looks at what DVC wrote."""
WITHOUT_GIT = Path(".dvc/without-git")
"""Settings of DVC for a checkout without `.git`."""
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
"""Files and folders of the repository that the workspace of a variant links to."""


def build(target: str, until: str = "all", overrides: Sequence[str] = (), begun: Callable[[], None] = lambda: None) -> Path:
    """Build a target up to a stage, and return the workspace of the outputs (`.` without overrides).

    `begun` is called when a training has its first row.

    Raises:
        BitBloomError: the target, a key or the stage is unknown, or a stage failed (after its own message).
    """
    tree, stages = check(target, until, overrides)
    with build_lock():
        _bring_up_to_date({target: composition.compose(target) if overrides else tree})
        place = variant(target, overrides) if overrides else Path()
        require_external(tree, target)
        recover(place, [target])
        refresh_external(tree)
        needed = graph.upstream({stage.stage: stage for stage in graph.every_stage(target, tree)}, stages)
        pull(place, target, tree, [stage for stage in needed if stage.stage != graph.AUDIT])  # it is in no cache
        with live.observing(target, place, begun):
            repro(place, target, stages, tree, _code_read_by(needed))
    return place


def check(target: str, until: str = "all", overrides: Sequence[str] = ()) -> tuple[DictConfig, tuple[str, ...]]:
    """The configuration of a build and its last stages.

    Raises:
        BitBloomError: the target, a key or the stage is unknown, or the model starts from locked weights of another network.
    """
    tree = composition.compose(target, overrides)
    _require_backbones(typed_model(tree.model).starts_from())
    return tree, graph.last_stages(until, target, tree, beside=True)


def _require_backbones(specs: Iterable[str]) -> None:
    """Raise BitBloomError for locked weights that no model can start from, as those of the audit."""
    for spec in specs:
        kind, _, name = spec.partition(":")
        if kind == "locked" and weights.locked(name).format not in weights.FORMATS:
            fitting = [known for known in weights.names() if weights.locked(known).format in weights.FORMATS]
            raise BitBloomError(
                f"model.weights '{spec}': no model can start from this network; "
                f"{weights.LOCK} has for models: {', '.join(fitting)}"
            )


def build_all(targets: Sequence[str], begun: Callable[[str], None] = lambda _: None) -> None:
    """Build several targets: trainings in turn, because each uses all cores, and other stages in parallel.

    `begun` is called with the target whose training has its first row.

    Raises:
        BitBloomError: a target is unknown.
        Stopped: targets failed. The others are built to the end of that round.
    """
    trees = {target: composition.compose(target) for target in targets}
    with build_lock():
        _bring_up_to_date(trees)
        recover(Path(), targets)
        for target, tree in trees.items():
            require_external(tree, target)
            refresh_external(tree)
            pull(Path(), target, tree, graph.stages(target, tree))
        stages = [stage for target, tree in trees.items() for stage in graph.stages(target, tree)]
        narrators = {target: narrator(target, tree, graph.ENDS) for target, tree in trees.items()}
        with guarded(Path(), _code_read_by(stages), targets):
            for until, in_turn in ROUNDS:
                runs = {}
                for target, tree in trees.items():
                    names = [graph.stage_name(stage, target) for stage in graph.last_stages(until, target, tree)]
                    label = "" if in_turn else target
                    environment = environ(tree.numerics.profile)
                    run = partial(dvc_repro, Path(), names, environment, label, narrator=narrators[target])
                    runs[target] = partial(_observed, run, target, partial(begun, target)) if in_turn else run
                _side_by_side(runs, until, 1 if in_turn else workers())


def _bring_up_to_date(trees: Mapping[str, DictConfig]) -> None:
    """Write the generated files of targets. Raises BitBloomError when another file has merge conflicts."""
    conflicts.require_none()
    for path in [*graph.write_for(trees), *merging.regenerate()]:
        print(f"{path} brought up to date")


def _observed(run: Callable[[], None], target: str, begun: Callable[[], None]) -> None:
    """Run the training of a target, and write its curves meanwhile."""
    with live.observing(target, Path(), begun):
        run()


def _code_read_by(stages: Iterable[graph.Stage]) -> list[str]:
    """The inputs of stages that a person may edit while they run."""
    return sorted({path for stage in stages for path in stage.inputs if path.startswith(SHARED)})


class Stopped(BitBloomError):
    """Some of several builds failed, by themselves."""

    def __init__(self, message: str, failed: Collection[str]) -> None:
        super().__init__(message)
        self.failed = failed


def _side_by_side(runs: Mapping[str, Callable[[], None]], until: str, at_a_time: int) -> None:
    """Run several at a time, each to its end. Raises Stopped with the failed ones, Killed when one was killed."""
    with ThreadPoolExecutor(at_a_time) as pool:
        started = {name: pool.submit(run) for name, run in runs.items()}
    failed = {name: run.exception() for name, run in started.items() if run.exception()}
    for name, error in failed.items():
        print(f"{name}: {error}", file=sys.stderr)
    if failed:
        message = f"{', '.join(failed)} stopped before the end of {until}"
        raise Killed(message) if any(isinstance(error, Killed) for error in failed.values()) else Stopped(message, failed)


_held: list[int] = []
"""The kinds of lock that this process holds, outermost first: fcntl.LOCK_EX, fcntl.LOCK_SH."""


@contextlib.contextmanager
def build_lock() -> Iterator[None]:
    """Hold the build lock; inside another `build_lock`, do nothing. The kernel releases it at the end of this process."""
    if fcntl.LOCK_EX in _held:
        yield
        return
    STATE.mkdir(exist_ok=True)
    with LOCK.open("w") as stream:
        os.set_inheritable(stream.fileno(), True)  # DVC keeps the lock if only this process is killed
        with _locked(stream, fcntl.LOCK_EX):
            yield


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Read records or outputs of builds while no build runs. Commands that read do not wait for each other."""
    if _held or not LOCK.exists():  # without this file, no build ever ran here
        yield
        return
    with LOCK.open("r") as stream, _locked(stream, fcntl.LOCK_SH):
        yield


@contextlib.contextmanager
def _locked(stream: TextIO, kind: int) -> Iterator[None]:
    try:
        fcntl.flock(stream, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another build is running in this checkout: waiting for it", file=sys.stderr)
        fcntl.flock(stream, kind)
    _held.append(kind)
    try:
        yield
    finally:
        _held.pop()


def await_output(path: Path) -> None:
    """Wait for a running build if an output is missing: DVC removes the outputs of a stage before it runs."""
    if not path.exists():
        with reading():
            pass


def require_external(tree: DictConfig, target: str) -> None:
    """Raise BitBloomError with the command when the user's own data is not imported."""
    for path in graph.external(tree):
        if not Path(path).exists() and not Path(f"{path}.dvc").exists():
            given = sources.own_data(str(tree.source.kind)).GIVEN
            raise BitBloomError(f"target '{target}' is built on your own data: make all TARGET={target} {given}")


def refresh_external(tree: DictConfig) -> None:
    """Record the user's own data anew when it was changed by hand, so that no build uses other data than its `.dvc` file names.

    Raises:
        BitBloomError: the `.dvc` file changed too, as by a pull, so that the intended data is unknown.
    """
    for folder in graph.external(tree):
        tracked = Path(f"{folder}.dvc")
        if not Path(folder).exists() or not tracked.exists() or not _differs(tracked, tree):
            continue
        if not _note(folder).exists() or _note(folder).read_bytes() != tracked.read_bytes():
            raise BitBloomError(
                f"{folder} holds other data than {tracked} names: `dvc checkout {tracked}` restores the named data, "
                f"`dvc add {folder}` records what is there"
            )
        record_external(folder, tree)
        print(f"{folder} was changed by hand: {tracked} names its new content")


def pull(workspace: Path, target: str, tree: DictConfig, stages: Sequence[graph.Stage]) -> None:
    """Bring what the remote has of these stages to the cache, and the user's own data to its folder. Raises BitBloomError."""
    own = [folder for folder in graph.external(tree) if not Path(folder).exists()]
    for folder in prefetch(workspace, target, stages, own):
        checkout_tracked([f"{folder}.dvc"], environ(tree.numerics.profile))
        canonical.write_bytes(_note(folder), Path(f"{folder}.dvc").read_bytes())


def checkout_tracked(names: Sequence[str], environment: Mapping[str, str]) -> None:
    """Put outputs, named as DVC names them, from the cache into the workspace. Raises BitBloomError."""
    if names and subprocess.run(["dvc", "checkout", "--quiet", *names], env=environment).returncode:
        raise BitBloomError("dvc checkout failed; see the message above")


def _differs(tracked: Path, tree: DictConfig) -> bool:
    """Whether data differs from its `.dvc` file. DVC remembers the digests of unchanged files."""
    command = ["dvc", "status", "--json", tracked.as_posix()]
    done = subprocess.run(command, env=environ(tree.numerics.profile), stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise BitBloomError(f"dvc status {tracked} failed; see the message above")
    return bool(json.loads(done.stdout))


def record_external(folder: str, tree: DictConfig) -> None:
    """Add a folder of the user's own data to DVC, and note its `.dvc` file. Raises BitBloomError."""
    done = subprocess.run(["dvc", "add", "--quiet", folder], env=environ(tree.numerics.profile))
    if done.returncode:
        raise BitBloomError(f"dvc add {folder} failed; see the message above")
    canonical.write_bytes(_note(folder), Path(f"{folder}.dvc").read_bytes())


def _note(folder: str) -> Path:
    """The copy of a `.dvc` file as this checkout wrote it: if the file differs, a pull or a person changed it."""
    return STATE / "external" / f"{Path(folder).name}.dvc"


def repro(
    workspace: Path, target: str, last: Sequence[str], tree: DictConfig, watched: Sequence[str] = (), **variables: str
) -> None:
    """Build a target up to these stages. After training, the branches of several last stages run in parallel.

    Args:
        workspace: of the build.
        target: its name.
        last: the last stages.
        tree: its configuration.
        watched: code that must not change during the build.
        variables: further environment variables.

    Raises:
        BitBloomError: a stage failed.
    """
    environment, spoken = environ(tree.numerics.profile) | variables, narrator(target, tree, last)
    with guarded(workspace, watched, [target]):
        if len(last) == 1 or workers() == 1 or _dvc_pulls(workspace):  # each call would fetch the remote's run-cache
            dvc_repro(workspace, [graph.stage_name(stage, target) for stage in last], environment, narrator=spoken)
            return
        dvc_repro(workspace, [graph.stage_name("train", target)], environment, narrator=spoken)
        runs = {}
        for end, names in after_training(target, tree, last).items():
            # Single items: DVC locks the outputs of earlier stages while it checks whether they changed.
            runs[end] = partial(dvc_repro, workspace, ["--single-item", *names], environment, end, narrator=spoken)
        _side_by_side(runs, "all", workers())


def after_training(target: str, tree: DictConfig, last: Sequence[str]) -> dict[str, list[str]]:
    """Last stage → DVC's names of it and of the stages between training and it, in order."""
    mine = {stage.stage: stage for stage in graph.stages(target, tree)}
    trained = {stage.name for stage in graph.upstream(mine, ["train"])}
    return {end: [stage.name for stage in graph.upstream(mine, [end]) if stage.name not in trained] for end in last}


def narrator(target: str, tree: DictConfig, last: Sequence[str]) -> Narrator:
    """The narrator of a build of a target up to these stages."""

    def plan() -> list[str]:
        return [stage.stage for stage in graph.upstream({each.stage: each for each in graph.every_stage(target, tree)}, last)]

    return Narrator(plan)


def dvc_repro(
    workspace: Path, stages: Sequence[str], environment: Mapping[str, str], label: str = "", *, narrator: Narrator
) -> None:
    """Run `dvc repro` for these stages. The label starts each line.

    With a label, its lines include those on stderr. Without one, stderr stays the terminal, for bars of progress.

    Raises:
        BitBloomError: DVC failed.
        Killed: DVC was killed.
    """
    command = ["dvc", "--wait-for-lock", "repro", *(["--pull"] if _dvc_pulls(workspace) else []), *stages]
    errors = subprocess.STDOUT if label else None
    environment = {**environment, "PYTHONUNBUFFERED": "1"}  # its lines come in time
    STATE.mkdir(exist_ok=True)
    # A file, because a pipe without a reader would end DVC and the training if only this process is killed.
    # close_fds: DVC inherits the kernel lock.
    with (
        tempfile.TemporaryFile(dir=STATE) as output,
        subprocess.Popen(command, cwd=workspace, env=environment, close_fds=False, stdout=output, stderr=errors) as process,
    ):
        try:
            for line in _lines(process, output.fileno()):
                if (shown := narrator.line(line.rstrip())) is not None:
                    print(f"{label} | {shown}" if label else shown, flush=True)
            process.wait()
        except KeyboardInterrupt:
            process.wait()  # DVC was interrupted too, and is still writing
            raise
    if process.returncode < 0:
        raise Killed(f"DVC was killed by {shell.describe(-process.returncode)}; run the build again")
    if process.returncode:
        raise BitBloomError(f"the build stopped (dvc repro: exit code {process.returncode}); see the message above")


def _lines(process: subprocess.Popen[bytes], file: int) -> Iterator[str]:
    """The lines that a process writes to a file, until it ends."""
    position, rest, ended = 0, b"", False
    while not ended:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_SECONDS)
            ended = True
        while found := os.pread(file, 1 << 16, position):
            position += len(found)
            *lines, rest = (rest + found).split(b"\n")
            yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def environ(profile: str) -> dict[str, str]:
    """This process's environment with the pins of a profile, and this interpreter's commands first on the path.

    In a checkout without `.git`, such as a ZIP download, DVC works without git. Its shell explains why a stage was killed.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    without_git = {} if Path(".git").exists() else {"DVC_SYSTEM_CONFIG_DIR": str(WITHOUT_GIT.resolve())}
    return os.environ | pins.environment(profile) | {"PATH": path, "SHELL": str(shell.write(STATE / "shell"))} | without_git


def _dvc_pulls(workspace: Path) -> bool:
    """Whether DVC itself has to pull: from a remote that is neither a bucket nor a folder."""
    remote = settings.default(workspace)
    return remote is not None and remote.is_foreign


def workspace(target: str, overrides: Sequence[str]) -> Path:
    """The workspace of a build: `.`, or with overrides a folder named by the hash of the whole configuration."""
    if not overrides:
        return Path()
    text = composition.yaml_text(composition.compose(target, overrides))
    return STATE / "variants" / f"{target}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def variant(target: str, overrides: Sequence[str]) -> Path:
    """Make the workspace of a build with overrides: a separate DVC repository, ignored by git, with shared code and cache.

    Paths are the same as in the main workspace, so stages that the overrides do not concern come from the cache.
    """
    place = workspace(target, overrides)
    for shared in SHARED:
        _link(place / shared, Path(shared))
    tree = composition.compose(target, overrides)
    tree.overrides = list(overrides)
    create_workspace(place, target, tree, cache=Path(".dvc/cache"))
    canonical.write_text(place / "overrides.txt", "\n".join(overrides) + "\n")
    return place


def create_workspace(place: Path, target: str, tree: DictConfig, cache: Path | None) -> None:
    """Make a workspace of one target in a folder with the code: graph, parameters, and DVC with this cache or a separate one.

    Inputs that DVC compares by content are linked: the user's own data, downloads and pretrained weights.
    """
    model, stages = typed_model(tree.model), graph.every_stage(target, tree)
    own = (folder for spec in (*model.starts_from(), str(tree.prepare.tokenizer)) for folder in graph.own_folder(spec))
    for external in (*graph.external(tree), *own):
        _link(place / external, Path(external))
    for store in ("weights", "downloads"):
        (STATE / store).mkdir(exist_ok=True)
        _link(place / STATE / store, STATE / store)
    shared = "cache" if cache is None else os.path.relpath(cache, place / ".dvc")
    settings = f"[core]\n    no_scm = true\n    analytics = false\n[cache]\n    dir = {shared}\n"
    canonical.write_text(place / ".dvc/config", settings)
    canonical.write_text(place / params_path(target), graph.HEADER + composition.yaml_text(tree))
    canonical.write_text(place / graph.pipeline(target) / "dvc.yaml", graph.dvc_text(target, stages, model))


def _link(link: Path, to: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(to, link.parent))
