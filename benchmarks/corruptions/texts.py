"""Damage to a text. Each function returns the damaged text, with a fault that a reader would call one."""

from __future__ import annotations

import base64
import json
from random import Random

GERMAN = (
    "Das ist nicht der Hund, den ich auf der Straße gesehen habe",
    "Wir sind nach dem Regen mit dem Rad in die Stadt gefahren",
)
FRENCH = (
    "Il y a des chiens dans la rue et les enfants sont avec eux",
    "Nous avons vu la mer pour la première fois avec les amis",
)
SPANISH = (
    "El perro no está en la casa porque los niños se lo han llevado",
    "Hay muchas flores en el jardín pero no hay agua para ellas",
)
ITALIAN = (
    "Il cane è nella casa con i bambini e non vuole uscire",
    "Gli amici sono al mare ma anche questa volta non c'è il sole",
)
PORTUGUESE = (
    "O cachorro não está em casa mas os meninos já foram embora",
    "Há muitas flores no jardim e uma delas é muito bonita",
)
DUTCH = (
    "De hond is niet in het huis maar op de straat met een kat",
    "Wij hebben het niet gezien omdat er geen licht was bij ons",
)
RUSSIAN = ("Собака бежит по зелёной траве", "Мы видели пожар у старого моста")
GREEK = ("Ο σκύλος τρέχει στο πράσινο γρασίδι", "Είδαμε τη φωτιά δίπλα στο ποτάμι")
ARABIC = ("الكلب يجري على العشب الأخضر", "رأينا الحريق قرب الجسر القديم")
CHINESE = ("一只狗在绿色的草地上奔跑", "我们看见了桥边的大火")
LOREM = "Lorem ipsum dolor sit amet, consectetur adipiscing elit, sed do eiusmod tempor"
ALIKE = str.maketrans("aceopxyABCEHKMOPTX", "асеорхуАВСЕНКМОРТХ")
INVISIBLE = "\u200b\u00ad\u2060\ufeff\u202e"
PLACEHOLDERS = ("N/A", "TODO", "no description available", "untitled", "caption goes here", "[deleted]", "no text", "NULL")


def replaced(text: str, random: Random) -> str:
    """Characters lost in decoding."""
    at = random.randrange(len(text))
    return text[:at] + "\ufffd" * random.randint(1, 2) + text[at + 1 :]


def macintosh(text: str, random: Random) -> str:
    """Punctuation of Windows that was read as Mac OS Roman."""
    return _within(text, random.choice((" \u2030\u00db\u00cf", " \u2030\u00db\u00d2 ", " \u00e5\u00ca")), random)


def cut_utf8(text: str, random: Random) -> str:
    """UTF-8 that was read as Latin-1 and then truncated, so that no program can repair it."""
    return _within(text, random.choice((" caf\u00c3\u00a9 caf\ufffd\u00c3", " \u00ef\u00bf\u00bd\ufffd")), random)


def lost_apostrophe(text: str, random: Random) -> str:
    return _within(text, random.choice((" don?t", " it?s what we?ve seen", " they?re here")), random)


def escaped(text: str, random: Random) -> str:
    return _within(text, random.choice((" caf\\u00e9", " caf\\xc3\\xa9", " caf%C3%A9", " caf=C3=A9")), random)


def homoglyphs(text: str, random: Random) -> str:
    """Latin letters replaced by Cyrillic ones that look the same."""
    words = text.split()
    usable = [at for at, word in enumerate(words) if len(word) > 3 and word.isalpha() and _partly(word)]
    if not usable:
        return f"{text} p\u0430ypal"
    at = random.choice(usable)
    words[at] = _partly(words[at])
    return " ".join(words)


def _partly(word: str) -> str:
    made = word[0] + word[1:].translate(ALIKE)
    return made if made != word and any(c.isascii() for c in made[1:]) else ""


def invisible(text: str, random: Random) -> str:
    at = random.randrange(1, len(text))
    return text[:at] + random.choice(INVISIBLE) + text[at:]


def markup(text: str, random: Random) -> str:
    return random.choice(("<p>{}</p>", "<div class='t'>{}</div>", "<b>{}</b><br/>", "[quote]{}[/quote]")).format(text)


def data(text: str, random: Random) -> str:
    return json.dumps({"id": random.randint(1, 999), "text": text})


def template(text: str, random: Random) -> str:
    return _within(text, random.choice((" {{ name }}", " ${user}", " %(place)s")), random)


def encoded(text: str, random: Random) -> str:
    key = base64.b64encode(random.randbytes(30)).decode().replace("+", "a").replace("/", "B")
    return f"{text} 1aB{key}"


def placeholder(text: str, random: Random) -> str:
    return random.choice(PLACEHOLDERS) + " " * random.randint(0, 2)


def file_name(text: str, random: Random) -> str:
    return random.choice(
        (f"IMG_{random.randint(1000, 9999)}.jpg", f"DSC0{random.randint(1000, 9999)}", f"photo-{random.randint(1, 99)}.png")
    )


def stutter(text: str, random: Random) -> str:
    return _within(text, " " + " ".join([random.choice(("very", "spam", "buy"))] * random.randint(5, 9)), random)


def long_letter(text: str, random: Random) -> str:
    return _within(text, " " + random.choice("aeoh") * random.randint(16, 40), random)


def email(text: str, random: Random) -> str:
    return f"{text} mail jo.{random.randint(1, 99)}@example.com"


def telephone(text: str, random: Random) -> str:
    return f"{text} call {random.randint(200, 999)}-{random.randint(200, 999)}-{random.randint(1000, 9999)}"


def card(text: str, random: Random) -> str:
    return f"{text} card " + "-".join(f"{random.randint(1000, 9999)}" for _ in range(4))


def _within(text: str, piece: str, random: Random) -> str:
    """Insert a piece between two words."""
    words = text.split()
    at = random.randint(1, len(words))
    return " ".join([*words[:at], piece.strip(), *words[at:]])
