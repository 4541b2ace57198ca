"""Measure `bitbloom drift`: false alarms, samples needed for each kind of drift, and the error of the estimated accuracy.

    python benchmarks/drift.py --photos ''     # without petals; likewise --texts '' and --captions ''
    python benchmarks/drift.py                 # writes the tables into docs/drift.md; needs built petals and tweets
    BITBLOOM_PHOTOS=flowers.tar python benchmarks/drift.py --repeats 20

A run that was stopped goes on where it ended: `.bitbloom/drift-benchmark/` has what was measured with the same models, photos,
options and code. The tables are printed, too.

Evidently's preset gets the same rows: as columns, without the embeddings, for which it has no test. File sizes are left out:
re-encoding alone would change them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

import page_tables
from bitbloom.core import canonical
from bitbloom.core.digests import digest, listing_digest
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
RECORDS = Path(".bitbloom/drift-benchmark")
SEVERITIES = ("weak", "middle", "strong")


@dataclass(frozen=True)
class Case:
    """A kind of drift with a severity, and what makes its rows when they are needed."""

    name: str
    severity: str
    make: Callable[[], Observations]

    @cached_property
    def rows(self) -> Observations:
        """Its rows."""
        return self.make()

    @property
    def key(self) -> str:
        """Its name as that of a file."""
        return re.sub(r"\W+", "-", f"{self.name} {self.severity}")


class Record:
    """What is measured of a target, by name, in a file that a later run reads."""

    def __init__(self, target: str, repeats: int) -> None:
        """Open the record of these models, photos, options and code."""
        read = [Path(f"src/bitbloom/{room}") for room in ("drift", "data/descriptors")]
        read += [Path("models") / target, Path("data/processed") / target]
        read += [EVIDENTLY, Path(__file__), Path(__file__).with_name("drift_cases.py")]
        read += [Path(address)] if (address := os.environ.get("BITBLOOM_PHOTOS")) else []
        digests = {str(number): digest(path) for number, path in enumerate(read)} | {"repeats": str(repeats)}
        self.path = RECORDS / f"{target}-{listing_digest(digests)[:12]}.json"
        self.known: dict[str, Any] = canonical.read_json(self.path) if self.path.exists() else {}

    def of(self, name: str, measure: Callable[[], Any]) -> Any:
        """What `measure` returns, as JSON; from an earlier run if it is there."""
        if name not in self.known:
            self.known[name] = measure()
            canonical.write_json(self.path, self.known)
        return self.known[name]


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
    yield Case("none", "", lambda: observed(IMAGE, clean))

    def changed(title: str, change: Callable[[Image.Image, int], Image.Image], number: int) -> Observations:
        return observed(IMAGE, [photo_row(predictor, change(photo, number), label) for photo, label in track(known, title)])

    for name, change in PHOTOS.items():
        for number, severity in enumerate(SEVERITIES):
            yield Case(name, severity, partial(changed, f"{target}: {name}, {severity}", change, number))
    labels = sorted({label for _, label in known})
    for gone in (1, 3, 6):
        kept = [row for row, (_, label) in zip(clean, known, strict=True) if label not in labels[:gone]]
        yield Case("missing classes", f"{gone} of {len(labels)}", partial(observed, IMAGE, kept))
    others = [photo_row(predictor, photo, label) for photo, label in photographed(predictor.image_size, len(clean))]
    for number, fraction in enumerate(FRACTIONS if others else ()):
        mixed = [other if chosen(at, number) else row for at, (row, other) in enumerate(zip(clean, others, strict=False))]
        name = "other photographers' flowers" if fraction == 1 else "new classes"
        yield Case(name, f"{fraction:.0%}", partial(observed, IMAGE, mixed))


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

    def changed(title: str, change: Callable[[str, int, int], str], number: int) -> Observations:
        rows = enumerate(track(known, title))
        return observed(TEXT, [row(change(words, at, number), *rest) for at, (words, *rest) in rows])

    yield Case("none", "", lambda: observed(TEXT, [row(*one) for one in track(known, f"{target}: none")]))
    for name, change in TEXTS.items():
        for number, severity in enumerate(SEVERITIES):
            yield Case(name, severity, partial(changed, f"{target}: {name}, {severity}", change, number))


def captions(target: str) -> Iterator[Case]:
    """Other scenes for a model of captions."""
    predictor, dataset = CaptionPredictor.open(Path("models") / target), Dataset.open(Path("data/processed") / target)
    clean = [photo_row(predictor, photo, "") for photo, _ in stored(dataset)]
    yield Case("none", "", lambda: observed(IMAGE, clean))
    others = [photo_row(predictor, photo, "") for photo, _ in photographed(predictor.image_size, 200)]
    for number, fraction in enumerate(FRACTIONS if others else ()):
        mixed = [other if chosen(at, number) else clean[at % len(clean)] for at, other in enumerate(others)]
        yield Case("other scenes", f"{fraction:.0%}", partial(observed, IMAGE, mixed))


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


def by_evidently(reference: Observations, windows: Sequence[Observations]) -> tuple[float, float]:
    """The fraction of windows that Evidently's preset calls drifted, and that in which it calls a column drifted.

    It gets the descriptors, the label and the confidence. It has no test of embeddings.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "windows").mkdir()
        written = {"reference": reference} | {f"windows/{at:03}": rows for at, rows in enumerate(windows)}
        columns = [name for name in reference.table.column_names if name.startswith("feature_") and name != "feature_bytes"]
        columns += [name for name in ("label", "confidence") if reference.table[name].null_count < len(reference)]
        for name, rows in written.items():
            pq.write_table(rows.table.select(columns), folder / f"{name}.parquet")
        command = [str(VENV / "bin/python"), str(EVIDENTLY / "preset.py"), str(folder)]
        quiet = os.environ | {"PYTHONWARNINGS": "ignore"}  # divisions by zero in SciPy
        verdicts: dict[str, list[bool]] = json.loads(subprocess.check_output(command, env=quiet, text=True))
    whole, column = zip(*verdicts.values(), strict=True)
    return sum(whole) / len(whole), sum(column) / len(column)


def alarms(target: str, reference: Observations, clean: Observations, pool: Executor) -> str:
    """The sentence on false alarms."""
    size = min(WINDOW, len(clean))
    resamples = [resample(clean, size, seed) for seed in range(RESAMPLES)]
    evidently = pool.submit(by_evidently, reference, resamples)
    found = sum(compare(reference, rows).drifted for rows in track(resamples, f"{target}: false alarms"))
    halves = (halved(reference, clean, size, seed) for seed in range(RESAMPLES))
    mixed = sum(compare(*pair).drifted for pair in track(halves, f"{target}: random halves", RESAMPLES))
    whole, column = evidently.result()
    return (
        f"False alarms in {RESAMPLES} resamples of {size} test samples: {found}; Evidently {whole * RESAMPLES:.0f}, and "
        f"{column * RESAMPLES:.0f} with at least one column. With random halves of validation and test samples: {mixed}."
    )


def detected(reference: Observations, case: Case, size: int, repeats: int, pool: Executor) -> list[str]:
    """The cells of a case: samples needed, what finds it, alarms in windows of `size` rows, ours and Evidently's."""
    windows = [resample(case.rows, size, seed) for seed in range(repeats)]
    evidently = pool.submit(by_evidently, reference, windows)  # beside ours, on the other core
    found = needed(reference, case, repeats)
    ours = sum(compare(reference, rows).drifted for rows in windows) / repeats
    whole, column = evidently.result()
    return [*found, f"{ours:.0%}", f"{whole:.0%}, {column:.0%}"]


def estimated(reference: Observations, rows: Observations) -> list[str]:
    """The cells of the accuracy: realised, by CBPE, by ATC."""
    found = compare(reference, rows).accuracy
    realised = found.realised if found.labelled == len(rows) else None
    return ["–" if value is None else f"{value:.3f}" for value in (realised, found.cbpe, found.atc)]


def table(target: str, cases: Iterator[Case], repeats: int) -> list[str]:
    """The lines of a target's table."""
    reference, record = Observations.read([Path("models") / target / REFERENCE]), Record(target, repeats)
    clean, size = next(cases), 0
    with ThreadPoolExecutor(1) as pool:
        sentence = record.of("false alarms", lambda: alarms(target, reference, clean.rows, pool))
        lines = [["none", *"–" * 5, *record.of("none", lambda: estimated(reference, clean.rows))]]
        size = min(WINDOW, int(record.of("test samples", lambda: len(clean.rows))))
        for case in cases:
            cells = record.of(case.key, lambda: detected(reference, case, size, repeats, pool) + estimated(reference, case.rows))  # noqa: B023
            lines.append([case.name, case.severity, *cells])
            print(f"{target}: {case.name}, {case.severity}: {cells[0]}", file=sys.stderr, flush=True)
    head = ["drift", "severity", "samples needed", "found by", f"alarms in {size}", "Evidently", "accuracy", "CBPE", "ATC"]
    return [f"### {target}", "", sentence, "", *page_tables.table(head, lines).splitlines(), ""]


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
    subprocess.run(["sh", "deploy/venv.sh", str(EVIDENTLY / "requirements.lock"), str(VENV)], check=True)
    parts = ((known.photos, petals), (known.texts, tweets), (known.captions, captions))
    for target, cases in parts:
        if target:
            lines = table(target, cases(target), known.repeats)
            print("\n".join(lines))
            write(target, lines)


if __name__ == "__main__":
    main()
