"""The page that lifts in the browser, in a headless Chromium: its results are Python's, without a network, too."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from animations_alike import assert_bvh_alike, assert_glb_alike
from asking import BUILT, TRY, missing
from browsing import DevTools, browser, evaluate, wait_until

from olift_fast import Lifter, lift_tracks, read_keypoints, write_lifted
from olift_fast.io import read_lifted
from olift_fast.tracks import with_inferred_skeleton
from olift_fast.tracks.containers import LiftedTracks
from olift_fast.tracks.taking import take_tracks

pytestmark = [pytest.mark.browser, pytest.mark.slow]
SECONDS = 240


@pytest.fixture(scope="module")
def built() -> Path:
    """The folder of the built page, of the sources as they are."""
    if not (BUILT / "index.html").exists():
        missing("the page is not built: make try")
    for source in (TRY / "index.html", TRY / "style.css", *(TRY / "src").glob("*.js")):
        own = BUILT / source.name
        if not own.exists() or own.read_bytes() != source.read_bytes():
            missing(f"the built page is older than {source.name}: make try")
    return BUILT


@contextmanager
def server(folder: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address of a folder that `serve.py` shows, and the process, to be ended early."""
    command = [sys.executable, str(TRY / "serve.py"), str(folder), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.kill()
        process.wait(30)


def said(devtools: DevTools) -> str:
    return str(evaluate(devtools, "document.getElementById('status').textContent"))


def wait_ready(devtools: DevTools) -> None:
    def ready() -> bool:
        # While the browser still goes to the page, there is nothing to evaluate in, and the answer has no result.
        with suppress(KeyError):
            return bool(evaluate(devtools, "window.page && page.ready"))
        return False

    wait_until(ready, "that it is ready", SECONDS)


def give(devtools: DevTools, files: Sequence[Path]) -> None:
    """Chooses files, as a visitor does, and waits until the page is done with them."""
    root = devtools("DOM.getDocument")["root"]["nodeId"]
    node = devtools("DOM.querySelector", nodeId=root, selector="#files")["nodeId"]
    evaluate(devtools, "page.result = null; document.getElementById('status').className = ''")
    devtools("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])
    done = "!page.busy && (page.result !== null || document.getElementById('status').className === 'error')"
    wait_until(lambda: bool(evaluate(devtools, done)), "a result", SECONDS)


def result(devtools: DevTools, *names: str) -> dict[str, Any]:
    """Arrays of the page's newest result as bytes, other parts of it as JSON."""
    whole = (
        "(values => { let text = ''; const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);"
        "for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));"
        "return btoa(text); })"
    )
    found = {}
    for name in names:
        text = evaluate(devtools, f"ArrayBuffer.isView(page.result.{name}) ? {whole}(page.result.{name}) : null")
        if text is None:
            found[name] = json.loads(evaluate(devtools, f"JSON.stringify(page.result.{name})"))
        else:
            found[name] = np.frombuffer(base64.b64decode(text), np.float32)
    return found


@cache
def small() -> Lifter:
    return Lifter.from_pretrained("small")


def in_python(source: Path) -> LiftedTracks:
    return lift_tracks(small(), with_inferred_skeleton(read_keypoints(source)))


def assert_lifted_alike(devtools: DevTools, expected: LiftedTracks) -> None:
    """Joints, relative to the scale of their track, are Python's to a thousandth."""
    found = result(devtools, "joints", "scale", "tracks", "warnings")
    assert found["tracks"] == list(expected.tracks), said(devtools)
    joints = found["joints"].reshape(expected.joints.shape)
    np.testing.assert_array_equal(np.isnan(joints), np.isnan(expected.joints))
    assert np.nanmax(np.abs(joints - expected.joints) / expected.scale[:, None, None, None]) <= 1e-3
    np.testing.assert_allclose(found["scale"], expected.scale, rtol=1e-3)


def download(devtools: DevTools, ending: str, path: Path) -> Path:
    """What the link to a file with this ending gives."""
    fetched = (
        f"fetch([...document.querySelectorAll('a[download]')].find((a) => a.download.endsWith('{ending}')).href)"
        ".then((answer) => answer.blob()).then((blob) => new Promise((done) => { const reader = new FileReader();"
        "reader.onload = () => done(reader.result.split(',')[1]); reader.readAsDataURL(blob); }))"
    )
    path.write_bytes(base64.b64decode(evaluate(devtools, fetched)))
    return path


def test_with_the_network_cut_the_page_lifts_as_python_does(built: Path, real_data: Path, tmp_path: Path) -> None:
    folder = real_data / "keypoints2d"
    table = folder / "lightning_pose" / "mirror-mouse_CollectedData.csv"
    analysis = folder / "sleap" / "small_robot.000_small_robot_3_frame.analysis.h5"
    frames = folder / "openpose_body25b" / "S00_P00_T01_BalancingTrial"
    broken = tmp_path / "broken.analysis.h5"
    broken.write_bytes(analysis.read_bytes()[:3000])
    with server(built) as (url, process), browser(url, tmp_path) as devtools:
        wait_ready(devtools)
        assert evaluate(devtools, "crossOriginIsolated")
        engine = evaluate(devtools, "document.getElementById('engine').textContent")
        assert "thread" in engine or "WebGPU" in engine
        process.kill()
        process.wait(30)

        give(devtools, [broken])
        assert said(devtools).startswith("broken.analysis.h5: not a readable HDF5 file (cut short?)")
        assert evaluate(devtools, "page.result") is None

        give(devtools, [analysis])
        assert_lifted_alike(devtools, in_python(analysis))
        give(devtools, sorted(frames.iterdir()))
        assert_lifted_alike(devtools, in_python(frames))
        assert_animations_are_those_of_python(devtools, tmp_path)
        give(devtools, [table])
        expected = in_python(table)
        assert_lifted_alike(devtools, expected)

        read = read_lifted(download(devtools, ".npz", tmp_path / "page.npz"))
        assert read.skeleton == expected.skeleton and read.source == table.name
        np.testing.assert_array_equal(read.visible, expected.visible)
        assert np.nanmax(np.abs(read.joints - expected.joints) / expected.scale[:, None, None, None]) <= 1e-3
        write_lifted(read, tmp_path / "python.csv")
        own = download(devtools, ".csv", tmp_path / "page.csv").read_text().splitlines()
        wanted = (tmp_path / "python.csv").read_text().splitlines()
        assert own[:4] == wanted[:4] and len(own) == len(wanted)
        assert_viewer_shows(devtools, expected)
        assert b"</html>" in download(devtools, ".html", tmp_path / "page.html").read_bytes()


def assert_animations_are_those_of_python(devtools: DevTools, folder: Path) -> None:
    """Once the frames a second are typed, BVH of the second track and GLB of all are those of the page's .npz."""
    buttons = "[...document.querySelectorAll('#animations button')]"
    lacks = "document.getElementById('lacks').textContent"
    assert evaluate(devtools, lacks) == "BVH and GLB need the frames a second."
    assert evaluate(devtools, f"{buttons}.length") == 0
    typed = "Object.assign(document.getElementById('{}'), {{ value: '{}' }}).dispatchEvent(new Event('change'))"
    evaluate(devtools, typed.format("fps", 25))
    wait_until(lambda: bool(evaluate(devtools, f"page.result.fps === 25 && {buttons}.length === 2")), "BVH and GLB")
    evaluate(devtools, typed.format("track", 1))
    assert evaluate(devtools, lacks) == ""
    read = read_lifted(download(devtools, ".npz", folder / "typed.npz"))
    assert read.fps == 25
    devtools("Page.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    for kind, name in (("bvh", f"lifted.{read.tracks[1]}.bvh"), ("glb", "lifted.glb")):
        evaluate(devtools, f"{buttons}.find((button) => button.textContent === '{kind.upper()}').click()")
        found = f"!!document.querySelector('#animations a[download$=\"{name}\"]')"
        wait_until(lambda: bool(evaluate(devtools, found)), f"its {kind}")  # noqa: B023
        own = download(devtools, name, folder / f"page.{kind}")
        result = read if kind == "glb" else take_tracks(read, [read.tracks[1]])
        wanted = write_lifted(result, folder / f"python.{kind}")
        (assert_bvh_alike if kind == "bvh" else assert_glb_alike)(own, wanted)
        # A click on the button saves the file, too.
        wait_until(lambda: any(file.read_bytes() == own.read_bytes() for file in folder.glob(f"*.{name}")), "a file")  # noqa: B023


def assert_viewer_shows(devtools: DevTools, expected: LiftedTracks) -> None:
    """The viewer in the page stands at its first frame with these joints."""
    viewer = "document.getElementById('viewer').contentWindow.olift"
    wait_until(lambda: bool(evaluate(devtools, f"!!{viewer}")), "the viewer")
    evaluate(devtools, f"{viewer}.ready")
    shown = evaluate(devtools, f"{viewer}.setFrame(2).then(() => {viewer}.positions())")
    np.testing.assert_allclose(shown[0], expected.joints[0, 2], atol=0.01 * expected.scale[0])


def test_without_isolation_and_on_a_phone_it_lifts_on_one_thread(built: Path, tmp_path: Path) -> None:
    with server(built, "--plain") as (url, _), browser(f"{url}#engine=wasm", tmp_path, "390,844") as devtools:
        wait_ready(devtools)
        assert evaluate(devtools, "document.getElementById('engine').textContent").startswith("WebAssembly, 1 thread ·")
        wait_until(lambda: bool(evaluate(devtools, "!!document.getElementById('example').onclick")), "its example")
        evaluate(devtools, "document.getElementById('example').click()")
        wait_until(lambda: bool(evaluate(devtools, "!page.busy && !!page.result")), "the example", SECONDS)
        assert_lifted_alike(devtools, in_python(built / "example.csv"))
        assert evaluate(devtools, "document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"


def test_what_the_page_holds_needs_no_other_host(built: Path) -> None:
    page = (built / "index.html").read_text()
    assert "connect-src 'self' data: blob:;" in page and "default-src 'self'" in page
    own = [file for file in built.iterdir() if file.suffix in (".html", ".js", ".css")]
    for file in own:
        if file.name != "viewer.html":
            assert "://" not in file.read_text(), file.name
    assert sum(file.stat().st_size for file in built.rglob("*") if file.is_file()) <= 25e6
