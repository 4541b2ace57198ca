"""What a change of `dvc.lock` makes of the metrics: this branch beside the main one, as tables and curves.

bitbloom ci changed-targets base.lock dvc.lock             # which targets' stages have other records
bitbloom ci model BASE HEAD .bitbloom/ci/model             # two folders of what `ci collect` wrote
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitbloom.ci import markdown
from bitbloom.core import canonical
from bitbloom.core.errors import BitBloomError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

METRICS, TRAINING, DIGESTS = "metrics.json", "training.json", "digests.json"
NOT_METRICS = ("learning_rate", "epoch", "step")


def changed_targets(base: Path, head: Path) -> list[str]:
    """Targets of which at least one stage has another record in `head` than in `base`, and that anybody can build."""
    from bitbloom.pipeline import composition

    records = _records(base), _records(head)
    stages = {name for name in records[0].keys() | records[1].keys() if records[0].get(name) != records[1].get(name)}
    changed = {name.partition("-")[2] for name in stages}
    return [name for name in composition.targets() if name in changed and composition.compose(name).embedded]


def _records(lock: Path) -> dict[str, Any]:
    import yaml

    content = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.exists() else None
    if content is not None and not isinstance(content.get("stages"), dict):
        raise BitBloomError(f"{lock} is no dvc.lock: it has no stages")
    return dict(content["stages"]) if content else {}


def collect(target: str, folder: Path) -> None:
    """Copy what is compared of a built target to `folder/<target>`."""
    import shutil

    from bitbloom.pipeline import claim

    place = folder / target
    place.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path("reports") / target / METRICS, place / METRICS)
    shutil.copyfile(Path("models") / target / TRAINING, place / TRAINING)
    canonical.write_json(
        place / DIGESTS, {name: str(entry["sha256"]) for name, entry in claim.current(target, until="evaluate").items()}
    )


def numbers(tree: Any, prefix: str = "") -> Iterator[tuple[str, float]]:
    """Every number of a JSON tree by its dotted name; lists hold tables and counts, which are the report's business."""
    if isinstance(tree, Mapping):
        for key in sorted(tree):
            yield from numbers(tree[key], f"{prefix}{key}.")
    elif isinstance(tree, int | float) and not isinstance(tree, bool):
        yield prefix.removesuffix("."), float(tree)


def report(base: Path, head: Path, folder: Path) -> None:
    """Write the report on all targets of `head`. Raises BitBloomError when there is none."""
    targets = sorted(path.parent.name for path in head.glob(f"*/{METRICS}"))
    if not targets:
        raise BitBloomError(f"{head} has no metrics: nothing was built")
    folder.mkdir(parents=True, exist_ok=True)
    parts = ["## The model, beside the main branch's\n"]
    parts += [section(target, base / target, head / target, folder) for target in targets]
    markdown.write(folder, "\n".join(parts))


def section(target: str, base: Path, head: Path, folder: Path) -> str:
    """One target's part of the report; its curves are written beside it."""
    before, after = dict(numbers(_read(base / METRICS))), dict(numbers(_read(head / METRICS)))
    changed = [name for name in sorted(before | after) if before.get(name) != after.get(name)]
    parts = [f"### {target}\n"]
    if changed:
        rows = [(name, *_compared(before.get(name), after.get(name))) for name in changed]
        parts.append(markdown.table(("metric", "main", "here", "change"), rows))
    parts.append(
        f"{len(before.keys() & after.keys()) - len(set(changed) & before.keys() & after.keys())} metrics are the same.\n"
    )
    parts.append(_digests(_read(base / DIGESTS), _read(head / DIGESTS)))
    history = _read(base / TRAINING), _read(head / TRAINING)
    name = f"{target}-curves.png"
    (folder / name).write_bytes(_png(history))
    return "\n".join([*parts, f"![curves of both trainings]({name})\n"])


def _read(path: Path) -> dict[str, Any]:
    return dict(canonical.read_json(path)) if path.exists() else {}


def _compared(before: float | None, after: float | None) -> tuple[str, str, str]:
    change = "" if before is None or after is None else f"{after - before:+.6g}"
    return "none" if before is None else f"{before:.6g}", "none" if after is None else f"{after:.6g}", change


def _digests(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Outputs whose bytes are not what they were."""
    rows = [(name, was[:12], now[:12]) for name, was, now in markdown.changes(before, after)]
    if not rows:
        return f"All {len(after)} outputs are the same bytes.\n"
    return f"{len(rows)} outputs have other bytes:\n\n{markdown.table(('output', 'main', 'here'), rows)}"


def _png(history: tuple[Mapping[str, Any], Mapping[str, Any]]) -> bytes:
    from bitbloom.evaluation.report import style

    return style.png(curves(*history))


def curves(before: Mapping[str, Any], after: Mapping[str, Any]) -> Figure:
    """Every quantity that a training recorded by epoch: the main branch's dashed, this one's solid."""
    from bitbloom.evaluation.report import style

    names = sorted({name for history in (before, after) for row in history.get("epochs", []) for name in row} - set(NOT_METRICS))
    with style.applied():
        figure = style.figure(4.2 * max(1, len(names)), 3.2, layout="constrained")
        for place, name in enumerate(names):
            axes = figure.add_subplot(1, len(names), place + 1, title=name.replace("_", " "), xlabel="epoch")
            for history, label, dashes, colour in ((before, "main", "--", style.SKY), (after, "here", "-", style.BLOOM)):
                rows = [row for row in history.get("epochs", []) if row.get(name) is not None]
                axes.plot([row["epoch"] for row in rows], [row[name] for row in rows], dashes, color=colour, label=label)
            axes.legend()
    return figure
