"""Seeds that are text tables."""

from __future__ import annotations

import base64
import gzip
from pathlib import Path

from seeds import seed


def _csv(path: Path, *lines: str) -> Path:
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    return path


@seed("deeplabcut")
def single_animal(folder: Path) -> Path:
    return _csv(
        folder / "table.csv",
        "scorer,s,s,s,s,s,s",
        "bodyparts,nose,nose,nose,tail,tail,tail",
        "coords,x,y,likelihood,x,y,likelihood",
        *("0,1.5,2.5,0.9,3,4,0.2", "1,,,,5,6,0.8", "4,7,8,0,9,10,1"),
    )


@seed("deeplabcut")
def labels_with_unique_body_parts(folder: Path) -> Path:
    return _csv(
        folder / "labels.csv",
        "scorer,,,s,s,s,s,s,s",
        "individuals,,,a,a,b,b,single,single",
        "bodyparts,,,nose,nose,nose,nose,corner,corner",
        "coords,,,x,y,x,y,x,y",
        *("labeled-data,clip,img0007.png,1,2,3,4,5,6", "labeled-data,clip,img0042.png,7,8,,,9,10"),
    )


@seed("deeplabcut")
def spreadsheet(folder: Path) -> Path:
    return _csv(folder / "table.csv", 'scorer;"s, t";s', "bodyparts;nose;nose", "coords;x;y", "0;1.5;2.5", "1;3.25;4")


@seed("deeplabcut")
def packed_table(folder: Path) -> Path:
    path = single_animal(folder)
    packed = path.with_name("table.csv.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), mtime=0))
    path.unlink()
    return packed


@seed("sleap-csv")
def analysis_table(folder: Path) -> Path:
    return _csv(
        folder / "clip.analysis.csv",
        "track,frame_idx,instance.score,A.x,A.y,A.score,B.x,B.y,B.score",
        *("f,2,0.9,1,2,0.5,3,4,", "m,2,0.9,5,6,0.5,,,", "f,4,0.9,7,8,0.5,9,10,0.25", ",4,0.9,17,18,0.5,19,20,0.25"),
    )


@seed("flat-csv")
def one_row_of_names(folder: Path) -> Path:
    head = "frame,nose_x,nose_y,nose_p,tail_x,tail_y,tail_p"
    return _csv(folder / "table.csv", head, *("0,100,2,.5,3,4,.25", "1,,,,5,6,1", "3,7,8,0,9,10,1"))


@seed("flat-csv")
def simba_input(folder: Path) -> Path:
    imported = ",".join(["IMPORTED_POSE"] * 7)
    names = ",Nose_1_x,Nose_1_y,Nose_1_p,Nose_2_x,Nose_2_y,Nose_2_p"
    return _csv(folder / "Video1.csv", imported, imported, names, "0,100,2,.5,3,4,.25", "1,101,2,.5,3,5,.25")


@seed("parquet")
def ibl_camera(folder: Path) -> Path:
    """Columns paw_x, paw_y, paw_likelihood of two rows, as pyarrow writes them, which need not be installed."""
    path = folder / "_ibl_leftCamera.dlc.pqt"
    path.write_bytes(base64.b85decode(_PARQUET))
    return path


_PARQUET = (
    "P(e~L6#x|+6&x%T1Qh@k1{DSz00002000040RRBNKL7xrK@|WM92Fca6$BLk6$TXs8~^|S0ssI21OWg5z&`*0pg|P?6&w{DEENP502Kxm1{?qY"
    "00IC200aR50Kh*00H8q?1Q|><02l^yV`yb<VHE}d6$m8)7zJ=)cVBn_6$m8)7zJ=)cVBq`6$m8)7!Gh@cVBF2Yh`R{Xm4+102Txp92q<&02~zv"
    "86^e)85jj{VRv766#y0l7D5(6CJ0F!6#x|g6#@V}DFzuP00aO4044w&6$lw61^^it1#n?^UwIV(76cYT7D6UUNgNdb6#x|i06ZxM872S(0000c"
    "02~zv86^e)85j<5VRv6_X=`O{X=rb6WEB7w1QtRTLMDs>NgNdb6#x|i06ZxM872S(0000M#sL-tCI}YB0RSi<aA9(Bb!BudV{mXSVRCYBcOZ6U"
    "a&u{KZXhx?E-)@J89W>S02}}S8~^|S5di=IP(e~L"
)


@seed("long-csv")
def a_row_for_each_keypoint(folder: Path) -> Path:
    rows = [f"{frame},{name},{10 + frame},{20 + frame},0.9,a" for frame in (0, 1, 3) for name in ("nose", "tail")]
    return _csv(folder / "long.csv", "frame,keypoint,x,y,confidence,individual", *rows)


@seed("mediapipe-csv")
def landmarks_in_columns(folder: Path) -> Path:
    head = ["frame", *(f"{axis}{joint}" for joint in range(33) for axis in ("x", "y", "z", "v"))]
    rows = [[str(frame), *([f"0.{frame + 2}", "0.5", "-0.1", "0.9"] * 33)] for frame in range(3)]
    return _csv(folder / "pose.csv", ",".join(head), *map(",".join, rows))


@seed("mediapipe-csv")
def a_row_for_each_landmark(folder: Path) -> Path:
    rows = [f"{frame},{joint},0.{joint + 10},0.5,-0.1,0.9" for frame in range(2) for joint in range(33)]
    return _csv(folder / "pose.csv", "frame,landmark,x,y,z,visibility", *rows)
