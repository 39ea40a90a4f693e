"""Body parts, sides and bones read from joint names."""

from __future__ import annotations

import random

import pytest

from benchmarks.skeletons_by_name import count_pieces, edge_f1
from olift_fast.tracks.anatomy import edges_by_name, read_names, sides_by_name
from olift_fast.tracks.body_parts import END, PARTS
from olift_fast.tracks.rigs import find_rig, rig, rig_names
from olift_fast.tracks.sides import infer_sides

# Names as tools write them, read together: name=part.girdle and + for left, - for right. "?" says nothing.
NAMES = {
    "COCO": "nose=nose left_eye=eye+ right_eye=eye- left_ear=ear+ right_ear=ear- left_shoulder=shoulder.fore+ "
    "right_shoulder=shoulder.fore- left_elbow=elbow.fore+ right_elbow=elbow.fore- left_wrist=wrist.fore+ "
    "right_wrist=wrist.fore- left_hip=hip.hind+ right_hip=hip.hind- left_knee=knee.hind+ right_knee=knee.hind- "
    "left_ankle=ankle.hind+ right_ankle=ankle.hind-",
    "Human3.6M": "Hip=pelvis RHip=hip.hind- RKnee=knee.hind- RFoot=foot.hind- LHip=hip.hind+ Spine=spine Thorax=chest "
    "Neck/Nose=neck Head=head LShoulder=shoulder.fore+ RShoulder=shoulder.fore-",
    "MediaPipe": "left_eye_inner=eye+ right_eye_inner=eye- mouth_left=jaw+ mouth_right=jaw- left_pinky=pinky.fore+ "
    "right_pinky=pinky.fore- left_index=index.fore+ right_index=index.fore- left_heel=heel.hind+ "
    "right_heel=heel.hind- left_foot_index=toe.hind+ right_foot_index=toe.hind-",
    "MediaPipe hand": "wrist=wrist.fore thumb_cmc=thumb.fore index_finger_mcp=index.fore middle_finger_pip=middle.fore "
    "ring_finger_dip=ring.fore pinky_tip=pinky.fore",
    "OpenPose": "MidHip=pelvis RBigToe=toe.hind- LBigToe=toe.hind+ LSmallToe=toe.hind+ RSmallToe=toe.hind- "
    "UpperNeck=neck HeadTop=crown LHeel=heel.hind+ RHeel=heel.hind-",
    "SuperAnimal": "upper_jaw=jaw lower_jaw=jaw mouth_end_right=jaw- mouth_end_left=jaw+ right_earbase=ear- "
    "left_earbase=ear+ right_antler_end=horn- left_antler_end=horn+ neck_base=neck throat_end=throat back_base=spine "
    "back_middle=spine tail_base=tail front_left_thai=thigh.fore+ front_right_thai=thigh.fore- back_left_paw=paw.hind+ "
    "back_right_paw=paw.hind- belly_bottom=belly body_middle_right=side- body_middle_left=side+ mouse_center=spine "
    "mid_backend2=spine left_midside=side+ right_midside=side- head_midpoint=head",
    "AP-10K": "root_of_tail=tail left_front_paw=paw.fore+ right_front_paw=paw.fore- left_back_paw=paw.hind+ "
    "right_back_paw=paw.hind-",
    "Animal-Pose": "L_EarBase=ear+ R_EarBase=ear- Throat=throat Withers=chest TailBase=tail L_F_Elbow=elbow.fore+ "
    "R_F_Elbow=elbow.fore- L_B_Elbow=elbow.hind+ R_B_Elbow=elbow.hind- L_F_Knee=knee.fore+ R_F_Knee=knee.fore- "
    "L_B_Paw=paw.hind+ R_B_Paw=paw.hind-",
    "BADJA": "right_front_leg_top=leg.fore- left_front_leg_top=leg.fore+ left_back_leg_middle=leg.hind+ "
    "right_back_leg_middle=leg.hind- jaw=jaw chin=jaw",
    "dogs": "leftForePaw=paw.fore+ rightForePaw=paw.fore- hind_left_hock=ankle.hind+ hind_right_hock=ankle.hind- "
    "ear_tip_L=ear+ ear_tip_R=ear- left_rear_stifle=knee.hind+ right_rear_stifle=knee.hind- tail_start=tail",
    "Lightning Pose": "paw1LH_top=paw.hind+ paw2LF_top=paw.fore+ paw3RF_top=paw.fore- paw4RH_top=paw.hind- "
    "tailBase_top=tail nose_top=nose obs_top=?",
    "horses": "Wither=chest Nearknee=wrist.fore Offhindfetlock=fetlock.hind Nearfrontfoot=foot.fore Stifle=knee.hind",
    "DANNCE": "Snout=nose EarL=ear+ EarR=ear- SpineF=spine SpineM=spine SpineL=spine HandL=hand.fore+ HandR=hand.fore-",
    "Keypoint-MoSeq": "spine4=spine head=head tail=tail",
    "mouse on a treadmill": "iliac_crest=pelvis hip=pelvis mtp=foot.hind toe=toe.hind TTI=pelvis",
    "SLEAP fly": "thorax=chest abdomen=abdomen wingL=wing.fore+ wingR=wing.fore- forelegL4=leg.fore+ "
    "forelegR4=leg.fore- midlegL1=leg.mid+ midlegR1=leg.mid- hindlegR2=leg.hind- hindlegL2=leg.hind+ stinger=tail",
    "DeepFly3D": "LF_Coxa=coxa.fore+ RF_Coxa=coxa.fore- RM_Femur=thigh.mid- LM_Femur=thigh.mid+ LH_Tarsus=ankle.hind+ "
    "RH_Tarsus=ankle.hind- LF_FTi=shank.fore+ RF_FTi=shank.fore- LF_ThC=coxa.fore+ RF_ThC=coxa.fore- "
    "L_Antenna=antenna+ R_Antenna=antenna-",
    "Anipose fly": "L1A=coxa.fore+ L1B=trochanter.fore+ L1C=shank.fore+ R3D=ankle.hind- R2E=claw.mid-",
    "fish": "pectoral_fin_L=fin.fore+ pectoral_fin_R=fin.fore- dorsal_fin=fin.fore caudal_fin=fin.hind peduncle=tail",
    "birds": "beak_tip=nose leftWingTip=wing.fore+ rightWingTip=wing.fore- crest=crown",
    "Mixamo": "mixamorig:Hips=pelvis mixamorig:LeftUpLeg=thigh.hind+ mixamorig:RightUpLeg=thigh.hind- "
    "mixamorig:LeftLeg=shank.hind+ mixamorig:RightLeg=shank.hind- mixamorig:LeftShoulder=shoulder.fore+ "
    "mixamorig:RightShoulder=shoulder.fore- mixamorig:LeftForeArm=forearm.fore+ mixamorig:RightForeArm=forearm.fore- "
    "mixamorig:LeftHandIndex1=index.fore+ mixamorig:RightHandIndex1=index.fore- mixamorig:LeftToeBase=toe.hind+ "
    "mixamorig:RightToeBase=toe.hind- mixamorig:HeadTop_End=crown",
    "Character Creator": "CC_Base_Hip=pelvis CC_Base_L_Thigh=thigh.hind+ CC_Base_R_Thigh=thigh.hind- "
    "CC_Base_L_Clavicle=collar.fore+ CC_Base_R_Clavicle=collar.fore- CC_Base_L_Upperarm=upper_arm.fore+ "
    "CC_Base_R_Upperarm=upper_arm.fore- CC_Base_NeckTwist01=neck CC_Base_Waist=abdomen CC_Base_Spine02=spine",
    "3ds Max Biped": "Bip01=root Bip01_Pelvis=pelvis Bip01_L_Forearm=forearm.fore+ Bip01_R_Forearm=forearm.fore- "
    "Bip01_L_Calf=shank.hind+ Bip01_R_Calf=shank.hind- Bip01_L_Finger01=finger.fore+ Bip01_R_Finger01=finger.fore-",
    "Unreal": "root=root pelvis=pelvis spine_02=spine neck_01=neck clavicle_l=collar.fore+ clavicle_r=collar.fore- "
    "lowerarm_l=forearm.fore+ lowerarm_r=forearm.fore- calf_l=shank.hind+ calf_r=shank.hind- ball_l=foot.hind+ "
    "ball_r=foot.hind- index_01_l=index.fore+ index_01_r=index.fore- middle_01_l=middle.fore+ middle_01_r=middle.fore- "
    "ik_foot_l=? ik_foot_r=?",
    "Blender": "DEF-shin.L=shank.hind+ DEF-shin.R=shank.hind- f_index.01.L=index.fore+ f_index.01.R=index.fore- "
    "UpperLeg.L=thigh.hind+ UpperLeg.R=thigh.hind- LowerLeg.L_end=shank.hind+ LowerLeg.R_end=shank.hind- "
    "Tail3_end=tail Wing2.R=wing.fore- Wing2.L=wing.fore+ TopFlipper.L=flipper.fore+ TopFlipper.R=flipper.fore-",
    "farm rigs": "FrontUpLeg.R=thigh.fore- FrontUpLeg.L=thigh.fore+ BackLowLeg.R=shank.hind- BackLowLeg.L=shank.hind+ "
    "Back=pelvis Shoulders=chest",
    "ASF": "root=root lfemur=thigh.hind+ rfemur=thigh.hind- ltibia=shank.hind+ rtibia=shank.hind- lowerback=spine "
    "lhumerus=upper_arm.fore+ rhumerus=upper_arm.fore- lradius=forearm.fore+ rradius=forearm.fore-",
    "Kinect": "SpineBase=pelvis SpineMid=spine ShoulderLeft=shoulder.fore+ ShoulderRight=shoulder.fore- "
    "HipLeft=hip.hind+ HipRight=hip.hind-",
    "Vicon": "LFHD=head+ RFHD=head- C7=chest T10=spine LASI=pelvis+ RASI=pelvis- LKNE=knee.hind+ RKNE=knee.hind- "
    "LFIN=finger.fore+ RFIN=finger.fore- LTOE=toe.hind+ RTOE=toe.hind-",
    "OpenXR": "Palm_L=hand.fore+ Palm_R=hand.fore- Little_Metacarpal_L=pinky.fore+ Little_Metacarpal_R=pinky.fore- "
    "Middle_Tip_L=middle.fore+ Middle_Tip_R=middle.fore-",
    "nobody": "A=? keypoint_0=? part07=? Bone.001=? object_corner=? wheel=? lever=? bearing=? top=? rear=? 12=?",
}

# Edge F1 of the built-in rigs, their own edges hidden: a change shows, for better or worse.
SCORES = dict.fromkeys(rig_names(), 1.0) | {
    "animalsyn3d_dragon": 0.967,
    "halpe_26": 0.769,
    "openpose_body_25b": 0.898,
    "mediapipe_pose_33": 0.877,
    "mediapipe_hand_21": 0.878,
    "ap10k_17": 0.970,
    "animalpose_20": 0.872,
    "superanimal_quadruped": 0.785,
    "superanimal_topviewmouse": 0.741,
}

MIXAMO = (
    "Hips Spine Spine1 Spine2 Neck Head LeftShoulder LeftArm LeftForeArm LeftHand LeftHandIndex1 LeftHandIndex2 "
    "LeftHandThumb1 RightShoulder RightArm RightForeArm RightHand LeftUpLeg LeftLeg LeftFoot LeftToeBase LeftToe_End "
    "RightUpLeg RightLeg RightFoot RightToeBase"
)


def bones(names: str) -> set[frozenset[str]]:
    joints = names.split()
    return {frozenset((joints[a], joints[b])) for a, b in edges_by_name(joints)}


def chains(*texts: str) -> set[frozenset[str]]:
    return {frozenset(pair) for text in texts for pair in zip(text.split()[:-1], text.split()[1:], strict=True)}


@pytest.mark.parametrize("tool", NAMES)
def test_names_are_read_as_their_tool_means_them(tool: str) -> None:
    names, wanted = zip(*(entry.split("=") for entry in NAMES[tool].split()), strict=True)
    read = []
    for part in read_names(names):
        side = {1: "+", -1: "-", 0: ""}
        girdle = f".{part.girdle}" if part and part.girdle else ""
        read.append("?" if part is None else f"{part.part}{girdle}{side[part.side]}")
    assert dict(zip(names, read, strict=True)) == dict(zip(names, wanted, strict=True))


def test_every_part_is_listed() -> None:
    entries = [entry.split("=")[1] for names in NAMES.values() for entry in names.split()]
    assert {entry.rstrip("+-").partition(".")[0] for entry in entries} - {"?"} <= set(PARTS)


def test_order_runs_from_the_trunk_outward_and_to_the_tip() -> None:
    parts = read_names(["tail_base", "tail1", "tail2", "tail_end", "ThighTwist01_L", "Thigh_L", "Thigh_R"])
    base, first, second, end, twist, *_ = (part.order for part in parts if part is not None)
    assert base < first < second < END <= end
    assert twist < 0


@pytest.mark.parametrize("name", rig_names())
def test_bones_of_built_in_rigs(name: str) -> None:
    known = rig(name)
    assert edge_f1(known.edges, edges_by_name(known.names)) == pytest.approx(SCORES[name], abs=5e-4)


def test_bones_of_a_mixamo_rig() -> None:
    assert bones(MIXAMO) == chains(
        "Hips Spine Spine1 Spine2 Neck Head",
        "Spine2 LeftShoulder LeftArm LeftForeArm LeftHand LeftHandIndex1 LeftHandIndex2",
        "LeftHand LeftHandThumb1",
        "Spine2 RightShoulder RightArm RightForeArm RightHand",
        "Hips LeftUpLeg LeftLeg LeftFoot LeftToeBase LeftToe_End",
        "Hips RightUpLeg RightLeg RightFoot RightToeBase",
    )


def test_bones_of_a_fly() -> None:
    names = "head thorax abdomen wingL wingR forelegL1 forelegL2 forelegR1 forelegR2 midlegL1 midlegR1 eyeL eyeR"
    assert bones(names) == chains(
        "eyeL head thorax abdomen",
        "eyeR head",
        "wingL thorax wingR",
        "thorax forelegL1 forelegL2",
        "thorax forelegR1 forelegR2",
        "midlegL1 thorax midlegR1",
    )


def test_fingers_hang_on_the_hand_and_metacarpals_on_the_wrist() -> None:
    hand = "wrist thumb_1 thumb_2 index_1 index_2 pinky_1"
    assert bones(hand) == chains("wrist thumb_1 thumb_2", "wrist index_1 index_2", "wrist pinky_1")
    joints = ("Metacarpal", "Proximal", "Intermediate", "Distal", "Tip")
    fingers = [" ".join(f"{finger}_{joint}" for joint in joints) for finger in ("Index", "Ring")]
    assert bones(" ".join(("Palm", "Wrist", *fingers))) == chains(
        "Wrist Palm", *(f"Wrist {finger}" for finger in fingers)
    )


def test_missing_parts_are_bridged() -> None:
    assert bones("nose tail_base left_knee right_elbow") == chains("nose tail_base left_knee", "right_elbow nose")
    assert frozenset(("neck", "left_wrist")) in bones("head neck pelvis left_wrist right_wrist")


def test_spines_count_from_the_pelvis_in_rigs_and_from_the_head_among_keypoints() -> None:
    assert bones("hips spine1 spine2 neck") == chains("hips spine1 spine2 neck")
    assert bones("nose neck spine1 spine2 tail_base") == chains("nose neck spine1 spine2 tail_base")


def test_names_that_say_nothing_stay_out() -> None:
    names = ("nose", "keypoint_0", "neck", "arena_corner", "tail_base")
    assert set(sum(edges_by_name(names), ())) == {0, 2, 4}
    assert edges_by_name(("A", "B", "nose")) == ()
    assert edges_by_name(()) == ()


@pytest.mark.parametrize("names", [("²", "٣"), ("head²", "neck" + "9" * 5000), ("x" * 2000, "l" * 2000), ("", " ")])
def test_odd_names_are_no_error(names: tuple[str, ...]) -> None:
    assert len(read_names(names)) == 2
    assert edges_by_name(names) == ()


@pytest.mark.slow
def test_any_choice_of_joints_is_one_piece_without_loops_but_those_of_coco() -> None:
    draw = random.Random(0)
    listed = [[entry.split("=")[0] for entry in names.split()] for names in NAMES.values()]
    pools = [*listed, *(list(rig(name).names) for name in rig_names()), MIXAMO.split()]
    everything = sorted({name for pool in pools for name in pool})
    for trial in range(400):
        pool = everything if trial % 3 == 0 else draw.choice(pools)
        names = draw.sample(pool, draw.randint(2, min(len(pool), 25)))
        parts = read_names(names)
        known = [index for index, part in enumerate(parts) if part is not None]
        edges = edges_by_name(names)
        if len(known) < 2:
            assert edges == ()
            continue
        assert {joint for edge in edges for joint in edge} == set(known), names
        assert len(set(map(frozenset, edges))) == len(edges), names
        assert count_pieces(known, edges) == 1, names
        trunk = {"neck", "throat", "chest", "spine", "abdomen", "pelvis", "root", "tail"}
        if any(part is not None and part.part in trunk for part in parts):
            assert len(edges) == len(known) - 1, names


def test_the_answer_does_not_depend_on_the_order_of_names() -> None:
    for name in ("animalsyn3d_fox", "openpose_body_25", "ap10k_17"):
        names = rig(name).names
        turned = names[::-1]
        straight = {frozenset((names[a], names[b])) for a, b in edges_by_name(names)}
        assert {frozenset((turned[a], turned[b])) for a, b in edges_by_name(turned)} == straight


def test_sides_are_those_of_infer_sides_and_of_letters_without_a_twin() -> None:
    for name in rig_names():
        assert sides_by_name(rig(name).names) == infer_sides(rig(name).names)
    names = ("Hand.L", "Hand.R", "Hand.L_end", "EarL", "EarR", "SpineL", "SpineM")
    assert infer_sides(names)[2] == 0
    assert sides_by_name(names) == (1, -1, 1, 1, -1, 0, 0)
    assert sides_by_name(("paw_l",)) == (0,)


def test_an_exact_rig_is_found_before_anything_is_guessed() -> None:
    found = find_rig(rig("halpe_26").names)
    assert found is not None
    assert set(map(frozenset, found.edges)) != set(map(frozenset, edges_by_name(found.names)))
