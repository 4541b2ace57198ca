"""True labels that become known after a prediction: what POST /feedback accepts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter

from bitbloom.serving.rejections import Rejected

MOST = 1000
"""Labels in one request."""
MAX_CHARACTERS = 500
"""Of a label."""
BODY_BYTES = MOST * (200 + 12 * MAX_CHARACTERS)
NAMED = 20
"""Known labels that a rejection names, at most."""


class Feedback(BaseModel):
    """The true label of one prediction."""

    id: str = Field(pattern=r"^[0-9a-f]{32}(-[0-9]{1,6})?$")
    """Of the response header X-Prediction-Id; entry n of a list, from 1 on, has `-n` after it."""
    label: str = Field(min_length=1, max_length=MAX_CHARACTERS)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, dict) else value


Labels = Annotated[
    list[Feedback],
    BeforeValidator(_as_list, json_schema_input_type=Feedback | list[Feedback]),
    Field(min_length=1, max_length=MOST),
]
LABELS: TypeAdapter[list[Feedback]] = TypeAdapter(Labels)


class Accepted(BaseModel):
    """How many labels the log has accepted."""

    accepted: int


def check(labels: Sequence[Feedback], known: Sequence[str]) -> None:
    """Raise Rejected (422) for a label that is not among the `known` ones. Without known ones, any text is a label."""
    for each in labels:
        if known and each.label not in known:
            more = f" and {len(known) - NAMED} more" if len(known) > NAMED else ""
            raise Rejected(422, f"label: '{each.label}' is unknown: send one of {', '.join(known[:NAMED])}{more}")
