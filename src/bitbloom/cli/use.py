"""Commands that use a finished model."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bitbloom.cli.options import (
    USE,
    Backend,
    BaseImage,
    Certificates,
    ImageName,
    Index,
    Overrides,
    TargetName,
    examples,
    load_target,
)
from bitbloom.core import git
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.config.sections.service import Service
    from bitbloom.serving.files import OpenModel

app = typer.Typer()


@app.command(
    rich_help_panel=USE,
    epilog=examples(
        "bitbloom predict petals photo.jpg",
        "bitbloom predict tweets rows.csv",
        "bitbloom predict petals photos/ --out predictions",
        "bitbloom predict petals gs://bucket/photos --out predictions --format jsonl",
    ),
)
def predict(
    target: TargetName,
    files: Annotated[
        list[str],
        typer.Argument(
            help="Photos; for texts CSV files, files of lines, or - for standard input. With --out one folder, bucket or table."
        ),
    ],
    workspace: Annotated[Path, typer.Option(help="The workspace of the build, from the summary of a variant.")] = Path(),
    model: Annotated[Path | None, typer.Option(help="Another exported graph.")] = None,
    variant: Annotated[str | None, typer.Option(help="A variant that `optimise` made: torch-bf16, pruned-25, …")] = None,
    out: Annotated[Path | None, typer.Option(help="A folder for files of predictions, instead of printing them.")] = None,
    format: Annotated[str, typer.Option(help="With --out: parquet or jsonl.")] = "parquet",
    column: Annotated[str, typer.Option(help="With --out: a table's column; by default `path` or `text`.")] = "",
    part_size: Annotated[int, typer.Option(help="With --out: inputs in each file.", min=1)] = 1000,
    engine: Annotated[str, typer.Option(help="With --out: local (threads) or ray (processes of Ray Data).")] = "local",
) -> None:
    """Print one JSON object for each photo or row of text, in order; exit code 1 when one of them has no prediction.

    With --out, write them to numbered files; a run that was killed continues.
    """
    from bitbloom.pipeline import composition as configuration
    from bitbloom.serving.files import open_model, print_predictions

    if variant and (model or out or workspace != Path()):
        raise BitBloomError("--variant selects the model in this folder, and prints: omit --model, --workspace and --out")
    if not out and (format, column, part_size, engine) != ("parquet", "", 1000, "local"):
        raise BitBloomError("--format, --column, --part-size and --engine need --out FOLDER")
    known = configuration.targets()
    if known and target not in known and not (workspace / "models" / target).exists():
        configuration.compose(target)  # raises an error with the known targets
    limits = _limits(target, workspace)
    model = model or workspace / "models" / target
    if out:
        sys.exit(_write_predictions(model, files, out, limits, format=format, column=column, part_size=part_size, engine=engine))
    opened = _open_variant(target, variant, limits) if variant else open_model(model, limits)
    sys.exit(print_predictions(opened.predictions(map(Path, files), limits), sys.stdout))


def _open_variant(target: str, variant: str, limits: Service) -> OpenModel:
    from bitbloom.core.digests import file_digest
    from bitbloom.optimise import variants
    from bitbloom.serving.files import classifier

    session, file = variants.session(target, variant)
    return classifier(session, file_digest(file), file, limits)


def _write_predictions(model: Path, sources: list[str], out: Path, limits: Service, **options: Any) -> int:
    """Write the predictions for one source, and print their number. Returns 1 when one of them is an error."""
    from bitbloom.experiments.batch.run import Request, run

    if len(sources) > 1:
        raise BitBloomError(f"--out takes one folder, bucket or table, and {len(sources)} are given")
    found = run(Request(model, sources[0], out, limits, **options))
    print(f"{out}: {found.predictions:,} predictions in {found.parts:,} files, {found.errors:,} of them an error")
    return 1 if found.errors else 0


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
    given: Annotated[
        Path | None, typer.Argument(help="Samples without labels, a CSV or a folder of TFRecords; by default those imported.")
    ] = None,
) -> None:
    """Write a competition's submission CSV with the exported model: id and class of every sample."""
    from bitbloom.pipeline import submission as competition

    print(competition.write(target, given))


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
        file = packing.pack(load_target(target), variant)
        print(f"{file.resolve()}\n{store.install(file)}")


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


def _limits(target: str, workspace: Path) -> Service:
    """The limits of a target's service, or the defaults where only the model is present."""
    from bitbloom.config.sections.service import Service
    from bitbloom.config.target import load, params_path

    file = workspace / params_path(target)
    limits: Service = load(file, ["service"])["service"] if file.exists() else Service()
    return limits
