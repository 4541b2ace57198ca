"""Fixtures that several folders of tests share, and one thread a process: more of them, on busy cores, mostly wait."""

import os

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(threads, "1")  # before anything imports NumPy or PyTorch

pytest_plugins = ("checkouts", "standin", "text_standin", "caption_standin", "browser")
