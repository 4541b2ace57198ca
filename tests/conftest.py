"""Fixtures that several folders of tests share, and one thread a process: more of them, on busy cores, mostly wait."""

import os

from hypothesis import settings

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # before anything imports NumPy or PyTorch

settings.register_profile("any machine", deadline=None)  # no test asserts a time
settings.load_profile("any machine")

pytest_plugins = ("checkouts", "standin", "text_standin", "caption_standin", "browser")
