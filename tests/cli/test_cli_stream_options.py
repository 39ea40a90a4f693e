"""`olift stream`: options that do nothing together, and what makes depth less sure."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from .conftest import Run, walk, write_table
from .stream_client import Stream
from .test_cli_errors import assert_one_line


@pytest.mark.slow
def test_replay_warns_where_sides_or_bones_are_not_known(random_model: str, tmp_path: Path) -> None:
    file = write_table(tmp_path / "coded.csv", *walk(5), names=("p1", "p2", "p3", "p4"))
    stream = Stream("--replay", file, "--fps", 0, "--model", random_model)
    stream.communicate(b"")
    told = "\n".join(stream.told)
    assert "warning: no left and right joints are recognized" in told
    assert "warning: no skeleton edges are known" in told and "UserWarning" not in told


def test_scale_leaves_nothing_to_fit(run: Run) -> None:
    outcome = run("stream", "--skeleton", "coco_17", "--scale", 40, "--fit-frames", 30)
    assert_one_line(outcome, "--scale 40 leaves nothing to fit, so --fit-frames 30 must be left out")


def test_latency_that_does_not_fit_is_named_by_its_option(run: Run, recordings: Path) -> None:
    wanted = "--latency-frames must be a multiple >= 0 of the model's 2 motion layers, got 3 frames"
    assert_one_line(run("stream", "--skeleton", "coco_17", "--latency-frames", 3), f"olift: {wanted}")
    outcome = run("eval", "small-causal", recordings, "--latency-frames", 3)
    assert_one_line(outcome, f"olift: {wanted}")


def test_a_record_that_its_format_cannot_hold_is_refused_before_the_stream_begins(run: Run, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    one, two = tmp_path / "one.npy", tmp_path / "two.npy"
    np.save(one, random.normal(200, 50, (1, 5, 2, 2)).astype(np.float32))
    np.save(two, random.normal(200, 50, (2, 5, 4, 2)).astype(np.float32))
    (bare := tmp_path / "bare.json").write_text('{"names": ["a", "b"]}')
    (four := tmp_path / "four.json").write_text('{"names": ["a", "b", "c", "d"], "edges": [[0, 1], [1, 2], [2, 3]]}')
    before, record = set(tmp_path.iterdir()), tmp_path / "out.bvh"
    for options, wanted in (
        (("--replay", two, "--skeleton", four), "holds one track a file, got 2 ('track_0', 'track_1')"),
        (("--skeleton", four), "holds one track a file, and a live stream may have several: record an .npz"),
        (("--replay", one, "--skeleton", bare, "--no-infer"), "needs the bones between the joints"),
    ):
        assert_one_line(run("stream", *options, "--record", record), f"olift: {record}: BVH {wanted}")
    assert set(tmp_path.iterdir()) == before
