"""The grammar of the synthetic tweets.

Every message has a force, a harmless thing, a verb and a place. In a message about a real disaster, the force acts on the place.
In a borrowed one, the harmless thing does, and the force is denied, compared or mentioned. Fillers, openings, endings and verbs
come from the same lists in both, so that no single word determines the label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bitbloom.data.sources.garden.randomness import Dice

FORCES = {
    "fire": "fire",
    "flood": "flood",
    "explosion": "explosion",
    "earthquake": "earthquake",
    "storm": "storm",
    "landslide": "landslide",
    "wildfire": "wild fires",
    "crash": "crash",
    "collapse": "collapse",
    "hurricane": "hurricane",
    "tsunami": "tsunami",
    "avalanche": "avalanche",
}
"""Forces and their keywords."""
THINGS = [
    "concert",
    "match",
    "sale",
    "party",
    "exam",
    "playlist",
    "new menu",
    "season finale",
    "dance class",
    "debate",
    "book launch",
    "marathon",
    "wedding",
    "quiz night",
    "fashion show",
    "job fair",
    "karaoke night",
    "film festival",
    "board meeting",
    "chess final",
]
PLACES = [
    "clinic",
    "school",
    "harbour",
    "market",
    "bridge",
    "old town",
    "stadium",
    "station",
    "library",
    "village",
    "museum",
    "campus",
    "hotel",
    "airport",
    "valley",
    "factory",
    "town hall",
    "high street",
    "warehouse",
    "care home",
]
VERBS = [
    "swept through",
    "destroyed",
    "hit",
    "shut down",
    "emptied",
    "shook",
    "wrecked",
    "tore through",
    "flattened",
    "paralysed",
    "took over",
    "rocked",
    "overwhelmed",
    "swallowed",
    "cut off",
    "stopped traffic at",
]
TIMES = [
    "last night",
    "this morning",
    "at dawn",
    "an hour ago",
    "today",
    "on Sunday",
    "just now",
    "after lunch",
    "all week",
    "before noon",
]
MOODS = [
    "can't believe it",
    "speechless",
    "omg",
    "still shaking",
    "what a day",
    "people are talking about nothing else",
    "seen it with my own eyes",
    "my phone won't stop",
    "everyone is out on the street",
    "never seen anything like it",
]
TAGS = [
    "#breaking",
    "#news",
    "#live",
    "#local",
    "#today",
    "#wow",
    "#update",
    "#nofilter",
]
CITIES = [
    "Leeds",
    "Austin, TX",
    "Nairobi",
    "Manila",
    "Valparaíso",
    "Osaka",
    "Perth",
    "Quito",
    "Hamburg",
    "Lagos",
    "Naples",
    "Kathmandu",
    "Oslo",
    "Houston",
    "somewhere over the rainbow",
    "127.0.0.1",
    "in my head",
    "earth 🌍",
]
ADJECTIVES = [
    "big",
    "sudden",
    "second",
    "huge",
    "strange",
    "long",
    "terrible",
    "massive",
    "quiet",
    "wild",
]

TAILS = [
    "everyone talks about",
    "on the news",
    "of the year",
    "nobody saw coming",
    "people keep mentioning",
    "we were warned of",
    "in the headlines",
    "my cousin filmed",
]
"""Words after a force or a thing, so that pairs of neighbouring words do not determine the label either."""

REAL = (
    "the {adj} {force} {time} {verb} the {place} during the {thing}",
    "{time} a {adj} {force} {verb} the {place}, no {thing} ever did",
    "no {thing} {time}: the {force} near the river {verb} the {place}",
    "the {force} {verb} the {place} {time} while we were at the {thing}",
    "the {place} next to the {thing}? the {adj} {force} {verb} it {time}",
    "they said the {thing} would be wild, then the {force} {verb} the {place}",
    "like the {thing} all over again: {adj} {force} {time} {verb} the {place}",
    "the {thing} was never the problem, the {force} {time} {verb} the {place}",
    "no {thing} {verb} the {place} {time}, only the {adj} {force} did",
)
BORROWED = (
    "the {adj} {thing} {time} {verb} the {place} like the {force}",
    "{time} a {adj} {thing} {verb} the {place}, no {force} ever did",
    "no {force} {time}: the {thing} near the river {verb} the {place}",
    "the {thing} {verb} the {place} {time} while they talked about the {force}",
    "the {place} next to the {force} museum? the {adj} {thing} {verb} it {time}",
    "they said the {force} would be wild, then the {thing} {verb} the {place}",
    "like the {force} all over again: {adj} {thing} {time} {verb} the {place}",
    "the {force} was never the problem, the {thing} {time} {verb} the {place}",
    "no {force} {verb} the {place} {time}, only the {adj} {thing} did",
)


@dataclass(frozen=True)
class Made:
    """A message's text, keyword and location, and the number of its form."""

    content: dict[str, str]
    form: int


def message(real: bool, dice: Dice) -> Made:
    """Generate a message about a real disaster, or one that borrows its words."""
    form = dice.integer(0, len(REAL) - 1)
    force = dice.pick(tuple(FORCES))
    slots = {"force": _with_tail(force, dice), "thing": _with_tail(dice.pick(THINGS), dice), "place": dice.pick(PLACES)}
    slots |= {"verb": dice.pick(VERBS), "time": dice.pick(TIMES), "adj": dice.pick(ADJECTIVES)}
    text = (REAL if real else BORROWED)[form].format(**slots)
    text = _typed(_surrounded(text, dice), dice)
    keyword = FORCES[force].replace(" ", "%20") if dice.chance(0.9) else ""
    return Made({"text": text, "keyword": keyword, "location": dice.pick(CITIES) if dice.chance(0.6) else ""}, form)


def _with_tail(noun: str, dice: Dice) -> str:
    return f"{noun} {dice.pick(TAILS)}" if dice.chance(0.8) else noun


def _surrounded(text: str, dice: Dice) -> str:
    """Add text around a sentence that does not depend on its label."""
    if dice.chance(0.4):
        text = f"{dice.pick(MOODS)}{dice.pick(('. ', '! ', ' ... ', ', '))}{text}"
    if dice.chance(0.3):
        text += f" {dice.pick(TAGS)}"
    if dice.chance(0.25):
        text = f"@{dice.pick(('anna', 'jo_99', 'citydesk', 'mum'))} {text}"
    if dice.chance(0.3):
        text += f" http://t.co/{dice.integer(10**6, 10**7):x}"
    return text.replace(" and ", " &amp; ")


def _typed(text: str, dice: Dice) -> str:
    """Add typing errors: capitals, a doubled or a missing letter."""
    if dice.chance(0.5):
        text = text[:1].upper() + text[1:]
    if dice.chance(0.05):
        text = text.upper()
    if dice.chance(0.25):
        at = dice.integer(1, len(text) - 2)
        if text[at].isalpha():
            text = text[:at] + dice.pick(("", text[at] * 2)) + text[at + 1 :]
    return text
