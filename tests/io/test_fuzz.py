"""Damaged files: the seeds are of every format, an input can be made again, and the fuzzer sees what it looks for."""

from __future__ import annotations

import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz
import h5py
import judging
import numpy as np
import pytest
from mutations import Input, make_input
from mutations_of_text import make_bomb
from seeds import Seed, write_seeds

from olift_fast.errors import InputError
from olift_fast.io import formats, read_keypoints
from olift_fast.io.parsed import Parsed, settle
from olift_fast.tracks.containers import KeypointTracks
from olift_fast.tracks.skeleton import Skeleton


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Seed]]:
    return write_seeds(tmp_path_factory.mktemp("seeds"))


@pytest.mark.slow
def test_every_format_has_a_seed_that_it_reads(seeds: dict[str, list[Seed]], tmp_path: Path) -> None:
    assert set(seeds) == {known.name for known in formats()}
    for known in formats():
        assert seeds[known.name], f"{known.name} has no seed: add one to tests/io/seeds.py"
        for number, seed in enumerate(seeds[known.name]):
            made = Input(seed.file, seed.content, None, None, seed.pickled, "")  # type: ignore[arg-type]
            path = judging.write_input(tmp_path / f"{known.name}{number}", made)
            if known.extra is None:
                assert read_keypoints(path, allow_pickle=seed.pickled).format == known.name, seed.name


@pytest.mark.slow
def test_seeds_and_inputs_are_the_same_each_time(seeds: dict[str, list[Seed]], tmp_path: Path) -> None:
    again = write_seeds(tmp_path)
    assert again == seeds
    for format in seeds:
        inputs = [make_input(3, format, number, seeds) for number in range(40)]
        assert inputs[::-1] == [make_input(3, format, number, again) for number in reversed(range(40))]
        assert len({str(made.content) for made in inputs}) > 20, format
    assert make_input(3, "coco", 1, seeds) != make_input(4, "coco", 1, seeds)


@pytest.mark.slow
def test_some_damaged_files_of_every_text_format(tmp_path: Path) -> None:
    """A short run with a seed that stays; `make fuzz` runs longer, with another one each time."""
    quick = [known.name for known in formats() if {".csv", ".json", ".npz", ".npy"} & set(known.extensions)]
    names = [word for name in quick for word in ("--format", name)]
    command = [sys.executable, fuzz.__file__, "--seed", "1", "--inputs", "1500", "--workers", "1", *names]
    done = subprocess.run([*command, "--save", str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "seed 1: " in done.stdout, done.stdout + done.stderr
    read, refused = (int(word.replace(",", "")) for word in re.findall(r"([\d,]+) (?:read|refused)", done.stdout)[-2:])
    assert read > 100 and refused > 500


def _failing(message: str) -> Callable[..., Any]:
    def read(path: Path, **options: Any) -> Any:
        raise InputError(message.format(path=path))

    return read


def _write_beside(path: Path, **options: Any) -> Any:
    Path(path).with_name("trace").write_text("x")
    raise InputError(f"{path}: refused")


def _unpickle(path: Path, **options: Any) -> Any:
    pickle.loads(pickle.dumps(Path("x")))
    raise InputError(f"{path}: refused")


def _compute(path: Path, **options: Any) -> Any:
    while True:
        pass


def _warn(path: Path, **options: Any) -> Any:
    warnings.warn("overflow", RuntimeWarning, stacklevel=1)


def _fill_memory(path: Path, **options: Any) -> Any:
    try:
        np.zeros(10**16)
    except MemoryError as error:
        raise InputError(f"{path}: too large") from error


def _raise_key_error(path: Path, **options: Any) -> Any:
    raise KeyError("frames")


@pytest.mark.parametrize(
    ("read", "message"),
    [
        (_failing("{path}: two\nlines"), "control characters"),
        (_failing("{path}: \x1b[2J"), "control characters"),
        (_failing("{path}: " + "x" * 600), "refusal of 600 characters"),
        (_failing("no path"), "refusal without the path"),
        (_write_beside, "opened a file for writing"),
        (_unpickle, "unpickled pathlib"),
        (_compute, "took over"),
        (_warn, "RuntimeWarning: overflow"),
        (_fill_memory, "needs over"),
        (_raise_key_error, "KeyError: 'frames'"),
        (_failing("{path}: a reason"), None),
    ],
)
def test_what_no_reader_may_do_is_seen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, read: Callable[..., Any], message: str | None
) -> None:
    monkeypatch.setattr(judging, "read_keypoints", read)
    monkeypatch.setattr(judging, "SECONDS", 0.2)
    monkeypatch.setattr(sys, "addaudithook", _watch_once)
    judging.prepare()
    outcome = judging.read_input(tmp_path / "input", Input("a.csv", b"x", None, None, False, ""))
    assert outcome.kind == ("failed" if message else "refused")
    assert (message or "a reason") in outcome.message


_hooked: list[Callable[..., None]] = []
_add_hook = sys.addaudithook


def _watch_once(hook: Callable[..., None]) -> None:
    """A hook can't be taken away again: one is enough for all tests of this process."""
    if not _hooked:
        _add_hook(hook)
        _hooked.append(hook)


def test_tracks_that_do_not_fit_together_are_seen() -> None:
    def tracks(**changes: Any) -> KeypointTracks:
        points = np.ones((1, 2, 2, 2), np.float32)
        fields = {
            "keypoints": points,
            "confidence": np.ones((1, 2, 2)),
            "skeleton": Skeleton(("a", "b")),
            "tracks": ("x",),
        }
        return KeypointTracks(**(fields | changes))

    half = np.ones((1, 2, 2, 2), np.float32)
    half[0, 0, 0, 0] = np.nan
    assert judging.wrong_tracks(tracks()) is None
    assert judging.wrong_tracks(tracks(keypoints=half)) == "confidence where there is no keypoint"
    assert judging.wrong_tracks(tracks(confidence=np.full((1, 2, 2), 1.5))) == "confidence outside of [0, 1]"
    assert judging.wrong_tracks(tracks(notes=("a\x1b[2J",))) == "notes that are no lines"
    canary = np.full((1, 2, 2, 2), judging.CANARY, np.float32)
    assert judging.wrong_tracks(tracks(keypoints=canary)) == "values of a file that was not given"


def _end_process(path: Path, **options: Any) -> Any:
    if b"\xff" in path.read_bytes():
        os.kill(os.getpid(), signal.SIGSEGV)
    raise InputError(f"{path}: refused")


@pytest.mark.slow
def test_a_process_that_ends_is_a_failure_and_the_run_goes_on(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], seeds: dict[str, list[Seed]], tmp_path: Path
) -> None:
    monkeypatch.setattr(judging, "read_keypoints", _end_process)
    fuzzer = fuzz.Fuzzer(5, {"npy": seeds["npy"]}, tmp_path, tmp_path / "save")
    fuzzer.fuzz(1, 60, 60)
    tally = fuzzer.tallies["npy"]
    assert tally.failed > 2 and tally.refused > 10 and tally.failed + tally.refused == tally.done >= 60
    (failure,) = fuzzer.failures.values()
    assert failure["count"] == tally.failed and "Segmentation fault" in failure["message"]
    saved = {path.parent.name: path.read_bytes() for path in (tmp_path / "save").glob("*/clip.npy")}
    assert saved == {f"npy-5-{n}": make_input(5, "npy", n, fuzzer.seeds).content for n in failure["numbers"]}
    assert "FAILED --seed 5 --format npy --number" in capfd.readouterr().out


@pytest.mark.slow
def test_packed_text_of_a_small_file_takes_little_time_and_memory(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(make_bomb())
    began = time.process_time()
    with pytest.raises(
        InputError, match=r"table\.csv: unpacks to more than 33,554,432 bytes from [\d,]+; unpack it first"
    ):
        read_keypoints(path)
    assert time.process_time() - began < 2


def test_words_of_a_file_neither_break_a_refusal_nor_flood_it(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"\\u001b[2J' + "x" * 5000 + '": 1}')
    with pytest.raises(InputError) as error:
        read_keypoints(path)
    assert str(error.value).isprintable() and r"\x1b[2Jxxx" in str(error.value) and len(str(error.value)) < 600
    path.write_text("track,frame_idx,A.x,A.y\na," + "9" * 4000 + ",1,2\n")
    with pytest.raises(InputError) as error:
        read_keypoints(path)
    assert len(str(error.value)) < 600


@pytest.mark.filterwarnings("error")
def test_numbers_beyond_float32_are_hidden_without_a_warning(tmp_path: Path) -> None:
    poses = [
        {"image_id": number, "category_id": 1, "keypoints": [1, 2, 0.5, 3, 4, 1e300 * number]} for number in (0, 1)
    ]
    path = tmp_path / "results.json"
    path.write_text(json.dumps(poses))
    assert read_keypoints(path).confidence.tolist() == [[[0.5, 0], [0.5, 1]]]
    poses[0]["keypoints"][0] = 1e200
    path.write_text(json.dumps(poses))
    assert read_keypoints(path).visible().tolist() == [[[False, False], [True, True]]]


@pytest.mark.slow
def test_cut_matlab_files_are_refused(seeds: dict[str, list[Seed]], tmp_path: Path) -> None:
    pytest.importorskip("scipy.io", reason="needs the extra io")
    (whole,) = (seed.content for seed in seeds["leap"] if seed.name == "matlab_5")
    assert isinstance(whole, bytes)
    path = tmp_path / "labels.mat"
    for length in range(19, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"labels\.mat: "):
            read_keypoints(path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["gaps", "many tracks", "npz"])
def test_small_files_that_stand_for_huge_arrays_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "small.json"
    if kind == "npz":
        path = tmp_path / "small.npz"
        np.savez_compressed(path, keypoints=np.ones((1, 20_000, 1000, 2), np.int8))
    else:
        pose = {"category_id": 1, "keypoints": [1] * 51}
        gaps = [pose | {"image_id": f"{1000 * frame}.jpg"} for frame in range(4000)]
        path.write_text(
            json.dumps(gaps if kind == "gaps" else [pose | {"image_id": n, "track_id": n} for n in range(4000)])
        )
    assert path.stat().st_size < 1e6
    with pytest.raises(InputError, match=r"small\.\w+: .*(at most 8000000 keypoints|too many)"):
        read_keypoints(path)


def test_names_of_letters_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    names = np.array(["a", "b"])
    names.view(np.uint32)[0] = 0x110000
    np.savez(tmp_path / "clip.npz", keypoints=np.ones((1, 2, 2)), names=names)
    with pytest.raises(InputError, match=r"clip\.npz: not a usable keypoint file"):
        read_keypoints(tmp_path / "clip.npz")


def test_notes_and_warnings_of_a_file_stay_on_one_line() -> None:
    parsed = Parsed(np.ones((1, 1, 1, 2)), None, None, notes=["a\nb \x1b[2J"], warnings=["x" * 5000])
    tracks = settle(parsed, "npy", "clip.npy")
    assert tracks.notes == (r"a b \x1b[2J",) and len(tracks.warnings[0]) < 500


def test_shares_that_are_beyond_float32_in_pixels_are_hidden() -> None:
    points = np.full((1, 1, 2, 2), 0.5)
    points[0, 0, 0, 0] = 1e38
    tracks = settle(Parsed(points, None, None, normalized=True), "npy", "clip.npy", image_size=(640, 480))
    assert tracks.confidence.tolist() == [[[0, 1]]] and np.isnan(tracks.keypoints[0, 0, 0]).all()
    np.testing.assert_array_equal(tracks.keypoints[0, 0, 1], [320, 240])


@pytest.mark.parametrize("kind", [complex, object, "S3"])
def test_values_that_are_no_real_numbers_are_refused(tmp_path: Path, kind: Any) -> None:
    with h5py.File(tmp_path / "clip.h5", "w") as file:
        file["node_names"] = ["a"]
        file["tracks"] = np.ones((1, 2, 1, 4), "f8" if kind is object else kind)
        if kind is object:
            del file["tracks"]
            file.create_dataset("tracks", (1, 2, 1, 4), dtype=h5py.ref_dtype)
    with pytest.raises(InputError, match=r"clip\.h5: (keypoints|/tracks) must be real numbers, got dtype"):
        read_keypoints(tmp_path / "clip.h5")


@pytest.mark.parametrize("text", ["#\r" * 5000, ":units\r" * 5000, "a" + "\r" * 5000 + "b"])
def test_lines_that_end_in_all_ways_take_no_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "table.csv"
    path.write_text(text, newline="")
    began = time.process_time()
    with pytest.raises(InputError):
        read_keypoints(path)
    assert time.process_time() - began < 2
