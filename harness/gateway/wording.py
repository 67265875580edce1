"""Made-up answers: English-looking sentences that are a pure function of a seed."""

from __future__ import annotations

import random
from itertools import pairwise

_NOUNS = [
    "river",
    "bridge",
    "window",
    "garden",
    "train",
    "market",
    "letter",
    "harbor",
    "forest",
    "signal",
    "island",
    "lamp",
    "engine",
    "valley",
    "ledger",
]
_ADJECTIVES = [
    "quiet",
    "narrow",
    "early",
    "bright",
    "old",
    "careful",
    "distant",
    "steady",
    "green",
    "hollow",
    "plain",
    "warm",
    "recent",
    "small",
]
_VERBS = [
    "crosses",
    "follows",
    "carries",
    "shows",
    "leaves",
    "keeps",
    "meets",
    "holds",
    "finds",
    "passes",
    "changes",
    "reaches",
]
_LINKS = [
    "while",
    "because",
    "although",
    "and",
    "before",
    "after",
    "when",
]
_SHORTEST, _LONGEST = 10, 120
_LONGEST_SENTENCE = 14


def seeded_text(seed: str) -> str:
    """Sentences of 10 to 120 tokens in all, in the sense of ``harness.gateway.tokens``.

    Every word is shorter than a token's longest, so a sentence of w words has w + 1 tokens.
    """
    draw = random.Random(seed)  # noqa: S311 - simulation, not cryptography
    length = draw.randint(_SHORTEST, _LONGEST)
    count = -(-length // _LONGEST_SENTENCE)
    cuts = [index * length // count for index in range(count + 1)]
    return " ".join(_sentence(draw, end - start - 1) for start, end in pairwise(cuts))


def seeded_words(draw: random.Random, count: int) -> str:
    """So many words without a meaning."""
    return " ".join(draw.choice(_NOUNS) for _ in range(count))


def _sentence(draw: random.Random, word_count: int) -> str:
    words: list[str] = []
    while len(words) < word_count:
        if words:
            words.append(draw.choice(_LINKS))
        words += ["the", draw.choice(_ADJECTIVES), draw.choice(_NOUNS), draw.choice(_VERBS)]
        words += ["a", draw.choice(_NOUNS)]
    return " ".join(words[:word_count]).capitalize() + "."
