"""`swap_attention` on PyTorch's own modules: the same outputs and gradients, the same parameters, and the way back."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from helpers import error
from torch import Tensor, nn

from olift_fast import reference
from olift_fast.nn import TemporalProximityAttention, swap_attention

N, T, D, H = 3, 13, 24, 4
DTYPES = [pytest.param(torch.float32, 1e-5, id="float32"), pytest.param(torch.float64, 1e-12, id="float64")]


def layer(norm_first: bool = False, batch_first: bool = True, bias: bool = True) -> nn.TransformerEncoderLayer:
    return nn.TransformerEncoderLayer(
        D, H, 2 * D, dropout=0.0, norm_first=norm_first, batch_first=batch_first, bias=bias
    )


def random_parameters(model: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    """Biases too, which PyTorch starts at 0."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.to(dtype)


def padding() -> Tensor:
    mask = torch.zeros(N, T, dtype=torch.bool)
    mask[0, 9:] = True
    mask[2, 4:6] = True
    return mask


def run(model: nn.Module, x: Tensor, mask: Tensor | None, valid: Tensor) -> list[Tensor]:
    """Output and the gradients of the input and of every parameter, at what is not padding."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    out = model(x) if mask is None else model(x, src_key_padding_mask=mask)
    torch.manual_seed(3)
    out = torch.where(valid, out, 0.0)
    out.backward(torch.randn(out.shape, dtype=torch.float64).to(out))
    return [out, x.grad, *(parameter.grad.clone() for parameter in model.parameters())]


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES)
@pytest.mark.parametrize("norm_first", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_window_over_all_frames_equals_the_original(dtype, tolerance, norm_first, batch_first, masked, bias) -> None:
    model = random_parameters(
        nn.TransformerEncoder(layer(norm_first, batch_first, bias), 2, enable_nested_tensor=False), dtype
    )
    torch.manual_seed(2)
    x = torch.randn(N, T, D, dtype=dtype)
    mask = padding() if masked else None
    valid = ~padding()[..., None] if masked else torch.ones(N, T, 1, dtype=torch.bool)
    if not batch_first:
        x, valid = x.transpose(0, 1), valid.transpose(0, 1)
    wanted = run(model, x, mask, valid)
    swap = swap_attention(model, T)
    assert swap.names == ("layers.0.self_attn", "layers.1.self_attn")
    for got, want in zip(run(model, x, mask, valid), wanted, strict=True):
        assert error(got, want) < tolerance
    swap.undo()
    for got, want in zip(run(model, x, mask, valid), wanted, strict=True):
        assert torch.equal(got, want)


@pytest.mark.parametrize("window", [(3, 3), (4, 0), (0, 2)])
def test_narrow_window_equals_a_band_mask(window) -> None:
    attention = random_parameters(nn.MultiheadAttention(D, H, batch_first=True), torch.float64)
    x = torch.randn(N, T, D, dtype=torch.float64)
    offset = torch.arange(T)[None] - torch.arange(T)[:, None]
    band = (offset >= -window[0]) & (offset <= window[1])
    wanted, _ = attention(x, x, x, attn_mask=~band, need_weights=False)
    model = nn.ModuleDict({"time": attention})
    swap_attention(model, window)
    out, weights = model["time"](x, x, x)
    assert weights is None
    assert error(out, wanted) < 1e-12


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("norm_first", [False, True])
def test_fused_inference_path_does_not_bypass_the_window(norm_first, masked) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # norm_first rules nested tensors out
        model = random_parameters(nn.TransformerEncoder(layer(norm_first), 2, enable_nested_tensor=True))
    x = torch.randn(N, T, D)
    mask = torch.arange(T) >= torch.tensor([T, 9, 5])[:, None] if masked else None
    nested = model.use_nested_tensor
    swap = swap_attention(model, 2)
    trained = model(x, src_key_padding_mask=mask)
    model.eval()
    with torch.no_grad():
        inferred = model(x, src_key_padding_mask=mask)
        alone = model.layers[1](model.layers[0](x, src_key_padding_mask=mask), src_key_padding_mask=mask)
    assert torch.equal(inferred, trained)
    assert torch.equal(alone, trained)
    swap.undo()
    assert model.use_nested_tensor == nested
    with torch.no_grad():
        assert error(model(x), trained) > 1e-2


def test_joints_need_no_permuting() -> None:
    model = random_parameters(layer()).eval()
    x = torch.randn(2, T, 5, D)
    swap_attention(model, 3)
    wanted = model(x.transpose(1, 2).flatten(0, 1)).unflatten(0, (2, 5)).transpose(1, 2)
    assert error(model(x), wanted) < 1e-6
    hidden = torch.rand(2, T, 5) < 0.3
    wanted = model(x.transpose(1, 2).flatten(0, 1), src_key_padding_mask=hidden.transpose(1, 2).flatten(0, 1))
    wanted = wanted.unflatten(0, (2, 5)).transpose(1, 2)
    assert error(model(x, src_key_padding_mask=hidden), wanted) < 1e-6
    assert error(model(x[0, :, 0]), model(x[:1, :, 0])[0]) < 1e-6


def test_keys_under_the_padding_mask_leak_nothing() -> None:
    attention = random_parameters(nn.MultiheadAttention(D, H, batch_first=True))
    model = nn.ModuleDict({"time": attention})
    swap_attention(model, 2)
    x, mask = torch.randn(N, T, D), torch.zeros(N, T, dtype=torch.bool)
    mask[1] = True
    out, _ = model["time"](x, x, x, key_padding_mask=mask)
    assert torch.equal(out[1], attention.out_proj.bias.expand(T, D))
    mask[0, 5:] = True
    clean, _ = model["time"](x, x, x, key_padding_mask=mask)
    x[0, 5:] = torch.nan
    dirty, _ = model["time"](x, x, x, key_padding_mask=mask)
    # The padded queries themselves are NaN; what sees none but good keys is as before.
    assert torch.equal(dirty[0, :5], clean[0, :5])


def test_training_goes_on_through_swap_and_undo_with_one_optimizer() -> None:
    model = random_parameters(nn.TransformerEncoder(layer(), 2, enable_nested_tensor=False))
    twin = copy.deepcopy(model)
    x = torch.randn(N, T, D)

    def train(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        for _ in range(3):
            optimizer.zero_grad()
            model(x).square().mean().backward()
            optimizer.step()

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    before = list(model.parameters())
    train(model, optimizer)
    with swap_attention(model, T) as swap:
        assert {id(p) for p in model.parameters()} == {id(p) for p in before}
        train(model, optimizer)
        assert len(swap) == 2 and list(swap) == list(swap.names)
    assert len(swap) == 0
    assert isinstance(model.layers[0].self_attn, nn.MultiheadAttention)
    train(model, optimizer)
    twins = torch.optim.Adam(twin.parameters(), lr=1e-2)
    for _ in range(3):
        train(twin, twins)
    for got, wanted in zip(model.parameters(), twin.parameters(), strict=True):
        assert error(got, wanted) < 1e-3


@pytest.mark.parametrize("assign", [False, True])
def test_checkpoints_fit_before_and_after(assign) -> None:
    model, other = random_parameters(layer()), layer()
    saved = copy.deepcopy(model.state_dict())
    swap = swap_attention(other, 4)
    assert list(other.state_dict()) == list(saved)
    other.load_state_dict(copy.deepcopy(saved), assign=assign)
    swap.undo()
    assert list(other.state_dict()) == list(saved)
    for name, value in other.state_dict().items():
        assert torch.equal(value, saved[name]), name


def test_predicate_picks_by_name_and_shared_modules_stay_shared() -> None:
    shared = nn.MultiheadAttention(D, H)
    model = nn.ModuleDict({"spatial": layer(), "temporal": layer(), "first": shared, "second": shared})
    swap = swap_attention(model, 4, predicate=lambda name, _: name in ("temporal", "first", "second"))
    assert swap.names == ("temporal.self_attn", "first", "second")
    assert isinstance(model["spatial"].self_attn, nn.MultiheadAttention)
    assert model["first"] is model["second"]
    assert model["first"] is not shared
    swap.undo()
    assert model["first"] is shared
    swap.undo()


class OwnAttention(nn.Module):
    """As many lifters write it, full attention over ``(N, T, D)``."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(D, 3 * D)
        self.proj = nn.Linear(D, D)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, H, -1)).permute(2, 0, 3, 1, 4)
        return self.proj(nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2))


class OwnBanded(nn.Module):
    def __init__(self, original: OwnAttention, window: int) -> None:
        super().__init__()
        self.attention = TemporalProximityAttention(D, H, window, relative_time=False)
        self.attention.qkv, self.attention.projection = original.qkv, original.proj

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x[:, :, None])[:, :, 0]


def test_convert_replaces_attention_of_any_class() -> None:
    model = random_parameters(nn.Sequential(OwnAttention(), nn.GELU(), OwnAttention()))
    x = torch.randn(N, T, D)
    wanted = model(x)
    with swap_attention(model, T, predicate=lambda _, module: isinstance(module, OwnAttention), convert=OwnBanded):
        assert isinstance(model[0], OwnBanded)
        assert error(model(x), wanted) < 1e-5
        with torch.no_grad():
            model[0].attention.qkv.weight.mul_(2.0)
    assert isinstance(model[0], OwnAttention)
    assert error(model(x), wanted) > 1e-2


@pytest.mark.parametrize("bias", [False, True])
def test_from_multihead_copies_the_weights(bias) -> None:
    attention = random_parameters(nn.MultiheadAttention(D, H, bias=bias, batch_first=True))
    attention.in_proj_weight.requires_grad_(False)
    module = TemporalProximityAttention.from_multihead(attention.eval(), T)
    x = torch.randn(2, T, 3, D)
    flat = x.transpose(1, 2).flatten(0, 1)
    wanted = attention(flat, flat, flat, need_weights=False)[0].unflatten(0, (2, 3)).transpose(1, 2)
    assert error(module(x), wanted) < 1e-5
    assert not module.training and not module.qkv.weight.requires_grad and module.projection.weight.requires_grad
    twin = reference.TemporalProximityAttention(D, H, (T, T), False)
    if bias:
        twin.load_state_dict(module.state_dict())
        assert error(module(x), twin.double()(x.double(), None, None)) < 1e-5
    with torch.no_grad():
        module.projection.weight.zero_()
    assert attention.out_proj.weight.any()


REFUSED = [
    (lambda: nn.MultiheadAttention(D, H, kdim=8), r"embed_dim, kdim, vdim = \(24, 8, 24\)"),
    (lambda: nn.MultiheadAttention(D, H, add_bias_kv=True), "add_bias_kv=True"),
    (lambda: nn.MultiheadAttention(D, H, add_zero_attn=True), "add_zero_attn=True"),
    (lambda: type("Own", (nn.MultiheadAttention,), {})(D, H), "got Own"),
]


@pytest.mark.parametrize(("make", "message"), REFUSED)
def test_what_a_window_can_not_do_is_refused_and_leaves_the_model_alone(make, message) -> None:
    good, bad = nn.MultiheadAttention(D, H), make()
    model = nn.Sequential(good, bad)
    with pytest.raises(ValueError, match=f"1 must .*{message}"):
        swap_attention(model, 3)
    assert model[0] is good and model[1] is bad
    with pytest.raises(ValueError, match=message):
        TemporalProximityAttention.from_multihead(bad, 3)


def test_hooks_are_refused_because_they_would_be_lost() -> None:
    attention = nn.MultiheadAttention(D, H)
    attention.register_forward_hook(lambda *_: None)
    with pytest.raises(ValueError, match="0 must have no hooks"):
        swap_attention(nn.Sequential(attention), 3)


def test_dropout_of_weights_is_left_out_with_a_warning() -> None:
    model = nn.Sequential(nn.MultiheadAttention(D, H, dropout=0.25))
    with pytest.warns(UserWarning, match=r"left out in training: 0 \(0.25\)"):
        swap_attention(model, 3)
    with pytest.warns(UserWarning, match=r"\(0.25\) is left out"):
        TemporalProximityAttention.from_multihead(nn.MultiheadAttention(D, H, dropout=0.25), 3)


def test_nothing_to_replace_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"no nn\.MultiheadAttention"):
        swap_attention(nn.Sequential(nn.Linear(2, 2)), 3)
    with pytest.raises(ValueError, match="predicate must pick"):
        swap_attention(layer(), 3, predicate=lambda name, _: name == "nowhere")
    with pytest.raises(ValueError, match="itself the attention"):
        swap_attention(nn.MultiheadAttention(D, H), 3)
    with pytest.raises(ValueError, match="window must be"):
        swap_attention(layer(), -1)
    with pytest.raises(ValueError, match="predicate must be given"):
        swap_attention(layer(), 3, convert=nn.Identity)
    with pytest.raises(ValueError, match=r"inside another, got 0\.\w+ in 0"):
        swap_attention(nn.Sequential(layer()), 3, predicate=lambda name, _: bool(name), convert=nn.Identity)


def test_calls_that_a_window_can_not_answer_are_refused() -> None:
    model = nn.ModuleDict({"time": nn.MultiheadAttention(D, H, batch_first=True)})
    swap_attention(model, 3)
    attention, x = model["time"], torch.randn(N, T, D)
    with pytest.raises(ValueError, match="must be one tensor"):
        attention(x, x.clone(), x)
    with pytest.raises(ValueError, match=r"attn_mask must be None.*\(13, 13\)"):
        attention(x, x, x, attn_mask=torch.zeros(T, T))
    with pytest.raises(ValueError, match=r"is_causal needs a window \(left, 0\), got \(3, 3\)"):
        attention(x, x, x, is_causal=True)
    with pytest.raises(ValueError, match=r"key_padding_mask must be \(3, 13\), got \(13, 3\)"):
        attention(x, x, x, key_padding_mask=torch.zeros(T, N, dtype=torch.bool))
    with pytest.raises(ValueError, match="0 and -inf alone"):
        attention(x, x, x, key_padding_mask=torch.full((N, T), -1.0))
    with pytest.raises(TypeError, match=r"torch\.int64"):
        attention(x, x, x, key_padding_mask=torch.zeros(N, T, dtype=torch.long))
    with pytest.raises(ValueError, match=r"query must be \(N, T, D\) or \(B, T, J, D\), got \(24,\)"):
        attention(*[x[0, 0]] * 3)


def test_causal_encoder_runs_with_a_causal_window() -> None:
    model = random_parameters(nn.TransformerEncoder(layer(), 2, enable_nested_tensor=False))
    x, mask = torch.randn(N, T, D), nn.Transformer.generate_square_subsequent_mask(T)
    wanted = model(x, mask=mask)
    swap_attention(model, (T, 0))
    assert error(model(x, mask=mask, is_causal=True), wanted) < 1e-5
    assert error(model(x), wanted) < 1e-5


@pytest.mark.slow
def test_compiles_without_a_break_and_copies() -> None:
    model = random_parameters(layer(norm_first=True))
    swap_attention(model, 3)
    x = torch.randn(N, T, D)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    assert error(compiled(x, src_key_padding_mask=padding()), model(x, src_key_padding_mask=padding())) < 1e-6
    assert torch.equal(copy.deepcopy(model)(x), model(x))
