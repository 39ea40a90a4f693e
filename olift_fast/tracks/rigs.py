"""Rigs, the skeletons that come with the package: those of AnimalSyn3D, and keypoint sets of common pose estimators.

Joint names and their order are those of the source. A rig is written as chains of joints; `*` in a chain means left
and right.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from olift_fast.errors import InputError
from olift_fast.tracks.skeleton import Skeleton, plain

_PLAIN = 1_000_000
"""The most bytes of a skeleton's file that `plain_skeleton` opens."""


def rig(name: str) -> Skeleton:
    """The rig of this name; an AnimalSyn3D model's name ("foxZED") works as well.

    Raises:
        InputError: there is no such rig; the message suggests similar names.
    """
    wanted = f"animalsyn3d_{ANIMALSYN3D_MODELS[name]}" if name in ANIMALSYN3D_MODELS else name
    if wanted not in _RIGS:
        raise InputError(f"no built-in skeleton {name!r}; {_near(wanted)}")
    return _build(wanted)


def rig_names() -> tuple[str, ...]:
    """The names of the rigs."""
    return tuple(_RIGS)


def find_rig(names: Iterable[str]) -> Skeleton | None:
    """The rig with exactly these joints, in the order and spelling of `names`; None if there is none.

    The order, case and separators of `names` need not be those of the rig. Rigs with the same joint names (fox, puma,
    elk) have the same edges, too; the first one is returned.
    """
    given = tuple(map(str, names))
    wanted = frozenset(map(plain, given))
    if len(wanted) != len(given):
        return None
    found = _by_joints().get(wanted)
    return None if found is None else rig(found).match(given)


def load_skeleton(path_or_name: str | Path) -> Skeleton:
    """The skeleton in a JSON file (see `Skeleton.from_json`), or the rig of that name.

    Raises:
        InputError: there is no such file or rig, or the file is not a valid skeleton.
    """
    path = Path(path_or_name)
    if str(path_or_name) in rig_names():
        return rig(str(path_or_name))
    if not path.is_file():
        if path.suffix or path.parent != Path("."):
            raise InputError(f"{path_or_name}: no such file")
        near = _near(str(path_or_name))
        raise InputError(f"{path_or_name}: neither a skeleton file nor a built-in skeleton; {near}")
    try:
        return Skeleton.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: skeleton is not UTF-8 text: {error}") from error
    except InputError as error:
        raise InputError(f"{path}: {error}") from error


def _near(name: str) -> str:
    """The rigs with similar names; if there are none, all rigs, those of AnimalSyn3D last."""
    close = difflib.get_close_matches(name, _RIGS, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"built in: {', '.join(sorted(_RIGS, key=lambda rig: rig.startswith('animalsyn3d')))}"


def plain_skeleton(path_or_name: str | Path) -> Skeleton | None:
    """The rig of that name, or the skeleton in a JSON file with `names`; None for other and for bad files.

    `olift_fast.io.read_skeleton` gives the same, but needs the libraries that read other files.
    """
    if str(path_or_name) in rig_names():
        return rig(str(path_or_name))
    path = Path(path_or_name)
    try:
        if path.suffix.lower() != ".json" or not path.is_file() or path.stat().st_size > _PLAIN:
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
        return Skeleton.from_json(content) if isinstance(content, dict) and "names" in content else None
    except (OSError, ValueError, RecursionError, InputError):
        return None


# Model names in the AnimalSyn3D dataset, and their animals. The last four are in its tooling, but not among the
# thirteen animals of the paper.
ANIMALSYN3D_MODELS = {
    "foxZED": "fox",
    "pumaRW": "puma",
    "deerOMG": "deer",
    "elkML": "elk",
    "bear3EP": "bear",
    "moose6OK9": "moose",
    "bunnyQ": "bunny",
    "rabbit7L6": "rabbit",
    "bucksYJL": "buck",
    "tigerD8H": "tiger",
    "raccoonVGG": "raccoon",
    "doggieMN5": "dog",
    "chickenDC": "chicken",
    "dragonOF2": "dragon",
    "crocodileOPW": "crocodile",
    "duck": "duck",
    "hippoDG": "hippo",
}


class _Rig(NamedTuple):
    names: str
    chains: str
    sides: tuple[str, str]


def _rig(names: str, *chains: str) -> _Rig:
    return _Rig(names, ", ".join(chains), ("left", "right") if "left" in names else ("L", "R"))


@cache
def _build(name: str) -> Skeleton:
    names, chains, sides = _RIGS[name]
    joints = tuple(joint.strip() for joint in names.split(","))
    place = {joint: index for index, joint in enumerate(joints)}
    edges: dict[tuple[int, int], None] = {}
    for chain in chains.split(","):
        for side in sides if "*" in chain else sides[:1]:
            links = [place[joint.strip().replace("*", side)] for joint in chain.split(">")]
            edges.update(dict.fromkeys(pairwise(links)))
    return Skeleton(joints, tuple(edges), name=name)


@cache
def _by_joints() -> dict[frozenset[str], str]:
    found: dict[frozenset[str], str] = {}
    for name in _RIGS:
        found.setdefault(frozenset(map(plain, _build(name).names)), name)
    return found


_FACE = "Nose > Neck > Spine > Pelvis, Eye * > Neck, Ear * > Neck"
_BARE_FACE = "Nose > Neck > Spine > Pelvis, Eye * > Neck"
_FORELEG = "Spine > Shoulder * > Elbow * > Wrist * > Paw *"
_HINDLEG = "Pelvis > Hip * > Knee * > Ankle * > Heel *"
_TAIL = "Pelvis > Tail"
_LONG_TAIL = "Pelvis > Tail Middle > Tail Tip"
_EARS = "Ear * > Ear Tip *"
_ANTLERS = "Neck > Antler Base * > Antler Tip *"

_FOX = _rig(
    "Spine, Eye L, Eye R, Ear R, Ear L, Nose, Shoulder R, Shoulder L, Elbow R, Wrist R, Paw R, Elbow L, Wrist L, Paw L,"
    "Pelvis, Hip L, Hip R, Knee L, Ankle L, Knee R, Ankle R, Heel L, Heel R, Tail Middle, Tail Tip, Neck",
    *(_FACE, _FORELEG, _HINDLEG, _LONG_TAIL),
)
_RABBIT = _rig(
    "Spine, Eye L, Eye R, Ear R, Ear Tip R, Ear L, Ear Tip L, Nose, Shoulder R, Shoulder L, Elbow R, Wrist R, Elbow L,"
    "Wrist L, Pelvis, Hip L, Hip R, Knee L, Ankle L, Heel L, Knee R, Ankle R, Heel R, Tail, Neck",
    *(_FACE, _EARS, "Spine > Shoulder * > Elbow * > Wrist *", _HINDLEG, _TAIL),
)

_RIGS = {
    # AnimalSyn3D (arXiv 2412.01166), as read from its public tooling; "Paw L" of the buck, which it calls a second
    # "Wrist L", is the one name changed.
    "animalsyn3d_fox": _FOX,
    "animalsyn3d_puma": _FOX,
    "animalsyn3d_deer": _rig(
        "Spine, Eye L, Eye R, Ear R, Ear L, Nose, Shoulder R, Shoulder L, Elbow R, Wrist R, Paw R, Elbow L, Wrist L,"
        "Paw L, Pelvis, Hip L, Hip R, Knee L, Ankle L, Knee R, Ankle R, Heel L, Heel R, Tail, Neck, Antler Base R,"
        "Antler Tip R, Antler Base L, Antler Tip L",
        *(_FACE, _FORELEG, _HINDLEG, _TAIL, _ANTLERS),
    ),
    "animalsyn3d_elk": _FOX,
    "animalsyn3d_bear": _rig(
        "Spine, Eye L, Eye R, Ear R, Ear L, Nose, Shoulder R, Shoulder L, Elbow R, Paw R, Elbow L, Paw L, Pelvis,"
        "Hip L, Hip R, Knee L, Heel L, Knee R, Heel R, Tail Middle, Neck",
        *(_FACE, "Spine > Shoulder * > Elbow * > Paw *", "Pelvis > Hip * > Knee * > Heel *", "Pelvis > Tail Middle"),
    ),
    "animalsyn3d_moose": _rig(
        "Spine, Eye L, Eye R, Ear R, Ear L, Nose, Shoulder R, Shoulder L, Elbow R, Wrist R, Paw R, Elbow L, Wrist L,"
        "Paw L, Pelvis, Hip L, Hip R, Knee L, Ankle L, Heel L, Knee R, Ankle R, Heel R, Tail, Antler Base R,"
        "Antler Tip R, Antler Base L, Antler Tip L, Neck",
        *(_FACE, _FORELEG, _HINDLEG, _TAIL, _ANTLERS),
    ),
    "animalsyn3d_bunny": _RABBIT,
    "animalsyn3d_rabbit": _RABBIT,
    "animalsyn3d_buck": _rig(
        "Spine, Eye L, Eye R, Ear R, Ear Tip R, Ear L, Ear Tip L, Nose, Shoulder R, Shoulder L, Elbow R, Wrist R,"
        "Paw R, Elbow L, Wrist L, Paw L, Pelvis, Hip L, Hip R, Knee L, Ankle L, Heel L, Knee R, Ankle R, Heel R, Tail,"
        "Neck",
        *(_FACE, _EARS, _FORELEG, _HINDLEG, _TAIL),
    ),
    "animalsyn3d_tiger": _rig(
        "Spine, Eye L, Eye R, Ear R, Ear L, Nose, Shoulder R, Shoulder L, Elbow R, Paw R, Wrist L, Paw L, Pelvis,"
        "Hip L, Hip R, Knee L, Ankle L, Heel L, Knee R, Ankle R, Heel R, Tail Base, Tail Middle, Tail Tip, Wrist R,"
        "Elbow L, Neck",
        *(_FACE, _FORELEG, _HINDLEG, "Pelvis > Tail Base > Tail Middle > Tail Tip"),
    ),
    "animalsyn3d_raccoon": _rig(
        "Spine, Eye L, Eye R, Ear R, Ear L, Ear Tip R, Ear Tip L, Nose, Shoulder R, Shoulder L, Elbow R, Elbow L,"
        "Wrist R, Wrist L, Paw R, Paw L, Pelvis, Hip R, Hip L, Knee R, Knee L, Ankle R, Ankle L, Heel R, Heel L,"
        "Tail Base, Tail Tip, Neck",
        *(_FACE, _EARS, _FORELEG, _HINDLEG, "Pelvis > Tail Base > Tail Tip"),
    ),
    "animalsyn3d_dog": _rig(
        "Spine, Eye L, Eye R, Ear R, Ear L, Nose, Shoulder R, Shoulder L, Elbow R, Elbow L, Paw R, Paw L, Pelvis,"
        "Hip R, Hip L, Knee R, Knee L, Ankle R, Ankle L, Tail Base, Tail Tip, Neck",
        *(_FACE, "Spine > Shoulder * > Elbow * > Paw *", "Pelvis > Hip * > Knee * > Ankle *"),
        "Pelvis > Tail Base > Tail Tip",
    ),
    "animalsyn3d_chicken": _rig(
        "Nose, Eye L, Eye R, Neck, Spine, Shoulder R, Elbow R, Shoulder L, Elbow L, Pelvis, Hip R, Hip L, Knee R,"
        "Ankle R, Foot R, Knee L, Ankle L, Foot L, Tail",
        *(_BARE_FACE, "Spine > Shoulder * > Elbow *", "Pelvis > Hip * > Knee * > Ankle * > Foot *", _TAIL),
    ),
    "animalsyn3d_dragon": _rig(
        "Nose, Eye L, Eye R, Ear R, Ear L, Neck, Neck 2, Spine, Shoulder R, Shoulder L, Elbow R, Wrist R, Elbow L,"
        "Wrist L, Hip, Knee R, Ankle R, Foot R, Knee L, Ankle L, Foot L, Tail Base, Tail 2, Tail 3, Tail 4, Tail 5,"
        "Tail 6, Tail 7, Tail Tip, Wing Right 1 Middle 1, Wing Right 1 Tip, Wing Right 2 Middle 2, Wing Right 2 Tip,"
        "Wing Right 3 Middle 2, Wing Right 3 Tip, Wing Right 4 Start, Wing Right 4 Middle 1, Wing Right 4 Tip,"
        "Wing Left 1 Middle 1, Wing Left 1 Tip, Wing Left 2 Middle 2, Wing Left 2 Tip, Wing Left 3 Middle 1,"
        "Wing Left 3 Tip, Wing Left 4 Start, Wing Left 4 Middle 1, Wing Left 4 Tip, Leg R, Leg L, Wing Right 1 Start,"
        "Wing Right 1 Middle 2, Wing Right 2 Start, Wing Right 2 Middle 1, Wing Right 3 Start, Wing Right 3 Middle 1,"
        "Wing Left 1 Start, Wing Left 1 Middle 2, Wing Left 2 Start, Wing Left 2 Middle 1, Wing Left 3 Start,"
        "Wing Left 3 Middle 2",
        "Nose > Neck > Neck 2 > Spine > Hip, Eye * > Neck, Ear * > Neck, Spine > Shoulder * > Elbow * > Wrist *",
        "Hip > Leg * > Knee * > Ankle * > Foot *",
        "Hip > Tail Base > Tail 2 > Tail 3 > Tail 4 > Tail 5 > Tail 6 > Tail 7 > Tail Tip",
        "Elbow L > Wing Left 1 Start > Wing Left 1 Middle 1 > Wing Left 1 Middle 2 > Wing Left 1 Tip",
        "Wrist L > Wing Left 2 Start > Wing Left 2 Middle 1 > Wing Left 2 Middle 2 > Wing Left 2 Tip",
        "Wrist L > Wing Left 3 Start > Wing Left 3 Middle 1 > Wing Left 3 Middle 2 > Wing Left 3 Tip",
        "Wrist L > Wing Left 4 Start > Wing Left 4 Middle 1 > Wing Left 4 Tip",
        "Elbow R > Wing Right 1 Start > Wing Right 1 Middle 1 > Wing Right 1 Middle 2 > Wing Right 1 Tip",
        "Wrist R > Wing Right 2 Start > Wing Right 2 Middle 1 > Wing Right 2 Middle 2 > Wing Right 2 Tip",
        "Wrist R > Wing Right 3 Start > Wing Right 3 Middle 1 > Wing Right 3 Middle 2 > Wing Right 3 Tip",
        "Wrist R > Wing Right 4 Start > Wing Right 4 Middle 1 > Wing Right 4 Tip",
    ),
    "animalsyn3d_crocodile": _rig(
        "Nose, Eye L, Eye R, Neck, Spine, Shoulder R, Elbow R, Wrist R, Shoulder L, Elbow L, Wrist L, Pelvis, Knee R,"
        "Ankle R, Knee L, Ankle L, Tail 1, Tail 2, Tail 3, Tail Tip",
        *(_BARE_FACE, "Spine > Shoulder * > Elbow * > Wrist *", "Pelvis > Knee * > Ankle *"),
        "Pelvis > Tail 1 > Tail 2 > Tail 3 > Tail Tip",
    ),
    "animalsyn3d_duck": _rig(
        "Nose, Eye L, Eye R, Neck, Spine, Shoulder R, Wing R Middle, Wing R Tip, Shoulder L, Wing L Middle, Wing L Tip,"
        "Pelvis, Knee R, Ankle R, Foot R, Knee L, Ankle L, Foot L, Tail",
        *(_BARE_FACE, "Spine > Shoulder * > Wing * Middle > Wing * Tip", "Pelvis > Knee * > Ankle * > Foot *", _TAIL),
    ),
    "animalsyn3d_hippo": _rig(
        "Nose, Eye L, Eye R, Neck, Spine, Shoulder R, Shoulder L, Elbow R, Wrist R, Elbow L, Wrist L, Pelvis, Hip R,"
        "Hip L, Knee R, Ankle R, Knee L, Ankle L",
        *(_BARE_FACE, "Spine > Shoulder * > Elbow * > Wrist *", "Pelvis > Hip * > Knee * > Ankle *"),
    ),
    # The 17 moving joints of Human3.6M in the order of Martinez et al. 2017 and VideoPose3D (right leg first).
    "human36m_17": _rig(
        "Hip, RHip, RKnee, RFoot, LHip, LKnee, LFoot, Spine, Thorax, Neck/Nose, Head, LShoulder, LElbow, LWrist,"
        "RShoulder, RElbow, RWrist",
        "Hip > *Hip > *Knee > *Foot, Hip > Spine > Thorax > Neck/Nose > Head, Thorax > *Shoulder > *Elbow > *Wrist",
    ),
    # The `keypoints` and `skeleton` of COCO's person category.
    "coco_17": _rig(
        "nose, left_eye, right_eye, left_ear, right_ear, left_shoulder, right_shoulder, left_elbow, right_elbow,"
        "left_wrist, right_wrist, left_hip, right_hip, left_knee, right_knee, left_ankle, right_ankle",
        "left_eye > right_eye, nose > *_eye > *_ear > *_shoulder > *_elbow > *_wrist, left_shoulder > right_shoulder",
        "*_shoulder > *_hip > *_knee > *_ankle, left_hip > right_hip",
    ),
    # Halpe-FullBody's 26 body keypoints, edges as in MMPose's halpe26.
    "halpe_26": _rig(
        "Nose, LEye, REye, LEar, REar, LShoulder, RShoulder, LElbow, RElbow, LWrist, RWrist, LHip, RHip, LKnee, RKnee,"
        "LAnkle, RAnkle, Head, Neck, Hip, LBigToe, RBigToe, LSmallToe, RSmallToe, LHeel, RHeel",
        "LEye > REye, Nose > *Eye > *Ear > *Shoulder, Head > Neck > Hip, Neck > *Shoulder > *Elbow > *Wrist",
        "Hip > *Hip > *Knee > *Ankle > *BigToe, *Ankle > *SmallToe, *Ankle > *Heel",
    ),
    # OpenPose's poseParameters: the pairs that it draws.
    "openpose_body_25": _rig(
        "Nose, Neck, RShoulder, RElbow, RWrist, LShoulder, LElbow, LWrist, MidHip, RHip, RKnee, RAnkle, LHip, LKnee,"
        "LAnkle, REye, LEye, REar, LEar, LBigToe, LSmallToe, LHeel, RBigToe, RSmallToe, RHeel",
        "MidHip > Neck > Nose > *Eye > *Ear, Neck > *Shoulder > *Elbow > *Wrist, MidHip > *Hip > *Knee > *Ankle",
        "*Ankle > *BigToe > *SmallToe, *Ankle > *Heel",
    ),
    # OpenPose's experimental model. It joins the upper neck and the head to the left shoulder alone; here the upper
    # neck joins both shoulders and the head.
    "openpose_body_25b": _rig(
        "Nose, LEye, REye, LEar, REar, LShoulder, RShoulder, LElbow, RElbow, LWrist, RWrist, LHip, RHip, LKnee, RKnee,"
        "LAnkle, RAnkle, UpperNeck, HeadTop, LBigToe, LSmallToe, LHeel, RBigToe, RSmallToe, RHeel",
        "Nose > *Eye > *Ear, Nose > UpperNeck > HeadTop, UpperNeck > *Shoulder > *Elbow > *Wrist, LHip > RHip",
        "*Shoulder > *Hip > *Knee > *Ankle > *BigToe > *SmallToe, *Ankle > *Heel",
    ),
    "openpose_coco_18": _rig(
        "Nose, Neck, RShoulder, RElbow, RWrist, LShoulder, LElbow, LWrist, RHip, RKnee, RAnkle, LHip, LKnee, LAnkle,"
        "REye, LEye, REar, LEar",
        "Neck > Nose > *Eye > *Ear, Neck > *Shoulder > *Elbow > *Wrist, Neck > *Hip > *Knee > *Ankle",
    ),
    "openpose_mpi_15": _rig(
        "Head, Neck, RShoulder, RElbow, RWrist, LShoulder, LElbow, LWrist, RHip, RKnee, RAnkle, LHip, LKnee, LAnkle,"
        "Chest",
        "Head > Neck > Chest, Neck > *Shoulder > *Elbow > *Wrist, Chest > *Hip > *Knee > *Ankle",
    ),
    # MediaPipe's PoseLandmark and POSE_CONNECTIONS. They leave face, mouth and body in three pieces: here the nose
    # joins the mouth and the shoulders.
    "mediapipe_pose_33": _rig(
        "nose, left_eye_inner, left_eye, left_eye_outer, right_eye_inner, right_eye, right_eye_outer, left_ear,"
        "right_ear, mouth_left, mouth_right, left_shoulder, right_shoulder, left_elbow, right_elbow, left_wrist,"
        "right_wrist, left_pinky, right_pinky, left_index, right_index, left_thumb, right_thumb, left_hip, right_hip,"
        "left_knee, right_knee, left_ankle, right_ankle, left_heel, right_heel, left_foot_index, right_foot_index",
        "nose > *_eye_inner > *_eye > *_eye_outer > *_ear, mouth_left > mouth_right, left_shoulder > right_shoulder",
        "nose > mouth_*, nose > *_shoulder > *_elbow > *_wrist > *_pinky > *_index, *_wrist > *_index",
        "*_wrist > *_thumb, *_shoulder > *_hip > *_knee > *_ankle > *_heel > *_foot_index, *_ankle > *_foot_index",
        "left_hip > right_hip",
    ),
    # MediaPipe's HandLandmark and HAND_CONNECTIONS: one hand, left or right.
    "mediapipe_hand_21": _rig(
        "wrist, thumb_cmc, thumb_mcp, thumb_ip, thumb_tip, index_finger_mcp, index_finger_pip, index_finger_dip,"
        "index_finger_tip, middle_finger_mcp, middle_finger_pip, middle_finger_dip, middle_finger_tip, ring_finger_mcp,"
        "ring_finger_pip, ring_finger_dip, ring_finger_tip, pinky_mcp, pinky_pip, pinky_dip, pinky_tip",
        "wrist > thumb_cmc > thumb_mcp > thumb_ip > thumb_tip, wrist > index_finger_mcp > middle_finger_mcp",
        "middle_finger_mcp > ring_finger_mcp > pinky_mcp > wrist",
        *(
            f"{finger}_mcp > {finger}_pip > {finger}_dip > {finger}_tip"
            for finger in ("index_finger", "middle_finger", "ring_finger", "pinky")
        ),
    ),
    # The `keypoints` and `skeleton` of AP-10K's annotation files.
    "ap10k_17": _rig(
        "left_eye, right_eye, nose, neck, root_of_tail, left_shoulder, left_elbow, left_front_paw, right_shoulder,"
        "right_elbow, right_front_paw, left_hip, left_knee, left_back_paw, right_hip, right_knee, right_back_paw",
        "left_eye > right_eye, *_eye > nose, nose > neck > root_of_tail, neck > *_shoulder > *_elbow > *_front_paw",
        "root_of_tail > *_hip > *_knee > *_back_paw",
    ),
    # Animal-Pose (Cao et al. 2019), names and edges as in MMPose's animalpose.
    "animalpose_20": _rig(
        "L_Eye, R_Eye, L_EarBase, R_EarBase, Nose, Throat, TailBase, Withers, L_F_Elbow, R_F_Elbow, L_B_Elbow,"
        "R_B_Elbow, L_F_Knee, R_F_Knee, L_B_Knee, R_B_Knee, L_F_Paw, R_F_Paw, L_B_Paw, R_B_Paw",
        "L_Eye > R_Eye, *_Eye > *_EarBase, *_Eye > Nose, Nose > Throat > Withers > TailBase",
        "Throat > *_F_Elbow > *_F_Knee > *_F_Paw, TailBase > *_B_Elbow > *_B_Knee > *_B_Paw",
    ),
    # DeepLabCut's SuperAnimal models (Ye et al. 2024). Their configuration names the keypoints ("thai" is theirs) and
    # leaves the skeleton empty: the edges are chosen here.
    "superanimal_quadruped": _rig(
        "nose, upper_jaw, lower_jaw, mouth_end_right, mouth_end_left, right_eye, right_earbase, right_earend,"
        "right_antler_base, right_antler_end, left_eye, left_earbase, left_earend, left_antler_base, left_antler_end,"
        "neck_base, neck_end, throat_base, throat_end, back_base, back_end, back_middle, tail_base, tail_end,"
        "front_left_thai, front_left_knee, front_left_paw, front_right_thai, front_right_knee, front_right_paw,"
        "back_left_paw, back_left_thai, back_right_thai, back_left_knee, back_right_knee, back_right_paw, belly_bottom,"
        "body_middle_right, body_middle_left",
        "nose > upper_jaw > lower_jaw > throat_base > throat_end > back_base, upper_jaw > mouth_end_*",
        "nose > *_eye > *_earbase > *_earend, *_earbase > *_antler_base > *_antler_end, *_earbase > neck_base",
        "neck_base > neck_end > back_base > back_middle > back_end > tail_base > tail_end",
        "back_base > front_*_thai > front_*_knee > front_*_paw, back_end > back_*_thai > back_*_knee > back_*_paw",
        "back_middle > body_middle_* > belly_bottom",
    ),
    "superanimal_topviewmouse": _rig(
        "nose, left_ear, right_ear, left_ear_tip, right_ear_tip, left_eye, right_eye, neck, mid_back, mouse_center,"
        "mid_backend, mid_backend2, mid_backend3, tail_base, tail1, tail2, tail3, tail4, tail5, left_shoulder,"
        "left_midside, left_hip, right_shoulder, right_midside, right_hip, tail_end, head_midpoint",
        "nose > head_midpoint > neck > mid_back > mouse_center > mid_backend > mid_backend2 > mid_backend3 > tail_base",
        "tail_base > tail1 > tail2 > tail3 > tail4 > tail5 > tail_end, nose > *_eye, head_midpoint > *_ear > *_ear_tip",
        "neck > *_shoulder > *_midside > *_hip > tail_base",
    ),
}
