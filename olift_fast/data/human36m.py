"""Human3.6M: people at everyday actions, as `olift_fast.data.mocap.Motion` in meters, Z up, 50 frames a second.

Two kinds of .npz are read. VideoPose3D's scripts write ``data_3d_h36m.npz`` with one pickled dictionary, subject →
action → (T, 32, 3). `convert` turns it into a file without pickles, with an array for each take, named "S1/Walking".
The license of the data set does not allow others to distribute it; get it at its source.
"""

from __future__ import annotations

import pickle
import re
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from olift_fast.atomic import replacement
from olift_fast.data.bad_files import OnBad, read_each
from olift_fast.data.mocap import Motion, Segment, segments_of
from olift_fast.errors import InputError
from olift_fast.odd_files import check_file
from olift_fast.tracks.rigs import rig

TRAIN = ("S1", "S5", "S6", "S7", "S8")
HELD_OUT = ("S9", "S11")
"""The usual split by subject."""
FPS = 50.0
JOINTS = (0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27)
"""Indices of the 17 joints that are kept of the 32, in the order of the rig human36m_17."""


def load_human36m(path: str | Path, *, allow_pickle: bool = False, on_bad: OnBad = "raise") -> dict[str, Motion]:
    """The takes of each subject, with the usual 17 joints. A joint that is NaN in a frame is unlabeled there.

    Args:
        path: an .npz of either kind. Takes of 32 joints are reduced to 17.
        allow_pickle: open pickled dictionaries. They can run any code, so allow it only for files that you trust.
        on_bad: "skip" leaves unusable takes out, with a warning that counts and names them.

    Raises:
        InputError: the file is no readable .npz, is pickled without `allow_pickle`, has no take, or an unusable one
            (with "skip": only unusable ones).
    """
    path = Path(path)
    takes = _takes(path, allow_pickle)
    subjects: dict[str, dict[str, npt.NDArray[np.float32]]] = {}
    for name, positions in read_each(takes, lambda name: takes[name](), on_bad, "takes").items():
        subject, _, action = name.partition("/")
        subjects.setdefault(subject, {})[action] = positions
    return {subject: _motion(subject, actions) for subject, actions in sorted(subjects.items(), key=_by_number)}


def split_subjects(
    motions: Mapping[str, Motion], train: Sequence[str] = TRAIN, held_out: Sequence[str] = HELD_OUT
) -> tuple[list[Segment], list[Segment]]:
    """The takes of the subjects to train on, and those of the subjects to hold out.

    Some of the named subjects may be missing, but not all of one side.

    Args:
        motions: of `load_human36m`.
        train, held_out: names of subjects.

    Raises:
        InputError: a subject is on both sides, or all subjects that one side names are missing.
    """
    both = sorted(set(train) & set(held_out))
    if both:
        raise InputError(f"subjects must be on one side of the split, got {', '.join(both)} on both")
    for side, wanted in (("train on", train), ("hold out", held_out)):
        if wanted and not set(wanted) & set(motions):
            has = ", ".join(motions) or "none"
            raise InputError(f"Human3.6M: needs one of the subjects {', '.join(wanted)} to {side}, got {has}")
    kept = [segment for name in train if name in motions for segment in segments_of(motions[name])]
    return kept, [segment for name in held_out if name in motions for segment in segments_of(motions[name])]


def convert(source: str | Path, target: str | Path) -> None:
    """Rewrite VideoPose3D's pickled .npz without pickles: (T, 17, 3) float32 arrays by "SUBJECT/ACTION".

    A pickle can run any code when it is opened, so call this only for a file that you trust.

    Raises:
        InputError: `source` is not such a file; or `target` is the same file, does not end in .npz, or is in a folder
            that does not exist.
    """
    source, target = Path(source), Path(target)
    takes = _takes(source, allow_pickle=True)
    if target.suffix != ".npz" or (target.exists() and target.samefile(source)):
        raise InputError(f"{target}: must be another file than the source, with the ending .npz")
    if not target.parent.is_dir():
        raise InputError(f"{target}: must be in a folder that is there, got {target.parent}")
    with replacement(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, take in takes.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, take(), allow_pickle=False)


def _takes(path: Path, allow_pickle: bool) -> dict[str, Callable[[], npt.NDArray[np.float32]]]:
    """For each "SUBJECT/ACTION", the function that reads its take."""
    check_file(path)
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: not a readable .npz: it is no zip archive")
    names = _stored(path, None, False)
    if "positions_3d" not in names:
        unnamed = [name for name in names if not re.fullmatch(r"[^/]+/.+", name)]
        if unnamed or not names:
            wanted = 'arrays named SUBJECT/ACTION ("S1/Walking"), or positions_3d'
            raise InputError(f"{path}: must hold {wanted}, got {', '.join(unnamed[:5]) or 'none'}")
        return {name: partial(_from_archive, path, name) for name in names}
    if not allow_pickle:
        raise InputError(
            f"{path}: holds pickled Python objects, which can run code when opened; if you trust it, convert it once, "
            "olift_fast.data.human36m.convert(PATH, NEW_PATH), or pass allow_pickle=True"
        )
    stored = np.asarray(_stored(path, "positions_3d", True))
    subjects = stored.item() if stored.ndim == 0 else None
    if not isinstance(subjects, dict) or not all(isinstance(actions, dict) for actions in subjects.values()):
        raise InputError(f"{path}: positions_3d must be a dictionary of subjects of actions, got shape {stored.shape}")
    takes = {f"{subject}/{action}": take for subject, actions in subjects.items() for action, take in actions.items()}
    if not takes:
        raise InputError(f"{path}: positions_3d must hold at least one action of a subject, got none")
    return {name: partial(_checked, path, name, take) for name, take in takes.items()}


def _from_archive(path: Path, name: str) -> npt.NDArray[np.float32]:
    return _checked(path, name, _stored(path, name, False))


def _stored(path: Path, name: str | None, allow_pickle: bool) -> Any:
    """An array of the archive by its name; the names of all arrays if `name` is None."""
    where = f"{path}: {name}" if name else path
    try:
        with np.load(path, allow_pickle=allow_pickle) as archive:
            return archive.files if name is None else archive[name]
    except _UNUSABLE as error:
        raise InputError(f"{where}: not readable (cut short?): {' '.join(str(error).split())}") from error


# The errors that a damaged archive, or a pickle of classes that are not installed, may raise.
_UNUSABLE = (
    *(OSError, ValueError, EOFError, LookupError, ImportError, AttributeError, TypeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, pickle.UnpicklingError, SyntaxError, NotImplementedError),
)


def _checked(path: Path, name: str, take: Any) -> npt.NDArray[np.float32]:
    """The take as (T, 17, 3)."""
    where = f"{path}: {name}"
    try:
        positions = np.asarray(take, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: must hold numbers: {' '.join(str(error).split())}") from error
    if positions.ndim != 3 or positions.shape[1:] not in ((32, 3), (len(JOINTS), 3)) or not len(positions):
        raise InputError(f"{where}: must be (frames, 32 or {len(JOINTS)}, 3), got {positions.shape}")
    if positions.shape[1] == 32:
        positions = positions[:, JOINTS]
    if np.isinf(positions).any():
        infinite = int(np.isinf(positions).sum())
        raise InputError(f"{where}: must be finite, or NaN where not known, got {infinite} infinite values")
    return np.where(np.isnan(positions).any(axis=-1, keepdims=True), np.float32(np.nan), positions)


def _motion(subject: str, actions: Mapping[str, npt.NDArray[np.float32]]) -> Motion:
    names = sorted(actions)
    stops = np.cumsum([len(actions[name]) for name in names]).tolist()
    return Motion(
        positions=np.concatenate([actions[name] for name in names]),
        clips=tuple(zip([0, *stops[:-1]], stops, strict=True)),
        clip_names=tuple(names),
        fps=FPS,
        skeleton=rig("human36m_17"),
        source=f"human36m/{subject}",
        units="m",
    )


def _by_number(item: tuple[str, Any]) -> tuple[int, str]:
    found = re.search(r"\d+", item[0])
    return (int(found[0]) if found else 0, item[0])
