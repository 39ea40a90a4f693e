"""The vocabulary of body parts: the words that pose tools, papers and animators use for them."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeVar

T = TypeVar("T")
Girdle = Literal["fore", "mid", "hind", ""]


class Part(NamedTuple):
    """The meaning of a joint's name.

    `part` is one of `PARTS`. `side` is +1 left, -1 right, 0 middle or unknown. `girdle` is the pair of limbs that the
    joint belongs to, "" for other joints. `rank` is the part's place in its chain: from the nose (0) to the tail along
    the trunk, from the girdle to the claws along a limb. `order` is the place among joints of one part, from the trunk
    outward or from head to tail, except that numbers keep their order ("spine2"). It is negative for a joint beside its
    chain (a twist bone), and at least `END` for the end of a bone. `number` distinguishes limbs, fingers and fins of
    one kind.
    """

    part: str
    side: int
    girdle: Girdle
    rank: int
    order: float
    number: int


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
        31: "notum carapace",
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
    "eye": "eye eyes eyeball eyelid pupil",
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


def _each(words: str, meaning: T) -> dict[str, T]:
    return dict.fromkeys(words.split(), meaning)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


# Each word's part and rank.
MEANING = {
    word: (part, rank) for table in (_TRUNK, _LIMB) for part, ranks in table.items() for rank in ranks
    for word in ranks[rank].split()
} | {word: (part, 0) for part, words in _FEATURE.items() for word in words.split()}  # fmt: skip
GIRDLE_OF: dict[str, Girdle] = {
    **dict.fromkeys(("collar", "shoulder", "upper_arm", "elbow", "forearm", "wrist", "hand", *DIGITS[:-1]), "fore"),
    **dict.fromkeys(("flipper", "fin", "wing", "paw"), "fore"),
}
GIRDLES: dict[str, Girdle] = {
    **_each("fore front anterior pro frnt pectoral f ff", "fore"),
    **_each("mid middle meso m", "mid"),
    **_each("hind back rear posterior meta bk ventral anal h b r ffb", "hind"),
}
POSITIONS = {
    **_each("base root start top upper up inner proximal prox front fore begin cmc metacarpal in", FIRST),
    **_each("mid middle center centre mcp", MIDDLE),
    **_each("lower low bottom bot outer rear hind posterior out", LAST),
    **_each("end tip nub leaf site effector", END),
}
# Joints of a finger, from the hand outward.
JOINTS = {
    "carpal": 0, "metacarpal": 0, "cmc": 0, "knuckle": 1, "mcp": 1, "proximal": 1, "prox": 1, "ip": 2, "pip": 2,
    "intermediate": 2, "medial": 2, "dip": 3, "distal": 3, "dist": 3,
}  # fmt: skip
SIDES = {"l": 1, "left": 1, "r": -1, "right": -1}
LIMB_WORDS = {"near": 1, "off": 2}
FINS = {"dorsal": 1, "anal": 2, "tail": 3, "caudal": 3, "pectoral": 4, "pelvic": 5, "ventral": 6, "adipose": 7}
# Joints of an insect's leg by the segments that they join, and by the letters that Anipose's flies have.
INSECT = {"ThC": "coxa", "CTr": "trochanter", "FTi": "tibia", "FeTi": "tibia", "TiTa": "tarsus"}
LETTERED_LEG = re.compile(r"[LR][123][A-E]")
LETTERED = {"A": ("coxa", 12), "B": ("trochanter", 16), "C": ("shank", 35), "D": ("ankle", WRIST), "E": ("claw", 65)}
# Vertebrae that marker sets name by number.
VERTEBRAE = {"c7": "withers", "t8": "spine", "t10": "spine", "l5": "lumbar"}
# Words without meaning, and words for handles of the animator, which are not parts of the body.
EMPTY = _set("of the bone joint jnt jt j def org sk mixamorig cc valvebiped armature point marker kp pos skel c")
HANDLES = _set(
    "ik fk pole target ctrl control ctl helper goal vector prop weapon camera arena box cage corner wall lever object "
    "obstacle obs"
)
TOES = {"big": 1, "small": 2, "little": 2}
TWIST = _set("twist roll tw share")
