"""Our service of `petals` without one of its parts: bentoml serve ours_without:Petals

WITHOUT in the environment names the part. The folder of an assembled service is in SERVICE.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bentoml

from bitbloom.core import cpu
from bitbloom.serving import application as applications
from bitbloom.serving import metrics, process, protection
from bitbloom.serving.image_app import ImageApplication

WITHOUT = os.environ.get("WITHOUT", "")
FOLDER = Path(os.environ["SERVICE"])


class Plain(ImageApplication):
    """With the threads of the standard library: each result returns to the event loop by itself."""

    def open(self) -> None:
        """Open the model, and make the threads."""
        super().open()
        self.pool = ThreadPoolExecutor(cpu.cores() + applications.SPARE)

    async def in_thread(self, compute: Callable[..., object], *arguments: object) -> object:
        """Compute in the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, compute, *arguments)


application = Plain(FOLDER) if WITHOUT == "grouped results" else ImageApplication(FOLDER)
if WITHOUT == "a spare thread":
    applications.SPARE = 0
if WITHOUT == "metrics of our own":
    metrics.took = metrics.predicted = metrics.admitted = lambda *_: None

os.chdir(FOLDER)  # the lock of the image is read from there


@bentoml.service(**process.options(application))
class Petals:
    """Photos → classes."""

    def __init__(self) -> None:
        application.open()
        if WITHOUT != "frequent thread switches, rare garbage collection":
            process.switch_often()


if WITHOUT == "routes before BentoML's":
    for middleware, options in protection.middleware(application.settings, application.all_limits()):
        Petals.add_asgi_middleware(middleware, **options)
    Petals.mount_asgi_app(application.routes)
elif WITHOUT == "protection":
    Petals.add_asgi_middleware(process.Routes, application=application)
else:
    process.serve(application, Petals)
