"""What stands before the routes of every service, as ASGI middleware: headers, the token, admission, bounds on bodies.

    add(app, settings)
    occupy(request, 8)  # in an endpoint: this question is as much work as eight

A question is a POST. Everything else is small and needs no model.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import math
import time

from fastapi import FastAPI, Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bitbloom.serving.refusals import Refused
from bitbloom.serving.settings import TOKEN_VARIABLE, Settings, token

DISCARDED, DISCARDED_SECONDS = 16_000_000, 2.0
"""How much of a refused body is read and thrown away, bytes and seconds."""
ANSWER_SECONDS = 60.0
"""How long an answer may take once the question is here."""
PLACES = "bitbloom.places"
"""Where a request's scope has the places that it takes."""
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
ENCODED = Headers(HEADERS).raw


def add(app: FastAPI, settings: Settings) -> None:
    """Put all of it before the application's routes, the outermost last."""
    app.add_middleware(Admission, most=settings.max_requests)
    if expected := token():
        app.add_middleware(Token, token=expected)
    app.add_middleware(Bodies, together=settings.held_bytes, seconds=settings.body_seconds)
    app.add_middleware(SecurityHeaders)


class SecurityHeaders:
    """Every answer forbids what the page does not need."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add HEADERS to the answer."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *ENCODED]
            await send(message)

        await self.app(scope, receive, with_headers)


class Token:
    """Questions have to bring the token (RFC 6750). The page, names and provenance are open to all."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.expected = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401 to a question without the token."""
        if _is_question(scope) and not hmac.compare_digest(_bearer(scope), self.expected):
            refused = Refused(401, f"this service asks for a token: send the header 'Authorization: Bearer …' ({TOKEN_VARIABLE})")
            refused.headers = {"WWW-Authenticate": "Bearer"}
            await refused.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)


class Admission:
    """So many questions at a time; who comes when it is full is told at once when to ask again, instead of waiting for long."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most
        self.taken = 0
        self.lately = 0.0
        """Seconds that the last question answered was inside."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 503 when it is full."""
        if not _is_question(scope):
            await self.app(scope, receive, send)
            return
        if self.taken >= self.most:
            await _busy(self.lately).response()(scope, receive, send)
            return
        places = scope[PLACES] = _Places(self)
        began = time.monotonic()
        try:
            await self.app(scope, receive, send)
        finally:
            self.taken -= places.count
            self.lately = time.monotonic() - began


class _Places:
    """The places of one request: one, until it is known to be more work."""

    def __init__(self, admission: Admission) -> None:
        self.admission, self.count = admission, 1
        admission.taken += 1

    def become(self, count: int) -> None:
        """Take as many as there are questions in it. Raises Refused (503) when they are not free."""
        more = min(count, self.admission.most) - self.count
        if more > self.admission.most - self.admission.taken:
            raise _busy(self.admission.lately)
        self.admission.taken += more
        self.count += more


def occupy(request: Request, count: int) -> None:
    """Let a request count as so many questions: what waits is bounded by its work, not by the number of requests.

    Raises:
        Refused: so many do not fit in beside those that are inside (503).
    """
    request.scope[PLACES].become(count)


class Bodies:
    """Bounds on all that is read: the bytes held at a time, how long a body may take, and then its answer.

    Each route bounds its own bodies.
    """

    def __init__(self, app: ASGIApp, together: int, seconds: float) -> None:
        self.app, self.together, self.seconds = app, together, seconds
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 408 to what comes too slowly and 504 to what takes too long; refuse too much at a time while it is read (503).

        An answer that comes before the end of the body waits a moment for the rest, which is thrown away, so that the sender
        hears it and no broken pipe; a body that goes on for longer costs the connection.
        """
        if not _is_question(scope):
            await self.app(scope, receive, send)
            return
        body = _Body(self, receive)

        async def after_the_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                body.timer.reschedule(None)
                if not (body.whole or await body.thrown_away()):
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        try:
            async with body.timer:
                await self.app(scope, body.receive, after_the_body)
        except TimeoutError:
            if not body.timer.expired():
                raise
            await self._late(body).response()(scope, receive, send)
        finally:
            self.held -= body.read

    def _late(self, body: _Body) -> Refused:
        if body.whole:
            return Refused(504, f"there is no answer after {ANSWER_SECONDS:g} s: ask for less at a time")
        late = Refused(408, f"the request took more than {self.seconds:g} s to arrive: send less, or over a faster line")
        late.headers = {"Connection": "close"}
        return late


class _Body:
    """The body of one request while it is read."""

    def __init__(self, bounds: Bodies, receive: Receive) -> None:
        self.bounds, self.source = bounds, receive
        self.timer = asyncio.timeout(bounds.seconds)
        self.read = 0
        self.whole = False

    async def receive(self) -> Message:
        """The next message, within the bounds."""
        message = await self.source()
        if self.whole:
            return message
        size = len(message.get("body", b""))
        if self.bounds.held + size > self.bounds.together:
            raise _busy(1)
        self.read += size
        self.bounds.held += size
        if not message.get("more_body", False):
            self.whole = True
            if self.timer.when() is not None:  # the answer has not begun
                self.timer.reschedule(asyncio.get_running_loop().time() + ANSWER_SECONDS)
        return message

    async def thrown_away(self) -> bool:
        """Read what is left, so much of it and for so long, and keep nothing. Whether it ended."""
        left = DISCARDED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISCARDED_SECONDS):
                while not self.whole and left > 0:
                    message = await self.source()
                    self.whole = not message.get("more_body", False)
                    left -= len(message.get("body", b""))
        return self.whole


def _is_question(scope: Scope) -> bool:
    return bool(scope["type"] == "http" and scope["method"] == "POST")


def _bearer(scope: Scope) -> bytes:
    scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
    return given.strip().encode("latin-1") if scheme.lower() == "bearer" else b""


def _busy(seconds: float) -> Refused:
    again = max(1, math.ceil(seconds))
    return Refused(503, f"too many questions at a time: ask again in {again} s", again)
