"""The live page in a browser: the skeleton is there, beside its 2D input, and moves."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("viser", reason="the live page needs the extra `stream`")
pytest.importorskip("websockets", reason="the live page needs the extra `stream`")

from browsing import browser, evaluate, wait_until

from olift_fast.tracks import Skeleton
from olift_fast.view.live import LiveView

from .stream_client import Stream

PANEL = 880
"""Where the panel with the 2D input begins, in pixels from the left."""
PARTS = (np.s_[:, :PANEL], np.s_[:, PANEL:])


def moving(path: Path, frames: int = 1200) -> Path:
    """A stick figure that waves and sways, over two minutes at ten frames a second."""
    t = np.arange(frames)[:, None] / 4
    rest = np.array([[0, -80], [0, -50], [-30, -45], [-60, -20], [30, -45], [60, -20], [0, 0], [-20, 60], [20, 60]])
    names = ["head", "neck", "left_elbow", "left_hand", "right_elbow", "right_hand", "hip", "left_foot", "right_foot"]
    swing = np.array([1, 2, 15, 45, 15, 45, 0, 20, 20]) * np.sin(t + np.arange(9))
    keypoints = 300 + rest + np.stack([0.6 * swing, swing], axis=-1)
    edges = [[0, 1], [1, 2], [2, 3], [1, 4], [4, 5], [1, 6], [6, 7], [6, 8]]
    np.savez(path, keypoints=keypoints[None].astype("f4"), names=names, edges=edges, fps=10.0)
    return path


@pytest.mark.slow
@pytest.mark.browser
def test_skeleton_moves_beside_its_input(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="pictures are read with pillow")
    stream = Stream("--replay", moving(tmp_path / "wave.npz"), "--open", "--page-port", 18320)
    try:
        url = stream.wait_for(r"live view at (http://127\.0\.0\.1:\d+)")[1]
        with browser(url, tmp_path) as devtools:
            wait_until(lambda: all(counts(picture(devtools, image))), "a skeleton in both parts")
            before = picture(devtools, image)
            told = text(devtools)
            # Half a swing later.
            wait_until(lambda: frame_of(text(devtools)) >= frame_of(told) + 12, "the next frames")
            after = picture(devtools, image)
            requests = evaluate(devtools, "performance.getEntriesByType('resource').map((entry) => entry.name)")
        for name, pixels in (("before", before), ("after", after)):
            image.fromarray(pixels).save(tmp_path / f"{name}.png")
        assert all(counts(after)), "it must still be there"
        for part in PARTS:
            first, second = skeleton(before[part]), skeleton(after[part])
            assert (first ^ second).sum() > 0.2 * (first | second).sum(), "it must have moved"
        beside = np.s_[:150, 600:PANEL]
        np.testing.assert_array_equal(before[beside], after[beside], "nothing else may move")
        assert "wave.npz: 2D input" in told and "9 of 9 joints visible" in told
        assert not [name for name in requests if not name.startswith((url, "blob:", "data:"))]
    finally:
        stream.process.kill()
        stream.process.wait(30)


def test_the_page_prints_nothing_among_the_answers(capsys: pytest.CaptureFixture[str]) -> None:
    LiveView(Skeleton(("head", "tail"), ((0, 1),)), port=18340).close()
    assert capsys.readouterr().out == ""


def counts(pixels: np.ndarray) -> list[bool]:
    """Whether there is a skeleton in each part of the page."""
    return [bool(skeleton(pixels[part]).sum() > 400) for part in PARTS]


def skeleton(pixels: np.ndarray) -> np.ndarray:
    """Where the first track's blue is."""
    red, blue = pixels[..., 0].astype(int), pixels[..., 2].astype(int)
    return blue - red > 70


def frame_of(told: str) -> int:
    return int(re.search(r"frame ([\d,]+)", told)[1].replace(",", ""))  # type: ignore[index]


def picture(devtools: Callable[..., Any], image: Any) -> np.ndarray:
    """The page as it looks now, (height, width, 3)."""
    data = base64.b64decode(devtools("Page.captureScreenshot")["data"])
    return np.asarray(image.open(BytesIO(data)).convert("RGB"))


def text(devtools: Callable[..., Any]) -> str:
    return str(evaluate(devtools, "document.body.innerText"))
