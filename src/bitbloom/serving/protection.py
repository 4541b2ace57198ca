"""ASGI middleware in front of every service: security headers, bounds on bodies, the token, admission.

    for middleware, options in protection.middleware(settings, limits):
        service.add_asgi_middleware(middleware, **options)
    protection.occupy(8)  # in an endpoint: this request is as much work as eight

Predictions are POST requests. Every other request is small and needs no model.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bitbloom.serving import metrics
from bitbloom.serving.rejections import Rejected
from bitbloom.serving.settings import FEEDBACK_TOKEN_VARIABLE, ORIGINS_VARIABLE, PREDICTION_HEADER, Settings, token
from bitbloom.serving.tokens import FeedbackToken, TokenRequired, is_prediction

DRAINED, DRAINED_SECONDS = 16_000_000, 2.0
"""How much of a rejected body is read and discarded, bytes and seconds."""
PERMITS, REJECTED, PREDICTION = "bitbloom.permits", "bitbloom.rejected", "bitbloom.prediction"
"""Keys of a request's scope: its permits, the rejection that is sent instead of the application's response, and the id of its
first prediction, which the response has in PREDICTION_HEADER."""
REQUEST: ContextVar[Scope] = ContextVar("request")
"""The scope of the prediction that is served."""
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


class Limit(NamedTuple):
    """How long a body may be, in bytes, and what a client is told beyond it."""

    most: int
    message: str


def middleware(settings: Settings, limits: Mapping[str, Limit]) -> list[tuple[Any, dict[str, Any]]]:
    """Classes of middleware and their options, the outermost first.

    Args:
        settings: limits of the service.
        limits: of the bodies of one route, by the last part of its path; other routes get half of `held_bytes`.
    """
    other = settings.held_bytes // 2
    default = Limit(other, f"the request has more than {other:,} bytes: send less")
    options = {"limits": limits, "default": default, "held": settings.held_bytes, "seconds": settings.body_seconds}
    required, feedback = token(), token(FEEDBACK_TOKEN_VARIABLE)
    origins = [origin.strip() for origin in os.environ.get(ORIGINS_VARIABLE, "").split(",") if origin.strip()]
    sent, read = ["Authorization", "Content-Type"], [PREDICTION_HEADER]
    cors = {"allow_origins": origins, "allow_methods": ["GET", "POST"], "allow_headers": sent, "expose_headers": read}
    return [
        *([(CORSMiddleware, cors)] if origins else []),
        (Responses, {}),
        (BodyLimits, options),
        *([(TokenRequired, {"token": required})] if required else []),
        *([(FeedbackToken, {"token": feedback})] if feedback else []),
        (Admission, {"most": settings.max_requests}),
    ]


class Responses:
    """Adds HEADERS to every response, the id of a prediction that is logged, and counts the rejections."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers which a response does not have yet."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                if message["status"] >= 400 and is_prediction(scope):
                    metrics.rejected(message["status"])
                own = {name for name, _ in message["headers"]}
                message["headers"] = [*message["headers"], *(each for each in ENCODED if each[0] not in own)]
                if PREDICTION in scope and message["status"] < 400:
                    message["headers"].append((PREDICTION_HEADER.lower().encode(), scope[PREDICTION].encode()))
            await send(message)

        await self.app(scope, receive, send_with_headers)


class Admission:
    """Admits at most `most` predictions at a time, and rejects the others at once with 503 and `Retry-After`."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most
        self.taken = 0
        self.last_seconds = 0.0
        """How long the last admitted request took."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 503 when all permits are taken."""
        if not is_prediction(scope):
            await self.app(scope, receive, send)
            return
        if self.taken >= self.most:
            await _overloaded(self.last_seconds).response()(scope, receive, send)
            return
        permits = scope[PERMITS] = _Permits(self)
        began = time.monotonic()
        try:
            await self.app(scope, receive, send)
        finally:
            permits.release()
            self.last_seconds = time.monotonic() - began


class _Permits:
    """The permits of one request: one, until `occupy` takes more."""

    def __init__(self, admission: Admission) -> None:
        self.admission, self.count = admission, 0
        self.take(1)

    def occupy(self, count: int) -> None:
        more = min(count, self.admission.most) - self.count
        if more > self.admission.most - self.admission.taken:
            raise _overloaded(self.admission.last_seconds)
        self.take(more)

    def take(self, count: int) -> None:
        self.admission.taken += count
        self.count += count
        metrics.admitted(self.admission.taken)

    def release(self) -> None:
        self.take(-self.count)


def occupy(count: int) -> None:
    """Take `count` permits for this request, so that what waits is bounded by its work, not by the number of requests.

    Raises:
        Rejected: fewer permits are free (503).
    """
    REQUEST.get()[PERMITS].occupy(count)


def reject(rejected: Rejected) -> Rejected:
    """Make this the response, whatever the application makes of the exception. Returns it, to be raised."""
    REQUEST.get()[REJECTED] = rejected
    return rejected


class BodyLimits:
    """Bounds on request bodies: bytes of one, bytes of all at a time, and the time until one has arrived."""

    def __init__(self, app: ASGIApp, limits: Mapping[str, Limit], default: Limit, held: int, seconds: float) -> None:
        self.app, self.limits, self.default, self.most_held, self.seconds = app, limits, default, held, seconds
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 413 to a long body, 408 to a slow one, 503 when those of all requests take too much memory.

        A response that comes before the end of the body first drains the rest, so that the client receives the response and
        no broken pipe. A body that is longer than what is drained costs the connection.
        """
        if not is_prediction(scope):
            await self.app(scope, receive, send)
            return
        body = _Body(self, self.limits.get(scope["path"].rsplit("/", 1)[-1], self.default), receive)

        async def send_after_body(message: Message) -> None:
            if REJECTED in scope:  # the application's own response, if it makes one, would name another reason
                return
            if message["type"] == "http.response.start":
                body.stop_timer()
                if not await body.ended():
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        request = REQUEST.set(scope)
        try:
            async with body.timer:
                await self.app(scope, body.receive, send_after_body)
        except TimeoutError:
            if not body.timer.expired():
                raise
            message = f"the request took more than {self.seconds:g} s to arrive: send less, or over a faster connection"
            reject(Rejected(408, message, {"Connection": "close"}))
        except Rejected:
            if REJECTED not in scope:
                raise
        finally:
            REQUEST.reset(request)
            self.held -= body.size
        if REJECTED in scope:
            response = scope[REJECTED].response()
            if not await body.ended():
                response.headers["Connection"] = "close"
            await response(scope, receive, send)


class _Body:
    """The body of one request while it is read."""

    def __init__(self, bounds: BodyLimits, limit: Limit, receive: Receive) -> None:
        self.bounds, self.limit, self.source = bounds, limit, receive
        self.timer = asyncio.timeout(bounds.seconds)
        self.size = 0
        self.complete = False

    async def receive(self) -> Message:
        """The next message. Raises Rejected beyond a bound."""
        message = await self.source()
        if self.complete:
            return message
        size = len(message.get("body", b""))
        if self.size + size > self.limit.most:
            raise reject(Rejected(413, self.limit.message))
        if self.bounds.held + size > self.bounds.most_held:
            raise reject(_overloaded(1))
        self.size += size
        self.bounds.held += size
        if not message.get("more_body", False):
            self.complete = True
            self.stop_timer()
        return message

    async def ended(self) -> bool:
        """Whether all of the body has arrived; what is left of it is drained first."""
        left = DRAINED
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAINED_SECONDS):
                while not self.complete and left > 0:
                    message = await self.source()
                    self.complete = not message.get("more_body", False)
                    left -= len(message.get("body", b""))
        return self.complete

    def stop_timer(self) -> None:
        if not self.timer.expired():
            self.timer.reschedule(None)


def _overloaded(seconds: float) -> Rejected:
    wait = max(1, math.ceil(seconds))
    return Rejected(503, f"too many requests at a time: try again in {wait} s", {"Retry-After": str(wait)})
