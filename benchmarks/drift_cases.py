"""Kinds of drift with severities, as changes of the inputs of a test split."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

Photo = Image.Image


def blur(photo: Photo, severity: int) -> Photo:
    return photo.filter(ImageFilter.GaussianBlur((0.5, 1.0, 2.0)[severity]))


def brightness(photo: Photo, severity: int) -> Photo:
    return ImageEnhance.Brightness(photo).enhance((0.9, 0.75, 0.5)[severity])


def hue(photo: Photo, severity: int) -> Photo:
    """Turn the hue by 10, 30 or 90 degrees, by the matrix of a rotation about the grey axis."""
    angle = np.deg2rad((10, 30, 90)[severity])
    third, root = (1 - np.cos(angle)) / 3, np.sin(angle) / np.sqrt(3)
    matrix = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) * root + third + np.eye(3) * np.cos(angle)
    pixels = np.asarray(photo, np.float64) @ matrix.T
    return Image.fromarray(pixels.clip(0, 255).round().astype(np.uint8))


def noise(photo: Photo, severity: int) -> Photo:
    pixels = np.asarray(photo, np.float64)
    added = np.random.default_rng(int(pixels.sum())).normal(0, (2, 6, 18)[severity], pixels.shape)
    return Image.fromarray((pixels + added).clip(0, 255).round().astype(np.uint8))


def jpeg(photo: Photo, severity: int) -> Photo:
    stream = io.BytesIO()
    photo.save(stream, "JPEG", quality=(60, 30, 10)[severity])
    return Image.open(stream).convert("RGB")


def rotation(photo: Photo, severity: int) -> Photo:
    """Turn by 10, 30 or 90 degrees; the corners repeat the border."""
    side = photo.width
    wide = Image.fromarray(np.pad(np.asarray(photo), ((side, side), (side, side), (0, 0)), mode="reflect"))
    turned = wide.rotate((10, 30, 90)[severity], Image.Resampling.BICUBIC)
    return turned.crop((side, side, 2 * side, 2 * side))


PHOTOS: dict[str, Callable[[Photo, int], Photo]] = {
    "blur": blur,
    "brightness": brightness,
    "hue": hue,
    "noise": noise,
    "JPEG damage": jpeg,
    "rotation": rotation,
}

TOPICS = (
    "The second half was slow but our striker scored twice in the last minutes",
    "Add two eggs and a cup of flour, then bake the cake for forty minutes",
    "My new phone has a better camera and the battery lasts all day",
    "The museum shows paintings of the nineteenth century until the end of May",
    "We planted tomatoes and beans in the garden and they grow well",
    "Tickets for the concert on Friday sold out within an hour",
)
GERMAN = (
    "Heute scheint die Sonne und wir gehen mit den Kindern in den Park",
    "Der Zug hatte wieder eine Stunde Verspätung, niemand sagt warum",
    "Ich habe gestern einen sehr guten Film über das Meer gesehen",
    "Das Feuer in der alten Fabrik ist seit dem Abend gelöscht",
    "Nach dem Sturm liegen überall Bäume auf der Straße",
    "Wer kommt am Samstag mit auf den Markt in der Stadt?",
)
FRACTIONS = (0.1, 0.3, 1.0)


def chosen(at: int, severity: int) -> bool:
    """Whether a sample belongs to the changed fraction."""
    return (at * 7919 + 13) % 100 < 100 * FRACTIONS[severity]


def new_topics(text: str, at: int, severity: int) -> str:
    return f"{TOPICS[at % len(TOPICS)]} {at % 17}" if chosen(at, severity) else text


def language(text: str, at: int, severity: int) -> str:
    return GERMAN[at % len(GERMAN)] if chosen(at, severity) else text


def emoji(text: str, at: int, severity: int) -> str:
    return f"{text} {'🔥😱🙏'[at % 3] * (1 + at % 3)}" if chosen(at, severity) else text


def truncation(text: str, at: int, severity: int) -> str:
    return text[: (80, 50, 25)[severity]]


TEXTS: dict[str, Callable[[str, int, int], str]] = {
    "new topics": new_topics,
    "other language": language,
    "emoji": emoji,
    "truncation": truncation,
}
