"""Measure `bitbloom drift`: false alarms, samples needed for each kind of drift, and the error of the estimated accuracy.

    python benchmarks/drift.py --photos ''     # without petals; likewise --texts '' and --captions ''
    python benchmarks/drift.py                 # writes the tables into docs/drift.md; needs built petals and tweets
    BITBLOOM_PHOTOS=flowers.tar python benchmarks/drift.py --repeats 20

Evidently's preset gets the same rows: as columns, without the embeddings, for which it has no test. File sizes are left out:
re-encoding alone would change them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from bitbloom.core import canonical
from bitbloom.core.progress import track
from bitbloom.data import imaging
from bitbloom.data.dataset import Dataset
from bitbloom.data.descriptors import image, text
from bitbloom.drift.comparison import compare
from bitbloom.drift.observations import IMAGE, REFERENCE, TEXT, Observations
from bitbloom.monitoring.drift.inputs import observed, predicted
from bitbloom.pipeline import composition
from bitbloom.serving.caption_predictor import CaptionPredictor
from bitbloom.serving.predictor import Predictor
from bitbloom.serving.text_predictor import TextPredictor
from drift_cases import FRACTIONS, PHOTOS, TEXTS, chosen

DOCUMENT = Path("docs/drift.md")
SIZES = (50, 100, 200, 400)
WINDOW, RESAMPLES = 200, 100
EVIDENTLY, VENV = Path("benchmarks/rivals/evidently"), Path(".bitbloom/evidently")
SEVERITIES = ("weak", "middle", "strong")


@dataclass(frozen=True)
class Case:
    """A kind of drift with a severity, and its rows."""

    name: str
    severity: str
    rows: Observations

    @property
    def key(self) -> str:
        """Its name as that of a file."""
        return re.sub(r"\W+", "-", f"{self.name} {self.severity}")


def photo_row(predictor: Predictor | CaptionPredictor, photo: Image.Image, truth: str) -> dict[str, Any]:
    square = np.ascontiguousarray(np.asarray(photo).transpose(2, 0, 1))
    features = {name: value for name, value in image.describe(square, 0).items() if name != "bytes"}
    return {"features": features, **predicted(predictor, square, truth)}


def stored(dataset: Dataset) -> list[tuple[Image.Image, str]]:
    """The photos of the test split, and their labels."""
    rows = dataset.split("test")
    return [
        (
            Image.fromarray(np.ascontiguousarray(dataset.arrays["images"][at].transpose(1, 2, 0))),
            dataset.samples["label"].iloc[at],
        )
        for at in rows
    ]


def photographed(side: int, most: int) -> list[tuple[Image.Image, str]]:
    """Photos of BITBLOOM_PHOTOS, a tar of class folders; none without it."""
    address = os.environ.get("BITBLOOM_PHOTOS")
    if not address:
        return []
    with tarfile.open(address) as archive:
        members = sorted((one for one in archive.getmembers() if one.name.endswith(".jpg")), key=lambda one: one.name)
        picked = members[:: max(1, len(members) // most)][:most]
        found = []
        for one in picked:
            stream = archive.extractfile(one)
            assert stream is not None
            square = imaging.square(stream.read(), side)
            found.append((Image.fromarray(np.ascontiguousarray(square.transpose(1, 2, 0))), ""))
        return found


def petals(target: str) -> Iterator[Case]:
    """Cases of photos, the unchanged test split first."""
    predictor, known = Predictor.open(Path("models") / target), stored(Dataset.open(Path("data/processed") / target))
    clean = [photo_row(predictor, photo, label) for photo, label in track(known, f"{target}: none")]
    yield Case("none", "", observed(IMAGE, clean))
    for name, change in PHOTOS.items():
        for number, severity in enumerate(SEVERITIES):
            changed = track(known, f"{target}: {name}, {severity}")
            yield Case(
                name, severity, observed(IMAGE, [photo_row(predictor, change(one, number), label) for one, label in changed])
            )
    labels = sorted({label for _, label in known})
    for gone in (1, 3, 6):
        kept = [row for row, (_, label) in zip(clean, known, strict=True) if label not in labels[:gone]]
        yield Case("missing classes", f"{gone} of {len(labels)}", observed(IMAGE, kept))
    others = [photo_row(predictor, photo, label) for photo, label in photographed(predictor.image_size, len(clean))]
    for number, fraction in enumerate(FRACTIONS if others else ()):
        mixed = [other if chosen(at, number) else row for at, (row, other) in enumerate(zip(clean, others, strict=False))]
        name = "other photographers' flowers" if fraction == 1 else "new classes"
        yield Case(name, f"{fraction:.0%}", observed(IMAGE, mixed))


def tweets(target: str) -> Iterator[Case]:
    """Cases of texts."""
    predictor, dataset = TextPredictor.open(Path("models") / target), Dataset.open(Path("data/processed") / target)
    samples = dataset.samples.iloc[dataset.split("test")]
    known = list(samples[["text", "keyword", "location", "label"]].itertuples(index=False, name=None))

    def row(words: str, keyword: str, location: str, truth: str) -> dict[str, Any]:
        found = predictor.observe(words, keyword, location)
        assert found is not None
        label, embedding = found
        outputs = {"label": label["label"], "confidence": label["probability"], "embedding": embedding, "truth": truth}
        return {"features": text.describe(words), **outputs}

    yield Case("none", "", observed(TEXT, [row(*one) for one in track(known, f"{target}: none")]))
    for name, change in TEXTS.items():
        for number, severity in enumerate(SEVERITIES):
            rows = enumerate(track(known, f"{target}: {name}, {severity}"))
            yield Case(name, severity, observed(TEXT, [row(change(words, at, number), *rest) for at, (words, *rest) in rows]))


def captions(target: str) -> Iterator[Case]:
    """Other scenes for a model of captions."""
    predictor, dataset = CaptionPredictor.open(Path("models") / target), Dataset.open(Path("data/processed") / target)
    clean = [photo_row(predictor, photo, "") for photo, _ in stored(dataset)]
    yield Case("none", "", observed(IMAGE, clean))
    others = [photo_row(predictor, photo, "") for photo, _ in photographed(predictor.image_size, 200)]
    for number, fraction in enumerate(FRACTIONS if others else ()):
        mixed = [other if chosen(at, number) else clean[at % len(clean)] for at, other in enumerate(others)]
        yield Case("other scenes", f"{fraction:.0%}", observed(IMAGE, mixed))


def resample(rows: Observations, count: int, seed: int) -> Observations:
    """Draw rows: without replacement if there are enough."""
    return rows.select(np.random.default_rng(seed).choice(len(rows), count, replace=count > len(rows)))


def halved(reference: Observations, clean: Observations, size: int, seed: int) -> tuple[Observations, Observations]:
    """A reference and a window of one distribution: halves of the validation and the test rows, mixed at random."""
    of_val = np.array([split == "val" for split in reference.split])
    both = Observations.concatenate([reference.select(of_val), clean])
    order = np.random.default_rng(seed).permutation(len(both))
    half = both.select(order[: len(both) // 2]).table
    at = half.column_names.index("split")
    known = Observations(half.set_column(at, "split", pa.array(["val"] * len(half))))
    return Observations.concatenate([reference.select(~of_val), known]), both.select(order[len(both) // 2 :][:size])


def needed(reference: Observations, case: Case, repeats: int) -> tuple[str, str]:
    """The smallest window in which at least 95 % of the resamples alarm, and what they name most."""
    named: dict[str, int] = {}
    rate = 0.0
    for size in (size for size in SIZES if size <= len(case.rows)):
        found = [compare(reference, resample(case.rows, size, seed)).changed for seed in range(repeats)]
        for changed in found:
            for name in changed:
                named[name] = named.get(name, 0) + 1
        rate = sum(map(bool, found)) / repeats
        if rate >= 0.95:
            break
    most = ", ".join(sorted(named, key=lambda name: (-named[name], name))[:3])
    return (str(size) if rate >= 0.95 else f"> {size} ({rate:.0%} alarm)"), most or "–"


def by_evidently(reference: Observations, windows: Mapping[str, Sequence[Observations]]) -> dict[str, tuple[float, float]]:
    """For each list of windows: the fraction that Evidently's preset calls drifted, and that in which it calls a column drifted.

    It gets the descriptors, the label and the confidence. It has no test of embeddings.
    """
    subprocess.run(["sh", "deploy/venv.sh", str(EVIDENTLY / "requirements.lock"), str(VENV)], check=True)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "windows").mkdir()
        written = {"reference": reference}
        written |= {f"windows/{name}#{at:03}": rows for name, found in windows.items() for at, rows in enumerate(found)}
        columns = [name for name in reference.table.column_names if name.startswith("feature_") and name != "feature_bytes"]
        columns += [name for name in ("label", "confidence") if reference.table[name].null_count < len(reference)]
        for name, rows in written.items():
            pq.write_table(rows.table.select(columns), folder / f"{name}.parquet")
        command = [str(VENV / "bin/python"), str(EVIDENTLY / "preset.py"), str(folder)]
        quiet = os.environ | {"PYTHONWARNINGS": "ignore"}  # divisions by zero in SciPy
        verdicts: dict[str, list[bool]] = json.loads(subprocess.check_output(command, env=quiet, text=True))
    rates = {}
    for name in windows:
        whole, column = zip(*(verdict for key, verdict in verdicts.items() if key.rpartition("#")[0] == name), strict=True)
        rates[name] = sum(whole) / len(whole), sum(column) / len(column)
    return rates


def table(target: str, cases: Iterator[Case], repeats: int) -> list[str]:
    """The lines of a target's table."""
    reference = Observations.read([Path("models") / target / REFERENCE])
    clean, *drifted = cases
    size = min(WINDOW, len(clean.rows))
    resamples = [resample(clean.rows, size, seed) for seed in range(RESAMPLES)]
    alarms = sum(compare(reference, rows).drifted for rows in track(resamples, f"{target}: false alarms"))
    halves = (halved(reference, clean.rows, size, seed) for seed in range(RESAMPLES))
    mixed = sum(compare(*pair).drifted for pair in track(halves, f"{target}: random halves", RESAMPLES))
    windows = {case.key: [resample(case.rows, size, seed) for seed in range(repeats)] for case in drifted}
    evidently = by_evidently(reference, {clean.key: resamples, **windows})
    whole, column = evidently[clean.key]
    lines = [
        f"### {target}",
        "",
        f"False alarms in {RESAMPLES} resamples of {size} test samples: {alarms}; Evidently {whole * RESAMPLES:.0f}, and "
        f"{column * RESAMPLES:.0f} with at least one column. With random halves of validation and test samples: {mixed}.",
        "",
        f"| drift | severity | samples needed | found by | alarms in {size} | Evidently | accuracy | CBPE | ATC |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for case in [clean, *drifted]:
        estimated = compare(reference, case.rows).accuracy
        found = ("–", "–") if case is clean else needed(reference, case, repeats)
        rates = ("–", "–")
        if case is not clean:
            ours = sum(compare(reference, rows).drifted for rows in windows[case.key]) / repeats
            rates = (f"{ours:.0%}", f"{evidently[case.key][0]:.0%}, {evidently[case.key][1]:.0%}")
        known = estimated.realised if estimated.labelled == len(case.rows) else None
        numbers = ("–" if value is None else f"{value:.3f}" for value in (known, estimated.cbpe, estimated.atc))
        lines.append(f"| {case.name} | {case.severity or '–'} | {' | '.join((*found, *rates, *numbers))} |")
    return [*lines, ""]


def write(target: str, lines: list[str]) -> None:
    """Replace the section of a target in the document, or add it; drop those of targets that no longer exist."""
    before, measured = DOCUMENT.read_text(encoding="utf-8").split("<!-- measured -->\n\n")
    sections, after = measured.split("<!-- end -->")
    known, parts = composition.targets(), (part for part in sections.split("### ") if part.strip())
    kept = {name: part for part in parts if (name := part.partition("\n")[0]) in known}
    kept[target] = "\n".join(lines).removeprefix("### ") + "\n"
    made = "".join(f"### {part}" for part in kept.values())
    canonical.write_text(DOCUMENT, f"{before}<!-- measured -->\n\n{made}<!-- end -->{after}")


def main() -> None:
    """Measure all and write the document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--photos", default="petals")
    parser.add_argument("--texts", default="tweets")
    parser.add_argument("--captions", default="captions")
    known = parser.parse_args()
    parts = ((known.photos, petals), (known.texts, tweets), (known.captions, captions))
    for target, cases in parts:
        if target:
            write(target, table(target, cases(target), known.repeats))


if __name__ == "__main__":
    main()
