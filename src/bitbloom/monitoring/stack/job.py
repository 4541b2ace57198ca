"""The job that alerts start: one at a time, and not again before a pause has passed, while an alert still fires.

A flapping alert, several alerts of one cause and Alertmanager's repetitions start one job. The time of the last start is in a
file, so that a restart of the receiver does not start the job again.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bitbloom.core import canonical, guarded
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from bitbloom.monitoring.stack.notifications import Alert

LAST = "retrain.json"
END_SECONDS = 60


@dataclass
class Job:
    """A command that alerts start.

    Attributes:
        command: program and arguments.
        folder: of `retrain.json` and of the logs of the runs.
        pause: seconds from the start of a run to the earliest start of the next one.
        say: receives one line for each event.
        clock: the time in seconds since 1970.
    """

    command: Sequence[str]
    folder: Path
    pause: float
    say: Callable[[str], None] = print
    clock: Callable[[], float] = time.time
    _firing: dict[str, str] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _stopped: bool = False

    def notice(self, alert: Alert) -> None:
        """Note that an alert fires, or no longer does."""
        with self._changed:
            if alert.firing:
                self._firing[alert.fingerprint] = alert.name
            else:
                self._firing.pop(alert.fingerprint, None)
            self._changed.notify_all()

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Start the command whenever it is due, in a thread, while the block runs. A run then ends with the block.

        Raises:
            BitBloomError: the file with the time of the last start is damaged.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self._last()  # a damaged file is an error here, not in the thread
        thread = threading.Thread(target=self._loop, name="job")
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify_all()
            thread.join()

    def _loop(self) -> None:
        try:
            while names := self._due():
                self._run(names)
        except (OSError, BitBloomError) as error:  # without a time of the last start, the command would start again and again
            self.say(f"no command starts any more: {error}")

    def _due(self) -> list[str]:
        """Wait until an alert fires and the pause has passed; the names of the alerts, or none at the end."""
        with self._changed:
            while not self._stopped:
                rest = self._last() + self.pause - self.clock()
                if self._firing and rest <= 0:
                    return sorted(set(self._firing.values()))
                self._changed.wait(max(rest, 0.01) if self._firing else None)
            return []

    def _last(self) -> float:
        """When the last run started; long ago where none is known."""
        file = self.folder / LAST
        if not file.is_file():
            return 0.0
        try:
            return float(canonical.read_json(file)["started"])
        except (ValueError, KeyError, TypeError) as error:
            raise BitBloomError(f"{file} is damaged: remove it") from error

    def _run(self, names: list[str]) -> None:
        """Run the command to its end, or to that of `waiting`."""
        started = self.clock()
        canonical.write_json(self.folder / LAST, {"started": int(started), "alerts": names, "command": list(self.command)})
        log = self.folder / f"retrain-{int(started)}.log"
        self.say(f"{', '.join(names)}: starts {' '.join(self.command)} (log: {log})")
        code = self._to_end(log)
        self.say(f"ended with exit code {code} (log: {log})")

    def _to_end(self, log: Path) -> int | None:
        try:
            with log.open("wb") as stream, guarded.running(self.command, os.environ, stream, seconds=END_SECONDS) as process:
                while process.poll() is None and not self._stopped:
                    with self._changed:
                        self._changed.wait(0.2)
                return process.poll()
        except OSError as error:
            log.write_text(f"{self.command[0]}: {error.strerror}\n", encoding="utf-8")
            return 127
