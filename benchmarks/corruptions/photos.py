"""Damage to the bytes of photos, and copies of photos."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import PurePosixPath
from random import Random
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from bitbloom.data.sources import SourceFile
from corruptions.kind import Change, Kind, changed, content, copied

ORIENTATION = 0x0112


def opened(file: SourceFile) -> Image.Image:
    """The pixels of a photo, RGB."""
    return Image.open(io.BytesIO(content(file))).convert("RGB")


def saved(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    image.save(stream, kind, **({"quality": 90} if kind == "JPEG" else {}) | options)
    return stream.getvalue()


def pixels(change: Callable[[Image.Image, Random], Image.Image]) -> Change:
    """A change of the pixels, saved as JPEG."""
    return lambda file, random: replace(file, content=saved(change(opened(file), random)))


def raw(change: Callable[[bytes, Random], bytes]) -> Change:
    """A change of the bytes."""
    return lambda file, random: replace(file, content=change(content(file), random))


def stored(kind: str, mode: str = "RGB", suffix: str = "") -> Change:
    """Save a photo in another format and colour mode, and rename it if a suffix is given."""

    def change(file: SourceFile, random: Random) -> SourceFile:
        image = opened(file).convert(mode)
        path = str(PurePosixPath(file.path).with_suffix(suffix)) if suffix else file.path
        return replace(file, path=path, content=saved(image, kind))

    return change


def flat(level: Callable[[Random], int]) -> Change:
    """Replace a photo by one grey with a little noise of the sensor."""

    def change(image: Image.Image, random: Random) -> Image.Image:
        shade = np.full((image.height, image.width, 3), level(random), np.int16)
        grain = np.random.default_rng(random.getrandbits(32)).integers(-1, 2, shade.shape)
        return Image.fromarray((shade + grain).clip(0, 255).astype(np.uint8))

    return pixels(change)


def noise(image: Image.Image, random: Random) -> Image.Image:
    shape = (image.height, image.width)
    grey = np.random.default_rng(random.getrandbits(32)).integers(0, 256, shape, dtype=np.uint8)
    return Image.fromarray(grey).convert("RGB")


def dark(image: Image.Image, random: Random) -> Image.Image:
    return ImageEnhance.Brightness(image).enhance(random.uniform(0.08, 0.16))


def light(image: Image.Image, random: Random) -> Image.Image:
    lift = random.uniform(0.91, 0.94)
    return image.point(lambda value: int(255 * lift + value * (1 - lift)))


def motion(image: Image.Image, random: Random) -> Image.Image:
    """Average the photo twice over a movement of the camera, along both axes, as of a hand."""
    length = random.randint(6, 8)
    values = np.asarray(image, np.float64)
    for axis in (0, 1, 0, 1):
        padded = np.pad(values, [(length if one == axis else 0, 0) for one in range(3)], "edge")
        total = np.cumsum(padded, axis)
        values = (
            np.diff(np.stack([np.roll(total, length, axis), total]), axis=0)[0].take(range(length, padded.shape[axis]), axis)
            / length
        )
    return Image.fromarray(values.round().clip(0, 255).astype(np.uint8))


def enlarged(image: Image.Image, random: Random) -> Image.Image:
    side = random.randint(10, 16)
    return image.resize((side, side), Image.Resampling.BOX).resize(image.size, Image.Resampling.BICUBIC)


def icon(image: Image.Image, random: Random) -> Image.Image:
    made = Image.new("RGB", image.size, (random.randint(200, 255),) * 3)
    edge = image.width // 10
    left, top = random.randint(0, image.width - 2 * edge), random.randint(0, image.height - 2 * edge)
    ImageDraw.Draw(made).rectangle((left, top, left + edge, top + edge), fill=(random.randint(0, 90), 40, 120))
    return made


def letterbox(image: Image.Image, random: Random) -> Image.Image:
    bar = int(image.height * random.uniform(0.15, 0.3))
    made = Image.new("RGB", image.size, "black")
    made.paste(ImageEnhance.Brightness(image.resize((image.width, image.height - 2 * bar))).enhance(1.2), (0, bar))
    return made


def framed(image: Image.Image, random: Random) -> Image.Image:
    edge = int(image.width * random.uniform(0.1, 0.2))
    made = Image.new("RGB", image.size, "white")
    made.paste(
        image.resize((image.width - 2 * edge, image.height - 2 * edge)).point(lambda value: int(value * 0.8)), (edge, edge)
    )
    return made


def half_decoded(image: Image.Image, random: Random) -> Image.Image:
    """The grey that decoders leave below the last block of a truncated JPEG, saved as a whole file."""
    made = image.point(lambda value: int(value * 0.75))
    top = int(image.height * random.uniform(0.3, 0.8))
    made.paste((128, 128, 128), (0, top, image.width, image.height))
    return made if made.getpixel((0, top - 1)) != (128, 128, 128) else image


def turned(orientations: tuple[int, ...]) -> Change:
    def change(file: SourceFile, random: Random) -> SourceFile:
        exif = Image.Exif()
        exif[ORIENTATION] = random.choice(orientations)
        return replace(file, content=saved(opened(file), exif=exif.tobytes()))

    return change


def sized(size: Callable[[Image.Image, Random], tuple[int, int]]) -> Change:
    return pixels(lambda image, random: image.resize(size(image, random), Image.Resampling.BICUBIC))


def cut(low: float, high: float) -> Change:
    return raw(lambda data, random: data[: max(1, int(len(data) * random.uniform(low, high)))])


def cropped(image: Image.Image, random: Random) -> Image.Image:
    edge = random.randint(1, 2)
    return image.crop((edge, edge, image.width - edge, image.height - edge)).resize(image.size, Image.Resampling.BICUBIC)


def watermarked(image: Image.Image, random: Random) -> Image.Image:
    ImageDraw.Draw(image).text((random.randint(2, image.width // 3), image.height - 14), "(c) 2026", fill="white")
    return image


HTML = b"<!DOCTYPE html><html><head><title>404 Not Found</title></head><body>Not Found</body></html>"
HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic" + bytes(64)

KINDS: tuple[Kind, ...] = (
    changed("a black frame", "brightness", flat(lambda random: random.randint(0, 1))),
    changed("a white frame", "brightness", flat(lambda random: random.randint(254, 255))),
    changed("one flat colour", "contrast low-information", flat(lambda random: random.randint(40, 210))),
    changed("an icon on an empty page", "low-information", pixels(icon)),
    changed("noise only", "noisy", pixels(noise)),
    changed("underexposed", "dark", pixels(dark)),
    changed("overexposed", "light", pixels(light)),
    changed(
        "out of focus", "blurred", pixels(lambda image, random: image.filter(ImageFilter.GaussianBlur(random.uniform(2.2, 5))))
    ),
    changed("moved camera", "blurred", pixels(motion)),
    changed("enlarged from a thumbnail", "blurred", pixels(enlarged)),
    changed("grey in a colour file", "grey", pixels(lambda image, random: image.convert("L").convert("RGB"))),
    changed("letterbox", "margins", pixels(letterbox)),
    changed("white frame around the photo", "margins", pixels(framed)),
    changed("lower part never decoded", "margins", pixels(half_decoded)),
    changed("last bytes missing", "complete decodable", raw(lambda data, random: data[: -random.randint(2, 12)])),
    changed("truncated", "decodable", cut(0.3, 0.9)),
    changed("only a header", "decodable", cut(0.01, 0.06)),
    changed("empty file", "decodable", raw(lambda data, random: b"")),
    changed("text instead of an image", "decodable", raw(lambda data, random: b"id,label\n" * random.randint(1, 40))),
    changed("error page of a web server", "decodable", raw(lambda data, random: HTML + bytes(random.randint(0, 9)))),
    changed("start overwritten with zeros", "decodable", raw(lambda data, random: bytes(n := random.randint(4, 200)) + data[n:])),
    changed("HEIC photo", "decodable", raw(lambda data, random: HEIC + data[: random.randint(8, 400)])),
    changed("PNG with the name of a JPEG", "suffix", stored("PNG")),
    changed("WebP with the name of a JPEG", "suffix", stored("WEBP")),
    changed("BMP with the name of a JPEG", "suffix", stored("BMP")),
    changed("JPEG with the name of a PNG", "suffix", stored("JPEG", suffix=".png")),
    changed("CMYK", "colour-mode", stored("JPEG", "CMYK")),
    changed("palette", "colour-mode", stored("PNG", "P", ".png")),
    changed("transparency", "colour-mode", stored("PNG", "RGBA", ".png")),
    changed("grey file", "colour-mode", stored("JPEG", "L")),
    changed("16-bit grey", "colour-mode", stored("PNG", "I;16", ".png")),
    changed("turned by EXIF", "upright", turned((3, 6, 8))),
    changed("mirrored by EXIF", "upright", turned((2, 4, 5, 7))),
    changed("thumbnail", "shortest-side", sized(lambda image, random: (random.randint(8, 31),) * 2)),
    changed("enormous side", "longest-side", sized(lambda image, random: (12_001 + random.randint(0, 99), 3_100))),
    changed("tall strip", "aspect", sized(lambda image, random: (33, random.randint(140, 400)))),
    changed("wide strip", "aspect", sized(lambda image, random: (random.randint(140, 400), 33))),
    changed("another size than all others", "odd-size", sized(lambda image, random: (random.randint(48, 90),) * 2)),
    copied("the same file twice", "repeated-files", lambda file, random: file),
    copied(
        "copy with other compression",
        "near-duplicates",
        lambda file, random: replace(file, content=saved(opened(file), quality=random.randint(60, 85))),
    ),
    copied(
        "copy with other metadata", "near-duplicates", raw(lambda data, random: data[:2] + b"\xff\xfe\x00\x06copy" + data[2:])
    ),
    copied(
        "lighter copy",
        "near-duplicates",
        pixels(lambda image, random: ImageEnhance.Brightness(image).enhance(random.uniform(1.02, 1.08))),
    ),
    copied("cropped copy", "near-duplicates", pixels(cropped)),
    copied("copy with a watermark", "near-duplicates", pixels(watermarked)),
    copied("larger copy", "near-duplicates", sized(lambda image, random: (image.width + random.randint(20, 60),) * 2)),
)
