"""Reads joint names: each joint's body part, its side and its place on the body."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from olift_fast.tracks.body_parts import (
    DIGIT,
    DIGITS,
    EMPTY,
    END,
    FINS,
    FIRST,
    GIRDLE_OF,
    GIRDLES,
    HAND,
    HANDLES,
    INSECT,
    JOINTS,
    LAST,
    LETTERED,
    LETTERED_LEG,
    LIMB_PARTS,
    LIMB_WORDS,
    MEANING,
    MIDDLE,
    PELVIS,
    POSITIONS,
    SIDES,
    TOES,
    TRUNK_PARTS,
    TWIST,
    VERTEBRAE,
    WRIST,
    Girdle,
    Part,
)
from olift_fast.tracks.sides import infer_sides, words_of

_PREFIX = re.compile(
    r"^(?:cc_base_|b_|bip0*1?[\W_]+|bip0*1(?=[A-Z])|mixamorig\d*[:_]?|valvebiped[._]|(?:def|org|mch)[-_])+", re.I
)
_CODE = re.compile(r"[lr][fhbm]|[fhbm][lr]|r[lr]|lr")
_HALVES = frozenset(("upper", "up", "lower", "low"))
_ARM = frozenset(("arm", "hand"))
_CODES = frozenset(a + b for side in "lr" for girdle in "fhbm" for a, b in ((side, girdle), (girdle, side)))


def read_names(names: Sequence[str]) -> tuple[Part | None, ...]:
    """The body part that each of J joint names means; None for a name without meaning.

    Names are read together: "RF" is a right foreleg if there is an "LF", "Leg" is a lower leg if there is an "UpLeg".
    """
    names = tuple(map(str, names))
    words = [_words(name) for name in names]
    readings = _readings(words, infer_sides(names))
    sides = _sides(names, words, readings)
    if sides != infer_sides(names):
        readings = _readings(words, sides)
    lettered = [bool(LETTERED_LEG.fullmatch(name)) for name in names]
    if sum(lettered) > 3:
        readings = [
            _lettered_leg(name) if is_one else part
            for name, is_one, part in zip(names, lettered, readings, strict=True)
        ]
    return tuple(_after_a_look_around(readings, words))


def sides_by_name(names: Sequence[str]) -> tuple[int, ...]:
    """(J) +1 left, -1 right, 0 middle or unknown: `infer_sides`, and side letters of paired parts without a twin.

    "Hand.L_end" is left even without a "Hand.R_end", if other joints of the skeleton have sides.
    """
    names = tuple(map(str, names))
    words = [_words(name) for name in names]
    return _sides(names, words, _readings(words, infer_sides(names)))


def _sides(names: Sequence[str], words: Sequence[list[str]], readings: Sequence[Part | None]) -> tuple[int, ...]:
    sides = infer_sides(names)
    if not any(sides):
        return sides
    found = list(sides)
    for index, (side, part) in enumerate(zip(sides, readings, strict=True)):
        letters = {SIDES[word] for word in words[index] if word in SIDES}
        if not side and part is not None and part.part not in TRUNK_PARTS and len(letters) == 1:
            found[index] = letters.pop()
    return tuple(found)


def _words(name: str) -> list[str]:
    """The name's words in lower case; compounds are split into words of the vocabulary ("tailbase" → tail, base)."""
    if name.casefold() in VERTEBRAE:
        return [VERTEBRAE[name.casefold()]]
    for joint, segment in INSECT.items():
        name = name.replace(joint, segment)
    words: list[str] = []
    for token in words_of(_PREFIX.sub("", name)):
        words.extend(_split(token.casefold()) or (token.casefold(),))
    return words


@lru_cache(maxsize=4096)
def _split(word: str) -> tuple[str, ...]:
    """The fewest words of the vocabulary that make up this word, with a side letter at one end or not; else ()."""
    if word in _VOCABULARY:
        return (word,)
    best: list[tuple[str, ...] | None] = [(), *([None] * len(word))]
    for end in range(1, len(word) + 1):
        for start in range(max(0, end - _LONGEST), end):
            head, piece = best[start], word[start:end]
            at_an_end = start == 0 or end == len(word)
            if head is None or not ((piece in _VOCABULARY and len(piece) > 1) or (piece in "lr" and at_an_end)):
                continue
            if best[end] is None or len(head) + 1 < len(best[end] or ()):
                best[end] = (*head, piece)
    return best[-1] or ()


_VOCABULARY = frozenset(
    {*MEANING, *GIRDLES, *POSITIONS, *JOINTS, *SIDES, *LIMB_WORDS, *FINS, *EMPTY, *TOES, *TWIST, *HANDLES}
)
_LONGEST = max(map(len, _VOCABULARY))


def _readings(words: Sequence[list[str]], sides: Sequence[int]) -> list[Part | None]:
    certain = {"thumb", "index", "ring", "pinky"}
    fingers = sum(any(MEANING.get(word, ("",))[0] in certain for word in spoken) for spoken in words) > 1
    return [_read(spoken, side, fingers) for spoken, side in zip(words, sides, strict=True)]


def _lettered_leg(name: str) -> Part:
    """The joint of a fly's leg, from side, number of the leg and letter of the joint: "R2C"."""
    part, rank = LETTERED[name[2]]
    girdles: tuple[Girdle, ...] = ("fore", "mid", "hind")
    return Part(part, SIDES[name[0].casefold()], girdles[int(name[1]) - 1], rank, MIDDLE, 0)


def _read(words: Sequence[str], side: int, fingers: bool) -> Part | None:
    if HANDLES.intersection(words):
        return None
    left, girdle = _without_side(words, side)
    # Positions are hundreds: no part is counted beyond 99.
    digits = [word for word in left if word.isdecimal()]
    numbers = [word if len(word) < 3 else str(min(99, int(word[:9]))) for word in digits]
    left = [word for word in left if not word.isdecimal() and word not in EMPTY]
    word = _most_telling(left, fingers)
    if word is None:
        return None
    rest = list(left)
    rest.remove(word)
    part, rank = _part_and_rank(word, rest, side, (girdle or _girdle(rest, "leg")) in ("fore", "hind"))
    if part in DIGITS and not {"toe", "foot"}.isdisjoint(left):
        part = "toe"
    if part in ("thigh", "shank", "upper_arm", "forearm"):
        rest = [other for other in rest if other not in _HALVES]
    order, number = _order(part, rest, numbers)
    if part in LIMB_PARTS:
        girdle = girdle or _girdle(left, part) or GIRDLE_OF.get(part, "fore" if _ARM.intersection(left) else "hind")
        telling = FINS if part == "fin" else LIMB_WORDS
        number = number or next((telling[other] for other in rest if other in telling), 0)
        if part == "fin" and not {"tail", "caudal"}.isdisjoint(rest):
            girdle = "hind"
    if TWIST.intersection(rest):
        order = -1 - order
    return Part(part, side, girdle if part in LIMB_PARTS else "", rank, order, number)


def _part_and_rank(word: str, rest: Sequence[str], side: int, is_limb: bool) -> tuple[str, int]:
    """The part and rank of the most telling word, given the others of the name."""
    part, rank = MEANING[word]
    halves = _HALVES.intersection(rest)
    if part in ("hip", "shoulder") and not side and not is_limb:
        return ("pelvis", PELVIS if word == "hip" else PELVIS - 1) if part == "hip" else ("chest", 28)
    if word == "head" and "top" in rest:
        return "crown", 0
    if word == "spine" and not {"base", "root"}.isdisjoint(rest):
        return "pelvis", 51
    if word in ("body", "root") and any(POSITIONS.get(other) == MIDDLE for other in rest):
        return ("side", 0) if side else ("spine", 42)
    if word in ("leg", "arm") and halves & {"upper", "up"}:
        return ("thigh", 20) if word == "leg" else ("upper_arm", 20)
    if word in ("leg", "arm") and halves & {"lower", "low"}:
        return ("shank", 35) if word == "leg" else ("forearm", 35)
    if word == "arm" and "fore" in rest:
        return "forearm", 35
    return part, rank


def _without_side(words: Sequence[str], side: int) -> tuple[list[str], Girdle]:
    """The words without the one for the side, and the girdle if that word has it too ("LF", "HR")."""
    left = list(words)
    if not side:
        return left, ""
    for place in reversed(range(len(left))):
        if SIDES.get(left[place]) == side:
            del left[place]
            return left, ""
    for place, word in enumerate(left):
        if _CODE.fullmatch(word):
            letter = "l" if side > 0 else "r"
            if letter in word:
                other = word.replace(letter, "", 1)
                return left[:place] + left[place + 1 :], GIRDLES.get(other, "")
    return left, ""


def _most_telling(words: Sequence[str], fingers: bool) -> str | None:
    """The word that names the part: for a limb the most distal one ("hand index"), else the first ("tail root")."""
    known = [word for word in words if word in MEANING and word not in ("middle", "mid", "center", "centre", "bottom")]
    limb = [word for word in known if MEANING[word][0] in LIMB_PARTS]
    middle = [word for word in words if word in ("middle", "mid")]
    if middle and fingers and all(MEANING[word][1] in (HAND, DIGIT) for word in known) and "foot" not in known:
        fingerlike = [word for word in limb if MEANING[word][0] in ("thumb", "index", "ring", "pinky", "wing", "toe")]
        if not fingerlike and not (known == ["hand"] and words[0] == middle[0]):
            return middle[0]
    named = [word for word in limb if MEANING[word][0] not in ("finger",)] or limb
    if named:
        # "Hip center", "shoulder girdle": equal ranks leave the first one.
        return max(named, key=lambda word: (MEANING[word][1], -named.index(word)))
    solid = [word for word in known if word not in ("root", "back", "body", "side", "tail", "face")]
    if solid and "tail" in known and MEANING[solid[0]][0] in ("spine", "pelvis"):
        return "tail"
    if solid or known:
        # "Neck/Nose" is the neck, "root of tail" the tail.
        telling = solid or known
        return min(telling, key=lambda word: (word in ("head", "nose", "root"), telling.index(word)))
    return next((word for word in words if word in ("center", "centre")), None)


def _girdle(words: Sequence[str], part: str) -> Girdle:
    for word in words:
        if word == "mid" and part in ("wing", "fin", "flipper", *DIGITS):
            continue
        if word in GIRDLES and word != "middle":
            return GIRDLES[word]
    return ""


def _order(part: str, words: Sequence[str], numbers: Sequence[str]) -> tuple[float, int]:
    """The place among joints of one part, and the number of the limb, finger or ray."""
    which = 0
    if part in DIGITS and (joints := [JOINTS[word] for word in words if word in JOINTS]):
        return MIDDLE + joints[0], int(numbers[0]) if numbers else 0
    if part in ("finger", "toe", "wing") and numbers:
        if len(numbers) > 1 or (part == "wing" and any(word in POSITIONS for word in words) and "end" not in words):
            which, numbers = int(numbers[0]) + 1, numbers[1:]
        elif part != "wing" and (len(numbers[0]) > 1 or part == "finger"):
            which, numbers = int(numbers[0][0]) + 1, [numbers[0][1:] or "0"]
    number = float(numbers[-1]) if numbers else 0.0
    if part == "neck":
        places = {**POSITIONS, **dict.fromkeys(("upper", "up", "top"), LAST), **dict.fromkeys(("lower", "low"), FIRST)}
    elif part == "spine":
        places = {"f": FIRST, "m": MIDDLE, "l": LAST, **POSITIONS, "base": FIRST}
    elif part in DIGITS:
        number = number or next((float(TOES[word]) for word in words if part == "toe" and word in TOES), 0.0)
        places = {"base": FIRST, "end": END, "tip": END, "leaf": END, "nub": END, "top": END}
    elif part in LIMB_PARTS and part not in ("wing", "fin", "flipper"):
        places = {word: place for word, place in POSITIONS.items() if word not in GIRDLES or word in ("mid", "middle")}
    else:
        places = POSITIONS
    said = [places[word] for word in words if word in places]
    return (max(said) if said else MIDDLE) + number, which


def _after_a_look_around(readings: Sequence[Part | None], words: Sequence[list[str]]) -> list[Part | None]:
    """Readings that need the other names: which of "UpLeg" and "Leg" is the shank, whether "Back" is the hind part."""
    known = [part for part in readings if part is not None]
    kinds = {(part.part, part.girdle) for part in known}
    hind_is_back = any(
        "back" in spoken and part is not None and part.part in LIMB_PARTS
        for part, spoken in zip(readings, words, strict=True)
    )
    shared = _shared_numbers(readings)
    limbs = any(part.part in ("elbow", "wrist", "knee") for part in known)
    # A horse's knee is in the foreleg: the hind leg has stifle and hock.
    is_horse = any(word in ("hock", "stifle") for spoken in words for word in spoken)
    plain = {(part.part, part.side, part.girdle) for part in known if part.order >= 0}
    result: list[Part | None] = []
    for part, spoken in zip(readings, words, strict=True):
        if part is None:
            result.append(None)
            continue
        if part.part == "leg":
            upper, lower = (("thigh", "shank"), ("upper_arm", "forearm"))["arm" in spoken]
            if (upper, part.girdle) in kinds and (lower, part.girdle) not in kinds:
                part = part._replace(part=lower, rank=35)
        if part.part == "fin" and limbs:
            part = part._replace(part="finger", rank=DIGIT)
        if (
            "knee" in spoken
            and part.part == "knee"
            and is_horse
            and not _girdle(spoken, "knee")
            and not _CODES.intersection(spoken)
        ):
            part = part._replace(part="wrist", girdle="fore", rank=WRIST)
        if "middle" in spoken and (part.part, "fore") in kinds and part.girdle == "hind":
            # An insect's "left_middle_femur", but not a finger's "middle", for which there is no other pair of limbs.
            part = part if _girdle(spoken, part.part) else part._replace(girdle="mid")
        if part.order < 0 and (part.part, part.side, part.girdle) not in plain:
            part = part._replace(order=-1 - part.order)
        if hind_is_back and [word for word in spoken if not word.isdecimal()] == ["back"]:
            part = part._replace(part="pelvis", rank=54)
        if part.part in LIMB_PARTS and (part.part, part.girdle) in shared and part.part not in DIGITS:
            part = part._replace(number=int(part.order % 100) + 1, order=part.order - part.order % 100)
        result.append(part)
    return result


def _shared_numbers(readings: Sequence[Part | None]) -> set[tuple[str, str]]:
    """Parts of limbs whose numbers count limbs: several parts come with the same few numbers."""
    numbers: dict[tuple[str, str], set[float]] = {}
    for part in readings:
        if part is not None and part.part in LIMB_PARTS and part.part not in DIGITS and part.order >= 0:
            numbers.setdefault((part.part, part.girdle), set()).add(part.order % 100)
    many = {key for key, values in numbers.items() if len(values) > 1 and 0 not in values}
    return {
        (part, girdle)
        for part, girdle in many
        if any(other != part and its == girdle and numbers[part, girdle] == numbers[other, its] for other, its in many)
    }
