"""`gate`: the bounds that a task's expectation suite is filled in with."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Gate:
    """Bounds a task's expectation suite is filled in with; `null` leaves an expectation out."""

    labels: list[str] | None = None
    """The closed set of labels, or null when the data declares them."""
    rows: list[int] = field(default_factory=lambda: [50, 1_000_000])
    """Fewest and most rows."""
    class_rows: int = 10
    """Fewest rows of a class."""
    imbalance: float = 10.0
    """Largest ratio of the biggest to the smallest class."""
    side: list[int] = field(default_factory=lambda: [32, 12_000])
    """Shortest and longest side of a photo, pixels."""
    aspect: list[float] = field(default_factory=lambda: [0.25, 4.0])
    """Width over height."""
    modes: list[str] = field(
        default_factory=lambda: ["RGB", "L", "1", "CMYK", "YCbCr", "P", "PA", "RGBA", "LA", "I", "I;16", "I;16B"]
    )
    """Colour modes a file may have before it is converted to RGB."""
    brightness: list[float] = field(default_factory=lambda: [0.01, 0.99])
    """Mean luma of a photo, 0 to 1."""
    contrast: list[float] = field(default_factory=lambda: [0.01, 0.6])
    """Standard deviation of the luma of a photo, 0 to 1."""
    repeats: int = 0
    """Most rows whose file bytes repeat another row's."""
    conflicts: int = 0
    """Most rows that are near-duplicates of a row with another label."""
    conflict_bits: int = 0
    """Largest Hamming distance of two perceptual hashes (of 64 bits) that makes near-duplicates."""
    undecodable: int = 0
    """Most rows that may fail to decode (they are left out by `prepare`)."""
    characters: list[int] = field(default_factory=lambda: [3, 400])
    """Shortest and longest text after cleaning."""
    words: list[int] = field(default_factory=lambda: [1, 100])
    """Fewest and most words of a text."""
    ascii_share: float = 0.5
    """Smallest part of a text's letters that are ASCII; of so large a part of rows: `ascii_rows`."""
    ascii_rows: float = 0.95
    missing_keyword: float = 0.5
    """Largest part of rows without a keyword."""
    missing_location: float = 0.7
    """Largest part of rows without a location."""
    new_words: float = 0.35
    """Largest part of words, on average, in the last fifth of the rows that the rows before lack."""
    captions: list[int] = field(default_factory=lambda: [1, 10])
    """Fewest and most sentences of a photo."""
    shared_captions: float | None = 0.1
    """Largest part of photos with a sentence that another photo has too."""
    nameless: int = 0
    """Most photos with a sentence that names nothing, such as "a photo of the"."""
