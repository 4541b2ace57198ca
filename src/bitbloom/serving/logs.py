"""Rejected requests are left out of BentoML's log, which has a traceback of each that a typed method rejects."""

from __future__ import annotations

import logging
import traceback

from bentoml.exceptions import BentoMLException
from pydantic import ValidationError

from bitbloom.serving.rejections import Rejected

LOGGER = "bentoml"
"""The parent of BentoML's loggers. BentoML gives it its handlers before it imports a service."""
PARSES = "from_http_request"
"""The method of `bentoml.IODescriptor` that reads a request. An invalid value of another function is an error of the service."""


class Rejections(logging.Filter):
    """Lets no rejected request pass: the client got the reason, and the metrics count it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log a record."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ValidationError):
            return all(frame.name != PARSES for frame in traceback.extract_tb(error.__traceback__))
        return not isinstance(error, BentoMLException) or (error.error_code >= 500 and not isinstance(error.__cause__, Rejected))


REJECTIONS = Rejections()


def leave_out_rejections() -> None:
    """Add the filter to the handlers of BentoML's loggers in this process."""
    for handler in logging.getLogger(LOGGER).handlers:
        handler.addFilter(REJECTIONS)
