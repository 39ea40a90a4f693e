"""A lifter as an ONNX or .pt2 file: what it computes is what the lifter computes, for any sizes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from olift_fast.errors import InputError
from olift_fast.model import Lifter, LifterConfig
from olift_fast.model.export import check_export, export
from olift_fast.ops import use_backend

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TINY = LifterConfig(width=32, heads=2, frequencies=8, motion_layers=2, space_layers=1, window=(4, 3))
TOLD = replace(TINY, window=(3, 0), pitch=True, kinds=9, uncertainty=True)
SIZES = ((1, 1, 1), (2, 70, 5), (3, 9, 17))


def lifter(config: LifterConfig) -> Lifter:
    torch.manual_seed(0)
    return Lifter(config, name="tiny").eval()


def clips(config: LifterConfig, batch: int, frames: int, joints: int) -> dict[str, torch.Tensor]:
    """Inputs of an exported file; hidden keypoints and an unknown pitch are NaN."""
    rng = torch.Generator().manual_seed(batch + frames + joints)
    keypoints = torch.randn(batch, frames, joints, 2, generator=rng)
    visible = torch.rand(batch, frames, joints, generator=rng) > 0.3
    keypoints[~visible] = torch.nan
    given = {
        "keypoints": keypoints,
        "visible": visible,
        "graph": torch.rand(batch, joints, joints, generator=rng) > 0.5,
        "sides": torch.randint(-1, 2, (batch, joints), generator=rng).float(),
    }
    if config.pitch:
        given["pitch"] = torch.linspace(-60, 80, batch)
        given["pitch"][-1] = torch.nan
    if config.kinds:
        given["kinds"] = torch.randint(0, config.kinds, (batch, joints), generator=rng)
    return given


def answers(model: Lifter, given: dict[str, torch.Tensor]) -> np.ndarray:
    """What the lifter gives: joints and, where it gives them, deviations, ``(B, T, J, 3 or 5)``."""
    with torch.no_grad():
        return model(**given, uncertainty=model.config.uncertainty).numpy()


def run_onnx(path: Path, given: dict[str, Any]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {name: np.asarray(value) for name, value in given.items()})


@pytest.fixture(scope="module")
def told_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(lifter(TOLD), tmp_path_factory.mktemp("onnx") / "told.onnx")


@pytest.mark.slow
def test_an_onnx_file_lifts_clips_of_any_size_as_the_lifter_does(told_file: Path) -> None:
    model = lifter(TOLD)
    for sizes in SIZES:
        given = clips(TOLD, *sizes)
        found = np.concatenate(run_onnx(told_file, given), axis=-1)
        np.testing.assert_allclose(found, answers(model, given), atol=2e-5)
        changed = given | {"graph": torch.ones_like(given["graph"]), "pitch": torch.zeros(sizes[0])}
        if sizes[2] > 1:
            assert np.abs(np.concatenate(run_onnx(told_file, changed), axis=-1) - found).max() > 1e-3


@pytest.mark.slow
def test_a_file_tells_what_it_is_of_and_holds_only_standard_operations(told_file: Path) -> None:
    model = onnx.load(told_file)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain for entry in model.opset_import} <= {"", "ai.onnx"}
    facts = {entry.key: entry.value for entry in model.metadata_props}
    assert facts["olift.name"] == "tiny" and facts["olift.hops"] == str(TOLD.hops)
    assert (int(facts["olift.frames_before"]), int(facts["olift.frames_after"])) == TOLD.receptive_field
    assert [each.name for each in model.graph.output] == ["joints", "deviations"]
    assert b".py" not in told_file.read_bytes(), "where the sources lie on this machine is nobody's business"


@pytest.mark.slow
def test_a_stream_lifts_frame_by_frame_what_whole_clips_hold(tmp_path: Path) -> None:
    model = lifter(TOLD)
    path = export(model, tmp_path / "stream.onnx", stream=True)
    for batch, frames, joints in ((1, 6, 1), (3, 11, 5)):
        given = clips(TOLD, batch, frames, joints)
        told = {name: given[name] for name in ("graph", "sides", "pitch", "kinds")}
        past = np.zeros((batch, TOLD.motion_layers, TOLD.window[0], joints, 2, TOLD.width), np.float32)
        seen = np.zeros((batch, TOLD.window[0], joints), np.bool_)
        found = []
        for frame in range(frames):
            own = {"keypoints": given["keypoints"][:, frame], "visible": given["visible"][:, frame]}
            *lifted, past, seen = run_onnx(path, {**own, **told, "past": past, "seen": seen})
            found.append(np.concatenate(lifted, axis=-1))
        np.testing.assert_allclose(np.stack(found, axis=1), answers(model, given), atol=2e-5)


@pytest.mark.slow
def test_smaller_weights_make_smaller_files_and_nearly_the_same_joints(tmp_path: Path) -> None:
    model = lifter(replace(TINY, width=64))
    given = clips(TINY, 2, 20, 9)
    wanted = answers(model, given)
    error, size = {}, {}
    for weights in ("float32", "float16", "int8"):
        path = export(model, tmp_path / f"{weights}.onnx", weights=weights)
        (found,) = run_onnx(path, given)
        error[weights] = np.abs(found - wanted).max() / wanted.std()
        size[weights] = sum(len(w.raw_data) for w in onnx.load(path).graph.initializer)
    assert error["float32"] < 1e-4 < error["float16"] < 0.02 and error["int8"] < 0.3
    assert size["float16"] < 0.6 * size["float32"] and size["int8"] < 0.4 * size["float32"]


def test_a_program_of_pytorch_needs_nothing_of_this_package(tmp_path: Path) -> None:
    model = lifter(TOLD)
    program = torch.export.load(export(model, tmp_path / "told.pt2"))
    operations = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert operations and not any("olift" in name for name in operations)
    for sizes in SIZES:
        given = clips(TOLD, *sizes)
        with torch.no_grad():
            found = torch.cat(program.module()(*given.values()), dim=-1).numpy()
        np.testing.assert_allclose(found, answers(model, given), atol=2e-5)


def test_the_lifter_stays_as_it_was(tmp_path: Path) -> None:
    model = lifter(TINY).train()
    with use_backend("auto"):
        export(model, tmp_path / "tiny.pt2")
    assert model.training and all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("a.pth", {}, "the name must end in .onnx or .pt2, got '.pth'"),
        ("a.pt2", {"weights": "int8"}, "weights in int8 are for .onnx"),
        ("a.onnx", {"weights": "bfloat16"}, "weights must be one of float32, float16, int8, got 'bfloat16'"),
        ("a.onnx", {"compiled": True}, "machine code is for .pt2"),
    ],
)
def test_what_can_not_be_written_is_named(tmp_path: Path, name: str, options: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        export(lifter(TINY), tmp_path / name, **options)
    assert not list(tmp_path.iterdir())
    check_export(tmp_path / "a.onnx", "float32", compiled=False)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (TINY, "looks ahead by 0 frames .* got 'tiny' with 3"),
        (replace(TOLD, time_encoding="absolute"), "counts frames, got 'tiny'"),
        (replace(TOLD, motion_layers=0), "memory, got 'tiny'"),
    ],
)
def test_models_without_a_stream_are_named(tmp_path: Path, config: LifterConfig, words: str) -> None:
    with pytest.raises(InputError, match=words):
        export(lifter(config), tmp_path / "a.onnx", stream=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_example_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs/export.md").read_text(encoding="utf-8")
    block = page.split("```python\n")[1].split("```")[0]
    export(Lifter.from_pretrained("small"), tmp_path / "small.onnx")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["joints"].shape == (1, 30, 3, 3) and np.isfinite(names["joints"]).all()
