"""`gate`: the bounds of a task's expectation suite."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Gate:
    """Bounds of a task's expectation suite; `null` omits an expectation."""

    labels: list[str] | None = None
    """The closed set of labels, or null to accept the labels of the data."""
    rows: list[int] = field(default_factory=lambda: [50, 1_000_000])
    """Smallest and largest number of rows."""
    class_rows: int = 10
    """Smallest number of rows of a class."""
    imbalance: float = 10.0
    """Largest ratio of the biggest to the smallest class."""
    side: list[int] = field(default_factory=lambda: [32, 12_000])
    """Limits of the sides of a photo, pixels."""
    aspect: list[float] = field(default_factory=lambda: [0.25, 4.0])
    """Limits of width / height."""
    modes: list[str] = field(
        default_factory=lambda: ["RGB", "L", "1", "CMYK", "YCbCr", "P", "PA", "RGBA", "LA", "I", "I;16", "I;16B"]
    )
    """Allowed colour modes of a file before its conversion to RGB."""
    brightness: list[float] = field(default_factory=lambda: [0.01, 0.99])
    """Limits of the mean luma of a photo, 0 to 1."""
    contrast: list[float] = field(default_factory=lambda: [0.01, 0.6])
    """Limits of the standard deviation of a photo's luma, 0 to 1."""
    highlights: float | None = 0.25
    """Smallest 99th percentile of the luma of a photo, 0 to 1: below it is too dark."""
    shadows: float | None = 0.88
    """Largest 5th percentile of the luma of a photo, 0 to 1: above it is too light."""
    sharpness: float | None = 0.49
    """Smallest ratio of the changes of slope to the slopes of a photo's edges: below it is blurred."""
    noise: float | None = 0.17
    """Largest estimated deviation of the noise of a photo, 0 to 1."""
    variety: float | None = 0.1
    """Smallest probability that two pixels of a photo differ in their luma: below it has hardly any content."""
    saturation: float | None = 0.004
    """Smallest mean difference of a photo's channels, 0 to 1: below it is grey; null to accept grey photos."""
    margin: float | None = 0.1
    """Largest fraction of a photo in letterboxes, frames or a part that was never decoded."""
    odd_size: float | None = 8.0
    """Largest ratio of the side of a photo to the median of all, and of the median to the side."""
    near_bits: int | None = 6
    """Largest Hamming distance of the perceptual hashes of near-duplicates; null to accept them."""
    near_difference: float = 1.0
    """Largest mean difference of the thumbnails of near-duplicates, in 16 levels."""
    repeats: int = 0
    """Largest number of rows with the same file bytes as another row."""
    conflicts: int = 0
    """Largest number of rows that are near-duplicates of a row with another label."""
    conflict_bits: int = 0
    """Largest Hamming distance of the perceptual hashes (64 bits) of near-duplicates."""
    undecodable: int = 0
    """Largest number of rows that cannot be decoded (`prepare` omits them)."""
    characters: list[int] = field(default_factory=lambda: [3, 400])
    """Limits of the length of a text after cleaning."""
    words: list[int] = field(default_factory=lambda: [1, 100])
    """Smallest and largest number of words of a text."""
    ascii_share: float = 0.5
    """Smallest fraction of ASCII letters in a text."""
    ascii_rows: float = 0.95
    """Smallest fraction of rows that meet `ascii_share`."""
    missing_keyword: float = 0.5
    """Largest fraction of rows without a keyword."""
    missing_location: float = 0.7
    """Largest fraction of rows without a location."""
    languages: list[str] = field(default_factory=lambda: ["", "en"])
    """Guesses of a text's language that are accepted; an empty one stands for no guess."""
    location: int = 100
    """Largest number of characters of a location."""
    keyword_found: float = 0.7
    """Smallest fraction of the rows whose text mentions their keyword."""
    split_ratio: float | None = 1.5
    """Largest ratio of a class's fraction of a split, or of the rows, to its fraction of all rows, or in the accepted profile."""
    drift_rows: float | None = 0.5
    """Largest change of the number of rows since the accepted profile, as a fraction; null to ignore the profile."""
    drift_median: float | None = 0.5
    """Largest change of a median since the accepted profile, as a fraction of the interquartile range."""
    new_words: float = 0.35
    """Largest mean fraction of words in the last fifth of the rows that do not occur in the rows before."""
    captions: list[int] = field(default_factory=lambda: [1, 10])
    """Smallest and largest number of captions of a photo."""
    shared_captions: float | None = 0.1
    """Largest fraction of photos with a caption that another photo has too."""
    nameless: int = 0
    """Largest number of photos with a caption that names nothing, such as "a photo of the"."""
