"""The kernels as a repository of their own: they load alone, and equal the reference, forward and backward."""

from __future__ import annotations

import ast
import base64
import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from loading_kernel_repo import results
from torch import Tensor

from olift_fast import ops, reference
from olift_fast.ops.triton_runtime import why_not_triton

ROOT = Path(__file__).resolve().parents[2]
MODULE = "olift_fast_kernels"
WITHOUT_TRITON = {"linear_residual", "norm_linear", "norm_mlp"} | {name for name in ops.__all__ if "procrustes" in name}
HELPERS = {"use_backend", "warmup", "warmup_model", "why_not"}
TOLERANCE = 2e-5
"""The largest relative error of an output or a gradient in float32."""


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kernel_repo", ROOT / "packaging" / "kernel_repo.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def repo(program: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return program.write(tmp_path_factory.mktemp("kernels") / "repo", "me/kernels")


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


Case = tuple[Callable[..., Any], str, dict[str, Tensor], dict[str, Any], bool]


def as_double(pair: tuple[Tensor, Tensor] | None) -> tuple[Tensor, ...] | None:
    return None if pair is None else tuple(x.double() for x in pair)


def cases() -> dict[str, Case]:
    """The reference, the public function's name, tensors with gradients, options, and whether it has gradients."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def seen(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator) > 0.3

    apart = {name: draw(2, 17, 2, 2, 20) for name in "qkv"}
    packed = {"qkv": draw(2, 17, 2, 3, 2, 20)}
    visible, lengths, bias, graph = seen(2, 17, 2), torch.tensor([17, 11]), {"bias": draw(2, 9)}, seen(2, 2, 2)
    points = {"x": draw(2, 9, 3, 2), "freqs": draw(2, 12)}
    layer = {**points, "weight": draw(24, 24) / 5, "bias": draw(24), "token": draw(24)}
    band = {"window": (3, 5), "visible": visible, "lengths": lengths}
    masked = {"visible": seen(2, 9, 3)}

    def step(frames: Tensor, **given: Any) -> Tensor:
        return reference.banded_attention(**given)[torch.arange(len(frames)), frames]

    def band_of_packed(qkv: Tensor, **more: Any) -> Tensor:
        return reference.banded_attention(*qkv.unbind(3), **more)

    def joints_of_packed(qkv: Tensor, **more: Any) -> Tensor:
        return reference.joint_attention(*qkv.unbind(3), **more)

    def block(tokens: Tensor, attended: Tensor, **more: Any) -> tuple[Tensor, Tensor]:
        parts = {name: tuple(as_double(pair) for pair in part) for name, part in more.items() if name != "projection"}
        return reference.token_block(tokens, attended, as_double(more["projection"]), parts["mlp"], parts["head"])

    of_tokens = {"tokens": draw(2, 9, 24), "attended": draw(2, 9, 24)}
    norm, square = (draw(24), draw(24)), (draw(24, 24) / 5, draw(24))
    parts = {"projection": square, "mlp": (norm, square, square), "head": (norm, (draw(5, 24), draw(5)), None)}
    of_graph = {"graph": graph, "visible": visible}
    at = {**band, "frames": torch.tensor([16, 4])}
    return {
        "band": (reference.banded_attention, "banded_attention", apart, {"window": 4}, True),
        "band, masked": (reference.banded_attention, "banded_attention", apart | bias, band, True),
        "band, packed": (band_of_packed, "banded_attention_packed", packed | bias, band, True),
        "step": (step, "banded_attention_step", apart, at, False),
        "joints": (reference.joint_attention, "joint_attention", apart, {"graph": graph}, True),
        "joints, packed": (joints_of_packed, "joint_attention_packed", packed, of_graph, True),
        "features": (reference.rff_encode, "rff_encode", points, masked, True),
        "block": (block, "token_block", of_tokens, parts, False),
        "layer": (reference.rff_linear, "rff_linear", layer, masked, True),
    }


@pytest.mark.slow
@pytest.mark.skipif(
    torch.cuda.is_available() or why_not_triton() is not None, reason="runs in Triton's interpreter, without a GPU"
)
def test_it_loads_alone_and_equals_the_reference(repo: Path, tmp_path: Path) -> None:
    wanted = cases()
    torch.save({name: given for name, (_, *given) in wanted.items()}, tmp_path / "in")
    program = Path(__file__).with_name("loading_kernel_repo.py")
    command = [sys.executable, program, repo / "build" / "torch-cuda", tmp_path / "in", tmp_path / "out"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    run = subprocess.run(
        [str(part) for part in command],
        env=environment | {"TRITON_INTERPRET": "1", "OLIFT_BACKEND": "auto"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert run.returncode == 0, run.stderr
    made, facts = torch.load(tmp_path / "out")
    assert facts == {"why_not": None, "modules": ["olift_fast"], "all": facts["all"]}
    assert set(facts["all"]) == set(ops.__all__) - WITHOUT_TRITON
    assert {name for _, name, *_ in wanted.values()} == set(facts["all"]) - HELPERS
    for name, (function, _, leaves, options, differentiable) in wanted.items():
        exact = results(function, {key: leaf.double() for key, leaf in leaves.items()}, options, differentiable)
        assert exact.keys() == ({"out", *leaves} if differentiable else {"out"})
        for backend in ("triton", "eager"):
            got = made[name, backend]
            assert got.keys() == exact.keys()
            errors = {key: float((got[key].double() - exact[key]).norm() / exact[key].norm()) for key in exact}
            assert max(errors.values()) <= TOLERANCE, (name, backend, errors)


def test_it_needs_nothing_but_torch_and_triton(repo: Path) -> None:
    allowed = set(sys.stdlib_module_names) | {"torch", "triton"}
    for path in (repo / "torch-ext" / MODULE).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(), feature_version=(3, 10))):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom) and not node.level:
                assert str(node.module).split(".")[0] in allowed, path
            elif isinstance(node, ast.ImportFrom):
                folder = path.parents[node.level - 1]
                inner = folder.joinpath(*(node.module or "").split("."))
                assert inner.is_dir() or inner.with_suffix(".py").is_file() or node.module == "_ops", path


def test_its_sources_are_those_of_the_package(repo: Path) -> None:
    """But for the imports, and the namespace of the operations."""
    for path, content in files_in(repo / "torch-ext" / MODULE).items():
        if path in ("__init__.py", "native_module.py"):
            continue
        source = ROOT / "olift_fast" / {"reference.py": "", "asked_backend.py": "runtime"}.get(path, "ops") / path
        new, old = content.decode().splitlines(), source.read_text().splitlines()
        changed = [line for line in new if line not in old and "reference" not in line]
        assert all(line.lstrip().startswith(("from .", "NAMESPACE =")) for line in changed), (path, changed)
    assert (repo / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_builds_have_the_sources_their_hashes_and_a_namespace_each(repo: Path) -> None:
    sources = files_in(repo / "torch-ext" / MODULE)
    names = set()
    for backend in ("cpu", "cuda"):
        built = files_in(repo / "build" / f"torch-{backend}")
        told = json.loads(built.pop("metadata.json"))
        assert told["backend"] == {"type": backend} and told["name"] == "olift-fast-kernels"
        hashes = {path: base64.b64encode(hashlib.sha256(content).digest()).decode() for path, content in built.items()}
        assert told["digest"] == {"algorithm": "sha256", "files": hashes}
        assert f'NAME = "{told["id"]}"' in built.pop("_ops.py").decode() and told["id"].isidentifier()
        assert built == sources
        names.add(told["id"])
    assert len(names) == 2


@pytest.mark.slow
def test_it_is_written_anew_and_over_nothing_else(
    program: ModuleType, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    again = program.write(tmp_path / "again", "me/kernels")
    (again / "torch-ext" / MODULE / "old.py").write_text("")
    assert files_in(program.write(again, "me/kernels")) == files_in(repo)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("")
    with pytest.raises(ValueError, match=r"mine: is a folder with other files, wanted a new one"):
        program.write(tmp_path / "mine")
    monkeypatch.setattr(sys, "argv", ["kernel_repo", str(tmp_path / "mine")])
    assert program.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"kernel_repo: {tmp_path / 'mine'}: is a folder with other files")
    assert [*files_in(tmp_path / "mine")] == ["file"]


@pytest.mark.slow
def test_the_library_takes_it(repo: Path) -> None:
    kernels = pytest.importorskip("kernels")
    rust = importlib.import_module("kernels._rust")
    build = rust.Build.open(repo)
    assert rust.Metadata.read_from_file(repo / "build" / "torch-cuda" / "metadata.json").license == "Apache-2.0"
    assert build.all_kernel_depends(rust.Backend.CUDA) == []
    package = kernels.get_local_kernel(repo, backend="cpu")
    q, k, v = torch.randn(3, 1, 9, 2, 2, 8).unbind(0)
    torch.testing.assert_close(package.banded_attention(q, k, v, 2), reference.banded_attention(q, k, v, 2))
    compiled = torch.compile(lambda q: package.banded_attention(q, k, v, 2), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(q), reference.banded_attention(q, k, v, 2))
