"""Photos: decoding of image bytes to pixels, and facts about a photo.

Ingest, prepare, `bitbloom predict` and the service use the same decoder, so a photo has the same pixels everywhere.
The module needs only NumPy and Pillow, because it is part of the service. All values in hashed files come from
integer arithmetic (Pillow's resize is fixed-point; means and deviations come from integer sums).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import math
import threading
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from bitbloom.core.errors import UnreadableImage

Pixels = NDArray[np.uint8]

# Damaged metadata does not concern the pixels, and a user cannot act on Pillow's warnings, which name no file.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")

MAX_PIXELS = 50_000_000
LARGE = 16_000_000
"""Larger photos temporarily need 6 to 16 bytes per pixel, so `square` decodes one of them at a time."""
REDUCED = 3
"""Smallest side of a reduced JPEG, in multiples of the square's side; according to Pillow, 3 is close to fair resampling."""
STRIP = 1 << 20
"""Pixels per colour conversion, which bounds its temporary memory."""
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "PPM")
"""Supported formats. The list is short because Pillow starts other programs for some formats, such as EPS."""
SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"II*\x00", b"MM\x00*")
"""First bytes that no text file has; BMP and PPM start with letters, so their whole header is checked."""
AVIF_SIGNATURES = (b"ftypavif", b"ftypavis")
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
"""Brands of HEIF files (ISO/IEC 23008-12); the last two are also in AVIF files, which have a brand of their own."""
HEIC_ADVICE = "save HEIC photos as JPEG"

PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20
"""Bytes of a decompressed text or ICC chunk of a PNG: Pillow's 1 MiB is less than editors and generators of images write. The
texts of a file remain limited to Pillow's MAX_TEXT_MEMORY, 64 MiB."""
LONG_TEXT = f"a text or profile of more than {PngImagePlugin.MAX_TEXT_CHUNK:,} bytes: save it without metadata"

ORIENTATION_TAG = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation → transposition to the upright image."""


@dataclass(frozen=True)
class Photo:
    """A decoded file.

    Attributes:
        format: one of FORMATS.
        mode: colour mode of the file.
        orientation: EXIF orientation, 1 to 8; 1 without one.
        pixels: RGB uint8 [H, W, 3], upright.
    """

    format: str
    mode: str
    orientation: int
    pixels: Pixels


THUMBNAIL = 16


def decode(data: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode an image file to RGB uint8 [H, W, 3], upright by its EXIF orientation, with transparency on white.

    Grey, palette, CMYK and 16-bit files are converted; the first frame of an animation is used.

    Raises:
        UnreadableImage: the file is not an image, is damaged or truncated, or has more than `max_pixels` (checked in the
            header, before decoding).
    """
    return read(data, max_pixels).pixels


def read(data: bytes, max_pixels: int = MAX_PIXELS) -> Photo:
    """Decode an image file as `decode` does, with facts of the file. Raises UnreadableImage."""
    image = _header(data, max_pixels)
    kind = image.format or ""
    orientation, upright = _whole(image)
    return Photo(kind, upright.mode, orientation, np.array(_rgb(upright)))


def is_image(head: bytes) -> bool:
    """Return whether a file is an image by the signature in its first 64 KiB, even if it is truncated."""
    if head.startswith(SIGNATURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP") or head[4:12] in AVIF_SIGNATURES:
        return True
    try:
        _open(head).close()
    except UnreadableImage:
        return False
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return True
    return True


def is_heic(head: bytes) -> bool:
    """Return whether a file is a HEIF photo (HEIC) by the brands in its first bytes; these photos cannot be decoded."""
    if head[4:8] != b"ftyp":
        return False
    end = min(int.from_bytes(head[:4]), len(head), 256)
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end, 4))}
    return bool(brands & HEIC_BRANDS) and not brands & {b"avif", b"avis"}


def square(data: bytes, side: int, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Return the centre square of the image of `decode`, resized to uint8 [3, side, side]. Raises UnreadableImage.

    A much larger JPEG is decoded at 1/2, 1/4 or 1/8 of its size, in a tenth of the time. Threads decode photos of more than
    LARGE pixels one at a time.
    """
    image = _header(data, max_pixels)
    large = image.width * image.height > LARGE  # size in the file: a progressive JPEG is read whole at any reduction
    image.draft(image.mode, (REDUCED * side, REDUCED * side))  # no effect on other formats
    with _large if large else contextlib.nullcontext():
        # One name, so that previous images are freed. Cropping precedes the colour conversion, which works pixel by pixel.
        image = _whole(image)[1]
        image = _centre(image)
        image = _rgb(image)
        image = image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=None)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))


_large = threading.Lock()


def _centre(image: Image.Image) -> Image.Image:
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge))


def facts(data: bytes) -> dict[str, object]:
    """Return the manifest columns of an image file. Raises no error: `decodable` is False and `error` has the reason."""
    try:
        return facts_of(read(data))
    except UnreadableImage as error:
        return undecodable(data, str(error))


def facts_of(photo: Photo) -> dict[str, object]:
    """Return the manifest columns of a decoded file."""
    image = photo.pixels
    height, width = image.shape[:2]
    brightness, contrast = _brightness_and_contrast(image)
    return {
        "width": width,
        "height": height,
        "mode": photo.mode,
        "aspect": width / height,
        "brightness": brightness,
        "contrast": contrast,
        "decodable": True,
        "error": None,
        "key": hashlib.sha256(f"{height}x{width}x3\n".encode() + image.tobytes()).hexdigest(),
        "perceptual_hash": f"{difference_hash(image):016x}",
    }


def undecodable(data: bytes, reason: str) -> dict[str, object]:
    """Return the manifest columns of a file that cannot be decoded."""
    return {
        "width": 0,
        "height": 0,
        "mode": "",
        "aspect": 0.0,
        "brightness": 0.0,
        "contrast": 0.0,
        "decodable": False,
        "error": reason,
        "key": hashlib.sha256(data).hexdigest(),
        "perceptual_hash": "",
    }


def difference_hash(image: Pixels) -> int:
    """Return the 64-bit difference hash of an RGB image: whether each cell of its 9×8 grey image is brighter than the left one.

    The order is row by row from the top left, with the first comparison in the highest bit.
    """
    cells = np.asarray(_grey(image).resize((9, 8), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(cells[:, 1:] > cells[:, :-1]).tobytes(), "big")


def thumbnail(image: Pixels) -> Pixels:
    """Return a grey thumbnail [16, 16] of an RGB image, stretched to a square."""
    return np.asarray(_grey(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def _grey(image: Pixels) -> Image.Image:
    """Return the luma (ITU-R 601) of an RGB image, in Pillow's fixed-point arithmetic."""
    return Image.fromarray(image).convert("L")


def _brightness_and_contrast(image: Pixels) -> tuple[float, float]:
    """Return mean and standard deviation of the luma, 0 to 1, from exact integer sums."""
    counts = _grey(image).histogram()
    pixels = sum(counts)
    total = sum(value * count for value, count in enumerate(counts))
    squares = sum(value * value * count for value, count in enumerate(counts))
    variance = (pixels * squares - total * total) / (pixels * pixels)
    return total / (255 * pixels), math.sqrt(variance) / 255


def _open(data: bytes) -> Image.Image:
    """Read the header of an image file. Pillow's own limit on pixels can raise DecompressionBombError."""
    if not data:
        raise UnreadableImage("the file is empty")
    try:
        return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise
    except Exception as error:  # plugins raise errors of many types on hostile bytes
        if is_heic(data):
            raise UnreadableImage(f"a HEIC photo, which is not supported: {HEIC_ADVICE}") from error
        if "MAX_TEXT" in str(error):
            raise UnreadableImage(LONG_TEXT) from error
        raise UnreadableImage(f"not an image of a known format ({', '.join(FORMATS)})") from error


def _header(data: bytes, max_pixels: int) -> Image.Image:
    """Open an image without decoding it. Raises UnreadableImage if it has too many pixels."""
    limit = f"more than the limit of {max_pixels:,} pixels: resize it"
    try:
        image = _open(data)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UnreadableImage(limit) from error
    if image.width * image.height > max_pixels:
        raise UnreadableImage(f"{image.width} × {image.height} pixels, {limit}")
    return image


def _whole(image: Image.Image) -> tuple[int, Image.Image]:
    """Decode the pixels of an image; return its EXIF orientation, and the image upright."""
    try:
        image.load()
    except Exception as error:
        raise UnreadableImage(LONG_TEXT if "MAX_TEXT" in str(error) else f"truncated or damaged{_detail(error)}") from error
    return _upright(image)


def _detail(error: Exception) -> str:
    """Return Pillow's message, unless it has a memory address, which differs between runs."""
    text = str(error)
    return f" ({text})" if text and "0x" not in text else ""


def _upright(image: Image.Image) -> tuple[int, Image.Image]:
    """Return an image's EXIF orientation, and the image transposed by it; damaged EXIF data is ignored."""
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
        turn = UPRIGHT.get(orientation)
    except Exception:  # EXIF is parsed from untrusted bytes; the pixels are valid without it
        return 1, image
    return (1, image) if turn is None else (orientation, image.transpose(turn))


def _rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB, strip by strip, because 16-bit grey and transparency need several copies."""
    if image.mode == "RGB" and not image.has_transparency_data:
        return image
    whole, rows = Image.new("RGB", image.size), max(1, STRIP // image.width)
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(top + rows, image.height)))
        whole.paste(_converted(strip), (0, top))
    return whole


def _converted(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # 16-bit grey: 65535 / 255 = 257, rounded to the nearest. Pillow's own conversion would clip at 255.
        deep = np.asarray(image).astype(np.int64).clip(0, 65_535)
        return Image.fromarray(((deep + 128) // 257).astype(np.uint8)).convert("RGB")
    try:
        if image.mode in ("F", "LAB"):
            raise ValueError("no integer arithmetic leads to RGB")
        if image.has_transparency_data:
            layer = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
        return image.convert("RGB")
    except Exception as error:  # also damaged palette data
        raise UnreadableImage(f"colours of mode {image.mode} cannot be converted{_detail(error)}: save it as RGB") from error
