"""A Cloud Function (2nd generation) that runs the service of a Bento.

`source.sh` puts the unpacked Bento beside this file, in bento/. Routes, limits, error responses, token and provenance are those
of `bitbloom.serving`, behind Flask. The routes of BentoML (/readyz, /livez, /metrics, /api/…) are missing: the platform
monitors a function by other means.
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

from bitbloom.serving.image_app import ImageApplication  # noqa: E402

application = ImageApplication(SERVICE)
application.open()
first = threading.Lock()


def answer(request: Request) -> Response:
    """Respond to one HTTP request: the function's entry point."""
    with first:
        service = behind_wsgi()
    return Response.from_app(service, request.environ)


@functools.cache
def behind_wsgi() -> ASGIMiddleware:
    """The application, on an event loop of its own.

    Made by the first request, not by the import: the framework forks after it has imported this file, and the thread of a loop
    would stay behind.
    """
    return ASGIMiddleware(application.protected())
