"""Decoding of photos: formats, modes, orientation, limits, hashes and near-duplicates."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor, wait

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngInfo

from bitbloom.core.errors import UnreadableImage
from bitbloom.data import hamming, imaging, look_alikes

SQUARE = "4cd11b4fe5636928e44487eb1858e07580c524425c65cf19b06b6f561e43db12"
HASH = "ca4655ab6a45552a"
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def photo(seed: int = 0, height: int = 60, width: int = 80) -> np.ndarray:
    """Return a smooth picture with some texture, suitable for JPEG."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))


def corners(image: np.ndarray) -> list[tuple[int, ...]]:
    """Return the colours at the top left, top right, bottom left and bottom right."""
    return [tuple(int(v) for v in image[y, x]) for y in (0, -1) for x in (0, -1)]


def test_decodes_lossless_file_to_its_pixels() -> None:
    pixels = photo()
    assert np.array_equal(imaging.decode(encoded(Image.fromarray(pixels))), pixels)
    assert imaging.decode(encoded(Image.fromarray(pixels))).dtype == np.uint8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_applies_every_exif_orientation(orientation: int) -> None:
    # The file stores the inverse transposition of the upright image, and the orientation to undo it.
    upright = Image.fromarray(np.array([[RED, GREEN, GREEN], [BLUE, WHITE, WHITE]], dtype=np.uint8))
    stored_as = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    stored = upright if stored_as is None else upright.transpose(stored_as)
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = imaging.decode(encoded(stored, exif=exif.tobytes()))
    assert decoded.shape == (2, 3, 3)
    assert corners(decoded) == [RED, GREEN, BLUE, WHITE]


def test_applies_orientation_of_tiff_once() -> None:
    stored = Image.fromarray(np.array([[BLUE, RED], [WHITE, GREEN], [WHITE, GREEN]], dtype=np.uint8))
    assert corners(imaging.decode(encoded(stored, "TIFF", tiffinfo={0x0112: 6}))) == [WHITE, BLUE, GREEN, RED]


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_ignores_damaged_exif_data() -> None:
    data = encoded(Image.fromarray(photo()), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff\xff\xff")
    assert imaging.decode(data).shape == (60, 80, 3)


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("L", 128, (128, 128, 128)),
        ("1", 1, WHITE),
        ("LA", (10, 255), (10, 10, 10)),
        ("LA", (10, 0), WHITE),
        ("RGBA", (255, 0, 0, 255), RED),
        ("RGBA", (255, 0, 0, 0), WHITE),
        ("RGBA", (255, 0, 0, 128), (255, 127, 127)),
        ("I;16", 65535, WHITE),
        ("I;16", 32896, (128, 128, 128)),
        ("I;16", 256, (1, 1, 1)),
    ],
)
def test_converts_every_colour_mode_of_png(mode: str, colour: int | tuple[int, ...], expected: tuple[int, ...]) -> None:
    data = encoded(Image.new(mode, (3, 2), colour))
    assert np.array_equal(imaging.decode(data), np.full((2, 3, 3), expected))
    assert imaging.facts(data)["mode"] == mode


def test_converts_palette_with_transparency() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    assert imaging.decode(encoded(image)).tolist() == [[list(RED), list(BLUE)]]
    assert imaging.decode(encoded(image, transparency=1)).tolist() == [[list(RED), list(WHITE)]]


def test_converts_cmyk() -> None:
    pixels = photo()
    decoded = imaging.decode(encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG", quality=95))
    assert np.abs(decoded.astype(int) - pixels).mean() < 4


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "PPM", "PNG"])
def test_decodes_every_supported_format(kind: str) -> None:
    pixels = photo()
    data = encoded(Image.fromarray(pixels), kind)
    assert imaging.is_image(data[:65_536])
    assert np.abs(imaging.decode(data).astype(int) - pixels).mean() < 12


def test_decodes_first_frame_of_animation() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, BLUE)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert corners(imaging.decode(data))[0] == RED


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"BMW and other cars", b"P3 is a file format", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\x03\x04"]
)
def test_rejects_files_that_are_not_images(data: bytes) -> None:
    assert not imaging.is_image(data)
    with pytest.raises(UnreadableImage, match=r"empty|not an image"):
        imaging.decode(data)


def test_detects_image_truncated_after_signature() -> None:
    assert imaging.is_image(encoded(Image.fromarray(photo()), "JPEG")[:12])


@settings(max_examples=60)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "TIFF"]), st.floats(0, 0.95))
def test_rejects_truncated_photo(kind: str, part: float) -> None:
    data = encoded(Image.fromarray(photo()), kind)
    with pytest.raises(UnreadableImage):
        imaging.decode(data[: int(part * len(data))])


@settings(max_examples=150)
@given(st.sampled_from(["JPEG", "PNG", "GIF", "TIFF", "BMP", "WEBP", "AVIF"]), st.data())
def test_facts_of_damaged_bytes_are_reproducible(kind: str, draw: st.DataObject) -> None:
    data = bytearray(encoded(Image.fromarray(photo(height=20, width=30)), kind))
    for _ in range(draw.draw(st.integers(1, 8))):
        data[draw.draw(st.integers(0, len(data) - 1))] = draw.draw(st.integers(0, 255))
    first, second = imaging.facts(bytes(data)), imaging.facts(bytes(data))
    assert first == second
    assert first["decodable"] is (first["error"] is None)


def png_with(chunk: str, size: int) -> bytes:
    """Return a red PNG with a text or a colour profile of `size` bytes."""
    info, text = PngInfo(), ("x" * 99 + "\n") * (size // 100) + "y" * (size % 100)
    if chunk == "iCCP":
        return encoded(Image.new("RGB", (8, 8), "red"), icc_profile=text.encode())
    if chunk == "iTXt":
        info.add_itxt("XML:com.adobe.xmp", text, zip=True)
    else:
        info.add_text("parameters", text, zip=chunk == "zTXt")
    return encoded(Image.new("RGB", (8, 8), "red"), pnginfo=info)


@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, 16_000_000])
@pytest.mark.parametrize("chunk", ["tEXt", "zTXt", "iTXt", "iCCP"])
def test_reads_png_with_large_text_or_profile(chunk: str, size: int) -> None:
    data = png_with(chunk, size)
    assert imaging.facts(data)["decodable"]
    assert imaging.square(data, 8).shape == (3, 8, 8)


def with_text_after_pixels(data: bytes, chunk: str) -> bytes:
    """Move a chunk of a PNG to the end."""
    start = data.index(chunk.encode()) - 4
    end = start + 12 + int.from_bytes(data[start : start + 4])
    return data[:start] + data[end:-12] + data[start:end] + data[-12:]


@pytest.mark.parametrize(("chunk", "last"), [("zTXt", False), ("iTXt", False), ("iCCP", False), ("zTXt", True), ("iTXt", True)])
def test_rejects_png_with_text_beyond_the_bound(chunk: str, last: bool) -> None:
    data = png_with(chunk, 17_000_000)
    with pytest.raises(UnreadableImage, match="a text or profile of more than 16,777,216 bytes: save it without metadata"):
        imaging.decode(with_text_after_pixels(data, chunk) if last else data)


def test_rejects_heic_with_advice() -> None:
    with pytest.raises(UnreadableImage, match="a HEIC photo, which is not supported: save HEIC photos as JPEG"):
        imaging.decode(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))


def test_distinguishes_avif_from_heic() -> None:
    data = encoded(Image.fromarray(photo()), "AVIF")
    assert not imaging.is_heic(data) and imaging.is_image(data)


def png_header(width: int, height: int) -> bytes:
    """Return a PNG that declares a size and has almost no data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_000, 12_000, 60_000])
def test_rejects_bomb_by_header(side: int) -> None:
    data = png_header(side, side)
    with pytest.raises(UnreadableImage, match="limit of 50,000,000 pixels"):
        imaging.decode(data)
    assert imaging.is_image(data)
    assert imaging.facts(data)["decodable"] is False


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [8_000, 60_000])
def test_detects_bomb_as_image_by_header(side: int) -> None:
    assert imaging.is_image(f"P6 {side} {side} 255\n".encode())


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "I;16"])
def test_applies_orientation_in_every_mode(mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    decoded = imaging.decode(encoded(Image.new(mode, (3, 2)), exif=exif.tobytes()))
    assert decoded.shape == ((2, 3, 3) if orientation == 3 else (3, 2, 3))


def test_scales_sixteen_bit_grey_of_other_formats() -> None:
    high = np.array([[0, 257 * 7, 65_535]], dtype=">u2")
    expected = [[[0] * 3, [7] * 3, [255] * 3]]
    assert imaging.decode(b"P5 3 1 65535\n" + high.tobytes()).tolist() == expected
    tiff = encoded(Image.frombytes("I;16B", (3, 1), high.tobytes()), "TIFF", tiffinfo={0x0112: 1})
    assert imaging.decode(tiff).tolist() == expected


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_rejects_modes_without_conversion(mode: str) -> None:
    data = encoded(Image.new(mode, (2, 2)), "TIFF")
    with pytest.raises(UnreadableImage, match=f"mode {mode} .*save it as RGB"):
        imaging.decode(data)
    assert imaging.is_image(data)


def test_pixel_limit_is_inclusive() -> None:
    data = encoded(Image.new("RGB", (10, 10)))
    assert imaging.decode(data, max_pixels=100).shape == (10, 10, 3)
    with pytest.raises(UnreadableImage, match="10 × 10"):
        imaging.decode(data, max_pixels=99)


def test_square_is_the_centre() -> None:
    image = np.zeros((4, 8, 3), dtype=np.uint8)
    image[:, 2:6] = RED
    squared = imaging.square(encoded(Image.fromarray(image)), 4)
    assert squared.shape == (3, 4, 4)
    assert squared.flags.c_contiguous
    assert (squared[0] == 255).all()


def test_square_of_right_size_is_unchanged() -> None:
    pixels = photo(height=32, width=32)
    assert np.array_equal(imaging.square(encoded(Image.fromarray(pixels)), 32), pixels.transpose(2, 0, 1))


@pytest.mark.parametrize("orientation", [None, 1, 3, 6])
@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "I;16"])
def test_square_equals_crop_of_decoded_image(mode: str, orientation: int | None) -> None:
    picture = Image.fromarray(photo(height=61, width=84))
    stored = (
        Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    )
    exif = Image.Exif()
    if orientation:
        exif[imaging.ORIENTATION_TAG] = orientation
    data = encoded(stored, exif=exif)
    pixels = imaging.decode(data)
    top, left = (pixels.shape[0] - 61) // 2, (pixels.shape[1] - 61) // 2
    assert np.array_equal(imaging.square(data, 61), pixels[top : top + 61, left : left + 61].transpose(2, 0, 1))


def test_ignores_second_picture_in_jpeg() -> None:
    picture = Image.fromarray(photo(height=900, width=1200))
    several = io.BytesIO()
    picture.save(several, "MPO", save_all=True, append_images=[Image.new("RGB", (30, 30))])
    assert Image.open(io.BytesIO(several.getvalue())).format == "MPO"
    assert np.array_equal(imaging.square(several.getvalue(), 48), imaging.square(encoded(picture, "JPEG"), 48))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_reduced_decoding_of_large_jpeg_is_accurate(monkeypatch: pytest.MonkeyPatch, mode: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[imaging.ORIENTATION_TAG] = orientation
    data = encoded(Image.fromarray(photo(height=900, width=1200)).convert(mode), "JPEG", quality=95, exif=exif)
    drafted = []
    draft = JpegImageFile.draft

    def watched(image: JpegImageFile, *arguments: object) -> object:
        found = draft(image, *arguments)
        drafted.append(image.size)
        return found

    monkeypatch.setattr(JpegImageFile, "draft", watched)
    reduced = imaging.square(data, 48)
    monkeypatch.setattr(imaging, "REDUCED", 1000)
    whole = imaging.square(data, 48)
    assert drafted == [(300, 225), (1200, 900)]
    assert np.abs(reduced.astype(int) - whole).mean() < 2


@given(mode=st.sampled_from(["RGB", "L", "LA", "RGBA", "P", "I;16", "CMYK"]), strip=st.integers(1, 6000), clear=st.booleans())
def test_colours_do_not_depend_on_strip_size(mode: str, strip: int, clear: bool) -> None:
    picture = Image.fromarray(photo(height=41, width=57))
    if mode == "I;16":
        stored = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 250)
    else:
        stored = picture.convert(mode)
    options = {"transparency": 3} if clear and mode in ("P", "L") else {}
    data = encoded(stored, "TIFF") if mode == "CMYK" else encoded(stored, **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(imaging, "STRIP", 57 * 41)
        whole = imaging.decode(data)
        patch.setattr(imaging, "STRIP", strip)
        assert np.array_equal(imaging.decode(data), whole)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_decodes_large_photos_one_at_a_time(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    large, small = encoded(Image.new("RGB", (41, 41)), kind), encoded(Image.new("RGB", (40, 40)), kind)
    monkeypatch.setattr(imaging, "LARGE", 1600)
    with ThreadPoolExecutor(1) as pool, imaging._large:
        assert imaging.square(small, 8).shape == (3, 8, 8)
        waits = pool.submit(imaging.square, large, 8)
        assert not wait([waits], timeout=0.1).done
        imaging._large.release()
        assert waits.result().shape == (3, 8, 8)
        imaging._large.acquire()


PEAK = """
import sys
from bitbloom.data import imaging
def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1000
before = peak()
imaging.square(sys.stdin.buffer.read(), 96)
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "kind", "options", "megabytes"),
    [
        ("I;16", "PNG", {"compress_level": 1}, 400),
        ("RGBA", "PNG", {"compress_level": 1}, 500),
        ("P", "PNG", {"compress_level": 1, "transparency": 3}, 400),
        ("CMYK", "JPEG", {}, 500),
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0, "exif": b"turned"}, 600),
        ("RGBA", "WEBP", {"lossless": True, "method": 0}, 900),
    ],
)
def test_largest_photo_needs_bounded_memory(mode, kind, options, megabytes) -> None:
    side = math.isqrt(imaging.MAX_PIXELS)
    if "exif" in options:
        exif = Image.Exif()
        exif[imaging.ORIENTATION_TAG] = 6
        options = options | {"exif": exif}
    data = encoded(Image.new(mode, (side, side - 1)), kind, **options)
    done = subprocess.run([sys.executable, "-c", PEAK], input=data, capture_output=True, check=True)
    assert float(done.stdout) < megabytes


def test_square_has_pixel_limit() -> None:
    with pytest.raises(UnreadableImage, match="10 × 10"):
        imaging.square(encoded(Image.new("RGB", (10, 10))), 5, max_pixels=99)


def test_pixels_and_hashes_are_pinned() -> None:
    # A change of these values changes the data of every target, so it must be intended.
    pixels = np.arange(40 * 50 * 3, dtype=np.uint64).reshape(40, 50, 3) * 2654435761 >> 7
    image = (pixels % 251).astype(np.uint8)
    data = encoded(Image.fromarray(image))
    assert hashlib.sha256(imaging.square(data, 24).tobytes()).hexdigest() == SQUARE
    assert imaging.facts(data)["perceptual_hash"] == HASH


def test_facts_of_known_picture() -> None:
    image = np.zeros((2, 4, 3), dtype=np.uint8)
    image[:, 2:] = 255
    facts = imaging.facts(encoded(Image.fromarray(image)))
    assert facts == {
        "width": 4,
        "height": 2,
        "mode": "RGB",
        "aspect": 2.0,
        "brightness": 0.5,
        "contrast": 0.5,
        "decodable": True,
        "error": None,
        "key": hashlib.sha256(b"2x4x3\n" + image.tobytes()).hexdigest(),
        "perceptual_hash": "1010101010101010",  # brighter only at the start of the right half
    }


def test_facts_of_undecodable_file_have_all_columns() -> None:
    good, bad = imaging.facts(encoded(Image.new("RGB", (2, 2)))), imaging.facts(b"\xff\xd8\xff broken")
    assert good.keys() == bad.keys()
    assert (bad["width"], bad["mode"], bad["brightness"], bad["perceptual_hash"]) == (0, "", 0.0, "")
    assert bad["key"] == hashlib.sha256(b"\xff\xd8\xff broken").hexdigest()


def test_width_and_height_follow_orientation() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    facts = imaging.facts(encoded(Image.new("RGB", (4, 2)), "JPEG", exif=exif.tobytes()))
    assert (facts["width"], facts["height"]) == (2, 4)


def test_key_depends_only_on_pixels() -> None:
    image = Image.fromarray(photo())
    keys = {
        imaging.facts(encoded(image, kind, **options))["key"]
        for kind, options in (("PNG", {}), ("BMP", {}), ("WEBP", {"lossless": True}))
    }
    assert len(keys) == 1


def test_key_depends_on_shape() -> None:
    keys = {imaging.facts(encoded(Image.new("RGB", size)))["key"] for size in ((2, 6), (6, 2), (3, 4))}
    assert len(keys) == 3


def test_difference_hash_encodes_increasing_brightness() -> None:
    ramp = np.repeat(np.linspace(0, 255, 90).astype(np.uint8)[None, :, None], 80, axis=0).repeat(3, axis=2)
    assert imaging.difference_hash(ramp) == 2**64 - 1
    assert imaging.difference_hash(ramp[:, ::-1]) == 0


def test_smaller_and_compressed_copy_is_near_duplicate() -> None:
    photos = [photo(seed) for seed in range(5)]
    again = Image.fromarray(photos[3]).resize((64, 48))
    photos.append(imaging.decode(encoded(again, "JPEG", quality=60)))
    hashes = np.array([imaging.difference_hash(image) for image in photos], dtype=np.uint64)
    thumbnails = np.stack([imaging.thumbnail(image) for image in photos])
    assert look_alikes.near_duplicates(hashes, thumbnails, bits=4, difference=6.0) == [(3, 5)]


def test_equal_hashes_of_different_pictures_are_not_near_duplicates() -> None:
    thumbnails = np.stack([np.zeros((16, 16), np.uint8), np.full((16, 16), 7, np.uint8)])
    hashes = np.zeros(2, np.uint64)
    assert look_alikes.near_duplicates(hashes, thumbnails, bits=0, difference=6.0) == []
    assert look_alikes.near_duplicates(hashes, thumbnails, bits=0, difference=7.0) == [(0, 1)]


@settings(max_examples=30)
@given(st.integers(0, 40), st.integers(0, 64), st.floats(0, 255), st.integers(0, 1000))
def test_near_duplicates_equal_brute_force(n: int, bits: int, difference: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**64, n, dtype=np.uint64)
    thumbnails = rng.integers(0, 256, (n, 16, 16), dtype=np.uint8)
    expected = [
        (i, j)
        for i in range(n)
        for j in range(i + 1, n)
        if int(hashes[i] ^ hashes[j]).bit_count() <= bits
        and np.abs(thumbnails[i].astype(int) - thumbnails[j].astype(int)).mean() <= difference
    ]
    assert look_alikes.near_duplicates(hashes, thumbnails, bits, difference) == expected


def test_finds_near_duplicates_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hamming, "BLOCK", 3)
    monkeypatch.setattr(look_alikes, "PAIR_BLOCK", 2)
    hashes, thumbnails = np.zeros(8, np.uint64), np.zeros((8, 16, 16), np.uint8)
    assert look_alikes.near_duplicates(hashes, thumbnails, 4, 6.0) == [(i, j) for i in range(8) for j in range(i + 1, 8)]
