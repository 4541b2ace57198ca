"""Commands for a service after its launch: drift, robustness, the monitoring stack, retraining, promotion and rollback."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bitbloom.cli.options import MONITOR, TargetName, examples
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.monitoring.stack.job import Job

app = typer.Typer()
stack = typer.Typer(no_args_is_help=True, help="Prometheus, Alertmanager and Grafana beside a service; a receiver of alerts.")

NOT_BETTER = 3
"""Exit code of a retraining whose model is not better."""
HOUR = 3600.0

Every = Annotated[str | None, typer.Option(help="Interval of scrapes and rules: 15s by default.")]
Hold = Annotated[str | None, typer.Option(help="How long a condition lasts before its alert fires; by default as in the rules.")]
Run = Annotated[str, typer.Option(help="A command that alerts with the label action=retrain start, one at a time.")]
Pause = Annotated[float, typer.Option(help="Seconds between two starts of that command.", min=0)]


@stack.command(epilog=examples("bitbloom monitor up", "bitbloom monitor up --every 1s --hold 1s"))
def up(
    service: Annotated[str, typer.Option(help="Host and port of the service.")] = "127.0.0.1:3000",
    every: Every = None,
    hold: Hold = None,
    prometheus: Annotated[int, typer.Option(help="Port of Prometheus.")] = 9090,
    alertmanager: Annotated[int, typer.Option(help="Port of Alertmanager.")] = 9093,
    grafana: Annotated[int, typer.Option(help="Port of Grafana.")] = 3001,
    webhook: Annotated[int, typer.Option(help="Port that receives alerts.")] = 9095,
    run: Run = "",
    pause: Pause = HOUR,
) -> None:
    """Start the monitoring of a running service on loopback, print addresses and alerts, and stop all of it on Ctrl-C."""
    from bitbloom.monitoring.stack import receiver
    from bitbloom.monitoring.stack import run as stacks
    from bitbloom.monitoring.stack.configuration import Pace
    from bitbloom.serving import settings

    ports = {"prometheus": prometheus, "alertmanager": alertmanager, "grafana": grafana}
    token = settings.token(receiver.TOKEN_VARIABLE)
    with ExitStack() as opened:
        job = _job(run, pause)
        address = opened.enter_context(receiver.listening("127.0.0.1", webhook, _say, job))
        wanted = stacks.Wanted(service, address, Pace(every, hold), ports, token=token)
        running = opened.enter_context(stacks.running(wanted, _say))
        if job:
            opened.enter_context(job.waiting())
        for name, url in {"service": f"http://{service}/metrics", **running.addresses}.items():
            _say(f"{name:<13} {url}")
        _say("alerts are printed here; Ctrl-C stops all")
        _until_interrupted(running.ended)


@stack.command(epilog=examples("bitbloom monitor receive --run 'make retrain FROM=gs://bucket/petals'"))
def receive(
    host: Annotated[str, typer.Option(help="An address of this machine.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port that receives alerts.")] = 9095,
    run: Run = "",
    pause: Pause = HOUR,
) -> None:
    """Receive the notifications of an Alertmanager: print alerts, and start a retraining. BITBLOOM_WEBHOOK_TOKEN protects it."""
    from bitbloom.monitoring.stack import receiver

    with ExitStack() as opened:
        job = _job(run, pause)
        _say(f"http://{opened.enter_context(receiver.listening(host, port, _say, job))}/alerts")
        if job:
            opened.enter_context(job.waiting())
        _until_interrupted(lambda: None)


@app.command(
    rich_help_panel=MONITOR,
    epilog=examples("bitbloom drift petals --data photos", "bitbloom drift petals --log gs://bucket/petals"),
)
def drift(
    target: TargetName,
    log: Annotated[str, typer.Option(help="Folder or bucket of a prediction log (BITBLOOM_LOG of the service).")] = "",
    data: Annotated[Path | None, typer.Option(help="A folder of photos, or a file of texts.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the page and the JSON; by default reports/TARGET/drift.")] = None,
    rows: Annotated[int, typer.Option(help="Latest rows of the log.", min=1)] = 5000,
) -> None:
    """Compare inputs with the training data. Exit code 0: no drift, 3: drift, 1: error."""
    from bitbloom.monitoring.drift import command

    if bool(log) == bool(data):
        raise BitBloomError("name what to compare: either --log FOLDER or --data FOLDER")
    found = command.run(target, log, data, out or Path("reports") / target / "drift", rows)
    for line in found.lines:
        print(line)
    if found.unread:
        print(f"{found.unread:,} inputs have no prediction and are left out", file=sys.stderr)
    print(f"{found.html}\n{found.json}")
    if found.comparison.drifted:
        sys.exit(command.DRIFTED)


@app.command(
    rich_help_panel=MONITOR,
    epilog=examples(
        "bitbloom robustness petals",
        "bitbloom robustness petals --beside model=cnn --beside petals-photos",
        "bitbloom robustness petals --unknown photos/ --samples 100",
    ),
)
def robustness(
    target: TargetName = "petals",
    beside: Annotated[
        list[str] | None,
        typer.Option(help="Another target, or overrides of this one such as model=cnn; the first is the mCE's reference."),
    ] = None,
    unknown: Annotated[
        Path | None,
        typer.Option(help="Photos (a folder) or texts (a file of lines) of no known class; by default synthetic ones."),
    ] = None,
    behaviour: Annotated[bool, typer.Option(help="Run the tests of behaviour.")] = True,
    samples: Annotated[int, typer.Option(help="The largest number of test samples; 0 for all.", min=0)] = 500,
) -> None:
    """Measure a model on damaged, changed and unknown inputs; write reports/TARGET/robustness.html and .json."""
    from bitbloom.monitoring.robustness import command
    from bitbloom.numerics import pins
    from bitbloom.pipeline import composition

    pins.require(composition.compose(target).numerics.profile)
    report = command.run(command.Request(target, beside or (), unknown, behaviour, samples))
    print(command.summary(report))


@app.command(rich_help_panel=MONITOR, epilog=examples("bitbloom retrain petals --from gs://bucket/petals"))
def retrain(
    target: TargetName,
    log: Annotated[
        str, typer.Option("--from", help="The prediction log: a folder, gs://… or s3://…; `log`: that of BITBLOOM_LOG.")
    ],
    p_value: Annotated[float, typer.Option(help="Largest p-value of a better candidate on the new test samples.")] = 0.05,
    tolerance: Annotated[float, typer.Option(help="Largest loss of accuracy on the old test samples.")] = 0.02,
    promote: Annotated[bool, typer.Option(help="Promote a better candidate.")] = True,
) -> None:
    """Learn from feedback, compare with the serving model, and promote what is better. Exit code 3: it is not better."""
    from bitbloom.monitoring.retrain import run
    from bitbloom.monitoring.retrain.compare import Rule

    outcome = run.retrain(target, log, Rule(p_value, tolerance), promote)
    if not outcome.comparison.better:
        raise typer.Exit(NOT_BETTER)
    _say(f"promoted {outcome.entry.serving.tag}" if outcome.entry else "better, and not promoted, as you said")


@app.command("promote", rich_help_panel=MONITOR, epilog=examples("bitbloom promote petals dist/petals-log.bento"))
def promote_archive(
    target: TargetName, file: Annotated[Path, typer.Argument(help="The archive of a Bento: dist/petals-log.bento")]
) -> None:
    """Make a Bento the serving one of a target, and install it; `promotions/TARGET/record.json` records both digests."""
    from bitbloom.monitoring.retrain import promotion

    _say(promotion.promote(target, file).serving.tag)


@app.command(rich_help_panel=MONITOR, epilog=examples("bitbloom rollback petals", "bitbloom rollback petals 0f3a5c7e9b1d2468"))
def rollback(
    target: TargetName,
    digest: Annotated[str, typer.Argument(help="Of a promoted Bento, or its first digits; the previous one.")] = "",
) -> None:
    """Make an earlier Bento the serving one again, and install it."""
    from bitbloom.monitoring.retrain import promotion

    _say(promotion.rollback(target, digest).serving.tag)


def _job(run: str, pause: float) -> Job | None:
    """The job of a command line; None without one."""
    from bitbloom.monitoring.stack.job import Job
    from bitbloom.monitoring.stack.run import STATE

    return Job(shlex.split(run), STATE, pause, _say) if run else None


def _say(line: str) -> None:
    print(line, flush=True)


def _until_interrupted(ended: Callable[[], str | None]) -> None:
    """Wait for Ctrl-C. Raises BitBloomError when a program ends by itself."""
    try:
        while not (name := ended()):
            time.sleep(0.5)
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return
    raise BitBloomError(f"{name} ended by itself: see .bitbloom/monitoring/{name}.log")
