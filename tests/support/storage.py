"""An emulator of Google Cloud Storage with one bucket."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from support.standin import free_port

BUCKET = "bitbloom"
SECONDS_TO_START = 30


@contextlib.contextmanager
def emulator(log: Path) -> Iterator[dict[str, str]]:
    """Run an emulator, and yield the variables that direct all clients to it."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    program = Path(sys.executable).with_name("gcp-storage-emulator")
    command = [str(program), "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory", "--default-bucket", BUCKET]
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream)
    try:
        _wait_for(f"{address}/storage/v1/b/{BUCKET}", process)
        flat = "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"  # the emulator has flat buckets only
        yield {"STORAGE_EMULATOR_HOST": address, "NO_GCE_CHECK": "true", flat: "false"}
    finally:
        process.terminate()
        process.wait()


def _wait_for(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise TimeoutError(f"the emulator does not respond at {address}") from error
            time.sleep(0.1)
