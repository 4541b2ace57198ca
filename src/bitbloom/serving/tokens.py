"""ASGI middleware that requires a bearer token (RFC 6750): that of predictions and of their report, and that of feedback."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from bitbloom.serving.rejections import Rejected
from bitbloom.serving.settings import FEEDBACK_TOKEN_VARIABLE, TOKEN_VARIABLE

FEEDBACK, GUARDED = frozenset({"/feedback", "/v1/feedback"}), frozenset({"/drift", "/v1/drift"})
"""Paths that have a token of their own, and paths that need the token of predictions, although they are no predictions."""


class TokenRequired:
    """Rejects predictions without the bearer token. The page, names and provenance stay open."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.expected = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 401 to a prediction, or a report of predictions, without the token."""
        if _is_guarded(scope) and not hmac.compare_digest(_bearer(scope), self.expected):
            message = f"this service requires a token: send the header 'Authorization: Bearer …' ({TOKEN_VARIABLE})"
            await Rejected(401, message, {"WWW-Authenticate": "Bearer"}).response()(scope, receive, send)
            return
        await self.app(scope, receive, send)


class FeedbackToken:
    """Rejects feedback without its token: a client that may predict may not yet change what is known."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app, self.expected = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond with 403 to feedback without the token."""
        if is_prediction(scope) and scope["path"] in FEEDBACK and not hmac.compare_digest(_bearer(scope), self.expected):
            message = f"feedback requires a token: send the header 'Authorization: Bearer …' ({FEEDBACK_TOKEN_VARIABLE})"
            await Rejected(403, message).response()(scope, receive, send)
            return
        await self.app(scope, receive, send)


def is_prediction(scope: Scope) -> bool:
    """Whether this is a POST request. Every other request is small and needs no model."""
    return bool(scope["type"] == "http" and scope["method"] == "POST")


def _is_guarded(scope: Scope) -> bool:
    if scope["type"] != "http":
        return False
    return scope["path"] in GUARDED or (is_prediction(scope) and scope["path"] not in FEEDBACK)


def _bearer(scope: Scope) -> bytes:
    scheme, _, given = Headers(scope=scope).get("authorization", "").partition(" ")
    return given.strip().encode("latin-1") if scheme.lower() == "bearer" else b""
