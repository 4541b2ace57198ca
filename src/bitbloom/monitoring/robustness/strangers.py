"""Inputs of no known class: the user's own photos or lines, or synthetic ones.

Synthetic photos show things of straight lines: walls, windows, boxes, wires, signs, and empty backgrounds. Synthetic texts are in
other languages or are no sentences. Both are pure functions of their number.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bitbloom.core.errors import BitBloomError, UnreadableImage
from bitbloom.data import clutter, imaging
from bitbloom.data.dataset import Dataset
from bitbloom.data.sources.garden.randomness import Dice
from bitbloom.monitoring.robustness.subject import encode, spread

if TYPE_CHECKING:
    from bitbloom.monitoring.robustness.subject import Subject

COUNT = 300
"""Synthetic inputs, and largest number of the user's own ones."""
SEED = 20_262
Draw = Callable[[ImageDraw.ImageDraw, int, Dice], None]
LINES = (
    "el mercado abre a las nueve y cierra tarde", "la reunión de mañana empieza sin el director",
    "le train de huit heures part du quai numéro deux", "il faut deux œufs et un peu de sucre pour la pâte",
    "der Vertrag gilt ab dem ersten Januar nächsten Jahres", "die Brötchen sind heute leider schon ausverkauft",
    "o jogo de ontem terminou empatado no último minuto", "la ricetta richiede farina, lievito e molta pazienza",
    "свежий хлеб привозят в магазин каждое утро", "会議は午後三時に始まります", "今天的天气非常好", "اجتماع الفريق غدا في الصباح",
    "SELECT name, price FROM orders WHERE price > 100", "def area(width, height): return width * height",
    "<div class='box'><a href='#top'>back</a></div>", "error 0x80070057 at line 12, column 4: unexpected token",
    "lorem ipsum dolor sit amet consectetur adipiscing elit", "qwerty asdf zxcv uiop hjkl vbnm",
    "3.14159 2.71828 1.41421 1.61803 0.57721", "ISBN 978-3-16-148410-0, 412 pages, hardcover",
)  # fmt: skip
"""Texts of no known class; a number at the end makes each synthetic text a different one."""


def of(subject: Subject, source: Path | None) -> Dataset:
    """Unknown inputs for a model: those of a folder of photos or a file of lines, or synthetic ones without a source.

    Raises:
        BitBloomError: the source has no photo, or no text.
    """
    if subject.kind == "text":
        return _texts(subject, _lines(source) if source else [f"{LINES[n % len(LINES)]} {n // len(LINES)}" for n in range(COUNT)])
    side = subject.test.arrays["images"].shape[-1]
    return _photos(subject, _files(source, side) if source else np.stack([draw(number, side) for number in range(COUNT)]))


def _photos(subject: Subject, images: NDArray[np.uint8]) -> Dataset:
    """A data set of photos [n, 3, S, S], whose other arrays repeat those of test samples and mean nothing."""
    positions = np.resize(np.arange(len(subject.test.samples)), len(images))
    arrays = {name: array for name, array in subject.test.take(positions).items() if name != "places"}
    return Dataset(arrays | {"images": images}, subject.test.samples.iloc[positions].reset_index(drop=True), subject.test.meta)


def _texts(subject: Subject, given: list[str]) -> Dataset:
    rows, lengths = encode(subject.test.meta, subject.test.arrays["tokens"].shape[1], given)
    positions = np.resize(np.arange(len(subject.test.samples)), len(given))
    arrays = subject.test.take(positions) | {"tokens": rows, "lengths": lengths}
    return Dataset(arrays, subject.test.samples.iloc[positions].reset_index(drop=True), subject.test.meta)


def _files(folder: Path, side: int) -> NDArray[np.uint8]:
    """Up to COUNT photos below a folder, evenly spread over the sorted names; files that are no photos are left out."""
    if not folder.is_dir():
        raise BitBloomError(f"{folder} is not a folder: --unknown names one with photos of no known class")
    files = list(clutter.walk(folder))
    found = []
    for position in spread(np.arange(len(files)), COUNT).tolist():
        try:
            found.append(imaging.square(files[position].read_bytes(), side))
        except UnreadableImage:
            continue
    if not found:
        raise BitBloomError(f"{folder} has no photo: --unknown names a folder with photos of no known class")
    return np.stack(found)


def _lines(file: Path) -> list[str]:
    if not file.is_file():
        raise BitBloomError(f"{file} is not a file: --unknown names a file with a text of no known class on each line")
    lines = [line for line in file.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    if not lines:
        raise BitBloomError(f"{file} has no text: --unknown names a file with a text of no known class on each line")
    return [lines[position] for position in spread(np.arange(len(lines)), COUNT).tolist()]


def draw(number: int, side: int) -> NDArray[np.uint8]:
    """Draw photo `number`, [3, side, side]: one of SCENES before two shaded colours, with some noise."""
    dice, large = Dice(SEED, number), 3 * side
    top, bottom = _colour(dice), _colour(dice)
    rows = np.linspace(top, bottom, large)[:, None].repeat(large, axis=1)
    image = Image.fromarray(rows.round().astype(np.uint8))
    SCENES[number % len(SCENES)](ImageDraw.Draw(image), large, dice)
    noise = dice.integer(0, 12)
    small = np.asarray(image.resize((side, side), Image.Resampling.BOX)).astype(np.int64)
    noisy = small + dice.bytes(noise + 1, small.shape).astype(np.int64) - noise // 2
    return np.ascontiguousarray(noisy.clip(0, 255).astype(np.uint8).transpose(2, 0, 1))


def _colour(dice: Dice) -> tuple[int, int, int]:
    return dice.integer(0, 255), dice.integer(0, 255), dice.integer(0, 255)


def _walls(canvas: ImageDraw.ImageDraw, side: int, dice: Dice) -> None:
    """Bricks in rows."""
    height, width = side // dice.integer(5, 10), side // dice.integer(3, 6)
    for row, y in enumerate(range(0, side, height)):
        for x in range(-width, side, width):
            left = x + row % 2 * width // 2
            shade = dice.integer(110, 190)
            canvas.rectangle((left, y, left + width - 3, y + height - 3), fill=(shade, shade * 5 // 9, shade * 4 // 9))


def _windows(canvas: ImageDraw.ImageDraw, side: int, dice: Dice) -> None:
    """A house front with rows of windows."""
    count = dice.integer(2, 5)
    cell, light = side // count, _colour(dice)
    for x in range(0, side, cell):
        for y in range(0, side, cell):
            canvas.rectangle(
                (x + cell // 4, y + cell // 5, x + 3 * cell // 4, y + 4 * cell // 5), fill=light, outline="black", width=3
            )


def _boxes(canvas: ImageDraw.ImageDraw, side: int, dice: Dice) -> None:
    """Boxes before each other."""
    for _ in range(dice.integer(2, 7)):
        x, y, size = dice.integer(0, side), dice.integer(0, side), dice.integer(side // 8, side // 2)
        canvas.rectangle(
            (x - size // 2, y - size // 2, x + size // 2, y + size // 3), fill=_colour(dice), outline=_colour(dice), width=4
        )


def _wires(canvas: ImageDraw.ImageDraw, side: int, dice: Dice) -> None:
    """Straight lines across the photo."""
    for _ in range(dice.integer(3, 12)):
        ends = [(0, dice.integer(0, side)), (side, dice.integer(0, side))]
        canvas.line(ends if dice.chance(0.5) else [(y, x) for x, y in ends], fill=_colour(dice), width=dice.integer(2, 14))


def _signs(canvas: ImageDraw.ImageDraw, side: int, dice: Dice) -> None:
    """A sheet with lines of signs like writing."""
    margin = side // dice.integer(6, 12)
    canvas.rectangle((margin, margin, side - margin, side - margin), fill=(245, 243, 236))
    for y in range(2 * margin, side - 2 * margin, margin):
        x = 2 * margin
        while x < side - 2 * margin:
            width = dice.integer(margin // 4, margin)
            canvas.rectangle((x, y, min(x + width, side - 2 * margin), y + margin // 3), fill=(40, 40, 46))
            x += width + margin // 4


def _empty(canvas: ImageDraw.ImageDraw, side: int, dice: Dice) -> None:
    """Nothing but a horizon."""
    canvas.rectangle((0, dice.integer(side // 3, 2 * side // 3), side, side), fill=_colour(dice))


SCENES: tuple[Draw, ...] = (_walls, _windows, _boxes, _wires, _signs, _empty)
