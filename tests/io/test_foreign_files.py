"""Files that hold no 2D keypoints are refused by their name, in one line with the way out."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import pytest

from olift_fast.errors import InputError
from olift_fast.io import read_keypoints


def _zip(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


TEXTS = {
    "trc": ("PathFileType\t4\t(X/Y/Z)\tv.trc\nDataRate\tCameraRate\n60\t60\nFrame#\tTime\tHip\n", r"\.trc.*3D points"),
    "bvh": ("HIERARCHY\nROOT Hips\n{\n OFFSET 0 0 0\n}\nMOTION\n", r"\.bvh.*3D points"),
    "vicon": ("Trajectories\n100\n,,Subj:LASI,,\nFrame,Sub Frame,X,Y,Z\n,,mm,mm,mm\n1,0,1,2,3\n", "Vicon.*3D points"),
    "vicon of Excel": ("\ufeffTrajectories;;\r\n100;;\r\n;;S:LASI\r\nFrame;Sub Frame;X\r\n", "Vicon.*3D points"),
    "qualisys": ("NO_OF_FRAMES\t3\nNO_OF_CAMERAS\t8\nMARKER_NAMES\tLASI\n1\t2\t3\n", "Qualisys.*3D points"),
    "optitrack": ("Format Version,1.23,Take Name,Take 1,Capture Frame Rate,120\n\n,,Marker\n", "OptiTrack.*3D points"),
    "mot": ("Coordinates\nversion=1\nnRows=3\nnColumns=2\ninDegrees=yes\nendheader\n", "OpenSim's motion.*3D points"),
    "fbx": ("; FBX 7.4.0 project file\n; Copyright\n", "FBX animation.*3D points"),
    "mvnx": ('<?xml version="1.0" encoding="UTF-8"?>\n<mvnx version="4">\n', "Xsens.*3D points"),
    "xml": ('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n', "an XML file: export .*csv or COCO JSON"),
    "html": ("<!DOCTYPE html>\n<html><body>Sign in</body></html>\n", "a web page.*download"),
    "lfs": ("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n", "git lfs pull"),
    "ethovision": ('"Number of header lines:";"36"\n"Experiment";"a"\n', "EthoVision.*pose tool"),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("packed", [False, True])
def test_texts_are_named_and_packed_ones_too(tmp_path: Path, kind: str, packed: bool) -> None:
    text, message = TEXTS[kind]
    path = tmp_path / "file.csv"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    _refused(path, message)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x02\x50" + bytes(510), "a C3D file of markers in 3D"),
        (pickle.dumps({"a": 1}), "a Python pickle, .*stitch_tracklets"),
        (pickle.dumps([1], protocol=0), "a Python pickle"),
        (_zip("[Content_Types].xml", "xl/workbook.xml"), "an Excel workbook .*csv"),
        (_zip("mimetype", "content.xml"), "an OpenDocument file: save the sheet as csv"),
        (_zip("poses/a.json"), "a zip archive, .*unpack it first"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500), r"an old Excel workbook \(.xls\): .*csv"),
        (b"BZh91AY" + bytes(30), "a bzip2 file: unpack it first"),
    ],
)
def test_binary_files_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    _refused(path, message)


def test_text_whose_second_letter_is_a_p_is_no_c3d(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("\nPaw_x,Paw_y,Tail_x,Tail_y\n100,2,3,4\n")
    assert read_keypoints(path).skeleton.names == ("Paw", "Tail")


def _refused(path: Path, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_keypoints(path)
    assert str(error.value).startswith(f"{path}: is ") and "\n" not in str(error.value)
