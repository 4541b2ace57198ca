"""A Cloud Function (2nd generation) that runs the application of a Bento's service.

`source.sh` puts the unpacked Bento beside this file, in bento/. Routes, limits, rejections, token and provenance are those of
`bitbloom.serving`; this file passes Flask's requests to it. It lacks BentoML's routes (/readyz, /livez, /metrics, /docs.json):
the platform monitors a function by other means.
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


def handle(request: Request) -> Response:
    """Handle one HTTP request: the function's entry point."""
    with first:
        service = behind_wsgi()
    return Response.from_app(service, request.environ)


@functools.cache
def behind_wsgi() -> ASGIMiddleware:
    """The application, on its own event loop.

    The first request makes it, not the import: the framework imports this file and then forks, and a fork copies no thread.
    """
    return ASGIMiddleware(application.protected())
