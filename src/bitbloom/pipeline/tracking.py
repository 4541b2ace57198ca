"""Tracking with Weights & Biases, in a process of its own. A build never waits for it long, and never fails because of it.

The process starts with the first row of a training, so that the curves grow while it runs, and logs the rest after the build.
W&B's own settings decide where: WANDB_PROJECT, WANDB_ENTITY, WANDB_MODE, `wandb login` or WANDB_API_KEY. Without a key it logs
offline below `.bitbloom/wandb`. What goes wrong is one line of warning in the build. `bitbloom track TARGET` logs a finished
build in the foreground. BITBLOOM_TRACK=0 disables tracking, and so does CI.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from bitbloom.config.target import params_path
from bitbloom.core import canonical, checkout, git
from bitbloom.core.digests import digest, file_digest
from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline import build, conflicts, graph, live
from bitbloom.pipeline.recovery import STATE

LOG = STATE / "tracking.log"
SAMPLES = 32
COPIES = STATE / "tracking"
"""Each folder in it is a copy of what a build made, with the paths of a workspace. The tracking process removes its copy."""
COPY_SECONDS = 86400
"""Age of a copy that a later build removes: its process was killed."""
INIT_SECONDS = 30.0
"""Time limit of W&B's server for the start of a run."""
LAST_SECONDS = 900
"""Time limit of the process after the end of a build, and of its wait for W&B's server during one."""
STATUS_SECONDS = 4.0
"""How long a build waits at its end for the first sign of the process."""
LONGEST_NAME = 120
Warn = Callable[[str], None]


class Follower:
    """The tracking of one build, as its process sees it."""

    def __init__(self, target: str, workspace: Path) -> None:
        self.target, self.workspace = target, workspace
        self.process: subprocess.Popen[bytes] | None = None
        self.copy: Path | None = None
        self.end = 0.0

    @property
    def status(self) -> Path:
        """A file that the tracking process writes as soon as it knows whether it can log: a warning, or nothing."""
        return COPIES / f"{self.target}.txt"

    def start(self) -> None:
        """Start the process, unless it runs or tracking is disabled."""
        if self.process is not None or not is_enabled():
            return
        command = [sys.executable, "-m", "bitbloom.pipeline.tracking", self.target, str(self.workspace), str(self.status)]
        try:
            canonical.write_text(self.status, "")
            self.status.unlink()
            with LOG.open("ab") as log:
                self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log, start_new_session=True)
        except OSError as error:
            _warn(f"W&B: {error.strerror}: {error.filename or STATE}")

    def built(self) -> None:
        """Copy what the build made, if there is something to log. Call it while no other build changes the outputs."""
        try:
            if is_unlogged(self.target, self.workspace):
                self.start()
            if self.process is not None:
                self.copy = copy(self.target, self.workspace)
        except Exception as error:  # tracking never fails a build
            _warn(f"W&B: {_first_line(error)}")
        self.end = time.monotonic() + STATUS_SECONDS

    def finish(self) -> None:
        """Tell the process where the copy is, or that the build failed; print its warning, or that it has not answered."""
        if self.process is None or self.process.stdin is None:
            return
        with contextlib.suppress(OSError), self.process.stdin as pipe:
            pipe.write(os.fsencode(self.copy or ""))
        if self.copy:
            self._report()

    def _report(self) -> None:
        while (
            not self.status.exists() and time.monotonic() < self.end and self.process is not None and self.process.poll() is None
        ):
            time.sleep(0.05)
        try:
            text = self.status.read_text(encoding="utf-8")
        except OSError:
            ended = self.process is not None and self.process.poll() is not None
            text = "it stopped" if ended else "no response yet; it goes on in the background"
            text = f"W&B: {text}: see {LOG}"
        if text:
            _warn(text)


@contextlib.contextmanager
def following(target: str, workspace: Path) -> Iterator[Follower]:
    """Track the build of the block. The block fails only by its own errors."""
    follower = Follower(target, workspace)
    try:
        yield follower
    finally:
        try:
            follower.finish()
        except Exception as error:  # tracking never fails a build
            _warn(f"W&B: {_first_line(error)}")


def is_enabled() -> bool:
    """Whether neither BITBLOOM_TRACK nor CI disables tracking."""
    return os.environ.get("BITBLOOM_TRACK") != "0" and not os.environ.get("CI")


def is_unlogged(target: str, workspace: Path) -> bool:
    """Whether the trained model is evaluated, and was not logged since."""
    if not is_enabled() or "evaluate" not in _current(target, workspace):
        return False
    return _is_new(*_logged(target, workspace))


def _is_new(note: Path, content: str) -> bool:
    return not note.exists() or note.read_text(encoding="utf-8") != content


def log(target: str, workspace: Path, warn: Warn | None = None) -> str:
    """Log config, curves, metrics, mistakes, the confusion matrix and the model with its lineage. Returns the run's id.

    The id is the digest of the inputs of training, so a resumed or repeated build continues its run.
    """
    return _log_copy(target, copy(target, workspace), None, warn or _warn)


def _log_copy(target: str, place: Path, begun: Tracked | None, warn: Warn) -> str:
    """Log a copy, in the run that its training began if it is the same, remove the copy, and return the run's id."""
    try:
        identity = _recorded_id(target, place)
        if begun and begun.identity != identity:
            begun.abandon()
            begun = None
        tracked = begun or Tracked(target, place, identity, warn)
        tracked.workspace = place
        tracked.rows(live.trained_rows(target, place))
        tracked.finish()
        return identity
    finally:
        shutil.rmtree(place, ignore_errors=True)


def copy(target: str, workspace: Path) -> Path:
    """Copy what `log` reads, while no build runs, and return the folder. Outputs are hard links where possible.

    DVC and the stages replace outputs, so a link keeps its content. DVC writes `dvc.lock` in place, so that is a copy.
    """
    COPIES.mkdir(parents=True, exist_ok=True)
    for old in COPIES.iterdir():
        if old.is_dir() and old.stat().st_mtime < time.time() - COPY_SECONDS:
            shutil.rmtree(old, ignore_errors=True)
    place = Path(tempfile.mkdtemp(prefix=f"{target}-", dir=COPIES))
    try:
        with build.reading():
            conflicts.require_readable()
            for path in (params_path(target), graph.lock(target), Path("overrides.txt")):
                if (workspace / path).exists():
                    canonical.write_bytes(place / path, (workspace / path).read_bytes())
            for folder in (Path("data/processed"), Path("models"), Path("reports")):
                if (workspace / folder / target).exists():
                    shutil.copytree(workspace / folder / target, place / folder / target, copy_function=_link)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
    return place


def _link(source: str, link: str) -> None:
    try:
        os.link(source, link)
    except OSError:  # a file system without hard links, or another one
        shutil.copy2(source, link)


class Tracked:
    """A run of W&B. It is opened with the first row."""

    def __init__(self, target: str, workspace: Path, identity: str, warn: Warn) -> None:
        self.target, self.workspace, self.identity, self.warn = target, workspace, identity, warn
        self.run: Any = None
        self.logged = 0

    def rows(self, found: list[live.Row]) -> None:
        """Log the rows of training that are not logged yet."""
        if self.run is None:
            config = yaml.safe_load((self.workspace / params_path(self.target)).read_text(encoding="utf-8"))
            self.run = _open(self.target, self.workspace, self.identity, config, self.warn)
            self.run.define_metric("*", step_metric="epoch")
            self.logged = max(0, self.run.starting_step - 1)  # of an earlier part of this run
        for row in found:
            if row["epoch"] > self.logged:
                self.run.log(row, step=int(row["epoch"]), commit=True)
                self.logged = int(row["epoch"])

    def finish(self) -> None:
        """Log what a finished build has besides curves, unless it was logged, end the run, and note it."""
        reports = self.workspace / "reports" / self.target
        is_evaluated = "evaluate" in _current(self.target, self.workspace)
        note, content = _logged(self.target, self.workspace)
        if not is_evaluated or _is_new(note, content):
            if is_evaluated:
                processed = self.workspace / "data/processed" / self.target
                _log_evaluation(self.run, reports)
                _log_samples(self.run, reports, processed, str(self.run.config["model"]["kind"]))
            _log_model(self.run, self.target, self.workspace)
        self.run.finish()
        if is_evaluated:
            canonical.write_text(note, content)

    def abandon(self) -> None:
        """End the run of a build that failed. The next build of the same inputs continues it."""
        if self.run is not None:
            self.run.finish(exit_code=1)


def _open(target: str, workspace: Path, identity: str, config: dict[str, Any], warn: Warn) -> Any:
    """Start or continue a run where W&B's settings say; offline if that fails, with a warning."""
    import wandb

    settings = wandb.setup().settings
    config = {**config, "data_sha256": _data_digest(target, workspace)}
    options: dict[str, Any] = {
        "project": settings.project or "bitbloom",
        "name": settings.run_name or name(target, workspace),
        "group": settings.run_group or target,
        "job_type": settings.run_job_type or "train",
        "id": identity,
        "resume": "allow",
        "config": config,
        "settings": wandb.Settings(init_timeout=INIT_SECONDS),
    }
    mode, reason = _mode(settings.mode)
    try:
        run = wandb.init(mode=mode, **options)
    except Exception as error:  # the client raises errors of many types
        if mode != "online":
            raise
        reason, run = _first_line(error), wandb.init(mode="offline", **options)
    warn(f"W&B: {reason}; logged offline: `wandb sync {Path(run.dir).parent}` sends it" if reason else "")
    return run


def _mode(wanted: str) -> tuple[Literal["online", "offline", "disabled"], str]:
    """The mode of a run, and why it is offline although W&B's settings want it online, if a key is wrong or nothing responds."""
    import wandb

    if wanted == "disabled":
        return "disabled", ""
    if wanted not in ("online", "shared"):
        return "offline", ""
    try:
        if wandb.login(prompt=False, verify=True):
            return "online", ""
    except Exception as error:  # also of a server that does not respond
        return "offline", _first_line(error)
    asked = os.environ.get("WANDB_MODE") == "online"
    return "offline", "WANDB_MODE is online, and there is no key: `wandb login`" if asked else ""


def name(target: str, workspace: Path) -> str:
    """The name of a run: the target, and how it differs from other runs of it: its overrides, else its commit."""
    overrides = workspace / "overrides.txt"
    if overrides.exists():
        differs = overrides.read_text(encoding="utf-8").split("\n")
    else:
        differs = [(git.clean_commit() or "uncommitted changes")[:19]]
    return " ".join([target, *filter(None, differs)])[:LONGEST_NAME]


def _data_digest(target: str, workspace: Path) -> str:
    return digest(workspace / "data/processed" / target)


def _logged(target: str, workspace: Path) -> tuple[Path, str]:
    """The path and the content of the note that a run was logged. An equal build is not logged again."""
    metrics = [path for path in [workspace / "reports" / target / "metrics.json"] if path.exists()]
    files = [*metrics, *_model_files(target, workspace)]
    content = canonical.json_text({path.relative_to(workspace).as_posix(): file_digest(path) for path in files})
    return STATE / "tracked" / _recorded_id(target, workspace), hashlib.sha256(content.encode()).hexdigest()


def run_id(target: str, workspace: Path) -> str:
    """16 hexadecimal digits: a hash of the dependencies and parameters of the target's training.

    They are those in dvc.lock. While a training runs, `expected_id` has the same before DVC writes them.
    """
    with build.reading():
        conflicts.require_readable()
        return _recorded_id(target, workspace)


def _recorded_id(target: str, workspace: Path) -> str:
    recorded = _stages(workspace / graph.lock(target))
    if "train" not in recorded:
        raise BitBloomError(f"target '{target}' is not trained: make train TARGET={target}")
    return _identity(recorded["train"])


def expected_id(target: str, workspace: Path) -> str | None:
    """The `run_id` of a running training, from its inputs; None if they include a folder that no stage makes."""
    stage = _stages(workspace / graph.pipeline(target) / "dvc.yaml")["train"]
    made: dict[str, dict[str, Any]] = {}
    for recorded in _stages(workspace / graph.lock(target)).values():
        made |= {out["path"]: out for out in recorded.get("outs", ())}
    dependencies = [made.get(path) or _dependency(path, workspace) for path in stage["deps"]]
    if None in dependencies:
        return None
    parameters: dict[str, dict[str, Any]] = {}
    for item in stage.get("params", ()):
        for file, keys in item.items():
            tree = yaml.safe_load((workspace / file).read_text(encoding="utf-8"))
            parameters[file] = {key: tree[key] for key in keys}
    return _identity({"cmd": stage["cmd"], "deps": dependencies, "params": parameters})


def _current(target: str, workspace: Path) -> set[str]:
    """The stages that ran with the recorded outputs of the others. `make train` leaves the reports of an earlier model."""
    recorded = _stages(workspace / graph.lock(target))
    made = {out["path"]: out.get("md5") for entry in recorded.values() for out in entry.get("outs", ())}
    return {
        stage
        for stage, entry in recorded.items()
        if all(made.get(dep["path"], dep.get("md5")) == dep.get("md5") for dep in entry.get("deps", ()))
    }


def _identity(entry: dict[str, Any]) -> str:
    inputs = {key: entry.get(key) for key in ("cmd", "deps", "params")}
    return hashlib.sha256(canonical.json_text(inputs).encode()).hexdigest()[:16]


def _dependency(path: str, workspace: Path) -> dict[str, Any] | None:
    """DVC's record of a file."""
    file = workspace / path
    if not file.is_file():
        return None
    content = file.read_bytes()
    found = {"path": path, "hash": "md5", "md5": hashlib.md5(content, usedforsecurity=False).hexdigest(), "size": len(content)}
    return found | ({"isexec": True} if os.access(file, os.X_OK) and file.stat().st_mode & 0o111 else {})


def _stages(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]) if path.exists() else {}


def _log_evaluation(run: Any, reports: Path) -> None:
    import wandb

    metrics = canonical.read_json(reports / "metrics.json")
    run.summary.update({f"test/{name}": value for name, value in metrics.items() if isinstance(value, int | float)})
    confusion = reports / "tables" / "confusion.json"
    if confusion.exists():
        rows: list[Any] = [[row["actual"], row["predicted"]] for row in canonical.read_json(confusion)]
        columns: list[str | int] = ["actual", "predicted"]
        run.log({"confusion": wandb.Table(columns, rows)})
    for picture in sorted((reports / "figures").glob("*.png")):
        run.log({f"figures/{picture.stem}": wandb.Image(str(picture))})


def _log_samples(run: Any, reports: Path, processed: Path, kind: str) -> None:
    """The first test samples with their labels and predictions, or their generated sentences; with photos if there are any."""
    import wandb

    from bitbloom.data.dataset import Dataset
    from bitbloom.evaluation import kinds

    found, tables = kinds.results(kind), reports / "tables"
    whole = tables / "predictions.json"  # a confusion table of many classes does not name all of them
    predictions = canonical.read_json(whole if whole.exists() else tables / f"{found.table}.json")[:SAMPLES]
    dataset = Dataset.open(processed)
    positions = dataset.split("test")[:SAMPLES]
    names = list(dataset.samples["id"].iloc[positions])
    shown: list[Any] = names
    if "images" in dataset.arrays:
        shown = [
            wandb.Image(image.transpose(1, 2, 0), caption=name)
            for image, name in zip(dataset.take(positions)["images"], names, strict=True)
        ]
    rows: list[Any] = [[sample, *(row[key] for key in found.columns)] for sample, row in zip(shown, predictions, strict=True)]
    run.log({"sample predictions": wandb.Table(["sample", *found.columns], rows)})


def _log_model(run: Any, target: str, workspace: Path) -> None:
    """Log the data as an input of the run, and the model with its exported graphs and its card as an output.

    W&B's client can use an artifact only online. Offline, `data_sha256` in the config names the data.
    """
    import wandb

    if not run.offline:
        data = wandb.Artifact(f"{target}-data", type="dataset", metadata={"sha256": _data_digest(target, workspace)})
        data.add_file(str(workspace / "data/processed" / target / "samples.parquet"))
        run.use_artifact(data)
    weights = workspace / "models" / target / "model.safetensors"
    model = wandb.Artifact(f"{target}-model", type="model", metadata={"sha256": digest(weights)})
    for file in _model_files(target, workspace):
        model.add_file(str(file))
    run.log_artifact(model)


def _model_files(target: str, workspace: Path) -> list[Path]:
    """The weights, what belongs to them, and the exported graphs and the model card that were made of them."""
    folder, current = workspace / "models" / target, _current(target, workspace)
    files = [folder / name for name in ("model.safetensors", "config.json", "ledger.jsonl")]
    if "export" in current:
        files += sorted(folder.glob("*.onnx"))
    if "evaluate" in current:
        files.append(workspace / "reports" / target / "model_card.md")
    return [file for file in files if file.exists()]


def _warn(text: str) -> None:
    if text:
        print(f"warning: {text}", file=sys.stderr)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


def follow(target: str, workspace: Path, warn: Warn, pipe: int = 0) -> None:
    """Log a build as it runs, until the other end of a pipe is closed. Then log the copy whose path was written to it."""
    signal.alarm(LAST_SECONDS)  # ends a client that waits for a server forever
    identity = expected_id(target, workspace) if live.rows(target, workspace) else None
    tracked = Tracked(target, workspace, identity, warn) if identity else None
    while not select.select([pipe], [], [], live.INTERVAL)[0]:
        signal.alarm(LAST_SECONDS)
        if tracked:
            tracked.rows(live.rows(target, workspace))
    with open(pipe, "rb", closefd=False) as stream:
        place = os.fsdecode(stream.read())
    signal.alarm(LAST_SECONDS)
    if place:
        _log_copy(target, Path(place), tracked, warn)
    elif tracked:
        tracked.abandon()


def main() -> None:
    """Entry point of the process: follow a build, and leave a warning for it when that fails."""
    checkout.require()
    target, workspace, status = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])

    def warn(text: str) -> None:
        canonical.write_text(status, text)

    try:
        follow(target, workspace, warn)
    except Exception as error:
        warn(f"W&B: {_first_line(error)}: see {LOG}")
        raise


if __name__ == "__main__":
    main()
