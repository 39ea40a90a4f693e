"""The video below the keypoints of a viewer page: its frame is that of the skeletons, at rest and while it plays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("plotly", reason="the viewer needs the extra `view`")
pytest.importorskip("cv2", reason="videos need the extra `video`")
pytest.importorskip("imageio_ffmpeg", reason="videos need the extra `video`")

from browsing import run_page
from films import STEP, film, lifted, number_of

from olift_fast.errors import InputError
from olift_fast.view import html, page_video, write_html
from olift_fast.view.html import write_page
from olift_fast.view.video import open_video, read_pictures

pytestmark = pytest.mark.slow

IN_STEP = """
    await olift.ready;
    const video = document.querySelector("video"), image = document.getElementById("image");
    const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
    canvas.width = canvas.height = 8;
    const gray = () => { pen.drawImage(video, 0, 0, 8, 8); return pen.getImageData(2, 2, 1, 1).data[0]; };
    report.rest = [];
    for (const frame of [0, 7, 8, 29, 3]) { await olift.setFrame(frame); report.rest.push([frame, gray()]); }
    const place = () => {
      const box = video.getBoundingClientRect(), plot = image.getBoundingClientRect();
      const { xaxis, yaxis } = image._fullLayout;
      const at = (x, y) => [plot.left + xaxis._offset + xaxis.d2p(x), plot.top + yaxis._offset + yaxis.d2p(y)];
      return [[box.left, box.top, box.right, box.bottom], [...at(0, 0), ...at(320, 240)]];
    };
    report.whole = place();
    await Plotly.relayout(image, { "xaxis.range": [100, 200], "yaxis.range": [180, 100] });
    report.zoomed = place();
    await olift.follow(0);
    await olift.setFrame(20);
    report.followed = place();
    await olift.follow(null);
    await olift.setFrame(0);
    olift.play();
    report.playing = [];
    for (let i = 0; i < 40; i++) {
      await new Promise((passed) => setTimeout(passed, 50));
      report.playing.push([olift.frame, olift.videoFrame]);
    }
    olift.pause();
    await olift.setFrame(olift.frame);
    report.stopped = [olift.frame, gray()];
    report.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
    report.missing = document.getElementById("missing").textContent;
"""


@pytest.mark.browser
@pytest.mark.parametrize("embedded", [True, False])
def test_browser_plays_the_video_in_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, embedded: bool) -> None:
    if not embedded:
        monkeypatch.setattr(page_video, "EMBEDDED", 100)
    source = film(tmp_path / "film.mp4", 40)
    # Frame n of the result is frame n + 10 of the video.
    page = write_html(lifted(), tmp_path / "page #1.html", video=source, offset=10)
    source.unlink()
    report = run_page(page, tmp_path, IN_STEP, options="--allow-file-access-from-files")
    assert report["missing"] == ""
    for frame, gray in [*report["rest"], report["stopped"]]:
        assert round(gray / STEP + 0.25) == frame + 10
    for name in ("whole", "zoomed", "followed"):
        shown, wanted = report[name]
        np.testing.assert_allclose(shown, wanted, atol=1.5, err_msg=name)
    assert report["zoomed"][0] != report["whole"][0]
    playing = np.array(report["playing"])
    assert len(set(playing[:, 0].tolist())) > 3, "it must play"
    apart = np.abs(np.diff(playing, axis=1)) % 29
    assert np.median(apart) <= 1, "the skeletons must be those of the video's frame"
    outside = [name for name in report["requests"] if not name.startswith(("blob:", "data:"))]
    assert outside == [] if embedded else all(name.endswith("page%20%231.video.mp4") for name in outside)


@pytest.mark.browser
def test_browser_tells_of_a_video_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_video, "EMBEDDED", 100)
    page = write_html(lifted(), tmp_path / "page.html", video=film(tmp_path / "film.mp4", 30))
    (tmp_path / "page.video.mp4").unlink()
    script = """
    await olift.ready;
    await olift.setFrame(12);
    report.missing = document.getElementById("missing").textContent;
    report.positions = olift.positions();
    """
    report = run_page(page, tmp_path, script)
    assert report["missing"] == "The video page.video.mp4, which must lie beside this page, can't be played here."
    np.testing.assert_allclose(report["positions"], lifted().joints[:, 12], atol=0.02)


def test_copy_holds_the_drawn_frames_at_the_pages_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_video, "EMBEDDED", 100)
    result = replace(lifted(frames=6), frames=np.array([3, 4, 10, 20, 21, 40]))
    page = write_page(result, tmp_path / "page.html", video=film(tmp_path / "film.mp4", 50), max_frames=3)
    assert page.video == tmp_path / "page.video.mp4"
    copy = open_video(page.video)
    assert copy.fps == pytest.approx(25 / 2)
    assert [number_of(p) for p in read_pictures(copy, range(copy.frames), copy.size)] == [3, 10, 21]


def test_wide_video_is_made_narrower_and_keeps_its_coordinates(tmp_path: Path) -> None:
    source = film(tmp_path / "film.mp4", 3, size=(1920, 1080))
    with page_video.page_video(lifted(frames=3), tmp_path / "page.html", source, None, 1, None) as made:
        (tmp_path / "copy.mp4").write_bytes(made.data or b"")
    assert made.info["size"] == [1920, 1080]
    assert open_video(tmp_path / "copy.mp4").size == (960, 540)


def test_notes_tell_where_the_video_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = film(tmp_path / "film.mp4", 30)
    inside = write_page(lifted(), tmp_path / "a.html", video=source)
    assert inside.video is None and inside.notes == ("the video is in the page (0.0 MB)",)
    monkeypatch.setattr(page_video, "EMBEDDED", 100)
    beside = write_page(lifted(), tmp_path / "b.html", video=source, offset=-2)
    assert beside.notes[0] == "2 of 30 frames have no picture in the video"
    assert beside.notes[1].endswith("b.video.mp4: keep it beside the page")


def test_page_that_can_not_be_written_leaves_no_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_video, "EMBEDDED", 100)
    source = film(tmp_path / "film.mp4", 30)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(html, "_write", full)
    with pytest.raises(InputError, match="the disk is full"):
        write_page(lifted(), tmp_path / "page.html", video=source)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_video_itself_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_video, "EMBEDDED", 100)
    source = film(tmp_path / "page.video.mp4", 30)
    before = source.read_bytes()
    with pytest.raises(InputError, match="the page's copy of the video goes there, and it is the video itself"):
        write_page(lifted(), tmp_path / "page.html", video=source)
    assert source.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["page.video.mp4"]
