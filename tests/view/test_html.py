"""The viewer page: what it holds, and that a browser without network plays it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("plotly", reason="the viewer needs the extra `view`")

from olift_fast.errors import InputError, MissingExtraError
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.skeleton import Skeleton
from olift_fast.view import bones, html, packing, write_html

SKELETON = Skeleton(
    names=("nose", "left_paw", "right_paw", "</script><b>tail"), edges=((0, 1), (0, 2), (0, 3)), sides=(0, 1, -1, 0)
)

DRAFTED = replace(SKELETON, inferred=(False, True, False))


def lifted(frames: int = 40, tracks: int = 2, **changes: Any) -> LiftedTracks:
    """Tracks that move smoothly; the last joint of the first track is hidden, and its first frames hold no joints."""
    joints = SKELETON.num_joints
    t = np.arange(frames)[None, :, None]
    n = np.arange(tracks)[:, None, None]
    j = np.arange(joints)[None, None, :]
    x, y, z = 300 + 90 * n + 40 * j + 3 * t, 200 + 30 * np.sin(t / 5 + j) + 0 * n, 20 * np.cos(t / 7 + j) + 10 * n
    points = np.stack([x, y, z], axis=-1).astype(np.float32)
    keypoints, confidence = points[..., :2].copy(), np.full(points.shape[:3], 0.75, np.float32)
    keypoints[0, :, 3], confidence[0, :, 3] = np.nan, 0
    points[0, :2] = np.nan
    values: dict[str, Any] = {
        "joints": points,
        "keypoints": keypoints,
        "confidence": confidence,
        "visible": confidence >= 0.3,
        "skeleton": SKELETON,
        "tracks": tuple(f"mouse {n}" for n in range(tracks)),
        "fps": 50.0,
        "source": "videos/open field & co.csv",
        "scale": np.ones(tracks),
        "centers": np.zeros((tracks, frames, 2)),
        "rotation": np.tile(np.eye(3), (tracks, 1, 1)),
        "model": "small",
        "version": "1.2.3",
    }
    return LiftedTracks(**(values | changes))


def page_info(page: Path) -> dict[str, Any]:
    match = re.search(r'<script type="application/json" id="info">(.*?)</script>', page.read_text(), re.DOTALL)
    assert match
    return json.loads(match[1])


@pytest.mark.slow
def test_page_stands_alone_and_is_small(tmp_path: Path) -> None:
    page = write_html(lifted(), tmp_path / "lifted.html")
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"""(?:src|href)\s*=\s*["'](?!data:)[^"']*["']""", text)
    assert "http://" not in text and "https://" not in text
    assert page.stat().st_size < 3_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["lifted.html"]


@pytest.mark.slow
def test_page_tells_source_model_and_units(tmp_path: Path) -> None:
    page = write_html(lifted(), tmp_path / "lifted.html")
    info = page_info(page)
    assert info["title"] == "open field & co.csv"
    assert info["model"] == "small 1.2.3"
    assert info["units"] == "pixels" and info["camera"] is None
    told = page_info(write_html(replace(lifted(), pitch=90.0), tmp_path / "told.html"))
    assert told["camera"] == "camera looks down by 90°"
    assert "<title>open field &amp; co.csv" in page.read_text()
    assert info["joints"] == list(SKELETON.names), "a joint name that looks like markup must come through as it is"


@pytest.mark.slow
def test_long_clip_is_thinned_evenly(tmp_path: Path) -> None:
    info = page_info(write_html(lifted(frames=2401), tmp_path / "page.html", max_frames=600))
    assert (info["stride"], info["frames"], info["total"]) == (5, 481, 2401)


def test_bones_take_the_side_of_their_joints() -> None:
    assert [bones.edge_side(SKELETON, a, b) for a, b in SKELETON.edges] == [1, -1, 0]


@pytest.mark.slow
def test_page_knows_which_bones_were_inferred(tmp_path: Path) -> None:
    info = page_info(write_html(lifted(), tmp_path / "given.html"))
    assert info["edges"] == [[0, 1, 1, 0], [0, 2, -1, 0], [0, 3, 0, 0]]
    info = page_info(write_html(lifted(skeleton=DRAFTED), tmp_path / "drafted.html"))
    assert info["edges"] == [[0, 1, 1, 0], [0, 2, -1, 1], [0, 3, 0, 0]]


def test_quantizing_keeps_every_value_within_its_step() -> None:
    values = np.random.default_rng(3).normal(0, 500, (50, 3)).astype(np.float32)
    values[7] = np.nan
    codes, offset, step = packing.quantize(values)
    assert (codes[7] == packing.MISSING).all() and (codes[8] != packing.MISSING).all()
    restored = offset + step * codes.astype(np.float64)
    assert np.nanmax(np.abs(np.where(codes == packing.MISSING, np.nan, restored) - values)) <= step / 2 + 1e-6
    assert step <= np.nanmax(values) / 15000


@pytest.mark.slow
def test_clip_without_any_joint_still_makes_a_page(tmp_path: Path) -> None:
    empty = lifted(tracks=1)
    nothing = np.full_like(empty.joints, np.nan)
    page = write_html(lifted(tracks=1, joints=nothing, keypoints=nothing[..., :2]), tmp_path / "page.html")
    assert page_info(page)["frames"] == 40


def test_tracks_get_colors_of_their_own() -> None:
    for theme in ("light", "dark"):
        shades = [tuple(bones.shades_of(index, theme)) for index in range(12)]
        assert len({shade for track in shades for shade in track}) == 36


def test_no_frames_to_draw_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="max_frames must be >= 1, got 0"):
        write_html(lifted(), tmp_path / "page.html", max_frames=0)


def test_missing_plotly_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(html.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'olift-fast\[view\]'"):
        write_html(lifted(), tmp_path / "page.html")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_failed_write_leaves_the_old_page_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_html(lifted(), page)
    assert page.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


PROBE = """
<pre id="probe"></pre>
<script>
(async () => {
  const scene = document.getElementById("scene");
  const drawn = () => Object.fromEntries(["x", "y", "z"].map((k) => [k, [...scene.data[0][k]]]));
  const report = {};
  try {
    await olift.ready;
    report.count = olift.frameCount;
    const started = olift.frame;
    await olift.setFrame(5);
    report.first = { positions: olift.positions(), bones: drawn() };
    await Plotly.relayout("scene", { "scene.camera.eye": { x: 0.3, y: -1.1, z: 0.9 } });
    await olift.setFrame(20);
    report.second = { positions: olift.positions(), bones: drawn() };
    report.eye = scene.layout.scene.camera.eye;
    const canvas = scene.querySelector("canvas"), camera = () => scene._fullLayout.scene._scene.getCamera().eye;
    const at = (x) => ({ clientX: x, clientY: 300, buttons: 1, bubbles: true });
    const move = (type, x) => canvas.dispatchEvent(new MouseEvent(type, at(x)));
    const wait = (milliseconds) => new Promise((passed) => setTimeout(passed, milliseconds));
    await wait(1000);  // plotly takes half a second to settle on the first view
    report.before = camera();
    move("mousedown", 800);
    for (let i = 0; i < 6; i++) {
      move("mousemove", 800 + 20 * i);
      await olift.setFrame(20 + i);
      await wait(30);
    }
    report.dragged = camera();
    await olift.setFrame(20);
    report.hollow = [...scene.data[2].text];
    const button = document.getElementById("uncertainty");
    report.bars = { hidden: button.hidden, off: [...scene.data[3].x] };
    if (!button.hidden) {
      await button.onclick();
      report.bars.on = { x: [...scene.data[3].x], y: [...scene.data[3].y] };
    }
    report.clock = document.getElementById("clock").textContent;
    report.notes = document.getElementById("notes").textContent;
    await olift.setFrame(0);
    report.start = olift.positions();
    report.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
  } catch (error) { report.error = String(error.stack); }
  document.getElementById("probe").textContent = JSON.stringify(report);
})();
</script>
</body>
"""


@pytest.mark.slow
@pytest.mark.browser
def test_browser_without_network_finds_moving_bones(tmp_path: Path) -> None:
    result = lifted(frames=80)
    report = run_page(write_html(result, tmp_path / "page.html", max_frames=40), tmp_path)
    assert "error" not in report, report
    assert report["requests"] == []
    assert report["count"] == 40

    for part, frame in (("first", 10), ("second", 40)):
        positions = np.array(report[part]["positions"], dtype=np.float64)
        np.testing.assert_allclose(positions, result.joints[:, frame], atol=0.02)
        # A bone runs joint, joint, gap; depth is the plot's second axis and up its third.
        bones = report[part]["bones"]
        nose, paw = result.joints[0, frame, 0], result.joints[0, frame, 1]
        np.testing.assert_allclose(bones["x"][:2], [nose[0], paw[0]], atol=0.02)
        np.testing.assert_allclose(bones["y"][:2], [nose[2], paw[2]], atol=0.02)
        np.testing.assert_allclose(bones["z"][:2], [-nose[1], -paw[1]], atol=0.02)
        assert bones["x"][2] is None and len(bones["x"]) == 2 * 3 * 3

    assert report["start"][0] == [None] * 4, "joints that are NaN must vanish"
    assert report["eye"] == pytest.approx({"x": 0.3, "y": -1.1, "z": 0.9}), "the view must survive the next frame"
    assert abs(report["dragged"]["x"] - report["before"]["x"]) > 0.05, "a drag must turn the view while frames change"
    assert len(report["hollow"]) == 1 and "hidden" in report["hollow"][0] and "&lt;/script>" in report["hollow"][0]
    assert report["bars"]["hidden"] and "standard deviation" not in report["notes"]
    assert report["clock"] == "0.80 s frame 40"
    assert "Every 2nd frame of 80 is drawn" in report["notes"]


@pytest.mark.slow
@pytest.mark.browser
def test_browser_draws_inferred_bones_dashed(tmp_path: Path) -> None:
    result = lifted(frames=30, tracks=1, skeleton=DRAFTED)
    report = run_page(write_html(result, tmp_path / "page.html"), tmp_path)
    assert "error" not in report, report
    assert report["notes"].startswith("Dashed: bones that were inferred, not given.")
    # The given bones are two points and a gap; the one between is several dashes from nose to paw.
    drawn = report["first"]["bones"]["x"]
    dashes = np.array(drawn[3:-3], dtype=np.float64).reshape(-1, 3)
    nose, paw = result.joints[0, 5, [0, 2], 0]
    assert len(dashes) > 1 and np.isnan(dashes[:, 2]).all()
    np.testing.assert_allclose(dashes[[0, -1], [0, 1]], [nose, paw], atol=0.02)
    lengths, gaps = dashes[:, 1] - dashes[:, 0], dashes[1:, 0] - dashes[:-1, 1]
    np.testing.assert_allclose(lengths, lengths[0], atol=0.02)
    np.testing.assert_allclose(gaps, lengths[0], atol=0.02)


@pytest.mark.slow
@pytest.mark.browser
def test_browser_draws_bars_of_uncertainty_when_asked(tmp_path: Path) -> None:
    deviations = np.random.default_rng(0).uniform(2, 9, (1, 30, 4)).astype(np.float32)
    result = lifted(frames=30, tracks=1, uncertainty=deviations, uncertainty_xy=deviations)
    report = run_page(write_html(result, tmp_path / "page.html"), tmp_path)
    assert "error" not in report, report
    assert report["bars"]["off"] == [None]
    # A bar runs before, behind, gap; it goes through the joint, along the depth.
    y = np.array(report["bars"]["on"]["y"], dtype=np.float64).reshape(-1, 3)
    np.testing.assert_allclose(y[:, :2].mean(axis=1), result.joints[0, 20, :, 2], atol=0.02)
    np.testing.assert_allclose(np.diff(y[:, :2], axis=1)[:, 0], 2 * deviations[0, 20], atol=0.02)
    x = np.array(report["bars"]["on"]["x"], dtype=np.float64).reshape(-1, 3)
    np.testing.assert_allclose(x[:, 0], result.joints[0, 20, :, 0], atol=0.02)
    assert not report["bars"]["hidden"] and "one standard deviation of the depth" in report["notes"]


def run_page(page: Path, folder: Path) -> dict[str, Any]:
    """What the probe finds when a headless Chromium that can reach nothing opens the page."""
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if browser is None:
        if os.environ.get("CI") == "true":
            pytest.fail("no Chromium on PATH to open the page with")
        pytest.skip("no Chromium on PATH to open the page with")
    probed = folder / "probed.html"
    probed.write_text(page.read_text(encoding="utf-8").replace("</body>", PROBE), encoding="utf-8")
    options = (
        "--headless --no-sandbox --disable-gpu --enable-unsafe-swiftshader --disable-quic --no-first-run "
        "--disable-background-networking --disable-component-update --disable-sync --disable-dev-shm-usage "
        "--proxy-server=127.0.0.1:9 --window-size=1280,720 --virtual-time-budget=60000 --dump-dom"
    )
    profile = f"--user-data-dir={folder / 'profile'}"
    run = subprocess.run(
        [browser, *options.split(), profile, f"{probed.as_uri()}#frame=0"], capture_output=True, text=True, timeout=180
    )
    found = re.search(r'<pre id="probe">(.*?)</pre>', run.stdout, re.DOTALL)
    assert found and found[1], f"the page did not start:\n{run.stdout[:500]}\n{run.stderr[-2000:]}"
    return json.loads(unescape(found[1]))
