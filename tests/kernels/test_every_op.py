"""What holds for every operation alike: exports, CUDA graphs, bitwise repeats."""

from __future__ import annotations

import every_op
import pytest
import torch
from every_op import TOLERANCE, Case, cases, worst_error

from olift_fast import ops

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
NAMES = list(cases("cpu"))


def test_every_operation_is_tried() -> None:
    helpers = {"use_backend", "warmup", "warmup_model", "why_not"}
    # The cases call the attentions with packed q, k, v.
    assert set(NAMES) == {name.removesuffix("_packed") for name in ops.__all__} - helpers


class Module(torch.nn.Module):
    def __init__(self, case: Case) -> None:
        super().__init__()
        self.case = case

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:
        return self.case.function(*tensors)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_repeats_bit_for_bit(name: str, device: str) -> None:
    case = cases(device)[name]
    assert all(torch.equal(a, b) for a, b in zip(case.step(), case.step(), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", NAMES)
def test_exports_and_gives_the_same(name: str, device: str, tmp_path) -> None:
    case = cases(device)[name]
    exported = torch.export.export(Module(case), case.leaves)
    torch.export.save(exported, tmp_path / "op.pt2")
    loaded = torch.export.load(tmp_path / "op.pt2").module()
    wanted = case.function(*case.leaves)
    torch.testing.assert_close(loaded(*case.leaves), wanted, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
def test_results_are_those_of_float64(dtype: torch.dtype, device: str) -> None:
    errors = {name: worst_error(name, device, dtype) for name in every_op.names(dtype)}
    assert {name: error for name, error in errors.items() if not error <= TOLERANCE[dtype]} == {}


@pytest.mark.parametrize("broken", [1.001, float("nan")])
def test_the_script_fails_where_one_result_is_wrong(broken: float, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    good = every_op.cases

    def spoiled(device: str, dtype: torch.dtype = torch.float32) -> dict[str, Case]:
        (leaf, *_), here = good("cpu", dtype)["rff_encode"].leaves, device == "somewhere"
        return {"rff_encode": Case(lambda x: x * broken if here else x * 1, (leaf,))}

    monkeypatch.setattr(every_op, "cases", spoiled)
    assert every_op.main("cpu") == 0
    assert every_op.main("somewhere") == 1
    assert "rff_encode               float32   error" in capsys.readouterr().out


# torch.linalg, which it computes with, waits for the GPU to look for errors: no graph can hold that.
@pytest.mark.gpu
@pytest.mark.parametrize("name", [name for name in NAMES if name != "orthographic_procrustes"])
def test_cuda_graph_replays_on_new_data(name: str) -> None:
    """Captured once, forward and backward; replayed on other numbers in the same memory."""
    case = cases("cuda")[name]
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        case.step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = case.step()
    for leaf in case.leaves:
        leaf.mul_(0.5).add_(0.1)
    graph.replay()
    torch.cuda.synchronize()
    for got, wanted in zip(captured, case.step(), strict=True):
        torch.testing.assert_close(got, wanted, rtol=0, atol=0)
