"""POST /feedback and GET /drift, of every kind of service."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter

from bitbloom.serving.prediction_log import feedback
from bitbloom.serving.prediction_log.log import PredictionLog
from bitbloom.serving.prediction_log.settings import PREFIX
from bitbloom.serving.protection import Limit
from bitbloom.serving.rejections import RESPONSES, ErrorResponse, Rejected
from bitbloom.serving.settings import FEEDBACK_TOKEN_VARIABLE, token

ERRORS: dict[int | str, dict[str, Any]] = {code: {"model": ErrorResponse} for code in (401, 404, 409)}
FEEDBACK_ERRORS = RESPONSES | {code: {"model": ErrorResponse} for code in (403, 404)}
FEEDBACK_LIMIT = Limit(feedback.BODY_BYTES, f"send at most {feedback.MOST} labels in one request")


class LogRoutes:
    """The routes of a log, which a service opens only when it starts, and which it may lack."""

    def __init__(self, log: Callable[[], PredictionLog | None], labels: Callable[[], Sequence[str]]) -> None:
        self.log, self.labels = log, labels

    def add(self, router: APIRouter) -> None:
        """Add both."""
        router.post("/feedback", summary="Send the true labels of predictions", status_code=202, responses=FEEDBACK_ERRORS)(
            self.feedback
        )
        router.get("/drift", summary="Compare the last predictions with the training data", responses=ERRORS)(self.drift)

    async def feedback(self, labels: feedback.Labels) -> feedback.Accepted:
        """Join true labels, one or a list, to predictions of the log, by the id of their header `X-Prediction-Id`.

        The same label may be sent again: the last one counts. Needs the bearer token of `BITBLOOM_FEEDBACK_TOKEN`.
        """
        log = self.log()
        if log is None or not token(FEEDBACK_TOKEN_VARIABLE):
            raise Rejected(404, f"this service takes no feedback: it was started without {PREFIX} or {FEEDBACK_TOKEN_VARIABLE}")
        feedback.check(labels, self.labels())
        log.join(labels)
        return feedback.Accepted(accepted=len(labels))

    async def drift(self) -> dict[str, Any]:
        """The drift report of the last predictions, at most ten seconds old: features, embeddings, labels, accuracy.

        404 without a log or a reference; 409 while too few predictions are in memory.
        """
        log = self.log()
        if log is None:
            raise Rejected(404, f"this service keeps no log of its predictions: it was started without {PREFIX}")
        return await asyncio.to_thread(log.drift.current)
