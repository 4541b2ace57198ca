"""A training that continues when a worker is lost, and with workers that are added.

    python -m bitbloom.pipeline.elastic bitbloom.stages.train petals       # how a build runs the stage
    torchrun … -m bitbloom.pipeline.elastic bitbloom.stages.train petals   # on several machines: docs/distributed.md

The stage computes the same bytes with any number of workers, and resumes from its last checkpoint. This module starts it again
with those that are left. It is not a dependency of the stage, because it changes no output.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import TYPE_CHECKING

from bitbloom import stages
from bitbloom.core import checkout
from bitbloom.core.processes import workers

if TYPE_CHECKING:
    from bitbloom.config.target import Target

LOOK_SECONDS = 0.2
"""Time between two looks at the workers."""
LOST_SECONDS = 3.0
"""After an exchange failed, how long to look for a lost worker."""


def run(stage: ModuleType, target: Target) -> None:
    """Run a stage with `torchrun`, or with workers of its own, of which any may be lost."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        from bitbloom.pipeline import machines

        machines.run(stage, target)
        return
    watch = Watch(restart)
    try:
        stage.run(target)
    except RuntimeError:  # gloo's, when the connection to a lost worker ends
        watch.look_for(LOST_SECONDS)
        raise
    finally:
        watch.end()


class Watch:
    """Looks at the child processes of this one in a thread, and calls `lost` when a signal has killed one.

    A worker can be lost while this process waits in a library for all workers to begin, where it would wait for half an hour.
    """

    def __init__(self, lost: Callable[[BaseProcess], None]) -> None:
        self.lost, self.known = lost, dict[int | None, BaseProcess]()
        self.ended, self.lock = threading.Event(), threading.Lock()
        threading.Thread(target=self._watch, daemon=True).start()

    def look(self) -> None:
        """Call `lost` if a child was killed. SIGTERM is how this process ends its own children."""
        with self.lock:
            self.known |= {child.pid: child for child in multiprocessing.active_children()}
            for child in self.known.values():
                if child.exitcode is not None and child.exitcode < 0 and child.exitcode != -signal.SIGTERM:
                    self.lost(child)

    def look_for(self, seconds: float) -> None:
        """Look repeatedly for a time."""
        for _ in range(int(seconds / LOOK_SECONDS)):
            self.look()
            self.ended.wait(LOOK_SECONDS)

    def end(self) -> None:
        """Stop looking."""
        self.ended.set()

    def _watch(self) -> None:
        while not self.ended.wait(LOOK_SECONDS):
            self.look()


def fewer(count: int) -> int:
    """Return the largest power of two below a number of workers, which the stage can use; 1 for one worker."""
    return max(1, 1 << ((count - 1).bit_length() - 1)) if count > 1 else 1


def restart(lost: BaseProcess) -> None:
    """Start this process again with fewer workers: it resumes from the last checkpoint."""
    left = fewer(workers())
    name = signal.Signals(-(lost.exitcode or 0)).name
    print(f"a worker was lost ({name}): training continues from its last checkpoint with WORKERS={left}", file=sys.stderr)
    for child in multiprocessing.active_children():
        child.kill()
        child.join()
    sys.stdout.flush()
    sys.stderr.flush()
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {"WORKERS": str(left)})


def main() -> None:
    """Entry point: the arguments are the module of a stage and a target."""
    checkout.require()
    if len(sys.argv) < 2:
        sys.exit(f"usage: {sys.argv[0]} MODULE TARGET")
    stage = importlib.import_module(sys.argv.pop(1))
    stages.main(lambda target: run(stage, target), stage.READS)


if __name__ == "__main__":
    main()
