"""Every file that real tools wrote is read: none is forgotten, and each has what its format promises."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.io import formats, read_keypoints

# What each file is: format, tracks, frames, joints, edges.
WANTED = {
    "badja/bear.json": ("badja", 1, 17, 21, 20),
    "badja/camel.json": ("badja", 1, 18, 21, 20),
    "badja/cat_jump.json": ("badja", 1, 18, 21, 20),
    "badja/cows.json": ("badja", 1, 21, 21, 20),
    "badja/dog-agility.json": ("badja", 1, 5, 21, 20),
    "badja/dog.json": ("badja", 1, 12, 21, 20),
    "badja/horsejump-high.json": ("badja", 1, 10, 21, 20),
    "badja/horsejump-low.json": ("badja", 1, 12, 21, 20),
    "badja/tiger.json": ("badja", 1, 10, 21, 20),
    "coco/test_ap10k.json": ("coco", 2, 1, 17, 17),
    "coco/test_coco.json": ("coco", 12, 1, 17, 19),
    "deeplabcut_csv/CollectedData_LM.csv": ("deeplabcut", 3, 4, 5, 0),
    "deeplabcut_csv/dlc_testdata.csv": ("deeplabcut", 1, 4, 3, 0),
    "deeplabcut_csv/dlc_testdata_v2.csv": ("deeplabcut", 1, 4, 3, 0),
    "deeplabcut_csv/madlc_testdata.csv": ("deeplabcut", 2, 4, 3, 0),
    "deeplabcut_csv/madlc_testdata_v2.csv": ("deeplabcut", 2, 4, 3, 0),
    "deeplabcut_csv/maudlc_testdata.csv": ("deeplabcut", 3, 4, 5, 0),
    "deeplabcut_csv/maudlc_testdata_v2.csv": ("deeplabcut", 3, 4, 5, 0),
    "deeplabcut_h5/DLC_sample_tracks.csv": ("deeplabcut", 1, 1085, 2, 0),
    "deeplabcut_h5/DLC_sample_tracks.h5": ("deeplabcut-h5", 1, 1085, 2, 0),
    "lightning_pose/ibl-paw_left.rng0.csv": ("deeplabcut", 1, 1000, 2, 0),
    "lightning_pose/ibl-paw_right.rng0.csv": ("deeplabcut", 1, 2500, 2, 0),
    "lightning_pose/mirror-mouse_180607_004.rng0.csv": ("deeplabcut", 1, 2000, 8, 0),
    "lightning_pose/mirror-mouse_CollectedData.csv": ("deeplabcut", 1, 90, 17, 0),
    "openpose_body25b/S00_P00_T01_BalancingTrial": ("openpose", 3, 48, 25, 25),
    "openpose_body25b/S00_P01_T02_Participants1-2": ("openpose", 4, 48, 25, 25),
    "sleap/at_testdata.json": ("alphatracker", 2, 4, 3, 0),
    "sleap/centered_pair_predictions.slp": ("sleap-labels", 27, 1100, 24, 23),
    "sleap/clip.predictions.slp": ("sleap-labels", 2, 1500, 2, 1),
    "sleap/labels.mat": ("leap", 1, 250, 6, 5),
    "sleap/minimal_instance.000_centered_pair_low_quality.analysis.csv": ("sleap-csv", 1, 1, 2, 0),
    "sleap/minimal_instance.json": ("sleap-json", 2, 1, 2, 1),
    "sleap/minimal_instance.slp": ("sleap-labels", 2, 1, 2, 1),
    "sleap/predictions.analysis.h5": ("sleap-analysis", 2, 3000, 13, 0),
    "sleap/predictions.slp": ("sleap-labels", 2, 3000, 13, 12),
    "sleap/small_robot.000_small_robot_3_frame.analysis.h5": ("sleap-analysis", 1, 3, 3, 3),
    "sleap/small_robot_minimal.slp": ("sleap-labels", 1, 2, 2, 1),
}
# A project's settings: no keypoints in it.
NOT_KEYPOINTS = {"deeplabcut_csv/madlc_230_config.yaml"}
NEEDS = {"deeplabcut-h5": "tables", "leap": "scipy"}


@pytest.mark.slow
@pytest.mark.parametrize("name", WANTED)
def test_file_reads_as_what_it_is(real_data: Path, name: str) -> None:
    format, tracks, frames, joints, edges = WANTED[name]
    extra = NEEDS.get(format)
    if extra is not None and importlib.util.find_spec(extra) is None:
        pytest.skip("needs the extra io")
    found = read_keypoints(real_data / "keypoints2d" / name)
    assert found.format == format and found.format in {known.name for known in formats()}
    assert found.keypoints.shape == (tracks, frames, joints, 2) and len(found.skeleton.edges) == edges
    there = np.isfinite(found.keypoints).all(axis=-1)
    np.testing.assert_array_equal(there, found.confidence > 0)
    assert there.any(axis=(1, 2)).all() and found.confidence.max() <= 1
    assert found.keypoints.dtype == found.confidence.dtype == np.float32
    assert np.abs(found.keypoints[there]).max() < 4000, "pixels"


def test_no_file_is_forgotten(real_data: Path) -> None:
    folder = real_data / "keypoints2d"
    there = {entry.relative_to(folder).as_posix() for entry in folder.glob("*/*")}
    assert there == set(WANTED) | NOT_KEYPOINTS
    for name in NOT_KEYPOINTS:
        with pytest.raises(InputError, match="no header row of a known format"):
            read_keypoints(folder / name)


@pytest.mark.slow
def test_files_read_the_same_under_a_name_without_meaning(real_data: Path, tmp_path: Path) -> None:
    for name in (name for name in WANTED if name.endswith((".json", ".csv", ".slp", "analysis.h5"))):
        path = tmp_path / "file.dat"
        path.unlink(missing_ok=True)
        path.symlink_to(real_data / "keypoints2d" / name)
        assert read_keypoints(path).format == WANTED[name][0]
