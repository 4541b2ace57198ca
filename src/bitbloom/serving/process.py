"""What the services ask of BentoML and of the Python process that they have for themselves."""

from __future__ import annotations

import gc
import sys

from uvicorn import config

ENVIRONMENT = [
    {"name": "BENTOML_DO_NOT_TRACK", "value": "True"},
    {"name": "ORT_DISABLE_TELEMETRY", "value": "1"},
    {"name": "PYC_INVALIDATION_MODE", "value": "UNCHECKED_HASH"},
    {"name": "UV_NO_CACHE", "value": "1"},
]
"""Of an image: nobody is called at home, and what uv installs is the same bytes each time."""
UNTRACED = {"excluded_urls": ".*"}
"""BentoML's `tracing`: it makes four spans a request, a fifth of a request's time in Python, even when nobody collects them."""
TURN_SECONDS = 0.00005
"""How long a thread waits for the interpreter before another has to give way. A thread that computes comes back to Python a dozen
times a photo; with Python's 5 ms it waits for the event loop each time, and a third of the cores does nothing."""
GARBAGE = 10_000
"""Objects made before Python looks for cycles among them; its 700 are made by a request or two."""


def accept_at_once() -> None:
    """Let a server that starts from now on use asyncio's own event loop, which uvicorn would choose only where uvloop is not.

    Uvloop accepts one connection a turn, and under four times the load that a service can take it has long turns: who came
    then waited up to ten seconds to be heard, and asyncio's loop hears him within two. At capacity it is 3 % slower.
    """
    config.LOOP_FACTORIES["auto"] = config.LOOP_FACTORIES["asyncio"]


def make_turns_short() -> None:
    """Let the event loop and the threads that compute wait less for each other, once all is loaded: a third more answers."""
    sys.setswitchinterval(TURN_SECONDS)
    gc.collect()
    gc.freeze()  # what a service is made of stays: no need to look through it again and again
    gc.set_threshold(GARBAGE)
