"""An emulator of Google Cloud Storage with one bucket."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from bitbloom.core.errors import BitBloomError
from bitbloom.pipeline.remote.emulator import running

BUCKET = "bitbloom"


@contextlib.contextmanager
def emulator(log: Path) -> Iterator[dict[str, str]]:
    """Run an emulator, and yield the variables that direct all clients to it. Raises TimeoutError if it does not start."""
    with contextlib.ExitStack() as stack:
        try:
            address = stack.enter_context(running(BUCKET, log))
        except BitBloomError as error:
            raise TimeoutError(str(error)) from error
        flat = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"  # the emulator has flat buckets only
        yield {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true", flat: "false"}
