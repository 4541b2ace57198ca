"""The lines of DVC in the output of a build, in the words of this project: which stage of how many, and the elapsed time.

    stage 4 of 7, 0:21: train: fit the model on the train split
    stage 5 of 7, 4:34: evaluate: unchanged

The lines are plain text, on a terminal and in a log. Lines of stages pass through.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from functools import cached_property

from bitbloom.pipeline import graph

STAGE = re.compile(r"(?:Running stage|Stage) '[^']*:(?P<stage>\w+)'(?P<state>.*)")
STATES = {" didn't change, skipping": "unchanged", " is cached - skipping run, checking out outputs": "from the cache"}
"""DVC's words for a stage that does not run → ours."""
CHATTER = re.compile(
    r"\s*$|> python -m bitbloom\.|(Updating|Generating) lock file |Use `dvc push` |Data and pipelines are up to date"
    r"|To track the changes with git|\s+git add |To enable auto staging|\s+dvc config core\.autostage"
)
"""Beginnings of DVC's lines that a build does not show: advice for those who call DVC themselves."""


class Narrator:
    """Numbers the stages of a build of one target.

    Args:
        plan: returns the names of the stages of the build, in order; called at the first stage.
        clock: the time in seconds.
    """

    def __init__(self, plan: Callable[[], Sequence[str]], clock: Callable[[], float] = time.monotonic) -> None:
        self.plan, self.clock, self.begun = plan, clock, clock()

    @cached_property
    def stages(self) -> Sequence[str]:
        """The names of the stages of the build, in order."""
        return self.plan()

    def line(self, text: str) -> str | None:
        """The line to print for a line of DVC or of a stage; None for one that is not shown."""
        if found := STAGE.fullmatch(text):
            return self.stage(found["stage"], STATES.get(found["state"], ""))
        return None if CHATTER.match(text) else text

    def stage(self, name: str, state: str) -> str:
        """The line for a stage: its number, the elapsed time, and its state, or what it does."""
        number = f"stage {self.stages.index(name) + 1} of {len(self.stages)}" if name in self.stages else "stage"
        return f"{number}, {elapsed(self.clock() - self.begun)}: {name}: {state or graph.DOES.get(name, 'runs')}"


def elapsed(seconds: float) -> str:
    """Minutes and seconds, with hours if there are any: 0:09, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
