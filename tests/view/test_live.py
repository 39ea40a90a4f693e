"""The live page: inferred bones are dashed, in 3D and beside it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from olift_fast.errors import InputError
from olift_fast.tracks import Skeleton
from olift_fast.view import live
from olift_fast.view.bones import DASHES, dashes

SKELETON = Skeleton(("nose", "left_paw", "right_paw"), ((0, 1), (0, 2)), inferred=(True, False))


def test_dashes_run_from_joint_to_joint_with_gaps_between() -> None:
    bones = np.array([[[0, 0, 0], [7, 14, -7]], [[1, 1, 1], [1, 1, 8]]], np.float32)
    drawn = dashes(bones).reshape(2, DASHES, 2, 3)
    np.testing.assert_allclose(drawn[:, 0, 0], bones[:, 0])
    np.testing.assert_allclose(drawn[:, -1, 1], bones[:, 1])
    lengths = np.linalg.norm(drawn[:, :, 1] - drawn[:, :, 0], axis=-1)
    gaps = np.linalg.norm(drawn[:, 1:, 0] - drawn[:, :-1, 1], axis=-1)
    whole = np.linalg.norm(bones[:, 1] - bones[:, 0], axis=-1) / (2 * DASHES - 1)
    np.testing.assert_allclose(lengths, np.broadcast_to(whole[:, None], lengths.shape), rtol=1e-5)
    np.testing.assert_allclose(gaps, np.broadcast_to(whole[:, None], gaps.shape), rtol=1e-5)
    assert dashes(bones[:0]).shape == (0, 2, 3)


@pytest.mark.slow
def test_page_dashes_the_bones_that_were_inferred() -> None:
    pytest.importorskip("viser", reason="the live page needs the extra `stream`")
    view = live.LiveView(SKELETON, port=18390)
    try:
        joints = np.array([[0, 0, 0], [10, 20, 0], [-10, 20, 5]], np.float32)
        for _ in range(2):
            view.show("a", "a", 3, joints, joints[:, :2], np.ones(3, dtype=bool))
            view.draw()
        lines = re.findall(r"<line [^>]*>", view._picture.content)
        assert ["stroke-dasharray" in line for line in lines] == [True, False]
        assert "Dashed: bones that were inferred" in view._legend.content
        # The given bone in one piece, the other in dashes.
        assert len(view._tracks["a"].handles["bones"].points) == 1 + DASHES
        assert view._bars is None
        deviations = np.array([[1, 2], [3, 4], [5, np.nan]], np.float32)
        view.show("a", "a", 4, joints, joints[:, :2], np.ones(3, dtype=bool), deviations)
        view.draw()
        bars = view._tracks["a"].handles["bars"]
        assert not view._bars.value and not bars.visible
        view._bars.value = True
        view.show("a", "a", 5, joints, joints[:, :2], np.ones(3, dtype=bool), deviations)
        view.draw()
        assert bars.visible
        np.testing.assert_allclose(np.diff(bars.points[..., 2], axis=1)[:, 0] * view._unit, [4, 8, 0], rtol=1e-4)
    finally:
        view.close()


@pytest.mark.slow
def test_page_names_joints_axes_marks_and_latency(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("viser", reason="the live page needs the extra `stream`")
    skeleton = Skeleton(("nose", "left <paw>"), ((0, 1),), sides=(0, 1))
    view = live.LiveView(skeleton, port=18450, axes="x right, y down, z away from the camera")
    try:
        joints = np.array([[0, 0, 0], [10, 20, 0]], np.float32)
        monkeypatch.setattr(live.time, "perf_counter", lambda: 7.5)

        def show(came: float | None) -> None:
            view.show("a", "a", 3, joints, joints[:, :2], np.ones(2, dtype=bool), came=came)
            view.draw()

        show(None)
        assert "Latency" not in view._note.content
        for came in (7.49, 7.48, 7.46):
            show(came)
        assert "Latency: 20 ms" in view._note.content
        assert "<title>left &lt;paw&gt;</title>" in view._picture.content
        legend = view._legend.content
        assert "light left, middle, dark right" in legend and "Pale: hidden" in legend and "Dashed" not in legend
        assert "Axes: x right, y down, z away from the camera." in legend
        handles = view._tracks["a"].handles
        assert "name 0" not in handles, "labels are made when they are asked for"
        view._names.value = True
        show(None)
        assert [handles[f"name {number}"].text for number in (0, 1)] == list(skeleton.names)
        np.testing.assert_allclose(handles["name 1"].position, handles["joints"].points[1])
        view._names.value = False
        show(None)
        assert not handles["name 0"].visible
        view.remove("a")
    finally:
        view.close()


@pytest.mark.parametrize("host", ["nowhere.invalid", "192.0.2.1"])
def test_address_that_is_not_this_machines_is_refused(host: str) -> None:
    pytest.importorskip("viser", reason="the live page needs the extra `stream`")
    with pytest.raises(InputError, match=f"host must be an address of this machine, .*, got '{host}': "):
        live.LiveView(SKELETON, host)
