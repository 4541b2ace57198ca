"""Training speed of `petals` with 1, 2 and 4 workers: those of a build, and those of torchrun. Needs `make prepare`.

    python benchmarks/workers.py [--runs 3] [--steps 12]

A step is read, augment, forward, backward, exchange, update and ledger (benchmarks/numerics.py). The cases take turns. Efficiency
is the speed divided by that of one worker of the same kind, and by the number of cores that the workers can use. torchrun's
workers exchange sums over the loopback interface: on several machines, the network takes its place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bitbloom.config.target import Target
from bitbloom.core import canonical, checkout, cpu
from bitbloom.numerics import pins
from bitbloom.training import workers
from numerics import TARGET, measure

COUNTS = (1, 2, 4)
KINDS = ("build", "torchrun")


def case(kind: str, count: int, steps: int) -> float:
    """Images/s of a training with this number of workers."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        script = [__file__, "--result", str(result), "--steps", str(steps)]
        torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
        environment = os.environ | pins.environment("portable") | {"WORKERS": str(count), "PROFILE": "portable"}
        done = subprocess.run(
            [sys.executable, *(torchrun if kind == "torchrun" else []), *script], env=environment, capture_output=True, text=True
        )
        if done.returncode:
            sys.exit(f"{kind}, {count} workers:\n{done.stderr[-3000:]}")
        found: float = canonical.read_json(result)["images_a_second"]
        return found


def main() -> None:
    """Measure all cases in turns, and print their table; as a child process, one of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.result:
        target = Target.load(TARGET)
        workers.launch(measure, target.numerics.micro_batches, target, options.steps, options.result)
        return
    cases = [(kind, count) for kind in KINDS for count in COUNTS]
    found: dict[tuple[str, int], list[float]] = {one: [] for one in cases}
    for _ in range(options.runs):
        for kind, count in cases:
            found[kind, count].append(case(kind, count, options.steps))
            print(f"{kind}, {count}: {found[kind, count][-1]:.0f} images/s", file=sys.stderr, flush=True)
    table = Table("workers of", "number", "images/s", "from to", "efficiency", title=f"training {TARGET}, {cpu.cores()} cores")
    for (kind, count), rates in found.items():
        used = min(count, cpu.cores())
        efficiency = statistics.median(rate / one / used for rate, one in zip(rates, found[kind, 1], strict=True))
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        table.add_row(kind, str(count), f"{statistics.median(rates):.0f}", spread, f"{efficiency:.2f}")
    Console(width=None if sys.stdout.isatty() else 110).print(table)


if __name__ == "__main__":
    checkout.require()
    main()
