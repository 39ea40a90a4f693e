"""Finds the side of the body of each joint from the names of all joints together."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache


def infer_sides(names: Sequence[str]) -> tuple[int, ...]:
    """(J) +1 for a left joint, -1 for a right joint, 0 for a middle or unknown one, by the names.

    A joint has a side if its name has the word left or right, or a side letter ("LHip", "hip_l", "EarL", "LF_Coxa",
    "lhip") and the mirrored name is there, too. The numbers of twins may differ ("paw1LH", "paw4RH") if nothing else
    fits. If all names have the same letter as a word of its own ("Thumb_Tip_L", "Wrist_L"), all joints are on that
    side.
    """
    return tuple(side for _, side in twins(tuple(map(str, names))))


def words_of(name: str) -> list[str]:
    """The words of a name, split at separators, at case changes ("LHip", "EarL", "RHindPaw") and around numbers."""
    return _TOKEN.findall(name)


_WORDS = {"left": "right", "right": "left"}
_LETTERS = {"l": "r", "r": "l"}
_SIDE = {"left": 1, "l": 1, "right": -1, "r": -1}
_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d+")


@lru_cache(maxsize=256)
def twins(names: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    """For each joint, the index of its twin (itself if none) and its side."""
    found = [[index, 0] for index in range(len(names))]
    tokens = [tuple(token.casefold() for token in words_of(name)) for name in names]
    for ignore_numbers in (False, True):
        place: dict[str, list[int]] = {}
        for index, words in enumerate(tokens):
            place.setdefault(_key(words, ignore_numbers), []).append(index)
        for rank in range(4):
            for index, words in enumerate(tokens):
                for mirrored, side, its_rank in _mirrored(words):
                    other = place.get(_key(mirrored, ignore_numbers), [])
                    alone = len(place[_key(words, ignore_numbers)]) == 1
                    if its_rank != rank or found[index][1] or not alone or len(other) != 1 or found[other[0]][1]:
                        continue
                    found[index] = [other[0], side]
                    found[other[0]] = [index, -side]
    for index, words in enumerate(tokens):
        plain_words = {word for word in words if word in _WORDS}
        if not found[index][1] and len(plain_words) == 1:
            found[index][1] = _SIDE[plain_words.pop()]
    # All joints on one side, such as a hand: no name has a twin, and all have the same letter.
    letters = {"".join(sorted(_LETTERS.keys() & words)) for words in tokens}
    if len(names) > 2 and len(letters) == 1 and letters <= _LETTERS.keys() and not any(side for _, side in found):
        found = [[twin, _SIDE[letter]] for letter in letters for twin, _ in found]
    return tuple((twin, side) for twin, side in found)


def _mirrored(words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Names that this name could be the mirror of, as (words, side of this name, rank); rank 0 is the surest."""
    for place, word in enumerate(words):
        before, after = words[:place], words[place + 1 :]
        if word in _WORDS:
            yield (*before, _WORDS[word], *after), _SIDE[word], 0
            continue
        for side, other in _WORDS.items():
            if word.startswith(side):
                yield (*before, other + word[len(side) :], *after), _SIDE[side], 1
            if word.endswith(side):
                yield (*before, word[: -len(side)] + other, *after), _SIDE[side], 1
        if word in _LETTERS:
            yield (*before, _LETTERS[word], *after), _SIDE[word], 2
            continue
        if word[0] in _LETTERS:
            yield (*before, _LETTERS[word[0]] + word[1:], *after), _SIDE[word[0]], 3
        if word[-1] in _LETTERS:
            yield (*before, word[:-1] + _LETTERS[word[-1]], *after), _SIDE[word[-1]], 3


def _key(words: tuple[str, ...], ignore_numbers: bool) -> str:
    # "/" keeps words apart, so that ("r", "ear") is never taken for ("rear",).
    return "/".join(word for word in words if not (ignore_numbers and word.isdigit()))
