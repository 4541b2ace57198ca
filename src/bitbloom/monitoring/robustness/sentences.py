"""Twelve kinds of noise of short texts in five severities, as people type and post them.

    damage("a flood in the market", "typos", 3, seed)

Every text is damaged alone. Its random numbers depend on its seed, the kind and the severity, and are integers, so equal inputs
give equal texts on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from bitbloom.core.errors import BitBloomError
from bitbloom.data.sources.garden.randomness import Dice

SEVERITIES = (1, 2, 3, 4, 5)
Noise = Callable[[str, int, Dice], str]

LETTERS = (0.02, 0.05, 0.08, 0.12, 0.18)
"""Fractions of the letters that change."""
WORDS = (0.05, 0.1, 0.2, 0.3, 0.4)
"""Fractions of the words that change."""
KEPT = (0.85, 0.7, 0.55, 0.4, 0.25)
"""Fractions of the text that a truncation keeps."""
NEIGHBOURS = {
    "a": "qsz", "b": "vgn", "c": "xdv", "d": "sfe", "e": "wrd", "f": "dgr", "g": "fht", "h": "gjy", "i": "uok", "j": "hku",
    "k": "jli", "l": "kop", "m": "nj", "n": "bmh", "o": "ipl", "p": "ol", "q": "wa", "r": "etf", "s": "adw", "t": "ryg",
    "u": "yij", "v": "cbf", "w": "qes", "x": "zcs", "y": "tuh", "z": "xa",
}  # fmt: skip
"""Keys beside each key of a QWERTY keyboard."""
LOOKALIKES = str.maketrans("aceiopsxyACEHKMOPTX", "асеіорѕхуАСЕНКМОРТХ")
"""Cyrillic letters that look like Latin ones."""
EMOJI = ("😂", "😭", "🔥", "❤️", "🙏", "😱", "👀", "💯", "🤔", "🎉")
LINKS = ("http://t.co/{}", "https://t.co/{}", "https://bit.ly/{}", "www.example.org/{}")
TAGS = ("news", "breaking", "fyi", "mood", "2day", "update", "live", "monday")


def typos(text: str, severity: int, dice: Dice) -> str:
    """Hit a neighbouring key, drop a letter, or exchange it with the next one."""
    letters, found, at = list(text), [], 0
    while at < len(letters):
        letter, at = letters[at], at + 1
        near = NEIGHBOURS.get(letter.lower())
        if not near or not dice.chance(LETTERS[severity - 1]):
            found.append(letter)
            continue
        kind = dice.integer(0, 2)
        if kind == 0:
            found.append(dice.pick(near))
        elif kind == 1 and at < len(letters):
            found += [letters[at], letter]
            at += 1
    return "".join(found)


def case(text: str, severity: int, dice: Dice) -> str:
    """Write some words in capitals."""
    return _words(text, WORDS[severity - 1] * 2, dice, lambda word: word.upper())


def spaces(text: str, severity: int, dice: Dice) -> str:
    """Drop some spaces, and add others within words."""
    part = WORDS[severity - 1] / 2
    joined = "".join("" if letter == " " and dice.chance(part) else letter for letter in text)
    return _words(joined, part, dice, lambda word: _split(word, dice))


def punctuation(text: str, severity: int, dice: Dice) -> str:
    """Remove punctuation, and add marks after words."""
    part = WORDS[severity - 1]
    bare = "".join("" if letter in ".,;:!?'\"-" and dice.chance(min(1.0, 2 * part)) else letter for letter in text)
    return _words(bare, part, dice, lambda word: word + dice.pick(("!!!", "...", "?!", ",", " -", "…")))


def emoji(text: str, severity: int, dice: Dice) -> str:
    """Add emoji after words and at the end."""
    return (
        _words(text, WORDS[severity - 1] / 2, dice, lambda word: f"{word} {dice.pick(EMOJI)}") + " " + dice.pick(EMOJI) * severity
    )


def dropped_words(text: str, severity: int, dice: Dice) -> str:
    """Drop some words, but never all of them."""
    words = text.split(" ")
    kept = [word for word in words if not dice.chance(WORDS[severity - 1])]
    return " ".join(kept or words[:1])


def links(text: str, severity: int, dice: Dice) -> str:
    """Add addresses at the end, and from severity 4 on at the start."""
    made = [dice.pick(LINKS).format(f"{dice.integer(0, 16**8 - 1):08x}") for _ in range(severity)]
    first = made[:1] if severity >= 4 else []
    return " ".join([*first, text, *made[len(first) :]])


def truncation(text: str, severity: int, dice: Dice) -> str:
    """Keep the start of the text, with an ellipsis in place of the rest."""
    kept = max(1, int(len(text) * KEPT[severity - 1]))
    return text if kept >= len(text) else f"{text[:kept].rstrip()}…"


def repeated_letters(text: str, severity: int, dice: Dice) -> str:
    """Stretch letters: sooo."""
    part = LETTERS[severity - 1]
    return "".join(letter * (dice.integer(3, 5) if letter.isalpha() and dice.chance(part) else 1) for letter in text)


def hashtags(text: str, severity: int, dice: Dice) -> str:
    """Turn words into hashtags, and add others."""
    tagged = _words(text, WORDS[severity - 1], dice, lambda word: f"#{word}" if word.isalnum() else word)
    return " ".join([tagged, *(f"#{dice.pick(TAGS)}" for _ in range(severity))])


def moved_words(text: str, severity: int, dice: Dice) -> str:
    """Exchange words with the next ones."""
    words = text.split(" ")
    for at in range(len(words) - 1):
        if dice.chance(WORDS[severity - 1] / 2):
            words[at], words[at + 1] = words[at + 1], words[at]
    return " ".join(words)


def lookalikes(text: str, severity: int, dice: Dice) -> str:
    """Replace letters by Cyrillic ones of the same shape."""
    part = LETTERS[severity - 1]
    return "".join(letter.translate(LOOKALIKES) if dice.chance(part) else letter for letter in text)


NOISES: dict[str, tuple[str, Noise]] = {
    "typos": ("letters", typos),
    "repeated letters": ("letters", repeated_letters),
    "look-alike letters": ("letters", lookalikes),
    "capitals": ("letters", case),
    "spaces": ("marks", spaces),
    "punctuation": ("marks", punctuation),
    "emoji": ("marks", emoji),
    "dropped words": ("words", dropped_words),
    "moved words": ("words", moved_words),
    "truncation": ("words", truncation),
    "links": ("platform", links),
    "hashtags": ("platform", hashtags),
}
"""Name → group and function. A new one goes to the end: the position is a part of the seed."""


def damage(text: str, name: str, severity: int, seed: int) -> str:
    """Return a text with noise; severity 0 is the identity. Raises BitBloomError for an unknown noise or severity."""
    if name not in NOISES or severity not in (0, *SEVERITIES):
        raise BitBloomError(f"no noise '{name}' of severity {severity}: 0 to 5 of {', '.join(NOISES)}")
    if severity == 0 or not text:
        return text
    number, (_, noise) = list(NOISES).index(name), NOISES[name]
    return noise(text, severity, Dice(seed, number, severity))


def damage_all(texts: Sequence[str], name: str, severity: int, seeds: Sequence[int]) -> list[str]:
    """Return texts with noise, with a seed each."""
    return [damage(text, name, severity, seed) for text, seed in zip(texts, seeds, strict=True)]


def _words(text: str, part: float, dice: Dice, change: Callable[[str], str]) -> str:
    """Change some of the words; the spaces stay."""
    pieces = re.split(r"(\s+)", text)
    return "".join(change(piece) if piece.strip() and dice.chance(min(1.0, part)) else piece for piece in pieces)


def _split(word: str, dice: Dice) -> str:
    """A word with a space within."""
    if len(word) < 3:
        return word
    at = dice.integer(1, len(word) - 1)
    return f"{word[:at]} {word[at:]}"
