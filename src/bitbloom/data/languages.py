"""A guess of the language of a short text, from its script and its most frequent words.

It needs no model. It says nothing about a text of few words, and prefers silence to a wrong answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_WORDS = {
    "en": "the and of to is was in that it for you with this on are be not have at but from they my all what when your"
    " just so i a we he she his her our who how as by an if or out up will can there their has had were me no one"
    " some off over after",
    "de": "der die das und ist nicht ich ein eine einen einem mit auf für von den dem des im zu auch sich wir sie es"
    " aber wie wird bei nach über noch nur wenn oder sind war hat vor zum zur aus durch ihr kein keine",
    "fr": "le la les et est pas je un une des du que qui dans pour sur avec ce cette il elle nous vous au aux mais ou"
    " sont plus par ne se son sa ses être été leur comme tout très d'un d'une l'on",
    "es": "el la los las y es no que de en un una por con para del se lo su al como más pero sus está este esta son fue"
    " muy ya hay desde todo sobre nos",
    "it": "il lo la gli le e è non che di un una per con del della dei delle nel nella sono si ma come più anche questo"
    " questa al alla ha suo sua dal sulla degli",
    "pt": "o os as e é não que de um uma por com para do da dos das no na nos nas se mais mas como foi são ao seu sua"
    " está muito também pelo pela isso",
    "nl": "de het een en is niet van dat ik op te zijn voor met er aan maar om ook als bij nog uit naar dit wordt deze"
    " werd heeft wij jij zij geen door over",
    "la": "lorem ipsum dolor sit amet consectetur adipiscing elit sed eiusmod tempor incididunt labore magna aliqua",
}
WORDS = {language: frozenset(words.split()) for language, words in _WORDS.items()}
ENGLISH = "en"
FEWEST, AHEAD = 3, 2
"""Smallest number of a language's words, and their smallest ratio to those of English, for a guess other than English."""
MOST_LETTERS = 0.5
"""Fraction of the letters that decides the script."""
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def guess(text: str) -> str:
    """Return the code of a language (`en`, `de`, …), a script other than Latin (`cyrillic`, `cjk`, …), or an empty text."""
    letters = [letter for letter in text if letter.isalpha()]
    if not letters:
        return ""
    foreign = [letter for letter in letters if not letter.isascii()] if not text.isascii() else []
    if len(foreign) > len(letters) * MOST_LETTERS:
        [(script, count)] = Counter(map(_script, foreign)).most_common(1)
        if script != "latin" and count > len(letters) * MOST_LETTERS:
            return script
    words = [word.lower() for word in _WORD.findall(text)]
    english = sum(word in WORDS[ENGLISH] for word in words)
    found = {language: [word for word in words if word in known] for language, known in WORDS.items() if language != ENGLISH}
    best = max(found, key=lambda language: len(found[language]))
    if len(set(found[best])) >= FEWEST and len(found[best]) >= AHEAD * english:
        return best
    return ENGLISH if english else ""


def _script(letter: str) -> str:
    name = unicodedata.name(letter, "").partition(" ")[0].lower()
    return "cjk" if name in ("cjk", "hiragana", "katakana", "hangul") else name
