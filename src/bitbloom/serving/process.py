"""What the services set up in BentoML and in their Python process, by public settings alone.

application = process.prepared(ImageApplication(Path(__file__).parent))

@bentoml.service(**process.options(application))
class Photos:
    def __init__(self) -> None:
        process.start(application)

    @bentoml.on_deployment
    @staticmethod
    def deploy() -> None:
        process.deploy()

    @bentoml.on_shutdown
    def stop(self) -> None:
        process.stop(application)

process.serve(application, Photos)
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, TypeVar

import bentoml
from bentoml.exceptions import BentoMLException

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import logs, metric_files, process_metrics, protection, tracing, upgrades
from bitbloom.serving.application import Application, Routes
from bitbloom.serving.rejections import Rejected
from bitbloom.serving.settings import LOCK

Prepared = TypeVar("Prepared", bound=Application)
BASE_IMAGE = "python:3.11-slim-bookworm"
ENVIRONMENT = [
    {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
    {"name": "ORT_DISABLE_TELEMETRY", "value": "1"},
    {"name": "PYC_INVALIDATION_MODE", "value": "UNCHECKED_HASH"},
    {"name": "UV_NO_CACHE", "value": "1"},
]
"""Of an image: no telemetry, and the same bytes whenever uv installs."""
UNTRACED = {"excluded_urls": ".*"}
"""BentoML's `tracing` records four spans a request, a fifth of a request's time in Python, even where nothing collects them.
`tracing` of this package records spans when the standard variables name a collector."""
UNLOGGED = {"access": {"enabled": False}}
"""BentoML's `logging` writes a line per request. The metrics count requests, and a proxy in front of a service logs them."""
SWITCH_SECONDS = 0.00005
"""How long a thread waits for the interpreter before another has to give way. A thread that computes comes back to Python a dozen
times per photo; with Python's 5 ms it waits for the event loop each time, and a third of the cores is idle."""
GARBAGE = 10_000
"""Objects made before Python looks for cycles among them. Python's own 700 are made by one or two requests."""


def options(application: Application) -> dict[str, Any]:
    """Arguments of `bentoml.service` that are the same for all services: name, image, process, and what BentoML logs.

    The lock is read from the current folder: BentoML enters that of the service before it imports it.
    """
    image = bentoml.images.Image(base_image=BASE_IMAGE, distro="none", lock_python_packages=False)
    return {
        "name": application.settings.task,
        "image": image.requirements_file(LOCK),
        "resources": {"cpu": "1"},
        "workers": 1,
        "envs": ENVIRONMENT,
        "logging": UNLOGGED,
        "tracing": UNTRACED,
    }


def prepared(application: Prepared) -> Prepared:
    """The application, when a service is imported: before BentoML starts processes, and in each of them.

    Exits when the model is not the one of provenance.json.
    """
    metric_files.join()  # before BentoML and this package make their metrics
    try:
        application.check()
        tracing.is_on()
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    return application


def serve(application: Application, service: Any) -> None:
    """Put the application's routes, behind its protection, before those of a BentoML service."""
    if tracing.is_on():
        service.add_asgi_middleware(tracing.Traced)
    for middleware, chosen in protection.middleware(application.settings, application.all_limits()):
        service.add_asgi_middleware(middleware, **chosen)
    service.add_asgi_middleware(Routes, application=application)
    application.bentoml_openapi = lambda: service.openapi_spec.asdict()


def deploy() -> None:
    """Before BentoML starts the processes that serve: make a folder for their metrics alone."""
    metric_files.own()


def start(application: Application) -> None:
    """In the process that serves: open the model, and set up HTTP, the log, metrics and the interpreter."""
    application.open()
    process_metrics.start(application.provenance, application.waiting)
    if tracing.is_on():
        tracing.start(application.provenance)
    upgrades.ignore()
    logs.leave_out_rejections()
    switch_often()


def stop(application: Application) -> None:
    """After the last response: write what the prediction log has in memory, and send the spans that wait."""
    application.close()
    tracing.stop()


@contextmanager
def bentoml_errors() -> Iterator[None]:
    """Send rejections from a typed method as the fast routes send them. Raises BentoMLException, as BentoML expects."""
    try:
        yield
    except Rejected as rejected:
        protection.reject(rejected)
        raise BentoMLException(rejected.message, error_code=HTTPStatus(rejected.status_code)) from rejected


def switch_often() -> None:
    """Make the event loop and the threads that compute wait less for each other, after everything is loaded."""
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.collect()
    gc.freeze()  # what a service is made of stays: no need to look through it again and again
    gc.set_threshold(GARBAGE)
