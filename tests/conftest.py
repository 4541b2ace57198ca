"""Fixtures that several folders of tests share, and one thread a process: more of them, on busy cores, mostly wait."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from bitbloom.core import checkout

SOURCE = Path(__file__).resolve().parents[1] / "src"
if not (SOURCE / "bitbloom").samefile(checkout.PACKAGE):
    pytest.exit(f"these tests would be of {checkout.PACKAGE}, which is another checkout: set PYTHONPATH={SOURCE}", 4)

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # before anything imports NumPy or PyTorch

settings.register_profile("any machine", deadline=None)  # no test asserts a time
settings.load_profile("any machine")

pytest_plugins = tuple(
    f"support.{name}" for name in ("skips", "checkouts", "standin", "text_standin", "caption_standin", "browser")
)

LONGEST = ("test_other_cpus.py", "test_kills.py", "test_container.py", "test_verify.py", "test_text_behaviour.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes come first: as the last ones they would leave all cores but one idle."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))
