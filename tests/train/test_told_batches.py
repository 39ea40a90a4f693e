"""What training batches tell a model: pitch, kinds and graphs as often as asked, and the rest as ever."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from olift_fast.data.cameras import CameraRange
from olift_fast.data.corruption import Corruption
from olift_fast.data.mocap import load_motion, load_paired, split
from olift_fast.data.sources import MotionSource, PairedSource, observe
from olift_fast.errors import InputError
from olift_fast.train import Mixture, fit, load_config
from olift_fast.train.batches import collate
from olift_fast.train.fitting import build
from olift_fast.train.held_out import held_out
from olift_fast.train.studies.trainings import load_plan

TELLING = Mixture(
    seed=4,
    frames=12,
    clips=2,
    camera=CameraRange(views={"level": 1, "top": 1}),
    pitch_told=0.5,
    kinds_told=0.6,
    graphs={"true": 1, "absent": 1, "damaged": 1, "named": 1, "motion": 1},
)
TOLD = ("graph", "pitch", "kinds")


def test_what_is_told_changes_nothing_else() -> None:
    silent = replace(TELLING, pitch_told=0.0, kinds_told=0.0, graphs={"true": 1.0})
    for told, plain in zip(TELLING.pool(0), silent.pool(0), strict=True):
        assert plain.pitch.isnan().all() and not plain.kinds.any()
        for field in fields(told):
            if field.name not in TOLD:
                assert torch.equal(getattr(told, field.name), getattr(plain, field.name)), field.name


def test_pitch_kinds_and_graphs_are_told_to_shares_of_the_groups() -> None:
    batches = [batch for index in range(3) for batch in TELLING.pool(index)]
    pitch = torch.cat([batch.pitch.view(-1, 2) for batch in batches])
    assert (pitch.isnan().all(dim=1) | ~pitch.isnan().any(dim=1)).all(), "all clips of a group or none"
    known = pitch[~pitch.isnan()]
    assert known.min() >= 0 and known.max() <= 90 and (known > 40).float().mean() > 0.3
    assert 0.38 < (~pitch.isnan()).float().mean() < 0.62
    kinds = torch.cat([(batch.kinds > 0).any(dim=1)[::2] for batch in batches])
    assert 0.48 < kinds.float().mean() < 0.72
    share = torch.cat([((batch.kinds > 0).sum(dim=1) / batch.joint_mask.sum(dim=1))[::2] for batch in batches])
    assert 0.15 < ((share > 0.1) & (share < 0.9)).float().mean() < 0.45, "some files name only some joints"
    assert not any(batch.kinds[~batch.joint_mask].any() for batch in batches)
    full = torch.cat([(batch.graph.sum(dim=(1, 2)) == batch.joint_mask.sum(dim=1) ** 2)[::2] for batch in batches])
    assert 0.15 < full.float().mean() < 0.4


def test_workers_parts_and_devices_keep_all_fields() -> None:
    here, there = next(TELLING.loader(0)), next(TELLING.loader(1))
    parts = list(here.to(torch.device("cpu")).split(3))
    for field in fields(here):
        whole = torch.cat([getattr(part, field.name) for part in parts])
        expected = getattr(here, field.name)
        assert torch.equal(whole.nan_to_num(nan=-99.0), expected.nan_to_num(nan=-99.0)), field.name
        assert torch.equal(getattr(there, field.name).nan_to_num(nan=-99.0), expected.nan_to_num(nan=-99.0)), field.name
    assert here.kinds.dtype == torch.int64 and here.pitch.dtype == torch.float32


def test_batches_tell_pitch_and_kinds_unless_hidden() -> None:
    group = next(Mixture(seed=1, frames=4, clips=3).groups())
    batch = collate([group], hops=1)
    assert np.array_equal(batch.pitch.numpy(), group.pitch) and batch.kinds[1].tolist() == list(group.skeleton.kinds)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"graphs": {"true": 1, "none": 1}}, "graphs must be shares >= 0 of true, absent, damaged, named, motion"),
        ({"graphs": {}}, "graphs must be shares"),
        ({"pitch_told": 1.5}, "pitch_told must be from 0 to 1, got 1.5"),
        ({"kinds_told": -0.1}, "kinds_told must be from 0 to 1, got -0.1"),
    ],
)
def test_shares_out_of_range_are_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Mixture(**changes)  # type: ignore[arg-type]


def test_recipes_and_studies_name_views_and_graphs(tmp_path: Path) -> None:
    changes = ["data.camera={views={level=3, top=2, below=1}, roll=[-15, 15]}", "data.graphs={true=8, absent=1}"]
    data = load_config("study", changes).data
    assert data.camera.views == {"level": 3.0, "top": 2.0, "below": 1.0} and data.graphs == {"true": 8, "absent": 1}
    plan = tmp_path / "plan.toml"
    plan.write_text('variants = { a = [] }\n[tests.above]\ncamera = { views = { top = 1 } }\ngraph = "absent"\n')
    test = load_plan(plan).tests["above"]
    assert test.camera.views == {"top": 1.0} and test.graph == "absent" and test.pitch
    plan.write_text('variants = { a = [] }\n[tests.above]\ngraph = "none"\n')
    with pytest.raises(InputError, match="graph must be one of 'true', 'absent'"):
        load_plan(plan)


def test_the_pitch_of_recordings_is_known_where_their_up_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    names = ("MTP_L", "MTP_R", "Trunk", "Spine")
    content = {
        "positions": rng.normal(size=(300, 4, 3)).astype(np.float32),
        "joint_names": np.array(names),
        "edges": np.array([(0, 2), (1, 2), (2, 3)]),
        "fps": np.array(30.0),
    }
    (tmp_path / "motion3d").mkdir()
    for name in ("mouse_salk34", "other"):
        np.savez(tmp_path / "motion3d" / f"{name}.npz", **content)
    sets = held_out(tmp_path, seen=CameraRange(views={"below": 1}), frames=12)
    assert ((sets["other"].pitch >= -90) & (sets["other"].pitch <= -20)).all()
    assert np.isnan(sets["mouse_salk34"].pitch).all()
    segments, _ = split(load_motion(tmp_path / "motion3d" / "mouse_salk34.npz"))
    assert np.isnan(MotionSource("mouse", segments).draw(rng, 3, 8).pitch).all()
    clips = observe(content["positions"][None, :8], replace(segments[0], up_known=True), rng, CameraRange(),
                    Corruption.none(), "x")  # fmt: skip
    assert np.isfinite(clips.pitch).all()


@pytest.mark.parametrize(("said", "known"), [({}, False), ({"up_axis": "+z"}, True), ({"units": "m (z up)"}, True)])
def test_the_pitch_of_calibrated_cameras_is_known_where_the_file_says_what_is_up(
    tmp_path: Path, said: dict[str, str], known: bool
) -> None:
    rng = np.random.default_rng(9)
    (tmp_path / "paired").mkdir()
    path = tmp_path / "paired" / "filmed.npz"
    # The first camera looks along the world's Y, level; the second straight down.
    turns = np.array([[np.pi / 2, 0, 0], [np.pi, 0, 0]])
    np.savez(
        path,
        positions=rng.normal(size=(60, 3, 3)).astype(np.float32),
        keypoints_2d=rng.uniform(0, 400, size=(2, 60, 3, 2)).astype(np.float32),
        joint_names=np.array(["nose", "neck", "tail"]),
        edges=np.array([(0, 1), (1, 2)]),
        fps=np.array(30.0),
        K=np.tile(np.array([[500.0, 0, 200], [0, 500, 200], [0, 0, 1]]), (2, 1, 1)),
        rvec=turns,
        tvec=np.tile([0.0, 0, 20], (2, 1)),
        image_size=np.full((2, 2), 400),
        **{key: np.array(value) for key, value in said.items()},
    )
    pitch = held_out(tmp_path)["filmed"].pitch
    drawn = PairedSource("filmed", [load_paired(path)]).draw(rng, 20, 8).pitch
    if known:
        assert pitch == pytest.approx([0, 90], abs=1e-3)
        assert {round(float(p)) for p in drawn} == {0, 90}
    else:
        assert np.isnan(pitch).all() and np.isnan(drawn).all()


def test_training_tells_a_lifter_what_it_was_made_for(tiny: Path) -> None:
    changes = ["model.changes.pitch=true", "model.changes.kinds=47", "schedule.steps=3", "schedule.optimizer=muon"]
    lifter = fit(load_config(tiny, [*changes, "data.pitch_told=0.9", "data.kinds_told=0.9"]))
    torch.manual_seed(0)
    fresh = build(load_config(tiny, changes).model)
    for part in ("pitch.weight", "pitch.bias", "kind.weight"):
        trained, before = (x.encoder.get_parameter(part) for x in (lifter, fresh))
        assert not torch.equal(trained, before), part
    assert not lifter.encoder.kind.weight[0].any()


@pytest.mark.parametrize(
    "change, message",
    [
        ("model.changes.pitch=true", r"data\.pitch_told must be above 0 with model\.changes\.pitch = True, got 0"),
        ("data.kinds_told=0.5", r"data\.kinds_told must be 0 without model\.changes\.kinds, got 0\.5"),
    ],
)
def test_training_refuses_what_is_told_to_nobody_or_never(tiny: Path, change, message) -> None:
    with pytest.raises(InputError, match=message):
        fit(load_config(tiny, [change]))
