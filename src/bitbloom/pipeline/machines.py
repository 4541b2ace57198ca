"""The workers of `torchrun`, whose number and order can change at every start.

The first worker needs the newest checkpoint, which another machine may have; and the number of workers has to be a power of two.
So the workers agree through a store before the stage begins, and those beyond a power of two wait until one is lost or the
training ends.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from torch import distributed

from bitbloom.core import canonical
from bitbloom.core.digests import folder_files
from bitbloom.core.errors import BitBloomError
from bitbloom.training.checkpoint import Checkpoints

if TYPE_CHECKING:
    from bitbloom.config.target import Target

CHUNK = 32 << 20
"""Bytes of a file in a value of the store."""
FOREVER = timedelta(days=365)
FAREWELL_SECONDS = 30.0
AGENT_STORE = "TORCHELASTIC_USE_AGENT_STORE"


def run(stage: ModuleType, target: Target) -> None:
    """Run a stage as one of the workers of `torchrun`.

    Raises:
        BitBloomError: another machine has other inputs.
    """
    meeting = Meeting(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    digest = stage.inputs_digest(target)
    meeting.compare(digest)
    meeting.share_checkpoint(Checkpoints(digest).folder)
    used = min(1 << (meeting.world.bit_length() - 1), target.numerics.micro_batches)
    if meeting.rank < used:
        os.environ["WORLD_SIZE"] = str(used)
        stage.run(target)
    else:
        print(f"worker {meeting.rank} of {meeting.world} waits: training uses a power of two", file=sys.stderr)
    meeting.end()


class Meeting:
    """What the workers of a start tell each other, in a store that the first one holds."""

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        shared = os.environ.get(AGENT_STORE) == "True"
        self.holds = rank == 0 and not shared
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.store = distributed.TCPStore(address, port, is_master=self.holds, wait_for_workers=False)  # type: ignore[attr-defined]
        os.environ[AGENT_STORE] = "True"  # PyTorch then connects to this store instead of holding one
        # A store of torchrun's own outlives a start. Machines that joined later have other counts, so they need a new store each.
        self.round = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0") if shared else ""

    def tell(self, topic: str, value: str) -> list[str]:
        """Tell all workers a value, and return the values of all, in the order of their ranks."""
        self.store.set(self._key(topic, self.rank), value)
        return [self.store.get(self._key(topic, rank)).decode() for rank in range(self.world)]

    def compare(self, digest: str) -> None:
        """Raise BitBloomError unless all workers have inputs of this digest."""
        if len(set(self.tell("inputs", digest))) > 1:
            self.leave()
            raise BitBloomError("the machines have other code, data or configuration: check out one commit, and `make prepare`")

    def share_checkpoint(self, folder: Path) -> None:
        """Give the first worker the newest checkpoint of all workers, unless it has it."""
        own = max((path.name for path in folder.glob("step-*")), default="")
        names = self.tell("checkpoint", own)
        newest = max(names)
        if names[0] == newest:
            return
        if self.rank == names.index(newest):
            self._send(folder / newest)
        elif self.rank == 0:
            self._receive(folder / newest)

    def end(self) -> None:
        """Wait for the end of the training."""
        if self.rank == 0:
            self.store.set(self._key("trained"), "")
        else:
            self.store.wait([self._key("trained")], FOREVER)
        self.leave()

    def leave(self) -> None:
        """Need the store no longer. Its holder waits for the others."""
        self.store.add(self._key("left"), 1)
        until = time.monotonic() + FAREWELL_SECONDS
        while self.holds and self.store.add(self._key("left"), 0) < self.world and time.monotonic() < until:
            time.sleep(0.05)

    def _send(self, folder: Path) -> None:
        files = folder_files(folder)
        for name, path in files.items():
            count = -(-path.stat().st_size // CHUNK)
            with path.open("rb") as stream:
                for number in range(count):
                    self.store.set(self._key("file", name, number), stream.read(CHUNK))  # type: ignore[arg-type]
            self.store.set(self._key("chunks", name), str(count))
        self.store.set(self._key("files"), "\n".join(files))

    def _receive(self, folder: Path) -> None:
        names = self.store.get(self._key("files")).decode().splitlines()
        with canonical.replacing_folder(folder) as temporary:
            for name in names:
                count = int(self.store.get(self._key("chunks", name)))
                with (temporary / name).open("wb") as stream:
                    for number in range(count):
                        stream.write(self.store.get(self._key("file", name, number)))
                        self.store.delete_key(self._key("file", name, number))

    def _key(self, *parts: object) -> str:
        return "/".join(("bitbloom", self.round, *map(str, parts)))
