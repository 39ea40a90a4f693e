"""Human3.6M: files of both kinds, written here; the split by subject; motion that becomes clips."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from olift_fast.data.human36m import JOINTS, convert, load_human36m, split_subjects
from olift_fast.data.mocap import sample_clips
from olift_fast.errors import InputError
from olift_fast.tracks.rigs import rig

Takes = dict[str, dict[str, npt.NDArray[np.float32]]]

# VideoPose3D's list of the joints that it removes.
STILL = (4, 5, 9, 10, 11, 16, 20, 21, 22, 23, 24, 28, 29, 30, 31)


def takes() -> Takes:
    """Two short takes of three subjects with 32 joints; all values differ."""
    rng = np.random.default_rng(0)
    return {
        subject: {
            action: rng.normal(size=(frames, 32, 3)).astype(np.float32)
            for action, frames in {"Walking": 7, "Eating 1": 5}.items()
        }
        for subject in ("S11", "S9", "S1")
    }


def pickled(path: Path, content: Any) -> Path:
    np.savez_compressed(path, positions_3d=content)
    return path


def plain(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> Path:
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
    return path


def test_the_joints_kept_are_those_that_videopose3d_keeps() -> None:
    assert sorted((*JOINTS, *STILL)) == list(range(32)) and list(JOINTS) == sorted(JOINTS)


def test_a_pickled_file_is_read_only_if_allowed(tmp_path: Path) -> None:
    path, content = tmp_path / "data_3d_h36m.npz", takes()
    pickled(path, content)
    with pytest.raises(InputError, match=r"pickled Python objects.*human36m\.convert\(PATH, NEW_PATH\).*allow_pickle"):
        load_human36m(path)
    motions = load_human36m(path, allow_pickle=True)
    assert list(motions) == ["S1", "S9", "S11"]
    motion = motions["S9"]
    assert motion.clips == ((0, 5), (5, 12)) and motion.clip_names == ("Eating 1", "Walking")
    assert motion.fps == 50 and motion.units == "m" and motion.skeleton == rig("human36m_17")
    np.testing.assert_array_equal(motion.positions[5:], content["S9"]["Walking"][:, list(JOINTS)])


def test_converted_files_hold_no_pickle_and_the_same_motion(tmp_path: Path) -> None:
    source, target = pickled(tmp_path / "data_3d_h36m.npz", takes()), tmp_path / "h36m.npz"
    convert(source, target)
    with np.load(target, allow_pickle=False) as archive:
        assert archive["S1/Walking"].shape == (7, 17, 3) and len(archive.files) == 6
    before, after = load_human36m(source, allow_pickle=True), load_human36m(target)
    assert list(before) == list(after)
    for subject in before:
        np.testing.assert_array_equal(before[subject].positions, after[subject].positions)
        assert before[subject].clips == after[subject].clips
        assert before[subject].clip_names == after[subject].clip_names
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data_3d_h36m.npz", "h36m.npz"]


def test_conversion_never_ends_in_half_a_file_or_over_its_source(tmp_path: Path) -> None:
    content = takes()
    content["S1"]["Walking"] = content["S1"]["Walking"][:, :20]
    source = pickled(tmp_path / "data_3d_h36m.npz", content)
    with pytest.raises(InputError, match=r"S1/Walking: must be \(frames, 32 or 17, 3\), got \(7, 20, 3\)"):
        convert(source, tmp_path / "h36m.npz")
    for target in (source, tmp_path / "h36m"):
        with pytest.raises(InputError, match=r"must be another file than the source, with the ending \.npz"):
            convert(source, target)
    with pytest.raises(InputError, match="must be in a folder that is there"):
        convert(source, tmp_path / "nowhere" / "h36m.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["data_3d_h36m.npz"]


def test_opening_a_file_runs_nothing_unless_allowed(tmp_path: Path) -> None:
    class Harm:
        def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
            return Path.touch, (tmp_path / "harm",)

    path = pickled(tmp_path / "bad.npz", {"S1": {"Walking": Harm()}})
    with pytest.raises(InputError, match="pickled"):
        load_human36m(path)
    disguised = tmp_path / "disguised.npz"
    plain(disguised, {"S1/Walking": np.array(Harm(), dtype=object)})
    with pytest.raises(InputError, match="S1/Walking: not readable"):
        load_human36m(disguised)
    assert not (tmp_path / "harm").exists()


def test_takes_of_17_joints_are_as_they_are_and_nan_is_unlabelled(tmp_path: Path) -> None:
    take = np.arange(6 * 17 * 3, dtype=np.float64).reshape(6, 17, 3)
    take[2, 5, 1] = np.nan
    motion = load_human36m(plain(tmp_path / "own.npz", {"S5/Posing": take}))["S5"]
    unknown = np.isnan(motion.positions).all(axis=-1)
    assert np.argwhere(unknown).tolist() == [[2, 5]]
    np.testing.assert_array_equal(motion.positions[~unknown], take[~unknown])


def test_subjects_are_split_as_usual(tmp_path: Path) -> None:
    arrays = {f"{subject}/Walking": np.ones((3, 17, 3)) for subject in ("S1", "S5", "S6", "S7", "S8", "S9", "S11")}
    motions = load_human36m(plain(tmp_path / "all.npz", arrays))
    train, held_out = split_subjects(motions)
    assert [part.source.split("/")[1] for part in train] == ["S1", "S5", "S6", "S7", "S8"]
    assert [part.source.split("/")[1] for part in held_out] == ["S9", "S11"]
    only, none = split_subjects(motions, train=("S6",), held_out=())
    assert [part.source for part in only] == ["human36m/S6"] and none == []
    with pytest.raises(InputError, match="on one side of the split, got S9 on both"):
        split_subjects(motions, train=("S1", "S9"))
    few = {name: motions[name] for name in ("S9", "S11")}
    with pytest.raises(InputError, match="needs one of the subjects S1, S5, S6, S7, S8 to train on, got S9, S11"):
        split_subjects(few)
    with pytest.raises(InputError, match="needs one of the subjects S9, S11 to hold out, got S1"):
        split_subjects({"S1": motions["S1"]})


def test_takes_become_clips_that_stay_within_their_take(tmp_path: Path) -> None:
    walk = np.random.default_rng(1).normal(0, 0.05, (2, 60, 17, 3)).cumsum(axis=1)
    arrays = {f"S1/Walk {take}": walk[take] + 100 * take for take in range(2)}
    train, _ = split_subjects(load_human36m(plain(tmp_path / "made.npz", arrays)), held_out=())
    clips = sample_clips(train, 20, 24, np.random.default_rng(0), (0.5, 2.0))
    assert clips.shape == (20, 24, 17, 3)
    assert {int(offset) for offset in np.round(clips.mean(axis=(1, 2, 3)) / 100)} == {0, 1}
    assert np.ptp(clips, axis=(1, 2, 3)).max() < 10


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({}, "must hold arrays named SUBJECT/ACTION .*got none"),
        ({"positions": np.ones((4, 17, 3))}, "must hold arrays named SUBJECT/ACTION .*got positions"),
        ({"S1/Walking": np.ones((4, 16, 3))}, r"S1/Walking: must be \(frames, 32 or 17, 3\), got \(4, 16, 3\)"),
        ({"S1/Walking": np.ones((4, 32, 2))}, r"got \(4, 32, 2\)"),
        ({"S1/Walking": np.ones((0, 32, 3))}, r"got \(0, 32, 3\)"),
        ({"S1/Walking": np.full((4, 32, 3), np.inf)}, "must be finite, or NaN where not known, got 204 infinite"),
        ({"S1/Walking": np.full((4, 17, 3), "far")}, "must hold numbers"),
        ({"positions_3d": np.ones((4, 17, 3))}, "positions_3d must be a dictionary"),
        ({"positions_3d": np.array({"S1": [1, 2]}, dtype=object)}, "positions_3d must be a dictionary"),
        ({"positions_3d": np.array({"S1": {}}, dtype=object)}, "at least one action"),
        ({"positions_3d": np.array({"S1": {"Walking": [[1], [2, 3]]}}, dtype=object)}, "S1/Walking: must hold numbers"),
    ],
)
def test_bad_files_are_refused_in_one_line_that_names_them(tmp_path: Path, arrays: Any, message: str) -> None:
    path = plain(tmp_path / "bad.npz", arrays)
    with pytest.raises(InputError, match=message) as caught:
        load_human36m(path, allow_pickle=True)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_bad_take_is_raised_or_skipped_with_a_count(tmp_path: Path) -> None:
    good = {f"S{index}/Walking": np.random.default_rng(index).random((9, 17, 3)) for index in (1, 5, 9)}
    path = plain(tmp_path / "some.npz", good | {"S6/Walking": np.ones((9, 16, 3))})
    with pytest.raises(InputError, match="S6/Walking: must be"):
        load_human36m(path)
    with pytest.warns(UserWarning, match=r"skipped 1 of 4 takes: .*S6/Walking"):
        assert list(load_human36m(path, on_bad="skip")) == ["S1", "S5", "S9"]
    with zipfile.ZipFile(path) as archive:
        begin = archive.getinfo("S5/Walking.npy").header_offset
    spoilt = bytearray(path.read_bytes())
    spoilt[begin + 200 : begin + 400] = bytes(200)
    path.write_bytes(spoilt)
    with pytest.raises(InputError, match="S5/Walking: not readable"):
        load_human36m(path)
    with pytest.warns(UserWarning, match=r"skipped 2 of 4 takes: .*S5/Walking: not readable.*S6/Walking: must be"):
        assert list(load_human36m(path, on_bad="skip")) == ["S1", "S9"]


def test_files_that_are_no_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_human36m(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("not an archive")
    with pytest.raises(InputError, match="no zip archive"):
        load_human36m(tmp_path / "text.npz")
    whole = plain(tmp_path / "whole.npz", {"S1/Walking": np.random.default_rng(0).random((90, 17, 3))}).read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a readable"):
        load_human36m(tmp_path / "cut.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_human36m(tmp_path / "whole.npz", on_bad="skip")
