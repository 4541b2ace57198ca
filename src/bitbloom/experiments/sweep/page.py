"""The page of a search: one self-contained HTML file without a script. Equal histories give equal bytes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.core import canonical
from bitbloom.evaluation.report import style
from bitbloom.experiments import page
from bitbloom.experiments.sweep import charts, study
from bitbloom.experiments.sweep.space import read_plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bitbloom.experiments.sweep.history import History

TEMPLATES = Path(__file__).parent / "templates"
PAGES = Path("reports/sweeps")
FEWEST = 4
"""Complete trials that an importance needs."""


@dataclass(frozen=True)
class Picture:
    """A chart for wide and for narrow windows."""

    heading: str
    caption: str
    wide: bytes
    narrow: bytes


def write(history: History) -> Path:
    """Write the page of a search. Returns its path."""
    path = PAGES / f"{history.head['sweep']}.html"
    canonical.write_text(path, render(history))
    return path


def render(history: History) -> str:
    """The page as text. All names are escaped."""
    environment = page.environment(TEMPLATES)
    environment.filters.update(number=_number)
    counts = {state: sum(row.state == state for row in history.rows) for state in (study.COMPLETE, study.PRUNED, study.FAILED)}
    return environment.get_template("sweep.html.j2").render(
        history=history,
        space=history.head["space"],
        keys=sorted(history.head["space"]["parameters"]),
        counts=counts,
        epochs=sum(len(row.curve) for row in history.rows),
        pictures=pictures(history),
    )


def pictures(history: History) -> list[Picture]:
    """All charts that the search has enough trials for."""
    space, rows = dict(history.head["space"]), history.rows
    found = [
        _picture(
            "History",
            "The value of each trial, in order. A pruned trial has its value at the rung that pruned it; "
            "a dotted line is a trial that failed.",
            lambda narrow: charts.history(rows, space, narrow),
        ),
        _picture(
            "Curves",
            "The metric after each epoch. The strongest line is the winner; a dot is the end of a pruned trial.",
            lambda narrow: charts.curves(rows, space, narrow),
        ),
    ]
    if weights := importances(history):
        caption = "How much of the differences between complete trials each parameter explains, by fANOVA; the sum is 1."
        found.append(_picture("Importance", caption, lambda narrow: charts.importance(weights, narrow)))
    if any(row.value is not None for row in rows):
        caption = "One line for each trial, coloured by its value; pruned trials are thin."
        found.append(_picture("Parallel coordinates", caption, lambda narrow: charts.parallel(rows, space, narrow)))
        caption = "The value by each parameter alone: blue complete, yellow pruned."
        found.append(_picture("Slices", caption, lambda narrow: charts.slices(rows, space, narrow)))
    return found


def importances(history: History) -> dict[str, float]:
    """Parameter → importance, the sum 1, by fANOVA (Hutter et al. 2014); empty with few complete trials."""
    import optuna

    complete = [row for row in history.rows if row.state == study.COMPLETE]
    if len(complete) < FEWEST or len({row.value for row in complete}) == 1:
        return {}
    space = read_plain(history.head["space"])
    distributions = {parameter.key: parameter.distribution() for parameter in space.searched}
    past = study.create(space, epochs=1)
    past.add_trials(
        [optuna.create_trial(params=dict(row.params), distributions=distributions, value=row.value) for row in complete]
    )
    evaluator = optuna.importance.FanovaImportanceEvaluator(seed=space.seed)
    found = optuna.importance.get_param_importances(past, evaluator=evaluator)
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def _picture(heading: str, caption: str, draw: Callable[[bool], Figure]) -> Picture:
    return Picture(heading, caption, style.png(draw(False)), style.png(draw(True)))


def _number(value: Any) -> str:
    return "–" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)
