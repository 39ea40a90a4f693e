"""Recognizes, by the first bytes, files without 2D keypoints and files that can't be read, for a helpful error."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from olift_fast.errors import InputError

_VIDEO = "a video: run a pose tool on it first"
_PICTURE = "a picture: run a pose tool on it first"
_UNPACK = "unpack it first"

#: The place and the bytes that identify a kind of binary file, and the text for its error.
_BINARY: tuple[tuple[int, bytes, str], ...] = (
    (4, b"ftyp", _VIDEO),
    (0, b"\x1aE\xdf\xa3", _VIDEO),
    (8, b"AVI ", _VIDEO),
    (0, b"\x89PNG", _PICTURE),
    (0, b"\xff\xd8\xff", _PICTURE),
    (0, b"GIF8", _PICTURE),
    (0, b"II*\0", _PICTURE),
    (0, b"MM\0*", _PICTURE),
    (0, b"%PDF", "a PDF document"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (.xls): save its sheet as csv"),
    (0, b"7z\xbc\xaf\x27\x1c", f"a 7-Zip archive: {_UNPACK}"),
    (0, b"Rar!", f"a RAR archive: {_UNPACK}"),
    (0, b"BZh", f"a bzip2 file: {_UNPACK}"),
    (0, b"\xfd7zXZ\0", f"an xz file: {_UNPACK}"),
    (0, b"\x28\xb5\x2f\xfd", f"a Zstandard file: {_UNPACK}"),
    (0, b"SQLite format 3\0", "an SQLite database: export the keypoints as csv"),
    (0, b"ARROW1", "an Arrow (Feather) table: save it as csv, for example with pandas"),
    (0, b"glTF", "a glTF animation (.glb): 3D already, there is nothing to lift"),
    (0, b"Kaydara FBX Binary", "an FBX animation: 3D already, there is nothing to lift"),
)

#: A pattern that the first lines of a text file match, and the file's kind: motion in 3D, which needs no lifting.
_TEXT_3D: tuple[tuple[str, str], ...] = (
    (r"PathFileType\s+\d", "a file of OpenSim's markers (.trc)"),
    (r"HIERARCHY\s+ROOT\b", "a motion-capture skeleton (.bvh)"),
    (r"(?:.*\n){0,4}?:(?:version|units)\b(?s:.*):bonedata\b", "a motion-capture skeleton (.asf)"),
    (r"(?:#.*\n)*:FULLY-SPECIFIED", "a file of motion-capture frames (.amc)"),
    (r"\W*(?:Trajectories|Model Outputs|Segments)[^\w\n]*\n[^\S\n]*\d+[^\w\n]*\n", "a Vicon export (.csv)"),
    (r"NO_OF_FRAMES\t\d+", "a Qualisys export (.tsv)"),
    (r"(?i:#?\s*Format Version,[\d.]+,.*(?:Take Name|Rotation Type))", "an OptiTrack export (.csv)"),
    (r".*\nversion=\d+\nnRows=\d+", "a file of OpenSim's motion (.mot or .sto)"),
    (r"; FBX \d", "an FBX animation"),
    (r"(?:<\?xml.*?\?>\s*)?<mvnx\b", "an Xsens recording (.mvnx)"),
)

#: A pattern and the text of the error for other kinds of text files.
_TEXT: tuple[tuple[str, str], ...] = (
    (r"version https://git-lfs", "a pointer of Git LFS, not the file: `git lfs pull` fetches it"),
    (r"(?i:<!doctype html|<html\b)", "a web page, not a file of keypoints: was the download refused?"),
    (r"<\?xml|<[A-Za-z]\w*[\s>]", "an XML file: export the keypoints as csv or COCO JSON"),
    (r"\W*Number of header lines:", "an EthoVision track in units of the arena: run a pose tool on the video"),
)


def refuse_binary(path: Path, head: bytes) -> None:
    """Raises InputError, with the kind of file and what to do, if the first bytes identify such a kind.

    Args:
        path: the file; it is opened for a zip archive, whose directory is at its end.
        head: the first bytes, at least 16 if the file has as many.
    """
    for place, magic, message in _BINARY:
        if head[place:].startswith(magic):
            raise InputError(f"is {message}")
    if head.startswith(b"PK") and (kind := _zip_kind(path)) is not None:
        raise InputError(f"is {kind}")
    if _is_pickle(head):
        raise InputError(
            "is a Python pickle, which can run any code when opened, so it is not read. Of DeepLabCut's tracklets "
            "(_full, _el, _sk, _bx.pickle), deeplabcut.stitch_tracklets makes an .h5; others: save them as .npz or csv"
        )
    # A C3D file begins with the number of the block of its parameters, which is 2 nearly always, and this byte.
    if len(head) > 2 and head[1] == 0x50 and 0 < head[0] < 16 and head[:1] not in b"\t\n\r":
        raise InputError("is a C3D file of markers in 3D (x, y, z): there is nothing to lift")


def refuse_text(text: str) -> None:
    """Raises InputError if the first lines are those of a motion-capture format, or of another known kind."""
    # With one kind of line end, and no blank lines, the patterns match in linear time.
    start = re.sub(r"[\r\n]+", "\n", text[:2000].lstrip("\ufeff \t\r\n"))
    for pattern, kind in _TEXT_3D:
        if re.match(pattern, start):
            raise InputError(f"is {kind}: it holds 3D points (x, y, z) or joint angles, so there is nothing to lift")
    for pattern, kind in _TEXT:
        if re.match(pattern, start):
            raise InputError(f"is {kind}")


def _zip_kind(path: Path) -> str | None:
    """The kind of a zip archive without NumPy arrays; None for one of NumPy's, and for one that can't be opened."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return None
    if any(name.endswith(".npy") for name in names) or not names:
        return None
    if any(name.startswith("xl/") for name in names):
        return "an Excel workbook (.xlsx): save the sheet as csv"
    if any(name == "mimetype" or name == "content.xml" for name in names):
        return "an OpenDocument file: save the sheet as csv"
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return "a PyTorch file (.pt): save the keypoints as .npz"
    return f"a zip archive, holding {names[0][:60]!r}: {_UNPACK}"


def _is_pickle(head: bytes) -> bool:
    """Whether the first bytes are of a pickle: protocols 2 to 5, or a list, dict or tuple in an old protocol."""
    return (head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")) or bool(
        re.match(rb"\((?:lp|dp|tp?)\d+\n", head) or re.match(rb"c[A-Za-z_][\w.]*\n[A-Za-z_]\w*\n", head)
    )
