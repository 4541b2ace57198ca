"""Commands that compare, explain and verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bitbloom.cli.options import COMPARE, TargetName, examples, load_target

app = typer.Typer()


@app.command("data-docs", rich_help_panel=COMPARE)
def data_docs(target: TargetName) -> None:
    """Render Great Expectations' Data Docs of a target's manifest."""
    from bitbloom.validation import data_docs as docs

    print(docs.render(load_target(target)))


@app.command("data-diff", rich_help_panel=COMPARE, epilog=examples("bitbloom data-diff petals HEAD~1"))
def data_diff(
    target: TargetName,
    revision: Annotated[str, typer.Argument(help="A git revision whose dvc.lock names data of the target.")],
    out: Annotated[Path | None, typer.Option(help="Folder of the page and the summary; by default reports/TARGET.")] = None,
) -> None:
    """Compare the data of a git revision with the working tree's; exit code 3 if samples moved between splits."""
    from bitbloom.ci.data_diff import summary
    from bitbloom.core import canonical
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import composition
    from bitbloom.versions import command, words

    composition.compose(target)
    folder = out or Path("reports") / target
    with builder.reading():
        done = command.run(target, revision)
        command.write_page(done, folder / command.PAGE)
    canonical.write_text(folder / command.SUMMARY, summary(done))
    print(f"{words.verdict(done.found)}\n{folder / command.PAGE}\n{folder / command.SUMMARY}")
    if moved := words.moved(done.found):
        print(f"error: {moved}", file=sys.stderr)
        raise typer.Exit(command.MOVED)


@app.command("accept-data", rich_help_panel=COMPARE)
def accept_data(target: TargetName) -> None:
    """Write the profile of the working tree's data, expectations/profiles/TARGET.json, for review in git."""
    from bitbloom.pipeline import build as builder
    from bitbloom.pipeline import composition
    from bitbloom.versions import profile

    composition.compose(target)
    with builder.reading():
        done = profile.accept(target)
    print(f"{done.path}: {'written' if done.changed else 'unchanged'}, {done.content['rows']:,} rows")
    if done.missing:
        print(f"without embedding centroids: {done.missing}")


@app.command(rich_help_panel=COMPARE, epilog=examples("bitbloom experiments petals --commits 3"))
def experiments(
    target: TargetName = "petals", commits: Annotated[int, typer.Option(help="The number of last commits to show.", min=1)] = 1
) -> None:
    """Show a target's metrics in the workspace, the last commits and their experiments, with the parameters that differ."""
    from bitbloom.experiments import table
    from bitbloom.pipeline import composition

    composition.compose(target)
    table.show(target, commits)


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
        warning = compare.record_step(load_target(run.name), found.step, mine, ours)
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


def _with_pins(target: str) -> None:
    """Restart the process with the pins of a target's profile, unless they are set."""
    from bitbloom.numerics import pins
    from bitbloom.pipeline import composition as configuration

    pins.require(configuration.compose(target).numerics.profile)
