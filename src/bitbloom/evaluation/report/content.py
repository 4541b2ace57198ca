"""The content of the report and the model card, collected and formatted once: both pages show the same numbers."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bitbloom.config.sections.dataset import Dataset as Provenance

TEMPLATES = Path(__file__).parent / "templates"

GAP = "mean absolute gap of accuracy and confidence by bin of confidence, weighted by samples"
"""The expected calibration error."""
METRICS: dict[str, tuple[str, str]] = {
    "f1": ("F1", "harmonic mean of precision and recall of the positive class"),
    "tfidf_f1": ("F1 of counted words", "TF-IDF with logistic regression on the same samples"),
    "accuracy": ("Accuracy", "fraction of correct predictions"),
    "top5_accuracy": ("Top-5 accuracy", "the true class is among the five likeliest"),
    "macro_f1": ("Macro F1", "unweighted mean of the F1 of all classes"),
    "log_loss": ("Log loss", "negative log likelihood of the true class; 0 is certain and correct"),
    "expected_calibration_error": ("Calibration error", GAP),
    "cider_d": ("CIDEr-D", "n-grams shared with the reference sentences, weighted by TF-IDF; at most 10"),
    "bleu_4": ("BLEU-4", "n-grams of up to four words that reference sentences contain"),
    "rouge_l": ("ROUGE-L", "longest common subsequence with the reference sentences"),
    "attribute_accuracy": ("All attributes right", "sentences with the correct species, colour and number"),
    "i2t_recall_at_1": ("Photo to sentence", "the first sentence is correct"),
    "t2i_recall_at_1": ("Sentence to photo", "the first photo is correct"),
    "i2t_median_rank": ("Photo to sentence, median rank", "rank of the first correct sentence"),
    "t2i_median_rank": ("Sentence to photo, median rank", "rank of the first correct photo"),
}
"""Metric → its name and its meaning. Other metrics are shown under their key."""
DETAILS: dict[str, tuple[str, str]] = {
    "temperature": ("Temperature", "divides the logits, so that confidence matches accuracy; chosen on the validation split"),
    "uncalibrated_error": ("Calibration error without it", GAP),
    "bleu_1": ("BLEU-1", "single words that reference sentences contain"),
    "bleu_2": ("BLEU-2", "up to two words in a row"),
    "bleu_3": ("BLEU-3", "up to three words in a row"),
    "greedy_cider_d": ("CIDEr-D without beam search", "greedy decoding"),
    "nn_cider_d": ("CIDEr-D of the nearest photo's sentence", "copied from the most similar training photo"),
    "species_accuracy": ("Species accuracy", "sentences with the correct species"),
    "colour_accuracy": ("Colour accuracy", "sentences with the correct colour"),
    "count_accuracy": ("Number accuracy", "sentences with the correct number"),
    "i2t_recall_at_5": ("Photo to sentence, first 5", "a correct sentence is among them"),
    "i2t_recall_at_10": ("Photo to sentence, first 10", "a correct sentence is among them"),
    "t2i_recall_at_5": ("Sentence to photo, first 5", "a correct photo is among them"),
    "t2i_recall_at_10": ("Sentence to photo, first 10", "a correct photo is among them"),
    "chance_i2t_recall_at_1": ("Photo to sentence, by chance", "sentences in any order"),
    "chance_i2t_recall_at_5": ("Photo to sentence, first 5, by chance", "sentences in any order"),
    "chance_i2t_recall_at_10": ("Photo to sentence, first 10, by chance", "sentences in any order"),
    "chance_t2i_recall_at_1": ("Sentence to photo, by chance", "photos in any order"),
    "chance_t2i_recall_at_5": ("Sentence to photo, first 5, by chance", "photos in any order"),
    "chance_t2i_recall_at_10": ("Sentence to photo, first 10, by chance", "photos in any order"),
    "distinct_words": ("Different words", "in all generated sentences"),
    "distinct_share": ("Different sentences", "fraction of the generated ones"),
    "seen_share": ("Sentences seen in training", "word for word"),
}
"""As METRICS, for a table below the headlines. Baselines are in a separate comparison."""
FRACTIONS = ("accuracy", "f1", "recall", "precision", "share")
"""Endings of the keys of metrics between 0 and 1, which are shown in percent. Recalls among the first results are, too."""
COMPARED = {
    "accuracy": (
        "accuracy",
        "Accuracy on the same samples. The other rows are simple rules, which a model has to exceed by far.",
    ),
    "cider_d": (
        "CIDEr-D",
        "CIDEr-D on the same samples. The other rows repeat a sentence of the training data.",
    ),
}
"""Metric by which a model is compared with its baselines → its name, and an explanation. The first existing metric counts."""

TOP = 5
BEST = "best"
"""Value of `kept` in training.json."""
LISTED = 120
"""Largest number of classes in a list or a table; `tables/per_class.json` has all."""

HASHED = "A sample's split is the hash of its own content, or of the group that its source says it belongs to."
"""The law of splits that no source gives."""
HEADINGS = {
    "contact_sheet": "The data",
    "curves": "Training",
    "confusion": "Confusion matrix",
    "recall": "Class by class",
    "reliability": "Calibration",
    "slices": "Slices",
    "mistakes": "Worst mistakes",
    "captions_sheet": "Generated sentences",
    "retrieval": "Retrieval",
    "search": "Searching with a sentence",
}
"""Figure → heading of its section. The heading of another figure is its name."""


@dataclass(frozen=True)
class Picture:
    """A written figure: `stem` of its file, `kind` as in `style`, `narrow` a PNG for narrow windows."""

    stem: str
    caption: str
    kind: str
    png: bytes
    narrow: bytes | None = None

    @property
    def heading(self) -> str:
        return HEADINGS.get(self.stem, sentence(self.stem))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return pixels(self.png)


@dataclass(frozen=True)
class Headline:
    """One number of the top of the report. `interval` is its 95 % interval in words, or empty."""

    name: str
    text: str
    hint: str
    interval: str


@dataclass(frozen=True)
class Compared:
    """This model (`ours`) or one of its baselines: the formatted number, and the length of its bar, 0 to 1."""

    name: str
    text: str
    length: float
    ours: bool


@dataclass(frozen=True)
class Comparison:
    """A metric's name, an explanation of its baselines, and a row for each, the best first."""

    metric: str
    hint: str
    rows: list[Compared]


@dataclass(frozen=True)
class Leak:
    """The number of pairs of near-duplicates in two splits that the source gives; the samples in the lower one are excluded."""

    lower: str
    higher: str
    pairs: int


@dataclass(frozen=True)
class DataFacts:
    """What the dataset card says of the data besides the other content.

    Attributes:
        provenance: the section `dataset`.
        classes: for each label its name, and the numbers of included samples of each split (training, validation, test).
        excluded: the reason of each excluded sample, by its id.
        arrays: name of an array → shape and type.
        given: split → number of samples, excluded ones too, that the source puts into it.
        leaks: near-duplicates between these splits.
    """

    provenance: Provenance
    classes: Sequence[tuple[str, tuple[int, ...]]] = ()
    excluded: Sequence[tuple[str, str]] = ()
    arrays: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, int] = field(default_factory=dict)
    leaks: Sequence[Leak] = ()

    @property
    def task_category(self) -> str:
        """The name of the task on Hugging Face, by the arrays: photos with labels or with words, or texts with labels."""
        if "labels" not in self.arrays:
            return "image-to-text"
        return "image-classification" if "images" in self.arrays else "text-classification"


@dataclass(frozen=True)
class Content:
    """One evaluated target.

    Attributes:
        metrics: all numbers of the evaluation.
        tables: name → rows.
        history: the content of training.json.
        model: the `model` section the weights were trained with.
        splits: split → number of samples, and `excluded`.
        gate: the content of validation.json, or None without one.
        digests: path relative to the workspace → SHA-256 of the evaluated files.
        data: what the dataset card says besides; None for no dataset card.
    """

    target: str
    task: str
    title: str
    source: str
    profile: str
    metrics: Mapping[str, Any]
    pictures: list[Picture]
    tables: Mapping[str, list[dict[str, Any]]]
    history: Mapping[str, Any]
    model: Mapping[str, Any]
    splits: Mapping[str, int]
    gate: Mapping[str, Any] | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    data: DataFacts | None = None

    @property
    def split_law(self) -> str:
        """How samples are split, in words."""
        if self.data is None or not self.data.given:
            return HASHED
        named = [f"{name} ({count:,})" for name, count in self.data.given.items()]
        lacking = [name for name in self.splits if name in ("training", "validation", "test") and name not in self.data.given]
        words = [f"The source gives the splits {_listed(named)}, in samples before exclusion."]
        if lacking:
            words.append(f"It gives no {_listed(lacking)} split: that comes from the training split, by the hash of the content.")
        if sum(self.data.given.values()) < sum(self.splits.values()):
            words.append("A sample without a given split is split by the hash of its own content.")
        return " ".join(words)

    @property
    def leaks(self) -> str:
        """What was found between the splits that the source gives, in words; empty without such splits."""
        if self.data is None or not self.data.given:
            return ""
        pairs = [f"{one.pairs:,} of {one.lower} and {one.higher}" for one in self.data.leaks]
        if not pairs:
            return "No near-duplicates are in two of the splits that the source gives."
        return f"Pairs of near-duplicates in two splits that the source gives: {_listed(pairs)}. The lower split is without them."

    @property
    def name(self) -> str:
        """The title, or the target's name without one."""
        return self.title or self.target

    @property
    def settings(self) -> list[tuple[str, str]]:
        """The settings of the model as text, sorted; those of a part have the part's name in front."""
        return sorted(_settings(self.model), key=lambda row: row[0].lower())

    @property
    def weights(self) -> list[str]:
        """The pretrained weights that the model and its parts start from."""
        return [spec for key, spec in self.settings if key.split()[-1] == "weights" and spec != "none"]

    @property
    def kept(self) -> str:
        """The kept epoch in words; empty when `history` does not say. The best one counts only if it is kept."""
        kept = str(self.history.get("kept", ""))
        return f"{kept}, {self.history['best_epoch']}" if kept == BEST and "best_epoch" in self.history else kept

    @property
    def scalars(self) -> dict[str, float]:
        """The content of metrics.json: the headlines and the number of samples, few enough for a row of `dvc exp show`."""
        return {key: value for key, value in self.metrics.items() if isinstance(value, int | float) and key not in DETAILS}

    @property
    def number_tables(self) -> dict[str, list[dict[str, Any]]]:
        """File stem → rows: every number with its 95 % interval, and the baselines."""
        intervals = self.metrics.get("confidence_intervals", {})
        rows: list[dict[str, Any]] = []
        for key, value in self.metrics.items():
            if isinstance(value, int | float):
                low, high = intervals.get(key, (None, None))
                rows.append({"metric": key, "value": value, "low": low, "high": high})
        baselines = [{"baseline": name, **found} for name, found in self.metrics.get("baselines", {}).items()]
        return {"numbers": rows, "baselines": baselines}

    @property
    def headlines(self) -> list[Headline]:
        """The numbers at the top level of the metrics, the known ones first. At most five classes have no top-5 accuracy."""
        keys = [key for key, value in self.metrics.items() if isinstance(value, float) and key not in DETAILS]
        if len(self.metrics.get("per_class", {})) <= TOP:
            keys = [key for key in keys if key != "top5_accuracy"]
        keys.sort(key=lambda key: (list(METRICS).index(key) if key in METRICS else len(METRICS), key))
        return [self._headline(key, *METRICS.get(key, (sentence(key), ""))) for key in keys]

    @property
    def details(self) -> list[Headline]:
        """The metrics of DETAILS."""
        return [self._headline(key, name, hint) for key, (name, hint) in DETAILS.items() if key in self.metrics]

    def _headline(self, key: str, name: str, hint: str) -> Headline:
        bounds = self.metrics.get("confidence_intervals", {}).get(key)
        interval = f"{number(key, bounds[0])} to {number(key, bounds[1])}" if bounds else ""
        return Headline(name, number(key, self.metrics[key]), hint, interval)

    @property
    def comparison(self) -> Comparison | None:
        """This model and its baselines, or None without baselines."""
        baselines, key = self.metrics.get("baselines", {}), next((key for key in COMPARED if key in self.metrics), "")
        if not baselines or not key:
            return None
        rows = [("this model", float(self.metrics[key]), True)]
        rows += [(sentence(name).lower(), float(found[key]), False) for name, found in baselines.items()]
        rows.sort(key=lambda row: (-row[1], row[0]))
        whole = 1.0 if key.endswith(FRACTIONS) else rows[0][1] or 1.0
        bars = [Compared(name, number(key, value), value / whole, ours) for name, value, ours in rows]
        return Comparison(*COMPARED[key], bars)

    @property
    def classes(self) -> list[dict[str, Any]]:
        """Rows of `per_class`, the worst recall first; of more than LISTED classes, those without test samples last."""
        rows = [{"class": name, **row} for name, row in self.metrics.get("per_class", {}).items()]
        rows.sort(key=lambda row: (row["recall"], row["class"]))
        return sorted(rows, key=lambda row: row["support"] == 0) if len(rows) > LISTED else rows

    @property
    def unlisted(self) -> int:
        """Number of classes that lists and tables leave out."""
        return max(0, len(self.metrics.get("per_class", {})) - LISTED)


def _listed(names: Sequence[str]) -> str:
    """`a`, `a and b`, or `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _settings(section: Mapping[str, Any], part: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, Mapping):
            yield from _settings(value, f"{part}{key} ")
        else:
            yield f"{part}{key}", ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def pixels(png: bytes) -> tuple[int, int]:
    """Width and height of an image in pixels, from the header of its PNG."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def sentence(key: str) -> str:
    """`nearest_mean_colour` → `Nearest mean colour`."""
    words = key.replace("_", " ")
    return words[:1].upper() + words[1:]


def number(key: str, value: float) -> str:
    """A metric's value, formatted for people."""
    if isinstance(value, int) or key.endswith("_rank"):
        return f"{value:g}"
    return percent(value) if key.endswith(FRACTIONS) or "_recall_at_" in key else f"{value:.3f}"


def percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def grouped(value: int) -> str:
    """2712345 → `2,712,345`."""
    return f"{value:,}"
