"""Words that name nothing in a photo: the closed classes of English, and the words for a photo itself.

A caption with only these words ("a photo of the") is a fragment or a placeholder. A caption with any other word, also in
another language, counts as naming something.
"""

_ARTICLES = "a an the this that these those some any no each every all both"
_NUMBERS = "one two three four five six seven eight nine ten"
_PRONOUNS = "i you he she it we they me him her us them my your his its our their who which what something anything nothing"
_PREPOSITIONS = (
    "of in on at by with without from to for into onto over under above below beside between among behind near through against "
    "across around along up down off out about after before front"
)
_CONJUNCTIONS = "and or but as than while so if"
_AUXILIARIES = "is are was were be been being am has have had do does did will would can could may might there here not"
_PICTURES = "photo photos photograph photographs picture pictures image images caption url user"
"""The last two replace addresses and user names in cleaned texts."""

NAME_NOTHING = frozenset(
    " ".join((_ARTICLES, _NUMBERS, _PRONOUNS, _PREPOSITIONS, _CONJUNCTIONS, _AUXILIARIES, _PICTURES)).split()
)
