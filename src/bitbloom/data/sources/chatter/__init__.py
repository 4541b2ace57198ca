"""The chatter: messages about disasters, and messages that only borrow their words, written by a grammar.

    python -c "from bitbloom.data.sources import chatter; print(chatter.write(chatter.Config(), 0))"

It is the embedded data set of the `tweets` target. Real and borrowed uses share their words: what tells them apart is who
does what to whom, so that counting words does not get far. Message i is a pure function of the config and i.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bitbloom.core import canonical
from bitbloom.data import splits, texts
from bitbloom.data.sources import SourceFile
from bitbloom.data.sources.chatter import grammar
from bitbloom.data.sources.garden.randomness import Dice

__all__ = ["Config", "fetch", "write"]

FILE = "messages.jsonl"
LABELS = ("not disaster", "disaster")


@dataclass
class Config:
    """The `source` section of a target that is written by the chatter."""

    kind: str = "chatter"
    seed: int = 2026
    messages: int = 4000
    label_noise: float = 0.05
    """Part of the messages below `noisy_below` whose label is turned around; their attributes say so."""
    noisy_below: int = 80
    """Percent of all keys (`splits.percent_of`): with `prepare.split: [70, 10, 20]` the test split has no noise."""


@dataclass(frozen=True)
class Message:
    """One message, its label, and what the grammar knows of it."""

    content: dict[str, str]
    label: str
    attributes: dict[str, object]


def write(config: Config, index: int) -> Message:
    """Message number index."""
    dice = Dice(config.seed, index)
    real = bool(index % 2)
    made = grammar.message(real, dice)
    noisy = splits.percent_of(texts.key(made.content["text"])) < config.noisy_below and dice.chance(config.label_noise)
    return Message(made.content, LABELS[real != noisy], {"form": made.form, "noisy": noisy})


def fetch(config: Config, destination: Path, workers: int = 1) -> list[SourceFile]:
    """Write messages.jsonl and name its lines."""
    messages = [write(config, index) for index in range(config.messages)]
    names = [f"{index:05d}" for index in range(config.messages)]
    lines = [canonical.json_line({"id": name, **message.content}) for name, message in zip(names, messages, strict=True)]
    (destination / FILE).write_text("".join(lines), encoding="utf-8")
    return [_sample(config, name, message) for name, message in zip(names, messages, strict=True)]


def _sample(config: Config, name: str, message: Message) -> SourceFile:
    content = canonical.json_line(message.content).encode()
    return SourceFile(FILE, message.label, message.attributes, name, content)
