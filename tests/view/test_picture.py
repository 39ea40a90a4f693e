"""The picture of a skeleton: which frame and tracks it shows, and that inferred bones are dashed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="pictures need the extra `bench`")

from matplotlib import figure

from olift_fast.tracks import KeypointTracks, Skeleton
from olift_fast.view import bones, picture

SKELETON = Skeleton(
    ("nose", "left_paw", "right_paw", "wing"), ((0, 1), (0, 2)), sides=(0, 1, -1, 0), inferred=(False, True)
)


def tracks_of(visible: np.ndarray) -> KeypointTracks:
    keypoints = np.random.default_rng(0).uniform(0, 100, (*visible.shape, 2))
    keypoints[~visible] = np.nan
    names = tuple(f"track_{number}" for number in range(len(visible)))
    return KeypointTracks(keypoints, visible.astype(np.float32), SKELETON, names, source="a/walk.csv")


def drawn(tracks: KeypointTracks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, figure.Figure]:
    """The frame, and the figure as it was saved."""
    saved: list[figure.Figure] = []
    save = figure.Figure.savefig
    monkeypatch.setattr(
        figure.Figure, "savefig", lambda self, *args, **kwargs: (saved.append(self), save(self, *args, **kwargs))
    )
    return picture.draw_skeleton(tracks, tmp_path / "picture.png"), saved[0]


@pytest.mark.slow
def test_inferred_bones_are_dashed_and_sides_have_the_colors_of_the_viewer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visible = np.ones((1, 3, 4), dtype=bool)
    visible[0, :, 3] = False
    frame, image = drawn(tracks_of(visible), tmp_path, monkeypatch)
    given, inferred = image.axes[0].lines
    left, _, right = bones.shades_of(0, "light")
    assert frame == 0
    assert (given.get_linestyle(), given.get_color()) == ("-", left)
    assert (inferred.get_linestyle(), inferred.get_color()) == ("--", right)
    assert {text.get_text() for text in image.axes[0].texts} == {"nose", "left_paw", "right_paw"}
    assert image.axes[0].get_title() == "walk.csv, frame 0: 2 bones, 1 inferred (dashed)"
    low, high = image.axes[0].get_ylim()
    assert low > high, "y points down, as in the picture"


@pytest.mark.slow
def test_tracks_that_add_joints_are_drawn_and_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wing is another animal's; the third track shows nothing that the first one lacks."""
    visible = np.zeros((3, 4, 4), dtype=bool)
    visible[0, :3, :3], visible[1, 2:, 3], visible[2, :, :2] = True, True, True
    frame, image = drawn(tracks_of(visible), tmp_path, monkeypatch)
    assert frame == 2
    assert [text.get_text() for text in image.axes[0].texts] == ["nose", "left_paw", "right_paw", "wing"]
    assert len(image.axes[0].lines) == 2


def test_clearest_frame_shows_most_joints_and_is_the_first_of_such() -> None:
    visible = np.zeros((2, 5, 3), dtype=bool)
    visible[0, 1:, 0] = visible[1, 3:, 2] = True
    assert picture.clearest_frame(visible) == 3
