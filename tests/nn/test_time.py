"""The time encodings: equal to the reference's in parameters, values and gradients."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import get_args

import pytest
import torch
from helpers import error
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from olift_fast import reference
from olift_fast.nn import TemporalProximityAttention
from olift_fast.nn.time import AbsoluteTime, RelativeTimeBias, TimeEncoding, TimeTable, absolute_time

PAIRS = [
    (lambda home: home.RelativeTimeBias(3, (4, 2)), ()),
    (lambda home: home.RelativeTimeBias(5, (0, 0), frequencies=1), ()),
    (lambda home: home.RelativeTimeBias(1, (0, 37), frequencies=7, sigma=3.0), ()),
    (lambda home: home.AbsoluteTime(5), (1,)),
    (lambda home: home.AbsoluteTime(7, frequencies=3, sigma=2.0), (1001,)),
    (lambda home: home.TimeTable(5, 9), (9,)),
    (lambda home: home.TimeTable(3, 11), (1,)),
]


class Production:
    RelativeTimeBias, AbsoluteTime, TimeTable = RelativeTimeBias, AbsoluteTime, TimeTable


def pair(make) -> tuple[nn.Module, nn.Module]:
    """The production module and the reference's, made from the same random numbers."""
    made = []
    for home in (Production, reference):
        torch.manual_seed(0)
        made.append(make(home))
    return made[0], made[1]


@pytest.mark.parametrize(("make", "arguments"), PAIRS)
def test_same_parameters_from_the_same_random_numbers(make, arguments) -> None:
    own, oracle = pair(make)
    assert list(own.state_dict()) == list(oracle.state_dict())
    for name, value in own.state_dict().items():
        assert torch.equal(value, oracle.state_dict()[name]), name
    assert torch.equal(own(*arguments), oracle(*arguments))


@pytest.mark.parametrize(("make", "arguments"), PAIRS)
def test_equals_the_reference_in_float64(make, arguments) -> None:
    own, oracle = (module.double() for module in pair(make))
    out, wanted = own(*arguments), oracle(*arguments)
    assert out.shape == wanted.shape and error(out, wanted) < 1e-14
    upstream = torch.randn(out.shape, dtype=torch.float64)
    out.backward(upstream)
    wanted.backward(upstream)
    for (name, mine), theirs in zip(own.named_parameters(), oracle.parameters(), strict=True):
        assert error(mine.grad, theirs.grad) < 1e-13, name


def test_bias_depends_on_the_offset_alone() -> None:
    torch.manual_seed(0)
    narrow, wide = RelativeTimeBias(3, (2, 1)), RelativeTimeBias(3, (5, 4))
    wide.load_state_dict(narrow.state_dict())
    assert torch.allclose(wide()[:, 3:7], narrow())
    narrow.window = (5, 4)
    assert torch.equal(wide(), narrow())


def test_table_refuses_more_frames_than_rows() -> None:
    with pytest.raises(ValueError, match="frames must be <= 4, the rows of the time table, got 5"):
        TimeTable(3, 4)(5)


def test_only_absolute_and_table_add_to_the_tokens() -> None:
    assert get_args(TimeEncoding) == get_args(reference.TimeEncoding)
    added = {name: type(absolute_time(name, 4, 9)).__name__ for name in get_args(TimeEncoding)}
    assert added == {"relative": "NoneType", "absolute": "AbsoluteTime", "table": "TimeTable", "none": "NoneType"}


class Counting(TorchDispatchMode):
    """How many operations ran within the block."""

    count = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        self.count += 1
        return function(*arguments, **(options or {}))


def bias_of(window: tuple[int, int] = (3, 2)) -> RelativeTimeBias:
    torch.manual_seed(0)
    return RelativeTimeBias(4, window).eval()


def computed(bias: RelativeTimeBias) -> Tensor:
    """What a module with these parameters computes that holds nothing."""
    with torch.no_grad():
        return copy.deepcopy(bias).train()()


@torch.no_grad()
def test_bias_is_computed_once_in_inference() -> None:
    bias = bias_of()
    wanted = computed(bias)
    assert torch.equal(bias(), wanted)
    with Counting() as counting, torch.inference_mode():
        assert torch.equal(bias(), wanted)
    assert counting.count == 1  # the comparison
    bias.train()
    with Counting() as counting:
        bias()
    assert counting.count > 4


def trained(bias: RelativeTimeBias) -> None:
    bias.projection.weight.mul_(2.0)


def shifted(bias: RelativeTimeBias) -> None:
    bias.projection.bias.add_(1.0)


def other_frequencies(bias: RelativeTimeBias) -> None:
    bias.freqs.mul_(3.0)


def loaded(bias: RelativeTimeBias) -> None:
    bias.load_state_dict({name: value + 1.0 for name, value in bias.state_dict().items()})


def assigned(bias: RelativeTimeBias) -> None:
    bias.load_state_dict({name: value + 1.0 for name, value in bias.state_dict().items()}, assign=True)


def other_data(bias: RelativeTimeBias) -> None:
    bias.projection.weight.data = bias.projection.weight.data + 1.0


def other_data_again_and_again(bias: RelativeTimeBias) -> None:
    """Memory that was let go may be taken again."""
    weight = bias.projection.weight
    before = weight.data_ptr()
    for _ in range(1000):
        weight.data = torch.randn(4, 32)
        if weight.data_ptr() == before:
            break


def data_between_modes(bias: RelativeTimeBias) -> None:
    bias.train()
    bias.projection.weight.data.add_(1.0)
    bias.eval()


def other_linear(bias: RelativeTimeBias) -> None:
    bias.projection = nn.Linear(32, 4)


def other_kind_of_linear(bias: RelativeTimeBias) -> None:
    bias.projection = nn.Sequential(nn.Linear(32, 4), nn.Tanh())


def hooked(bias: RelativeTimeBias) -> None:
    bias.projection.register_forward_hook(lambda module, inputs, output: output + 1.0)


def other_window(bias: RelativeTimeBias) -> None:
    bias.window = (1, 5)


def in_float64(bias: RelativeTimeBias) -> None:
    bias.double()


def written_to(bias: RelativeTimeBias) -> None:
    bias().zero_()


CHANGES = [
    trained,
    shifted,
    other_frequencies,
    loaded,
    assigned,
    other_data,
    other_data_again_and_again,
    data_between_modes,
    other_linear,
    other_kind_of_linear,
    hooked,
    other_window,
    in_float64,
    written_to,
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("inference", [False, True])
def test_bias_is_computed_again_after_a_change(change, inference) -> None:
    bias = bias_of()
    with torch.inference_mode() if inference else torch.no_grad():
        bias()
    with torch.no_grad():
        change(bias)
    with torch.inference_mode() if inference else torch.no_grad():
        got = bias()
    wanted = computed(bias)
    assert got.dtype == wanted.dtype and torch.equal(got, wanted)


@torch.no_grad()
def test_bias_follows_autocast() -> None:
    bias = bias_of()
    alone = bias()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert 1e-4 < error(bias(), alone) < 1e-2
        assert torch.equal(bias(), computed(bias).float())
    assert bias() is alone


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_attention_takes_the_held_bias_as_it_is(dtype) -> None:
    """A copy of it would be a launch a layer."""
    bias = bias_of().to(dtype)
    assert bias().dtype == torch.float32 and bias().is_contiguous()
    assert torch.equal(bias(), computed(bias).float())


@torch.no_grad()
def test_bias_changes_in_the_memory_that_a_graph_reads() -> None:
    bias = bias_of()
    held = bias()
    before = held.clone()
    trained(bias)
    assert bias() is held and not torch.equal(held, before)


@pytest.mark.gpu
@torch.no_grad()
def test_captured_graph_reads_the_bias_of_the_last_call() -> None:
    bias = bias_of().cuda()
    bias()
    graph, fresh, of_fresh = torch.cuda.CUDAGraph(), bias_of().cuda(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = bias() * 2.0
    with torch.cuda.graph(of_fresh):
        of_first_call = fresh() * 2.0
    for module in (bias, fresh):
        trained(module)
        module()
    graph.replay()
    of_fresh.replay()
    assert torch.allclose(out, 2.0 * bias()) and torch.allclose(of_first_call, out)


def test_held_bias_is_in_no_state_copy_or_pickle() -> None:
    bias = bias_of()
    names = list(bias.state_dict())
    with torch.inference_mode():
        wanted = bias()
    assert list(bias.state_dict()) == names and list(dict(bias.named_buffers())) == ["freqs"]
    for copied in (copy.deepcopy(bias), pickle.loads(pickle.dumps(bias)), copy.copy(bias)):
        with torch.no_grad():
            assert torch.equal(copied(), wanted) and copied() is not wanted
    twin = copy.deepcopy(bias)
    with torch.no_grad():
        trained(twin)
        assert torch.equal(bias(), wanted) and not torch.equal(twin(), wanted)


def test_gradients_reach_parameters_of_a_bias_that_was_held() -> None:
    bias = bias_of()
    with torch.inference_mode():
        bias()
    bias().square().sum().backward()
    assert bias.projection.weight.grad is not None and bias.projection.weight.grad.any()


def test_frozen_bias_serves_gradients_of_what_it_is_added_to() -> None:
    attention = TemporalProximityAttention(16, 2, (2, 1)).eval()
    attention.time_bias.requires_grad_(False)
    x = torch.randn(1, 5, 2, 16, requires_grad=True)
    with torch.inference_mode():
        attention(x)
    attention(x).square().sum().backward()
    held, x.grad = x.grad, None
    attention.train()(x).square().sum().backward()
    assert torch.equal(held, x.grad)


def test_function_transforms_compute_the_bias_themselves() -> None:
    bias = bias_of().requires_grad_(False)
    x = torch.randn(6)
    gradient = torch.func.grad(lambda x: (bias() * x).sum())(x)
    assert torch.allclose(gradient, bias().sum(dim=0))
    with torch.no_grad():
        weights = {name: torch.stack([value, value + 1.0]) for name, value in bias.state_dict().items()}
        mapped = torch.func.vmap(lambda weights: torch.func.functional_call(bias, weights, ()))(weights)
        assert torch.allclose(mapped[0], bias(), atol=1e-6) and not torch.allclose(mapped[1], bias())


@torch.no_grad()
def test_compiled_bias_follows_its_parameters() -> None:
    torch._dynamo.reset()
    bias = bias_of()
    compiled = torch.compile(bias, backend="eager", fullgraph=True)
    for change in (lambda bias: bias(), trained, other_frequencies):
        change(bias)
        assert torch.allclose(compiled(), computed(bias))
        assert torch.allclose(bias(), computed(bias))
    exported = torch.export.export(bias, ()).module()
    assert torch.equal(exported(), bias())


def test_threads_get_the_same_bias() -> None:
    bias = bias_of((40, 40))

    @torch.no_grad()
    def same(wanted: Tensor) -> bool:
        return torch.equal(bias(), wanted)

    for _ in range(5):
        with torch.no_grad():
            trained(bias)
        wanted = computed(bias)
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(same, [wanted] * 32))
