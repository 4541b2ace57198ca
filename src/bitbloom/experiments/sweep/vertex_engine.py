"""The same space as the study of a hyperparameter tuning job of Vertex AI: `studySpec` of deploy/vertex-ai/sweep.yaml.

Vertex AI chooses by the order of arrival, so such a search has other trials each time; a trial has the bytes of the same
overrides built by the pipeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitbloom.experiments.sweep.parameter import Parameter
    from bitbloom.experiments.sweep.space import Space

ALGORITHMS = {"random": "RANDOM_SEARCH", "grid": "GRID_SEARCH"}
"""Our sampler → that of Vertex AI; without one, it uses Bayesian optimisation."""


def study(space: Space) -> dict[str, Any]:
    """A space as a StudySpec."""
    found: dict[str, Any] = {
        "metrics": [{"metricId": space.metric, "goal": space.direction.upper()}],
        "parameters": [_parameter(parameter) for parameter in space.searched],
    }
    return found | ({"algorithm": ALGORITHMS[space.sampler]} if space.sampler in ALGORITHMS else {})


def _parameter(parameter: Parameter) -> dict[str, Any]:
    """A range as a ParameterSpec. One with steps is a list of values."""
    ends = {"minValue": parameter.low, "maxValue": parameter.high}
    if parameter.kind == "choice":
        found: dict[str, Any] = {"categoricalValueSpec": {"values": list(parameter.choices)}}
    elif parameter.kind == "int" and parameter.step in (None, 1):
        found = {"integerValueSpec": ends}
    elif parameter.step is not None:
        found = {"discreteValueSpec": {"values": [float(value) for value in parameter.grid()]}}
    else:
        found = {"doubleValueSpec": ends} | ({"scaleType": "UNIT_LOG_SCALE"} if parameter.kind == "log" else {})
    return {"parameterId": parameter.key} | found
