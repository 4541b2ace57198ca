"""The locked emulator of Google Cloud Storage, on loopback."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bitbloom.core.errors import BitBloomError

PROGRAM = "gcp-storage-emulator"
SECONDS_TO_START = 30.0
SECONDS_TO_STOP = 5.0


@contextlib.contextmanager
def running(bucket: str, log: Path, folder: Path | None = None) -> Iterator[str]:
    """Run an emulator with a bucket while the block runs, and yield its address.

    Args:
        bucket: created if it does not exist.
        log: a file for its output.
        folder: of the objects, which stay there; without one they are in memory.

    Raises:
        BitBloomError: the emulator is not installed, or does not respond.
    """
    program = Path(sys.executable).with_name(PROGRAM)
    if not program.exists():
        raise BitBloomError(f"{PROGRAM} is not installed: `make remote DEMO=1` and `make test` install it")
    port = _free_port()
    place = ["--data-dir", str(folder.resolve())] if folder else []
    command = [str(program), *place, "start", "--host", "127.0.0.1", "--port", str(port), "--default-bucket", bucket]
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        process = subprocess.Popen([*command, *([] if folder else ["--in-memory"])], stdout=stream, stderr=stream)
    try:
        _wait_for(f"http://127.0.0.1:{port}/storage/v1/b/{bucket}", process, log)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            urllib.request.urlopen(address, timeout=1).close()  # noqa: S310 -- http, on loopback
            return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > end:
                raise BitBloomError(f"the emulator of the bucket does not respond at {address}: see {log}") from error
            time.sleep(0.05)
