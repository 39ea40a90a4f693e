"""Body parts as pose tools, papers and animators name them: a joint's name to its part, side and place."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from typing import Literal, NamedTuple

from olift_fast.tracks.skeleton import infer_sides

Girdle = Literal["fore", "mid", "hind", ""]


class Part(NamedTuple):
    """What a joint's name says.

    `part` is one of `PARTS`. `side` is +1 left, -1 right, 0 middle or unknown. `girdle` is the pair of limbs that the
    joint belongs to, "" away from limbs. `rank` is the part's place in its chain: from the nose (0) to the tail along
    the trunk, from the girdle to the claws along a limb. `order` is the place among joints of one part, from the trunk
    outward or from head to tail, except that numbers count as they stand ("spine2"); a joint beside its chain (a twist
    bone) has a negative one, the end of a bone at least `END`. `index` tells alike limbs and fingers apart.
    """

    part: str
    side: int
    girdle: Girdle
    rank: int
    order: float
    index: int


# `order` is 100 times the position (first, middle, last, end) plus the number.
FIRST, MIDDLE, LAST, END = 0, 100, 200, 300
# Along the trunk.
NOSE, HEAD, NECK, CHEST, SPINE, PELVIS, BODY, ROOT, TAIL = 0, 10, 20, 30, 40, 50, 55, 59, 60
# Along a limb.
WRIST, HEEL, PALM, HAND, DIGIT = 40, 42, 48, 50, 60

_TRUNK = {
    "nose": {NOSE: "nose snout muzzle beak bill rostrum nostril noise"},
    "face": {5: "face"},
    "head": {HEAD: "head skull poll cranium fhd bhd"},
    "neck": {NECK: "neck cervical nape"},
    "throat": {22: "throat"},
    "chest": {
        28: "shoulders",
        29: "withers wither scruff",
        CHEST: "chest thorax sternum breast strn",
        33: "ribcage ribs rib girth",
    },
    "spine": {
        38: "torso",
        SPINE: "spine back dorsum spinal",
        42: "center centre middle",
        43: "trunk",
        44: "lumbar loin",
    },
    "abdomen": {46: "abdomen abdo abd", 47: "waist"},
    "pelvis": {
        PELVIS: "hips",
        51: "pelvis pelvic asis asi psis psi",
        52: "sacrum croup rump haunch tti butt",
        53: "ischium",
        BODY: "body",
    },
    "root": {ROOT: "root bip"},
    "tail": {TAIL: "tail caudal peduncle stinger sting ovipositor fluke"},
}
_LIMB = {
    "collar": {5: "clavicle collar collarbone scapula girdle clav"},
    "shoulder": {10: "shoulder sho acromion"},
    "hip": {8: "iliac ilium", 10: "hip"},
    "coxa": {12: "coxa"},
    "leg": {15: "leg limb arm"},
    "trochanter": {16: "trochanter tr"},
    "thigh": {20: "thigh thai thi femur upleg"},
    "upper_arm": {20: "upperarm uparm upa humerus bicep"},
    "elbow": {25: "elbow elb"},
    "knee": {30: "knee kne stifle patella"},
    "forearm": {35: "forearm lowarm frm radius ulna"},
    "shank": {35: "calf shin shank crus tibia tib ti lowleg"},
    "wrist": {WRIST: "wrist wri wra wrb carpus carpal"},
    "ankle": {WRIST: "ankle ank malleolus hock tarsus tars ta"},
    "heel": {HEEL: "heel hee calcaneus"},
    "fetlock": {45: "fetlock pastern cannon metacarpus metatarsus"},
    "hand": {PALM: "palm", HAND: "hand"},
    "foot": {HAND: "foot feet pes ff ffb", 52: "lisfranc", 54: "ball mtp"},
    "paw": {HAND: "paw hoof hooves manus"},
    "toe": {DIGIT: "toe toes"},
    "finger": {DIGIT: "finger fingers digit digits"},
    "thumb": {DIGIT: "thumb pollex"},
    "index": {DIGIT: "index forefinger"},
    "middle": {DIGIT: "middle mid"},
    "ring": {DIGIT: "ring"},
    "pinky": {DIGIT: "pinky little pinkie"},
    "claw": {65: "claw claws nail pretarsus"},
    "wing": {DIGIT: "wing wings"},
    "flipper": {15: "flipper"},
    "fin": {15: "fin"},
}
_FEATURE = {
    "eye": "eye eyes eyeball eyelid",
    "ear": "ear ears",
    "horn": "horn antler horns",
    "jaw": "jaw chin mouth lip lips mandible teeth tooth cheek maxilla",
    "tongue": "tongue",
    "whisker": "whisker whiskers moustache beard",
    "brow": "brow eyebrow forehead",
    "antenna": "antenna antennae proboscis palp labellum",
    "crown": "crown crest comb mane hair headtop vertex",
    "side": "side flank midside lateral",
    "belly": "belly stomach",
}

PARTS = tuple(dict.fromkeys((*_TRUNK, *_LIMB, *_FEATURE)))
LIMB_PARTS = frozenset(_LIMB)
TRUNK_PARTS = frozenset(_TRUNK)
DIGITS = ("thumb", "index", "middle", "ring", "pinky", "finger", "toe")

_MEANING = {
    word: (part, rank) for table in (_TRUNK, _LIMB) for part, ranks in table.items() for rank in ranks
    for word in ranks[rank].split()
} | {word: (part, 0) for part, words in _FEATURE.items() for word in words.split()}  # fmt: skip
_GIRDLE_OF: dict[str, Girdle] = {
    **dict.fromkeys(("collar", "shoulder", "upper_arm", "elbow", "forearm", "wrist", "hand", *DIGITS[:-1]), "fore"),
    **dict.fromkeys(("flipper", "fin", "wing", "paw"), "fore"),
}
_GIRDLES: dict[str, Girdle] = {
    **dict.fromkeys("fore front anterior pro frnt pectoral f t1 ff".split(), "fore"),
    **dict.fromkeys("mid middle meso m t2".split(), "mid"),
    **dict.fromkeys("hind back rear posterior meta bk ventral anal h b r t3 ffb".split(), "hind"),
}
_POSITIONS = {
    **dict.fromkeys(
        "base root start top upper up inner proximal prox front fore begin cmc metacarpal in".split(), FIRST
    ),
    **dict.fromkeys("mid middle center centre mcp".split(), MIDDLE),
    **dict.fromkeys("lower low bottom bot outer rear hind posterior out".split(), LAST),
    **dict.fromkeys("end tip nub leaf site effector tail".split(), END),
}
# Joints of a finger, from the hand outward.
_JOINTS = {
    "carpal": 0, "metacarpal": 0, "cmc": 0, "knuckle": 1, "mcp": 1, "proximal": 1, "prox": 1, "ip": 2, "pip": 2,
    "intermediate": 2, "medial": 2, "dip": 3, "distal": 3, "dist": 3,
}  # fmt: skip
_SIDES = {"l": 1, "left": 1, "r": -1, "right": -1}
_LIMB_WORDS = {"near": 1, "off": 2}
_FINS = {"dorsal": 1, "anal": 2, "tail": 3, "caudal": 3, "pectoral": 4, "pelvic": 5, "ventral": 6, "adipose": 7}
# Joints of an insect's leg by the segments that they join, and by the letters that Anipose's flies have.
_INSECT = {"ThC": "coxa", "CTr": "trochanter", "FTi": "tibia", "FeTi": "tibia", "TiTa": "tarsus"}
_LETTERED_LEG = re.compile(r"[LR][123][A-E]")
_LETTERED = {"A": ("coxa", 12), "B": ("trochanter", 16), "C": ("shank", 35), "D": ("ankle", WRIST), "E": ("claw", 65)}
# Vertebrae that marker sets name by number.
_VERTEBRAE = {"c7": "withers", "t8": "spine", "t10": "spine", "l5": "lumbar"}
# Words that change nothing, and those that make a joint a handle of the animator and no part of the body.
_EMPTY = frozenset(
    "of the bone joint jnt jt j def org sk mixamorig cc valvebiped armature point marker kp pos skel c".split()
)
_HANDLES = frozenset("ik fk pole target ctrl control ctl helper goal vector prop weapon camera".split())
_TWIST = frozenset("twist roll tw share".split())
_PREFIX = re.compile(
    r"^(?:cc_base_|b_|bip0*1?[\W_]+|bip0*1(?=[A-Z])|mixamorig\d*[:_]?|valvebiped[._]|(?:def|org|mch)[-_])+", re.I
)
_TOKEN = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^\W\dA-Z_]+|[A-Z]+|\d+")
_CODE = re.compile(r"[lr][fhbm]|[fhbm][lr]|r[lr]|lr")
_CODES = frozenset(a + b for side in "lr" for girdle in "fhbm" for a, b in ((side, girdle), (girdle, side)))


def read_names(names: Sequence[str]) -> tuple[Part | None, ...]:
    """The body part that each of J joint names stands for; None for a name that says nothing.

    Names are read together: "RF" is a right foreleg where "LF" is there, "Leg" a lower leg where "UpLeg" is.
    """
    names = tuple(map(str, names))
    words = [_words(name) for name in names]
    readings = _readings(words, infer_sides(names))
    sides = _sides(names, words, readings)
    if sides != infer_sides(names):
        readings = _readings(words, sides)
    lettered = [bool(_LETTERED_LEG.fullmatch(name)) for name in names]
    if sum(lettered) > 3:
        readings = [
            _lettered_leg(name) if is_one else part
            for name, is_one, part in zip(names, lettered, readings, strict=True)
        ]
    return tuple(_after_a_look_around(readings, words))


def sides_by_name(names: Sequence[str]) -> tuple[int, ...]:
    """(J) +1 left, -1 right, 0 middle or unknown: `infer_sides`, and side letters of paired parts without a twin.

    "Hand.L_end" is left without a "Hand.R_end" where other joints of the skeleton are sided.
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
        letters = {_SIDES[word] for word in words[index] if word in _SIDES}
        if not side and part is not None and part.part not in TRUNK_PARTS and len(letters) == 1:
            found[index] = letters.pop()
    return tuple(found)


def _words(name: str) -> list[str]:
    """The name's words in lower case; compounds in pieces that the vocabulary has ("tailbase" → tail, base)."""
    if name.casefold() in _VERTEBRAE:
        return [_VERTEBRAE[name.casefold()]]
    for joint, segment in _INSECT.items():
        name = name.replace(joint, segment)
    words: list[str] = []
    for token in _TOKEN.findall(_PREFIX.sub("", name)):
        words.extend(_split(token.casefold()) or (token.casefold(),))
    return words


@cache
def _split(word: str) -> tuple[str, ...]:
    """The fewest words of the vocabulary that make up this one, with a side letter at one end perhaps; () if none do."""
    if word in _VOCABULARY:
        return (word,)
    best: list[tuple[str, ...] | None] = [(), *([None] * len(word))]
    for end in range(1, len(word) + 1):
        for start in range(end):
            head, piece = best[start], word[start:end]
            at_an_end = start == 0 or end == len(word)
            if head is None or not (piece in _VOCABULARY and len(piece) > 1 or piece in "lr" and at_an_end):
                continue
            if best[end] is None or len(head) + 1 < len(best[end] or ()):
                best[end] = (*head, piece)
    return best[-1] or ()


_VOCABULARY = frozenset(
    {*_MEANING, *_GIRDLES, *_POSITIONS, *_JOINTS, *_SIDES, *_LIMB_WORDS, *_FINS, *_EMPTY, *_TWIST, *_HANDLES} - {"t1", "t2", "t3"}
) | {"small", "big"}  # fmt: skip


def _readings(words: Sequence[list[str]], sides: Sequence[int]) -> list[Part | None]:
    fingers = sum(any(word in ("index", "ring", "pinky", "thumb") for word in spoken) for spoken in words) > 1
    return [_read(spoken, side, fingers) for spoken, side in zip(words, sides, strict=True)]


def _lettered_leg(name: str) -> Part | None:
    side, number, letter = name
    part, rank = _LETTERED[letter]
    return Part(part, 1 if side == "L" else -1, ("fore", "mid", "hind")[int(number) - 1], rank, MIDDLE, 0)


def _read(words: Sequence[str], side: int, fingers: bool) -> Part | None:
    if _HANDLES.intersection(words):
        return None
    left, girdle = _without_side(words, side)
    numbers = [word for word in left if word.isdigit()]
    left = [word for word in left if not word.isdigit() and word not in _EMPTY]
    word = _most_telling(left, fingers)
    if word is None:
        return None
    rest = list(left)
    rest.remove(word)
    part, rank = _MEANING[word]
    if part in ("hip", "shoulder") and not side and not girdle and not _girdle(rest, "leg"):
        part, rank = ("pelvis", PELVIS) if part == "hip" else ("chest", 28)
    if word == "head" and "top" in rest:
        part, rank = "crown", 0
    if word == "spine" and not {"base", "root"}.isdisjoint(rest):
        part, rank = "pelvis", 51
    if word in ("body", "root") and any(_POSITIONS.get(other) == MIDDLE for other in rest):
        part, rank = ("side", 0) if side else ("spine", 42)
    if word == "finger" and not fingers and "toe" in rest or word in DIGITS and "foot" in rest:
        part = "toe"
    if word in ("leg", "arm") and not {"upper", "up"}.isdisjoint(rest):
        part, rank = ("thigh", 20) if word == "leg" else ("upper_arm", 20)
        rest = [other for other in rest if other not in ("upper", "up")]
    elif word in ("leg", "arm") and not {"lower", "low"}.isdisjoint(rest):
        part, rank = ("shank", 35) if word == "leg" else ("forearm", 35)
        rest = [other for other in rest if other not in ("lower", "low")]
    elif word == "arm" and "fore" in rest:
        part, rank = "forearm", 35
    order, index = _order(part, rest, numbers)
    if part in LIMB_PARTS:
        arm: Girdle = "fore" if word == "arm" or "hand" in rest or "arm" in rest else "hind"
        girdle = girdle or _girdle(left, part) or _GIRDLE_OF.get(part, arm)
        telling = _FINS if part == "fin" else _LIMB_WORDS
        index = index or next((telling[other] for other in rest if other in telling), 0)
        if part == "fin" and ("tail" in rest or "caudal" in rest):
            girdle = "hind"
    else:
        girdle = ""
    if _TWIST.intersection(rest):
        order = -1 - order
    return Part(part, side, girdle, rank, order, index)


def _without_side(words: Sequence[str], side: int) -> tuple[list[str], Girdle]:
    """The words without the one that tells the side, and the girdle where that one tells it too ("LF", "HR")."""
    left = list(words)
    if not side:
        return left, ""
    for place in reversed(range(len(left))):
        if _SIDES.get(left[place]) == side:
            del left[place]
            return left, ""
    for place, word in enumerate(left):
        if _CODE.fullmatch(word):
            letter = "l" if side > 0 else "r"
            if letter in word:
                other = word.replace(letter, "", 1)
                return left[:place] + left[place + 1 :], _GIRDLES.get(other, "")
    return left, ""


def _most_telling(words: Sequence[str], fingers: bool) -> str | None:
    """The word that names the part: the most distal one of a limb ("hand index"), else the first ("tail root")."""
    known = [word for word in words if word in _MEANING and word not in ("middle", "mid", "center", "centre", "bottom")]
    limb = [word for word in known if _MEANING[word][0] in LIMB_PARTS]
    middle = [word for word in words if word in ("middle", "mid")]
    if middle and fingers and all(_MEANING[word][1] in (HAND, DIGIT) for word in known) and "foot" not in known:
        fingerlike = [word for word in limb if _MEANING[word][0] in ("thumb", "index", "ring", "pinky", "wing", "toe")]
        if not fingerlike and not (known == ["hand"] and words[0] == middle[0]):
            return middle[0]
    named = [word for word in limb if _MEANING[word][0] not in ("finger",)] or limb
    if named:
        # "Hip center", "shoulder girdle": equal ranks leave the first one.
        return max(named, key=lambda word: (_MEANING[word][1], -named.index(word)))
    solid = [word for word in known if word not in ("root", "back", "body", "side", "tail", "face")]
    if solid and "tail" in known and _MEANING[solid[0]][0] in ("spine", "pelvis"):
        return "tail"
    if solid or known:
        return min(solid or known, key=lambda word: (word in ("head", "nose"), (solid or known).index(word)))
    return next((word for word in words if word in ("center", "centre")), None)


def _girdle(words: Sequence[str], part: str) -> Girdle:
    for word in words:
        if word == "mid" and part in ("wing", "fin", "flipper", *DIGITS):
            continue
        if word in _GIRDLES and word != "middle":
            return _GIRDLES[word]
    return ""


def _order(part: str, words: Sequence[str], numbers: Sequence[str]) -> tuple[float, int]:
    """The place among joints of one part, and which of several alike limbs, fingers or rays it is."""
    index = 0
    if part in DIGITS and (joints := [_JOINTS[word] for word in words if word in _JOINTS]):
        return MIDDLE + joints[0], int(numbers[0]) if numbers else 0
    if part in ("finger", "toe", "wing") and numbers:
        if len(numbers) > 1 or part == "wing" and any(word in _POSITIONS for word in words) and "end" not in words:
            index, numbers = int(numbers[0]) + 1, numbers[1:]
        elif part != "wing" and (len(numbers[0]) > 1 or part == "finger") and not numbers[0].startswith("00"):
            index, numbers = int(numbers[0][0]) + 1, [numbers[0][1:] or "0"]
    number = float(numbers[-1]) if numbers else 0.0
    if part == "neck":
        places = {**_POSITIONS, **dict.fromkeys(("upper", "up", "top"), LAST), **dict.fromkeys(("lower", "low"), FIRST)}
    elif part == "spine":
        places = {"f": FIRST, "m": MIDDLE, "l": LAST, **_POSITIONS, "base": FIRST}
    elif part in DIGITS:
        places = {"base": FIRST, "end": END, "tip": END, "leaf": END, "nub": END, "top": END}
    elif part in LIMB_PARTS and part not in ("wing", "fin", "flipper"):
        places = {
            word: place for word, place in _POSITIONS.items() if word not in ("front", "fore", "rear", "hind", "tail")
        }
    else:
        places = {word: place for word, place in _POSITIONS.items() if word not in ("tail",)}
    said = [places[word] for word in words if word in places]
    return (max(said) if said else MIDDLE) + number, index


def _after_a_look_around(readings: Sequence[Part | None], words: Sequence[list[str]]) -> list[Part | None]:
    """What only the other names tell: which of "UpLeg" and "Leg" is the shank, and whether "Back" is the hind part."""
    known = [part for part in readings if part is not None]
    kinds = {(part.part, part.girdle) for part in known}
    hind_is_back = any(
        "back" in spoken and part is not None and part.part in LIMB_PARTS
        for part, spoken in zip(readings, words, strict=True)
    )
    shared = _shared_numbers(readings)
    limbs = any(part.part in ("elbow", "wrist", "knee") for part in known)
    # A horse's knee is that of the foreleg: the hind leg has stifle and hock.
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
        if part.part == "knee" and is_horse and not _girdle(spoken, "knee") and not _CODES.intersection(spoken):
            part = part._replace(girdle="fore", rank=WRIST)
        if part.order < 0 and (part.part, part.side, part.girdle) not in plain:
            part = part._replace(order=-1 - part.order)
        if hind_is_back and [word for word in spoken if not word.isdigit()] == ["back"]:
            part = part._replace(part="pelvis", rank=54)
        if part.part in LIMB_PARTS and (part.part, part.girdle) in shared and part.part not in DIGITS:
            part = part._replace(index=int(part.order % 100) + 1, order=part.order - part.order % 100)
        result.append(part)
    return result


def _shared_numbers(readings: Sequence[Part | None]) -> set[tuple[str, str]]:
    """Parts of limbs whose numbers count limbs: each of several parts comes with the same few numbers."""
    numbers: dict[tuple[str, str], set[float]] = {}
    for part in readings:
        if part is not None and part.part in LIMB_PARTS and 0 <= part.order < math.inf and part.part not in DIGITS:
            numbers.setdefault((part.part, part.girdle), set()).add(part.order % 100)
    many = {key for key, values in numbers.items() if len(values) > 1 and 0 not in values}
    return {
        (part, girdle)
        for part, girdle in many
        if any(other != part and its == girdle and numbers[part, girdle] == numbers[other, its] for other, its in many)
    }
