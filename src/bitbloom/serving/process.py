"""What the services ask of BentoML and of the Python process that they have for themselves.

application = process.prepared(Application(Path(__file__).parent))

@bentoml.service(name="petals", **process.options())
@bentoml.asgi_app(application.asgi)
class Petals:
    def __init__(self) -> None:
        process.start(application)
"""

from __future__ import annotations

import gc
import sys
from typing import Any, TypeVar

import bentoml
from _bentoml_impl.server.app import ContextMiddleware, ServiceAppFactory  # type: ignore[import-untyped]
from bentoml._internal.server.http.traffic import TimeoutMiddleware
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from starlette.middleware import Middleware
from uvicorn import config

from bitbloom.core.errors import BitBloomError
from bitbloom.serving import heads
from bitbloom.serving.base import Service
from bitbloom.serving.settings import LOCK

Application = TypeVar("Application", bound=Service)
BASE_IMAGE = "python:3.11-slim-bookworm"
ENVIRONMENT = [
    {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
    {"name": "ORT_DISABLE_TELEMETRY", "value": "1"},
    {"name": "PYC_INVALIDATION_MODE", "value": "UNCHECKED_HASH"},
    {"name": "UV_NO_CACHE", "value": "1"},
]
"""Of an image: nobody is called at home, and what uv installs is the same bytes each time."""
UNTRACED = {"excluded_urls": ".*"}
"""BentoML's `tracing`: it makes four spans a request, a fifth of a request's time in Python, even when nobody collects them."""
UNLOGGED = {"access": {"enabled": False}}
"""BentoML's `logging`: a line a question. Metrics count them, and the proxy before a service logs them."""
NEEDLESS = (ContextMiddleware, TimeoutMiddleware)
"""What BentoML puts before every application, and ours does without: a context for BentoML's own APIs, and a timer for each
question that goes on for a minute, answered or not (90 MB at 430 questions a second; that of `protection.Bodies` ends)."""
TURN_SECONDS = 0.00005
"""How long a thread waits for the interpreter before another has to give way. A thread that computes comes back to Python a dozen
times a photo; with Python's 5 ms it waits for the event loop each time, and a third of the cores does nothing."""
GARBAGE = 10_000
"""Objects made before Python looks for cycles among them; its 700 are made by a request or two."""


def options() -> dict[str, Any]:
    """Arguments of `bentoml.service` that are the same for all: image, process, and what BentoML logs.

    The lock is read from the current folder: BentoML enters that of the service before it imports it.
    """
    image = bentoml.images.Image(base_image=BASE_IMAGE, distro="none", lock_python_packages=False)
    return {
        "image": image.requirements_file(LOCK),
        "resources": {"cpu": "1"},
        "workers": 1,
        "envs": ENVIRONMENT,
        "logging": UNLOGGED,
        "tracing": UNTRACED,
    }


def prepared(application: Application) -> Application:
    """The application, before BentoML starts processes: set up the server that they run, or exit if the model is another one."""
    try:
        application.check()
    except BitBloomError as error:
        sys.exit(f"error: {error}")
    heads.bound(application.settings.body_seconds)
    accept_at_once()
    pass_straight_through()
    return application


def start(application: Service) -> None:
    """In the process that serves: open the model, and give the interpreter the turns of a server."""
    application.open()
    make_turns_short()


def accept_at_once() -> None:
    """Let a server that starts from now on use asyncio's own event loop, which uvicorn would choose only where uvloop is not.

    Uvloop accepts one connection a turn, and under four times the load that a service can take it has long turns: who came
    then waited up to ten seconds to be heard, and asyncio's loop hears him within two. At capacity it is 3 % slower.
    """
    config.LOOP_FACTORIES["auto"] = config.LOOP_FACTORIES["asyncio"]


def pass_straight_through() -> None:
    """Let BentoML put nothing before an application that it does not need; metrics stay, and the log and traces if switched on.

    There is no setting for it. What is taken out would cost a request a sixth of the event loop's time.
    """
    every = ServiceAppFactory.middlewares.fget
    ServiceAppFactory.middlewares = property(lambda factory: [one for one in every(factory) if _is_needed(one)])


def _is_needed(middleware: Middleware) -> bool:
    kind: Any = middleware.cls
    options: dict[str, Any] = middleware.kwargs
    if issubclass(kind, OpenTelemetryMiddleware):
        return not options["excluded_urls"].url_disabled("/")
    return not issubclass(kind, NEEDLESS)


def make_turns_short() -> None:
    """Let the event loop and the threads that compute wait less for each other, once all is loaded: a third more answers."""
    sys.setswitchinterval(TURN_SECONDS)
    gc.collect()
    gc.freeze()  # what a service is made of stays: no need to look through it again and again
    gc.set_threshold(GARBAGE)
