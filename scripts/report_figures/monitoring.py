"""The service's own metrics after requests: predictions by label, confidence, and rejections, read from /metrics.

The packaged petals is served on this machine. It gets photos of its raw data and requests that it rejects. Times differ from
run to run, so the picture has none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from canvas import Missing, Sheet

from bitbloom.core.errors import BitBloomError
from bitbloom.evaluation.report import style
from bitbloom.serving import store

FILES = ("monitoring.png",)
TARGET = "petals"
PER_CLASS = 12
"""Photos of each species; from the end of the list, so that some are of the test split."""
Samples = list[tuple[str, dict[str, str], float]]


def draw(built: Path, target: str = TARGET) -> dict[str, bytes]:
    """The picture. Raises Missing when the target is not packaged."""
    raw = built / "data/raw" / target
    folders = sorted(path for path in raw.glob("*") if path.is_dir()) if raw.exists() else []
    if not folders:
        raise Missing(f"{raw} is missing: make all TARGET={target}")
    photos = [photo for folder in folders for photo in sorted(folder.glob("*.jpg"))[-PER_CLASS:]]
    with served(built / f"dist/{target}.bento") as url:
        samples = after(url, photos)
    return {"monitoring.png": picture(samples, target, len(photos))}


@contextmanager
def served(bento: Path) -> Iterator[str]:
    """The address of the service of a Bento."""
    from support.standin import serving

    with tempfile.TemporaryDirectory(prefix="bitbloom-service-") as folder:
        before = os.environ.get("BENTOML_HOME")
        os.environ["BENTOML_HOME"] = folder
        try:
            tag = store.install(bento)
        except BitBloomError as error:
            raise Missing(str(error)) from error
        finally:
            os.environ.pop("BENTOML_HOME") if before is None else os.environ.update(BENTOML_HOME=before)
        with serving(tag, Path(folder), Path(folder)) as url:
            yield url


def after(url: str, photos: list[Path]) -> Samples:
    """The project's samples of /metrics after each photo, a text in place of a photo, and a photo that is too large."""
    import httpx
    from prometheus_client.parser import text_string_to_metric_families

    with httpx.Client(base_url=url, timeout=60) as client:
        for photo in photos:
            client.post("/predict", content=photo.read_bytes()).raise_for_status()
        for _ in range(8):
            client.post("/predict", content=b"not a photo")
        for _ in range(3):
            client.post("/predict", content=bytes(11_000_000))
        text = client.get("/metrics").raise_for_status().text
    found = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return [(each.name, dict(each.labels), each.value) for each in found if each.name.startswith("bitbloom_")]


def picture(samples: Samples, target: str, photos: int) -> bytes:
    """Bars of three metrics."""
    labels = {label["label"]: value for name, label, value in samples if name == "bitbloom_predictions_total"}
    bounds = sorted((float(label["le"]), value) for name, label, value in samples if name == "bitbloom_confidence_bucket")
    counts = [now - before for (_, now), (_, before) in zip(bounds, [(0.0, 0.0), *bounds], strict=False)]
    rejected = {label["status"]: value for name, label, value in samples if name == "bitbloom_rejections_total"}
    sheet = Sheet(1240, 540)
    sheet.text(
        30,
        34,
        f"/metrics of the service of {target} after {photos} photos and {int(sum(rejected.values()))} invalid requests",
        20,
        fontweight="bold",
    )
    with style.applied():
        axes = sheet.figure.add_axes((0.1, 0.12, 0.3, 0.68))
        names = sorted(labels, reverse=True)
        axes.barh(names, [labels[name] for name in names], color=style.LEAF)
        axes.set_title("bitbloom_predictions_total by label", fontsize=8.5)
        axes.grid(visible=False, axis="y")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes = sheet.figure.add_axes((0.46, 0.12, 0.28, 0.68))
        finite = [(bound, count) for (bound, _), count in zip(bounds, counts, strict=True) if bound <= 1]
        axes.bar([bound - 0.025 for bound, _ in finite], [count for _, count in finite], width=0.044, color=style.SKY)
        axes.set_title("bitbloom_confidence", fontsize=8.5)
        axes.set_xlim(0, 1)
        axes.set_xlabel("probability of the predicted label")
        axes = sheet.figure.add_axes((0.79, 0.12, 0.19, 0.68))
        axes.bar(sorted(rejected), [rejected[status] for status in sorted(rejected)], width=0.6, color=style.SUN)
        axes.set_title("bitbloom_rejections_total", fontsize=8.5)
        axes.set_xlabel("status")
    return sheet.png()
