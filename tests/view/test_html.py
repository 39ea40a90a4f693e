"""The viewer page: what it holds, and that a browser without network plays it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("plotly", reason="the viewer needs the extra `view`")

from browsing import run_page

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
    const scene = document.getElementById("scene");
    const drawn = () => Object.fromEntries(["x", "y", "z"].map((k) => [k, [...scene.data[0][k]]]));
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
"""


@pytest.mark.slow
@pytest.mark.browser
def test_browser_without_network_finds_moving_bones(tmp_path: Path) -> None:
    result = lifted(frames=80)
    report = run_page(write_html(result, tmp_path / "page.html", max_frames=40), tmp_path, PROBE)
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


FEATURES = """
    const scene = document.getElementById("scene"), image = document.getElementById("image");
    const size = () => scene._fullLayout.scene.xaxis.range.map(Number);
    await olift.ready;
    await olift.setFrame(30);
    report.floor = { x: [...scene.data[5].x], z: [...scene.data[5].z] };
    report.titles = [...scene.data[7].text];
    report.wide = size();
    const { xaxis, yaxis } = image._fullLayout;
    report.wide2D = [...xaxis.range];
    report.inside = [...image.data.at(-4).x].every((x) => xaxis.range[0] < x && x < xaxis.range[1])
      && [...image.data.at(-4).y].every((y) => yaxis.range[1] < y && y < yaxis.range[0]);
    await olift.follow(1);
    report.near = size();
    report.near2D = [...image._fullLayout.xaxis.range];
    report.bone = ["x", "y", "z"].map((k) => [...scene.data[0][k]].slice(0, 2));
    const floorThen = [...scene.data[5].x][0];
    await olift.setFrame(45);
    report.passed = [...scene.data[5].x][0] !== floorThen;
    await olift.follow(null);
    report.wideAgain = size();
    const names = [...document.querySelectorAll("#joint-list button")];
    names[1].onmouseenter();
    await olift.setFrame(45);
    report.hovered = [...scene.data[6].text];
    names[1].onmouseleave();
    names[2].onclick();
    await olift.setFrame(45);
    report.pinned = [...scene.data[6].text];
    report.trail = [...scene.data[4].x].filter((x) => x !== null).length;
    const search = document.getElementById("search");
    search.value = "PAW";
    search.oninput();
    report.found = names.filter((name) => !name.hidden).map((name) => name.textContent);
    const side = document.getElementById("side"), pen = side.getContext("2d");
    const drawnSide = () => pen.getImageData(0, 0, side.width, side.height).data.some((value) => value > 0);
    report.side = drawnSide();
    document.getElementById("view").value = "";
    document.getElementById("view").onchange();
    await olift.setFrame(44);
    report.sideHidden = side.hidden;
    report.legend = document.querySelector(".key").textContent;
    report.notes = document.getElementById("notes").textContent;
    report.scrolls = document.documentElement.scrollHeight > innerHeight + 1;
"""


def world(frames: int = 60) -> LiftedTracks:
    """Two animals that walk across a floor, 500 apart, of which the first is small."""
    result = lifted(frames=frames)
    x, y, z = np.moveaxis(result.joints, -1, 0)
    x = x + 6 * np.arange(frames)[None, :, None] + np.array([0, 500])[:, None, None]
    joints = np.stack([x, z, 400 - y], axis=-1)
    joints[..., 2] -= np.nanmin(joints[..., 2])
    contacts = joints[..., 2] < 20
    return replace(result, joints=joints, frame="world", contacts=contacts)


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("window", ["1280,720", "390,844"])
def test_browser_shows_floor_trails_joint_list_and_follows_near(tmp_path: Path, window: str) -> None:
    result = world()
    report = run_page(write_html(result, tmp_path / "page.html"), tmp_path, FEATURES, window)
    assert {z for z in report["floor"]["z"] if z is not None} == {0}
    assert len(report["floor"]["x"]) >= 3 * 8
    assert report["titles"] == ["x", "y away", "z up"]
    assert report["inside"], "no keypoint may be cut"
    width, near = (high - low for low, high in (report["wide"], report["near"]))
    assert near < width / 3 and report["wideAgain"] == report["wide"]
    assert np.ptp(report["near2D"]) < 0.7 * np.ptp(report["wide2D"])
    # The followed animal, nose to paw, about its own middle: its bone keeps its direction and length.
    drawn = np.array(report["bone"], dtype=np.float64)
    bone = result.joints[0, 30, 1] - result.joints[0, 30, 0]
    np.testing.assert_allclose(drawn[:, 1] - drawn[:, 0], bone, atol=0.05)
    assert np.abs(drawn).max() < near / 2
    assert report["passed"], "the floor must pass by below the animal that is followed"
    assert report["hovered"] == ["left_paw", "left_paw"]
    assert report["pinned"] == ["right_paw", "right_paw"]
    assert report["trail"] > 2 * 30
    assert report["found"] == ["left_paw", "right_paw"]
    assert report["side"] and report["sideHidden"]
    assert "● seen" in report["legend"] and "○ estimated" in report["legend"]
    assert "Grid: the floor." in report["notes"]
    assert not report["scrolls"], "all of the page must be on one screen"


@pytest.mark.slow
def test_page_of_a_world_tells_its_floor_and_its_axes(tmp_path: Path) -> None:
    info = page_info(write_html(world(), tmp_path / "page.html"))
    assert info["floor"] == {"height": 0.0, "known": True}
    assert info["axes"] == "x right, y away from the camera, z up"
    unknown = page_info(write_html(replace(world(), contacts=None), tmp_path / "unknown.html"))
    assert not unknown["floor"]["known"]
    assert page_info(write_html(lifted(), tmp_path / "camera.html"))["floor"] is None


def test_range_of_the_panel_holds_all_keypoints_but_far_ones() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 100, (1000, 2))
    points[:3] = [[110, 50], [-12, 50], [50, 118]]
    (x0, x1), (_, y1) = packing._ranges(points)
    assert x0 < -12 and x1 > 110 and y1 > 118
    points[3] = [5000, 50]
    assert packing._ranges(points)[0][1] < 200


@pytest.mark.slow
@pytest.mark.browser
def test_browser_draws_inferred_bones_dashed(tmp_path: Path) -> None:
    result = lifted(frames=30, tracks=1, skeleton=DRAFTED)
    report = run_page(write_html(result, tmp_path / "page.html"), tmp_path, PROBE)
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
    report = run_page(write_html(result, tmp_path / "page.html"), tmp_path, PROBE)
    assert report["bars"]["off"] == [None]
    # A bar runs before, behind, gap; it goes through the joint, along the depth.
    y = np.array(report["bars"]["on"]["y"], dtype=np.float64).reshape(-1, 3)
    np.testing.assert_allclose(y[:, :2].mean(axis=1), result.joints[0, 20, :, 2], atol=0.02)
    np.testing.assert_allclose(np.diff(y[:, :2], axis=1)[:, 0], 2 * deviations[0, 20], atol=0.02)
    x = np.array(report["bars"]["on"]["x"], dtype=np.float64).reshape(-1, 3)
    np.testing.assert_allclose(x[:, 0], result.joints[0, 20, :, 0], atol=0.02)
    assert not report["bars"]["hidden"] and "one standard deviation of the depth" in report["notes"]
