"""The lifter: equal to the reference, and blind to all it should not see."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import error, needs_native

from olift_fast import reference
from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig, lift_in_chunks
from olift_fast.tracks.rigs import rig

SMALL = LifterConfig(width=32, heads=4, motion_layers=2, space_layers=2, window=(4, 3))
TOLD = replace(SMALL, pitch=True, kinds=7, uncertainty=True)


def twin(lifter: Lifter) -> reference.Lifter:
    fields = asdict(lifter.config)
    del fields["hops"]
    other = reference.Lifter(**fields)
    other.load_state_dict(lifter.state_dict())
    return other.double().eval()


def lifter(config: LifterConfig = SMALL, seed: int = 0) -> Lifter:
    torch.manual_seed(seed)
    return Lifter(config).eval()


def clip(batch: int = 2, frames: int = 40, seed: int = 0):
    """keypoints, visible, graph and sides of clips of a dog."""
    skeleton = rig("animalsyn3d_dog")
    generator = torch.Generator().manual_seed(seed)
    joints = skeleton.num_joints
    keypoints = torch.randn(batch, frames, joints, 2, generator=generator)
    visible = torch.rand(batch, frames, joints, generator=generator) > 0.2
    keypoints[~visible] = torch.nan
    return keypoints, visible, torch.from_numpy(skeleton.graph(1)), torch.tensor(skeleton.sides)


def told_options(keypoints: torch.Tensor) -> dict[str, Any]:
    """What a lifter like `TOLD` can be told."""
    batch, _, joints, _ = keypoints.shape
    kinds = torch.randint(7, (batch, joints), generator=torch.Generator().manual_seed(3))
    return {"pitch": torch.linspace(-20, 80, batch), "kinds": kinds, "uncertainty": True}


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["rff", "learnable_rff", "sinusoidal", "linear"])
@pytest.mark.parametrize("time_encoding", ["relative", "absolute", "table", "none"])
def test_matches_the_reference_with_the_same_state_dict(encoding, time_encoding) -> None:
    model = lifter(LifterConfig(**{**asdict(SMALL), "encoding": encoding, "time_encoding": time_encoding}))
    keypoints, visible, graph, sides = clip()
    mask = torch.ones(2, keypoints.shape[2], dtype=torch.bool)
    mask[1, 20:] = False
    options = {"graph": graph, "sides": sides, "joint_mask": mask, "lengths": torch.tensor([40, 29])}
    wanted = twin(model)(keypoints.double(), visible, **options)
    assert error(model(keypoints, visible, **options), wanted) < 2e-5
    assert list(model.state_dict()) == list(twin(model).state_dict())
    assert (wanted[1, 29:] == 0).all() and (wanted[1, :, 20:] == 0).all()


@pytest.mark.parametrize("encoding", ["rff", "learnable_rff", "sinusoidal", "linear"])
@pytest.mark.parametrize("time_encoding", ["relative", "absolute", "table", "none"])
def test_starts_from_the_same_random_numbers_as_the_reference(encoding, time_encoding) -> None:
    fields = {**asdict(SMALL), "encoding": encoding, "time_encoding": time_encoding}
    model = lifter(LifterConfig(**fields))
    del fields["hops"]
    torch.manual_seed(0)
    wanted = reference.Lifter(**fields).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, wanted[name]), name


def test_told_pitch_and_kinds_it_matches_the_reference_forward_and_in_native_passes() -> None:
    model = lifter(TOLD)
    keypoints, visible, graph, sides = clip()
    mask = torch.ones(2, keypoints.shape[2], dtype=torch.bool)
    mask[1, 20:] = False
    options = {"graph": graph, "sides": sides, "joint_mask": mask, "lengths": torch.tensor([40, 29])}
    options |= told_options(keypoints)
    wanted = twin(model)(keypoints.double(), visible, **options)
    assert wanted.shape == (2, 40, keypoints.shape[2], 5) and (wanted[0, ..., 3:] > 0).all()
    assert error(model(keypoints, visible, **options), wanted) < 2e-5
    with torch.no_grad():
        assert error(model(keypoints, visible, **options), wanted) < 2e-5
    assert list(model.state_dict()) == list(twin(model).state_dict())
    for other in ({"pitch": None}, {"kinds": None}):
        assert error(model(keypoints, visible, **{**options, **other}), wanted) > 1e-3


def test_an_unknown_pitch_and_unknown_kinds_are_as_if_not_told() -> None:
    model = lifter(TOLD)
    keypoints, visible, graph, sides = clip()
    wanted = model(keypoints, visible, graph=graph, sides=sides)
    unknown = {"pitch": torch.tensor([torch.nan, 30.0]), "kinds": torch.zeros(keypoints.shape[2], dtype=torch.int64)}
    got = model(keypoints, visible, graph=graph, sides=sides, **unknown)
    assert torch.equal(got[0], wanted[0]) and not torch.equal(got[1], wanted[1])


def test_kinds_without_a_row_count_as_unknown() -> None:
    model = lifter(TOLD)
    keypoints, visible, *_ = clip()
    kinds = torch.randint(7, keypoints.shape[2:3], generator=torch.Generator().manual_seed(1))
    later, unknown = kinds.where(kinds != 3, 99), kinds.where(kinds != 3, 0)
    for one in (model, twin(model)):
        got, wanted = (one(keypoints.to(one.decoder.norm.weight), visible, kinds=x) for x in (later, unknown))
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("name", ["pitch", "kinds", "uncertainty"])
def test_refuses_what_it_was_not_made_for(name) -> None:
    keypoints, visible, *_ = clip()
    with pytest.raises(ValueError, match=f"was made without {name}"):
        lifter()(keypoints, visible, **{name: told_options(keypoints)[name]})


@pytest.mark.slow
@needs_native
def test_native_backend_matches_the_reference_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lifter(LifterConfig.preset("small"))
    keypoints, visible, graph, sides = clip(frames=100)
    native = model(keypoints, visible, graph=graph, sides=sides)
    monkeypatch.setenv("OLIFT_BACKEND", "reference")
    assert error(native, model(keypoints, visible, graph=graph, sides=sides)) < 1e-5


@pytest.mark.parametrize("told", [False, True], ids=["", "told pitch and kinds, with uncertainty"])
def test_gradients_match_the_reference(told) -> None:
    model = lifter(TOLD if told else SMALL)
    other = twin(model)
    keypoints, visible, graph, sides = clip(frames=20)
    options = {"graph": graph, "sides": sides, **(told_options(keypoints) if told else {})}
    got, wanted = model(keypoints, visible, **options), other(keypoints.double(), visible, **options)
    upstream = torch.randn(got.shape, generator=torch.Generator().manual_seed(9))
    got.backward(upstream)
    wanted.backward(upstream.double())
    for (name, mine), theirs in zip(model.named_parameters(), other.parameters(), strict=True):
        assert mine.grad is not None and theirs.grad is not None, name
        scale = max(float(theirs.grad.norm()), 1e-2)
        assert float((mine.grad.double() - theirs.grad).norm()) < 1e-4 * scale, name


def test_permuting_the_joints_permutes_the_output() -> None:
    model = lifter()
    keypoints, visible, graph, sides = clip()
    order = torch.randperm(keypoints.shape[2], generator=torch.Generator().manual_seed(1))
    straight = model(keypoints, visible, graph=graph, sides=sides)
    permuted = model(keypoints[:, :, order], visible[:, :, order], graph=graph[order][:, order], sides=sides[order])
    assert error(permuted, straight[:, :, order].double()) < 1e-5


def test_shifting_time_shifts_the_output() -> None:
    model = lifter()
    keypoints, visible, graph, sides = clip(frames=60)
    whole = model(keypoints, visible, graph=graph, sides=sides)
    before, after = model.config.receptive_field
    part = model(keypoints[:, 13:50], visible[:, 13:50], graph=graph, sides=sides)
    assert error(part[:, before:-after], whole[:, 13 + before : 50 - after].double()) < 1e-5
    assert error(part[:, :before], whole[:, 13 : 13 + before].double()) > 1e-3


def test_padding_in_joints_and_frames_changes_nothing() -> None:
    model = lifter()
    keypoints, visible, graph, sides = clip(batch=1)
    joints = keypoints.shape[2]
    alone = model(keypoints, visible, graph=graph, sides=sides)
    padded = torch.full((1, 50, joints + 5, 2), 1e6)
    padded[:, :40, :joints] = keypoints
    seen = torch.ones(1, 50, joints + 5, dtype=torch.bool)
    seen[:, :40, :joints] = visible
    wide = torch.zeros(joints + 5, joints + 5, dtype=torch.bool)
    wide[:joints, :joints] = graph
    mask = torch.arange(joints + 5)[None] < joints
    side = torch.ones(1, joints + 5)
    side[:, :joints] = sides
    out = model(padded, seen, graph=wide, sides=side, joint_mask=mask, lengths=torch.tensor([40]))
    assert error(out[:, :40, :joints], alone.double()) < 1e-5
    assert (out[:, 40:] == 0).all() and (out[:, :, joints:] == 0).all()


def test_clips_of_a_batch_do_not_see_each_other() -> None:
    model = lifter()
    keypoints, visible, graph, sides = clip(batch=3)
    together = model(keypoints, visible, graph=graph, sides=sides)
    alone = torch.cat([model(keypoints[i : i + 1], visible[i : i + 1], graph=graph, sides=sides) for i in range(3)])
    assert error(together, alone.double()) < 1e-5


def test_hidden_keypoints_are_not_read() -> None:
    model = lifter()
    keypoints, visible, graph, sides = clip()
    other = torch.where(visible[..., None], keypoints, -3.0)
    assert torch.equal(model(keypoints, visible, graph=graph), model(other, visible, graph=graph))
    assert torch.equal(model(keypoints), model(keypoints, visible))
    assert not torch.equal(model(keypoints, visible, sides=sides), model(keypoints, visible))


def test_without_edges_all_heads_see_all_joints() -> None:
    model = lifter()
    keypoints, visible, graph, _ = clip()
    everything = torch.ones_like(graph)
    assert error(model(keypoints, visible), model(keypoints, visible, graph=everything).double()) < 1e-6
    assert error(model(keypoints, visible), model(keypoints, visible, graph=graph).double()) > 1e-3


@pytest.mark.parametrize(("frames", "joints"), [(1, 1), (1, 26), (3, 1), (5, 2)])
def test_the_smallest_clips_lift(frames: int, joints: int) -> None:
    out = lifter()(torch.randn(1, frames, joints, 2))
    assert out.shape == (1, frames, joints, 3) and out.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("told", [False, True], ids=["", "told pitch and kinds, with uncertainty"])
def test_compiles_in_one_graph(told) -> None:
    torch._dynamo.reset()
    model = lifter(TOLD if told else SMALL)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager", dynamic=True)
    for frames in (20, 33, 70):
        keypoints, visible, graph, sides = clip(frames=frames)
        options = {"graph": graph, "sides": sides, **(told_options(keypoints) if told else {})}
        with torch.no_grad():
            wanted = model(keypoints, visible, **options)
            assert error(compiled(keypoints, visible, **options), wanted.double()) < 1e-5


@pytest.mark.slow
def test_exports_told_pitch_and_kinds_with_any_number_of_frames(tmp_path: Path) -> None:
    model = lifter(TOLD)

    def given(frames: int) -> tuple[Any, dict[str, Any]]:
        keypoints, visible, graph, sides = clip(frames=frames, seed=frames)
        return (keypoints, visible), {"graph": graph, "sides": sides, **told_options(keypoints)}

    arguments, options = given(20)
    frames = {1: torch.export.Dim("frames", min=2, max=4096)}
    shapes = {"keypoints": frames, "visible": frames, **dict.fromkeys(options)}
    with torch.no_grad():
        program = torch.export.export(model, arguments, options, dynamic_shapes=shapes)
        torch.export.save(program, tmp_path / "lifter.pt2")
        loaded = torch.export.load(tmp_path / "lifter.pt2").module()
        for count in (20, 5, 70):
            arguments, options = given(count)
            wanted = model(*arguments, **options)
            assert error(loaded(*arguments, **options), wanted.double()) < 1e-5
            options["pitch"] = -options["pitch"]
            assert error(loaded(*arguments, **options), wanted.double()) > 1e-3


def test_wrong_arguments_are_named() -> None:
    model = lifter()
    keypoints = torch.zeros(2, 5, 7, 2)
    with pytest.raises(ValueError, match=r"keypoints must be \(B, T, J, 2\), got \(2, 5, 7\)"):
        model(keypoints[..., 0])
    with pytest.raises(ValueError, match=r"visible must be \(2, 5, 7\), got \(5, 7\)"):
        model(keypoints, torch.ones(5, 7, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"graph must be \(7, 7\) or \(2, 7, 7\), got \(6, 6\)"):
        model(keypoints, graph=torch.ones(6, 6, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"sides must be \(7,\) or \(2, 7\), got \(6,\)"):
        model(keypoints, sides=torch.ones(6))


def test_presets_and_bad_configurations() -> None:
    assert LifterConfig.preset("base").width == 256
    assert LifterConfig.preset("small", window=3).window == (3, 3)
    assert LifterConfig.preset("large").receptive_field == (32, 32)
    assert LifterConfig.preset("small-causal").receptive_field == (16, 0)
    assert LifterConfig.from_dict(asdict(SMALL)) == SMALL
    for changes, message in [
        ({"width": 30}, "width must be a multiple of heads, got 30 and 4"),
        ({"window": (-1, 2)}, r"window must be two numbers >= 0, got \(-1, 2\)"),
        ({"encoding": "learned"}, "encoding must be one of rff, .* got 'learned'"),
        ({"motion_layers": -1}, "motion_layers must be >= 0, got -1"),
        ({"time_rows": 0}, "time_rows must be >= 1, got 0"),
        ({"frequencies": 0}, "frequencies must be >= 1, got 0"),
    ]:
        with pytest.raises(InputError, match=message):
            LifterConfig.preset("small", **changes)
    with pytest.raises(InputError, match="preset must be one of small, small-causal, base, large, got 'huge'"):
        LifterConfig.preset("huge")
    with pytest.raises(InputError, match="unknown keys depth"):
        LifterConfig.from_dict({"depth": 3})


@pytest.mark.parametrize("time_encoding", ["relative", "none"])
def test_another_window_is_the_lifter_that_was_made_with_it(time_encoding) -> None:
    config = replace(SMALL, time_encoding=time_encoding)
    model, wanted = lifter(config), lifter(replace(config, window=(5, 0)))
    keypoints, visible, graph, sides = clip()
    before = model(keypoints, visible, graph=graph, sides=sides)
    other = model.with_window((5, 0))
    assert other.config == wanted.config and model.config == config
    for grad in (True, False):  # layer by layer, and as fused passes
        with torch.set_grad_enabled(grad):
            got = other(keypoints, visible, graph=graph, sides=sides)
            assert torch.equal(got, wanted(keypoints, visible, graph=graph, sides=sides))
            assert not torch.allclose(got, before, atol=1e-3)
            assert torch.allclose(model(keypoints, visible, graph=graph, sides=sides), before, atol=1e-5)


def test_window_can_change_between_calls() -> None:
    model = lifter().eval()
    keypoints, visible, graph, sides = clip()
    with torch.no_grad():
        first = model(keypoints, visible, graph=graph, sides=sides)
        model.set_window(1)
        assert not torch.allclose(model(keypoints, visible, graph=graph, sides=sides), first, atol=1e-3)
        model.set_window(SMALL.window)
        assert torch.equal(model(keypoints, visible, graph=graph, sides=sides), first)


def test_latency_is_what_a_result_looks_ahead() -> None:
    model = lifter().with_latency(6)
    assert model.config.window == (4, 3) and model.config.receptive_field == (8, 6)
    keypoints, visible, graph, sides = clip()
    later = keypoints.clone()
    later[:, 26:] += 1
    given = {"graph": graph, "sides": sides}
    for frames in (0, 2, 6):
        delayed = model.with_latency(frames)
        with torch.no_grad():
            same = (delayed(keypoints, visible, **given) == delayed(later, visible, **given)).all(dim=-1).all(dim=-1)
        assert same[:, : 26 - frames].all() and not same[:, 26 - frames :].any()
    wanted = "a multiple >= 0 of the model's 2 motion layers"
    for frames in (-2, 3):
        with pytest.raises(InputError, match=f"latency_frames must be {wanted}, got {frames} frames"):
            model.with_latency(frames)
    with pytest.raises(InputError, match="0 motion layers, got 2"):
        lifter(replace(SMALL, motion_layers=0)).with_latency(2)
    with pytest.warns(DeprecationWarning, match=r"Lifter\.with_delay is now Lifter\.with_latency") as caught:
        assert lifter().with_delay(6).config == model.config
    assert [warning.filename for warning in caught] == [__file__]


def test_time_table_ends_with_its_rows_and_recordings_are_cut_to_them() -> None:
    model = lifter(replace(SMALL, time_encoding="table", time_rows=15))
    keypoints, visible, graph, sides = clip(batch=1, frames=40)
    with pytest.raises(ValueError, match="frames must be <= 15, the rows of the time table, got 40"):
        model(keypoints, visible, graph=graph, sides=sides)
    got = lift_in_chunks(model, keypoints[0], visible[0], rig("animalsyn3d_dog"))
    with torch.inference_mode():
        parts = [
            model(keypoints[:, i : i + 15], visible[:, i : i + 15], graph=graph, sides=sides)[0] for i in (0, 15, 30)
        ]
    assert torch.equal(got, torch.cat(parts))
