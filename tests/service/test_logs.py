"""The log of a service has its errors, and not the requests that it rejects."""

from __future__ import annotations

import logging
from http import HTTPStatus

import pytest
from bentoml.exceptions import BentoMLException
from pydantic import BaseModel

from bitbloom.serving import logs, process, protection
from bitbloom.serving.rejections import Rejected


class Number(BaseModel):
    """A value of a request or of a response."""

    number: int


def from_http_request() -> None:
    """Read a request, as BentoML does in a method of this name."""
    Number.model_validate({"number": "many"})


def respond() -> None:
    """Make an invalid response."""
    Number.model_validate({"number": "many"})


def reject() -> None:
    """Reject a request of many, as a typed method does."""
    token = protection.REQUEST.set({})
    try:
        with process.bentoml_errors():
            raise Rejected(503, "busy")
    finally:
        protection.REQUEST.reset(token)


def fail(error: Exception) -> None:
    """Raise an error."""
    raise error


@pytest.fixture
def handler():
    """The handler of BentoML's loggers, as `bentoml serve` sets it up, after the service has started."""
    logger, kept = logging.getLogger(logs.LOGGER), []
    handler = logging.StreamHandler()
    handler.emit = kept.append
    handler.kept = kept
    logger.addHandler(handler)
    logs.leave_out_rejections()
    logs.leave_out_rejections()  # as that of another service of this process
    yield handler
    logger.removeHandler(handler)


@pytest.mark.parametrize(
    ("work", "logged"),
    [
        (from_http_request, False),
        (lambda: fail(BentoMLException("no photo", error_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE)), False),
        (reject, False),
        (lambda: fail(BentoMLException("unavailable", error_code=HTTPStatus.SERVICE_UNAVAILABLE)), True),
        (lambda: fail(BentoMLException("a defect")), True),
        (respond, True),
        (lambda: fail(KeyError("a defect")), True),
    ],
    ids=["invalid-request", "rejected", "busy", "unavailable", "of-bentoml", "invalid-response", "defect"],
)
def test_logs_errors_of_the_service_alone(handler, work, logged):
    logger = logging.getLogger(f"{logs.LOGGER}.server")
    try:
        work()
    except Exception:
        logger.exception("Exception on %s [%s]", "/api/predict", "POST")
    assert len(handler.kept) == logged
    assert len(handler.filters) == 1


def test_logs_messages_without_an_error(handler):
    logging.getLogger(f"{logs.LOGGER}.server").warning("the disk is full")
    assert len(handler.kept) == 1
