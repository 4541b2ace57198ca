"""A Cloud Function (2nd generation) that answers as the service of a Bento does, because it is that service.

`source.sh` puts the unpacked Bento beside this file, in bento/. The routes, limits, refusals, the token and the provenance are
those of `bitbloom.serving`; here they are handed what Flask got. What BentoML adds (/readyz, /livez, /metrics, /docs.json)
is not there: the platform watches a function by other means.
"""

from __future__ import annotations

import functools
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from a2wsgi import ASGIMiddleware
from werkzeug.wrappers import Response

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

SERVICE = Path(__file__).resolve().parent / "bento" / "src"
sys.path.insert(0, str(SERVICE))  # the Bento brings the modules of its service

from bitbloom.serving.app import Application  # noqa: E402

application = Application(SERVICE)
application.open()
first = threading.Lock()


def answer(request: Request) -> Response:
    """Answer one HTTP request: the function's entry point."""
    with first:
        service = behind_wsgi()
    return Response.from_app(service, request.environ)


@functools.cache
def behind_wsgi() -> ASGIMiddleware:
    """The application, on an event loop of its own.

    Made by the first request, not by the import: the framework forks after it has imported this file, and the thread of a loop
    would stay behind.
    """
    return ASGIMiddleware(application.asgi)
