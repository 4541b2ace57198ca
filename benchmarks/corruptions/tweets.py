"""Kinds of damage to tweets: their texts, keywords, locations and labels."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from bitbloom.core import canonical
from bitbloom.data.sources import SourceFile
from corruptions import texts
from corruptions.groups import LABELLED, PROFILES, SPLITS, every
from corruptions.kind import Change, Damage, Files, Kind, changed, content, copied, whole

Said = Callable[[str, Random], str]


def row(file: SourceFile) -> dict[str, str]:
    """Text, keyword and location."""
    return dict(json.loads(content(file)))


def rewritten(file: SourceFile, values: Mapping[str, str]) -> SourceFile:
    """The sample with other values."""
    return replace(file, content=canonical.json_line({**row(file), **values}).encode())


def text(change: Said) -> Change:
    return lambda file, random: rewritten(file, {"text": change(row(file)["text"], random)})


def one_of(choices: Sequence[str]) -> Change:
    """Replace the text by a sentence with a number, so that no two are equal."""
    return text(lambda _, random: f"{random.choice(choices)} {random.randint(1, 9999)}")


def other_label(file: SourceFile) -> SourceFile:
    return replace(file, label="disaster" if file.label == "not disaster" else "not disaster")


def shouted(said: str, random: Random) -> str:
    return f"{said.upper()}{'!' * random.randint(1, 4)} https://t.co/{random.getrandbits(40):x} @user{random.randint(1, 99)}"


def misread(said: str, random: Random) -> str:
    """UTF-8 that was read as Windows-1252, which cleaning repairs: the words are the same."""
    return f"\u201c{html.escape(said)}\u201d \u2026".encode().decode("cp1252", errors="ignore")


def labelled(file: SourceFile, random: Random) -> SourceFile:
    said, code = row(file)["text"], "1" if file.label == "disaster" else "0"
    forms = (
        f"label: {file.label} {said}",
        f"{said} target={code}",
        f"[{file.label}] {said}",
        f"__label__{code} {said}",
        f"{said} ({file.label})",
    )
    return rewritten(file, {"text": random.choice(forms)})


def exchanged(file: SourceFile, random: Random) -> SourceFile:
    values = row(file)
    long = f"{values['text']} and {values['text']} and more of it" * 2
    return rewritten(file, {"text": values["location"] or "Leeds", "location": long})


def column(name: str, fraction: float) -> Callable[[Files, Random], Damage]:
    """Empty a column in most rows."""

    def damage(files: Files, random: Random) -> Damage:
        chosen = set(random.sample(range(len(files)), int(len(files) * fraction)))
        lost = {position for position in chosen if row(files[position])[name]}
        made = [rewritten(file, {name: ""}) if position in chosen else file for position, file in enumerate(files)]
        return Damage(made, {files[position].id for position in lost}, every(files))

    return damage


def shifted_keywords(files: Files, random: Random) -> Damage:
    """Move the keywords by some rows against the texts; rows whose text mentions the new keyword too are not at fault."""
    by = random.randint(3, len(files) // 2)
    words = [row(file)["keyword"] for file in files]
    made = [rewritten(file, {"keyword": words[(at + by) % len(files)]}) for at, file in enumerate(files)]
    return Damage(made, set(), every(files))


def another_topic(files: Files, random: Random) -> Damage:
    """The newest rows are about something else."""
    words = [f"term{number}" for number in range(400)]
    count = len(files) // 5
    made = [rewritten(file, {"text": " ".join(random.sample(words, 9))}) for file in files[-count:]]
    return Damage([*files[:-count], *made], set(), every(files))


def other_vocabulary(files: Files, random: Random) -> Damage:
    """More than half of the rows have words that the profile lacks."""
    words = [f"term{number}" for number in range(400)]
    count = int(len(files) * random.uniform(0.5, 0.7))
    made = [rewritten(file, {"text": " ".join(random.sample(words, 9))}) for file in files[:count]]
    return Damage([*made, *files[count:]], set(), every(files))


def everything_twice(files: Files, random: Random) -> Damage:
    copies = [replace(file, row=f"{file.row}-copy") for file in files]
    return Damage([*files, *copies], {copy.id for copy in copies}, every(files))


ROWS: tuple[Kind, ...] = (
    copied("the same row twice", "repeated-texts", lambda file, random: file),
    copied("the same words in capitals, with an address", "repeated-texts", text(shouted)),
    copied("the same words, read in a wrong encoding", "repeated-texts", text(misread)),
    copied("the same row with another label", "conflicting-texts", lambda file, random: other_label(file)),
    copied(
        "the same words in capitals with another label",
        "conflicting-texts",
        lambda file, random: other_label(text(shouted)(file, random)),
    ),
    changed("empty text", "readable", text(lambda said, random: "")),
    changed("only blanks", "readable", text(lambda said, random: random.choice(" \t\n") * random.randint(1, 9))),
    changed("only control characters", "readable", text(lambda said, random: chr(random.randint(1, 31)) * random.randint(1, 9))),
    changed("only an address", "wordless", text(lambda said, random: f"https://t.co/{random.getrandbits(40):x}")),
    changed("only user names", "wordless", text(lambda said, random: f"@a{random.randint(0, 99)} @b{random.randint(0, 99)}")),
    changed("only punctuation", "wordless", text(lambda said, random: random.choice("?!.") * random.randint(3, 9))),
    changed("one letter", "characters", text(lambda said, random: random.choice("abcdefgh"))),
    changed("a whole page", "characters", text(lambda said, random: f"{said} " * random.randint(12, 30))),
    changed(
        "a list of words",
        "words",
        text(lambda said, random: " ".join(f"w{random.randint(0, 9)}" for _ in range(random.randint(101, 120)))),
    ),
    changed("characters lost in decoding", "mojibake damage", text(texts.replaced)),
    changed("Windows read as Mac OS Roman", "damage", text(texts.macintosh)),
    changed("UTF-8 cut within a character", "mojibake damage", text(texts.cut_utf8)),
    changed("apostrophes lost", "damage", text(texts.lost_apostrophe)),
    changed("escapes left", "damage", text(texts.escaped)),
    changed("letters of another script that look alike", "damage", text(texts.homoglyphs)),
    changed("invisible characters", "invisible", text(texts.invisible)),
    changed("markup left", "residue", text(texts.markup)),
    changed("JSON instead of a text", "residue", text(texts.data)),
    changed("placeholders of a template", "residue", text(texts.template)),
    changed("a key or a digest", "residue", text(texts.encoded)),
    changed("placeholder", "residue", text(texts.placeholder)),
    changed("file name", "residue", text(texts.file_name)),
    changed("a word again and again", "residue", text(texts.stutter)),
    changed("a key held down", "residue", text(texts.long_letter)),
    changed("Lorem ipsum", "residue", text(lambda said, random: f"{texts.LOREM} {random.randint(1, 999)}")),
    changed("German", "language", one_of(texts.GERMAN)),
    changed("French", "language", one_of(texts.FRENCH)),
    changed("Spanish", "language", one_of(texts.SPANISH)),
    changed("Italian", "language", one_of(texts.ITALIAN)),
    changed("Portuguese", "language", one_of(texts.PORTUGUESE)),
    changed("Dutch", "language", one_of(texts.DUTCH)),
    changed("Russian", "language", one_of(texts.RUSSIAN)),
    changed("Arabic", "language", one_of(texts.ARABIC)),
    changed("Chinese", "language", one_of(texts.CHINESE)),
    changed("label in the text", "label-in-text", labelled),
    changed("text and location exchanged", "location", exchanged),
    changed("address of e-mail", "private", text(texts.email)),
    changed("number of a telephone", "private", text(texts.telephone)),
    changed("number of a card", "private", text(texts.card)),
)
WHOLES: tuple[Kind, ...] = (
    whole("keywords lost", "keyword-given", column("keyword", 0.8)),
    whole("locations lost", "location-given", column("location", 0.9)),
    whole("keywords moved against the texts", "keyword-in-text", shifted_keywords),
    whole("another topic in the newest rows", "vocabulary-drift", another_topic),
    whole("another vocabulary than in the profile", "profile-words", other_vocabulary),
    whole("everything twice", "repeated-texts", everything_twice),
)
KINDS = (*ROWS, *WHOLES, *LABELLED, *SPLITS, *PROFILES)
