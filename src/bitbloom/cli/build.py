"""Commands that build targets, and import the data for them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from bitbloom import stages
from bitbloom.cli.options import BUILD, Overrides, TargetName, Until, examples
from bitbloom.core import git

app = typer.Typer()


@app.command(
    rich_help_panel=BUILD, epilog=examples("bitbloom build petals", "bitbloom build petals-folder --until train train.epochs=3")
)
def build(
    target: TargetName,
    overrides: Overrides = None,
    until: Until = "all",
    where: Annotated[Path | None, typer.Option(help="A file for the path of the workspace, written at the end.")] = None,
) -> None:
    """Build a target with DVC, then install its Bento, record its digests and the run, track it, and print a summary."""
    from bitbloom.core import canonical
    from bitbloom.experiments.runs import store as runs
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline.tracking.follower import following

    builder.check(target, until, overrides or ())  # before it waits
    # Another build would shorten the records that the end of this one reads. Tracking may wait without the lock.
    with following(target, builder.workspace(target, overrides or ())) as follower, builder.build_lock():
        begun = time.monotonic()
        workspace = builder.build(target, until, overrides or (), follower.start)
        _finish(target, workspace, until, recorded=not overrides)
        runs.observe(target, workspace, time.monotonic() - begun)
        follower.built()
    if where:
        canonical.write_text(where, workspace.as_posix())


@app.command("build-all", rich_help_panel=BUILD)
def build_all(
    targets: Annotated[
        list[str] | None, typer.Argument(help="Names of targets; by default all embedded ones except the tiny ones.")
    ] = None,
) -> None:
    """Build several targets, trainings in turn and other stages in parallel, and finish each as `build` does."""
    from bitbloom.experiments.runs import store as runs
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import composition as configuration
    from bitbloom.pipeline.tracking.follower import following

    targets = targets or [name for name in configuration.embedded() if not name.endswith("-tiny")]
    for target in targets:
        builder.check(target)
    with contextlib.ExitStack() as stack:
        followers = {target: stack.enter_context(following(target, Path())) for target in targets}
        stack.enter_context(builder.build_lock())
        try:
            builder.build_all(targets, lambda target: followers[target].start())
        except builder.Stopped as error:
            for target in targets:
                if target not in error.failed:
                    runs.observe(target, Path(), None)
                    followers[target].built()
            raise
        for target in targets:
            _finish(target, Path(), "all", recorded=True)
            runs.observe(target, Path(), None)
            followers[target].built()


def _finish(target: str, workspace: Path, until: str, recorded: bool) -> None:
    from bitbloom.pipeline import claim, summary
    from bitbloom.serving import store

    if until in ("all", "package"):
        store.install(workspace / "dist" / f"{target}.bento", git.clean_commit())
    if until == "all" and recorded:
        claim.write(target)
    summary.show(target, workspace, until)


def _stage_command(stage: str) -> Callable[[str, list[str] | None], None]:
    def command(target: TargetName, overrides: Overrides = None) -> None:
        build(target, overrides, until=stage)

    command.__doc__ = f"Build a target up to `{stage}`."
    return command


for _stage in stages.STAGES:
    app.command(_stage, rich_help_panel=BUILD)(_stage_command(_stage))


@app.command(
    "import",
    rich_help_panel=BUILD,
    epilog=examples("bitbloom import petals-folder path/to/photos", "bitbloom import tweets-kaggle kaggle:nlp-getting-started"),
)
def import_(
    target: TargetName,
    source: Annotated[str, typer.Argument(help="A folder, file, tar or zip, or kaggle:COMPETITION.")],
    overrides: Overrides = None,
) -> None:
    """Import your own data by content to data/external/<target>, and add it to DVC."""
    from bitbloom.pipeline import external

    external.take(target, source, overrides or ())
