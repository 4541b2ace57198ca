"""Common fixtures and settings. Each process has one thread, because more threads on busy cores mostly wait."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from bitbloom.core import checkout

SOURCE = Path(__file__).resolve().parents[1] / "src"
if not (SOURCE / "bitbloom").samefile(checkout.PACKAGE):
    pytest.exit(f"the imported package {checkout.PACKAGE} belongs to another checkout: set PYTHONPATH={SOURCE}", 4)

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # before anything imports NumPy or PyTorch

# `make test` runs this: a make that a test starts must not take over its flags, nor print which folder it enters.
for name in [name for name in os.environ if name.startswith(("MAKE", "MFLAGS"))]:
    del os.environ[name]

# Programs inherit which signals are ignored: those of nohup, and of a script's background job.
for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)

settings.register_profile("any machine", deadline=None)  # no test asserts a time
settings.load_profile("any machine")

pytest_plugins = tuple(
    f"support.{name}" for name in ("skips", "checkouts", "standin", "text_standin", "caption_standin", "browser", "wandb_standin")
)

LONGEST = ("test_other_cpus.py", "test_kills.py", "test_container.py", "test_verify.py", "test_text_behaviour.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run files that take minutes first, so that no core is idle at the end."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
