"""Kinds of damage to photos with captions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random

from bitbloom.data.sources import SourceFile
from corruptions import photos, texts
from corruptions.groups import LEAK, ROWS_LOST, SIZES, VALUES, every
from corruptions.kind import Change, Damage, Files, Kind, changed, whole


def sentences(file: SourceFile) -> list[str]:
    """The captions of a photo."""
    given = file.attributes["captions"]
    return [str(caption) for caption in given] if isinstance(given, list) else []


def saying(file: SourceFile, captions: Sequence[str]) -> SourceFile:
    """The photo with other captions."""
    return replace(file, attributes={**file.attributes, "captions": list(captions)})


def one(change: Callable[[str, Random], str]) -> Change:
    """Change one of the captions."""

    def damage(file: SourceFile, random: Random) -> SourceFile:
        said = sentences(file)
        at = random.randrange(len(said))
        return saying(file, [*said[:at], change(said[at], random), *said[at + 1 :]])

    return damage


def one_of(choices: Sequence[str]) -> Change:
    return one(lambda _, random: f"{random.choice(choices)} {random.randint(1, 9999)}")


def same_caption(files: Files, random: Random) -> Damage:
    """A default caption for many photos."""
    chosen = random.sample(range(len(files)), int(len(files) * random.uniform(0.15, 0.2)))
    made = list(files)
    for position in chosen:
        made[position] = saying(files[position], [*sentences(files[position])[1:], "a picture from our garden shop"])
    return Damage(made, {files[position].id for position in chosen}, every(files))


def another_language(files: Files, random: Random) -> Damage:
    """The newest photos are described with other words."""
    words = [f"term{number}" for number in range(400)]
    count = len(files) // 5
    made = [saying(file, [" ".join(random.sample(words, 9)) for _ in range(3)]) for file in files[-count:]]
    return Damage([*files[:-count], *made], set(), every(files))


def other_vocabulary(files: Files, random: Random) -> Damage:
    """More than half of the photos are described with words that the profile lacks."""
    words = [f"term{number}" for number in range(400)]
    count = int(len(files) * random.uniform(0.5, 0.7))
    made = [saying(file, [" ".join(random.sample(words, 9)) for _ in range(3)]) for file in files[:count]]
    return Damage([*made, *files[count:]], set(), every(files))


NOTHING = ("a photo of the", "it is a", "in front of this", "an image of something with a", "there are some of them on the")
ROWS: tuple[Kind, ...] = (
    changed("photo without captions", "captions-given", lambda file, random: saying(file, [])),
    changed("caption without a photo", "decodable", lambda file, random: replace(file, content=b"")),
    changed("a caption lost", "captions-per-photo", lambda file, random: saying(file, sentences(file)[:2])),
    changed(
        "captions of another photo added",
        "captions-per-photo",
        lambda file, random: saying(file, [*sentences(file), "two white daisies on a table", "daisies in a vase on a table"]),
    ),
    changed("empty caption", "fewest-words", one(lambda said, random: " " * random.randint(0, 3))),
    changed("only punctuation", "fewest-words", one(lambda said, random: random.choice("?!.-") * random.randint(1, 5))),
    changed("one word", "fewest-words", one(lambda said, random: random.choice(("flower", "Tulip.", "red")))),
    changed("a whole story", "most-words", one(lambda said, random: f"{said} and then " * random.randint(6, 9))),
    changed("a whole page", "most-characters", one(lambda said, random: f"{said} " * random.randint(20, 30))),
    changed("caption that names nothing", "nameless", one(lambda said, random: random.choice(NOTHING))),
    changed(
        "the same caption twice",
        "said-twice",
        lambda file, random: saying(file, [*sentences(file)[:2], sentences(file)[random.randint(0, 1)].upper()]),
    ),
    changed("characters lost in decoding", "mojibake damage", one(texts.replaced)),
    changed("Windows read as Mac OS Roman", "damage", one(texts.macintosh)),
    changed("UTF-8 cut within a character", "mojibake damage", one(texts.cut_utf8)),
    changed("apostrophes lost", "damage", one(texts.lost_apostrophe)),
    changed("escapes left", "damage", one(texts.escaped)),
    changed("letters of another script that look alike", "damage", one(texts.homoglyphs)),
    changed("invisible characters", "invisible", one(texts.invisible)),
    changed("markup left", "residue", one(texts.markup)),
    changed("JSON instead of a caption", "residue", one(texts.data)),
    changed("placeholder of a template", "residue", one(texts.template)),
    changed("a key or a digest", "residue", one(texts.encoded)),
    changed("placeholder", "residue", one(texts.placeholder)),
    changed("file name", "residue", one(texts.file_name)),
    changed("a word again and again", "residue", one(texts.stutter)),
    changed("Lorem ipsum", "residue", one(lambda said, random: texts.LOREM)),
    changed("German", "language", one_of(texts.GERMAN)),
    changed("French", "language", one_of(texts.FRENCH)),
    changed("Spanish", "language", one_of(texts.SPANISH)),
    changed("Greek", "language", one_of(texts.GREEK)),
    changed("Chinese", "language", one_of(texts.CHINESE)),
    changed("address of e-mail", "private", one(texts.email)),
    changed("number of a telephone", "private", one(texts.telephone)),
)
WHOLES: tuple[Kind, ...] = (
    whole("one caption for many photos", "shared-captions", same_caption, shared_captions=0.1),
    whole("another vocabulary in the newest photos", "vocabulary-drift", another_language),
    whole("another vocabulary than in the profile", "profile-words", other_vocabulary),
)
KINDS = (*photos.KINDS, *ROWS, *WHOLES, LEAK, *VALUES, ROWS_LOST, *SIZES)
