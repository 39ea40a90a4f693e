"""The lifter of "Object Agnostic 3D Lifting in Space and Time" (arXiv 2412.01166) in plain PyTorch.

Read it beside the paper, from top to bottom: encoding, attention over time, attention over joints, the network,
alignment, losses and metrics. This module is the specification that the fast operations are tested against. So it is
written to be read, not to be fast; all of it works in float64; and it imports nothing of the rest of the package.

Shapes: B clips, T frames, J joints, H heads, D model width, Dh = D / H head width, F frequencies.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

Encoding = Literal["rff", "learnable_rff", "sinusoidal", "linear"]
TimeEncoding = Literal["relative", "absolute", "table", "none"]
Alignment = Literal["sequence", "frame"]
ProcrustesKind = Literal["rigid", "similarity", "rotation"]
Norm = tuple[Tensor, Tensor]
Linear = tuple[Tensor, Tensor | None]

# --------------------------------------------------------------------------------------------- encoding


def rff_encode(x: Tensor, freqs: Tensor, *, visible: Tensor | None = None) -> Tensor:
    """Random Fourier features ``[cos 2πxB, sin 2πxB]`` (Rahimi & Recht 2007; Tancik et al. 2020).

    Args:
        x: points ``(..., C)``.
        freqs: frequencies ``(C, F)`` in turns per unit of x.
        visible: bool ``(...)``; features are 0 where it is False.

    Returns:
        Features ``(..., 2F)``: F cosines, then F sines.
    """
    if visible is not None:
        x = torch.where(visible.unsqueeze(-1), x, 0.0)
    turns = (x.unsqueeze(-1) * freqs).sum(dim=-2)
    phase = 2 * math.pi * (turns - turns.round())
    features = torch.cat([phase.cos(), phase.sin()], dim=-1)
    return features if visible is None else torch.where(visible.unsqueeze(-1), features, 0.0)


def rff_linear(
    x: Tensor,
    freqs: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    visible: Tensor | None = None,
    token: Tensor | None = None,
) -> Tensor:
    """``rff_encode(x, freqs) @ weight.T + bias``, and ``token`` where the point is not visible.

    Args:
        x: points ``(..., C)``.
        freqs: frequencies ``(C, F)``.
        weight: ``(D, 2F)``.
        bias: ``(D,)``.
        visible: bool ``(...)``.
        token: ``(D,)``, the result for a hidden point; zeros if None.

    Returns:
        ``(..., D)``.
    """
    out = functional.linear(rff_encode(x, freqs, visible=visible).to(weight.dtype), weight, bias)
    if visible is None:
        return out
    return torch.where(visible.unsqueeze(-1), out, out.new_zeros(()) if token is None else token)


# --------------------------------------------------------------------------------------------- attention


def banded_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    window: int | tuple[int, int],
    *,
    bias: Tensor | None = None,
    visible: Tensor | None = None,
    lengths: Tensor | None = None,
    scale: float | None = None,
) -> Tensor:
    """Temporal proximity attention: frame t of a joint attends frames t-left … t+right of the same joint.

    Args:
        q, k, v: ``(B, T, J, H, Dh)``.
        window: ``(left, right)``, or α for ``(α, α)``.
        bias: ``(H, left+right+1)``; the score of query t and key s gets entry ``s - t + left``.
        visible: bool ``(B, T, J)``; keys that are not visible are left out.
        lengths: int ``(B,)``; frames from a clip's length on are left out as keys, and as queries give 0.
        scale: of the scores, ``Dh ** -0.5`` by default.

    Returns:
        ``(B, T, J, H, Dh)``; 0 for a query without any key.
    """
    left, right = (window, window) if isinstance(window, int) else window
    frames = q.shape[1]
    time = torch.arange(frames, device=q.device)
    offset = time[None, :] - time[:, None]
    band = (offset >= -left) & (offset <= right)

    keys = torch.ones(q.shape[:3], dtype=torch.bool, device=q.device) if visible is None else visible
    if lengths is not None:
        inside = time[None, :] < lengths[:, None]
        keys = keys & inside[:, :, None]
    k = torch.where(keys[..., None, None], k, 0.0)
    v = torch.where(keys[..., None, None], v, 0.0)

    scores = torch.einsum("btjhd,bsjhd->bjhts", q, k) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias[:, (offset + left).clamp(0, left + right)]
    mask = band & keys.permute(0, 2, 1)[:, :, None, None, :]
    out = torch.einsum("bjhts,bsjhd->btjhd", masked_softmax(scores, mask), v)
    return out if lengths is None else torch.where(inside[:, :, None, None, None], out, 0.0)


def joint_attention(
    q: Tensor, k: Tensor, v: Tensor, *, graph: Tensor | None = None, visible: Tensor | None = None
) -> Tensor:
    """Attention over the joints of one frame, each head on its own graph.

    Args:
        q, k, v: ``(B, T, J, H, Dh)``.
        graph: bool ``(H, J, J)`` or ``(B, H, J, J)``, True where a query (row) may attend a key (column).
        visible: bool ``(B, T, J)``; joints that are not visible are left out as keys.

    Returns:
        ``(B, T, J, H, Dh)``; 0 for a query without any key.
    """
    batch, _, joints, heads, _ = q.shape
    mask = torch.ones(batch, 1, heads, joints, joints, dtype=torch.bool, device=q.device)
    if graph is not None:
        mask = mask & (graph[None] if graph.dim() == 3 else graph)[:, None]
    if visible is not None:
        k = torch.where(visible[..., None, None], k, 0.0)
        v = torch.where(visible[..., None, None], v, 0.0)
        mask = mask & visible[:, :, None, None, :]
    scores = torch.einsum("btihd,btjhd->bthij", q, k) * q.shape[-1] ** -0.5
    return torch.einsum("bthij,btjhd->btihd", masked_softmax(scores, mask), v)


def norm_linear(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    epsilon: float = 1e-5,
) -> Tensor:
    """``layer_norm(x) @ weight.T + bias``; see `olift_fast.ops.norm_linear`."""
    normed = functional.layer_norm(x, x.shape[-1:], norm_weight, norm_bias, epsilon)
    return functional.linear(normed, weight, bias)


def linear_residual(x: Tensor, weight: Tensor, bias: Tensor | None, residual: Tensor) -> Tensor:
    """``residual + x @ weight.T + bias``; see `olift_fast.ops.linear_residual`."""
    return residual + functional.linear(x, weight, bias)


def norm_mlp(
    x: Tensor,
    norm_weight: Tensor,
    norm_bias: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    second_weight: Tensor,
    second_bias: Tensor | None,
    *,
    residual: bool = True,
    epsilon: float = 1e-5,
) -> Tensor:
    """``x + gelu(layer_norm(x) @ weight.T + bias) @ second_weight.T + second_bias``; see `olift_fast.ops.norm_mlp`."""
    hidden = norm_linear(x, norm_weight, norm_bias, weight, bias, epsilon=epsilon)
    out = functional.linear(functional.gelu(hidden), second_weight, second_bias)
    return x + out if residual else out


def token_block(
    tokens: Tensor,
    attended: Tensor | None,
    projection: Linear | None,
    mlp: tuple[Norm, Linear, Linear] | None,
    head: tuple[Norm, Linear, Linear | None],
    *,
    epsilon: float = 1e-5,
) -> tuple[Tensor, Tensor]:
    """``x = tokens + projection(attended)``, then ``x + mlp(norm(x))``; and ``head(norm(x))``.

    See `olift_fast.ops.token_block`.
    """
    x = tokens
    if projection is not None and attended is not None:
        x = linear_residual(attended, *projection, x)
    if mlp is not None:
        norm, first, second = mlp
        x = norm_mlp(x, *norm, *first, *second, epsilon=epsilon)
    norm, layer, last = head
    if last is None:
        return x, norm_linear(x, *norm, *layer, epsilon=epsilon)
    return x, norm_mlp(x, *norm, *layer, *last, residual=False, epsilon=epsilon)


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis where ``mask`` is True, and 0 elsewhere. A row without any True is 0."""
    lowest = torch.finfo(scores.dtype).min
    weights = scores.masked_fill(~mask, lowest).softmax(dim=-1)
    return weights.masked_fill(~mask, 0.0)


# --------------------------------------------------------------------------------------------- the network


def encoding_frequencies(encoding: Encoding, count: int, sigma: float) -> Tensor:
    """Frequencies ``(2, count)`` of the keypoint encoder: ``N(0, sigma²)``, or octaves along each axis."""
    if encoding == "sinusoidal":
        octaves = sigma * 2.0 ** torch.linspace(-4, 4, count // 2)
        return functional.pad(torch.block_diag(octaves, octaves), (0, count % 2))
    return torch.randn(2, count) * sigma


class KeypointEncoder(nn.Module):
    """Keypoints to tokens: Fourier features and a linear layer, or a learned token for a hidden keypoint.

    Vectors for the joint's side, its kind and the camera's pitch are added; an unknown one adds nothing.
    """

    def __init__(
        self,
        width: int,
        encoding: Encoding,
        frequencies: int,
        sigma: float,
        time_encoding: TimeEncoding = "relative",
        time_rows: int = 243,
        pitch: bool = False,
        kinds: int = 0,
    ) -> None:
        super().__init__()
        self.encoding = encoding
        freqs = encoding_frequencies(encoding, frequencies, sigma)
        if encoding == "learnable_rff":
            self.freqs = nn.Parameter(freqs)
        else:
            self.register_buffer("freqs", freqs)
        self.projection = nn.Linear(2 if encoding == "linear" else 2 * frequencies, width)
        self.token = nn.Parameter(torch.randn(width) * 0.02)
        self.side = nn.Parameter(torch.randn(width) * 0.02)
        self.time = absolute_time(time_encoding, width, time_rows)
        self.pitch = nn.Linear(2, width) if pitch else None
        self.kind = nn.Embedding(kinds, width, padding_idx=0) if kinds else None

    def forward(
        self,
        keypoints: Tensor,
        visible: Tensor,
        sides: Tensor,
        pitch: Tensor | None = None,
        kinds: Tensor | None = None,
    ) -> Tensor:
        """keypoints ``(B, T, J, 2)``, visible ``(B, T, J)``, sides ``(B, J)`` → tokens ``(B, T, J, D)``.

        pitch ``(B,)`` in degrees, NaN if unknown; kinds int64 ``(B, J)``, 0 if unknown. A kind past the table's last
        row counts as unknown.
        """
        weight, bias = self.projection.weight, self.projection.bias
        if self.encoding == "linear":
            seen = functional.linear(torch.where(visible[..., None], keypoints, 0.0), weight, bias)
            tokens = torch.where(visible[..., None], seen, self.token)
        else:
            tokens = rff_linear(keypoints, self.freqs, weight, bias, visible=visible, token=self.token)
        tokens = tokens + sides[:, None, :, None] * self.side
        if self.pitch is not None and pitch is not None:
            angle = torch.nan_to_num(pitch.to(keypoints)) * (math.pi / 180)
            vector = self.pitch(torch.stack([angle.sin(), angle.cos()], dim=-1))
            tokens = tokens + torch.where(pitch.isnan()[:, None], 0.0, vector)[:, None, None, :]
        if self.kind is not None and kinds is not None:
            tokens = tokens + self.kind(torch.where(kinds < self.kind.num_embeddings, kinds, 0))[:, None]
        return tokens if self.time is None else tokens + self.time(tokens.shape[1])[None, :, None, :]


def absolute_time(time_encoding: TimeEncoding, width: int, rows: int) -> AbsoluteTime | TimeTable | None:
    """The module whose vectors for frame numbers are added to the tokens; None if the time encoding adds none."""
    if time_encoding == "absolute":
        return AbsoluteTime(width)
    return TimeTable(width, rows) if time_encoding == "table" else None


class TimeTable(nn.Module):
    """A learned vector for each frame number below `rows`, as in MotionBERT (arXiv 2210.06551)."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(rows, width) * 0.02)

    def forward(self, frames: int) -> Tensor:
        """→ ``(T, D)``; raises ValueError for more frames than rows."""
        if frames > len(self.weight):
            raise ValueError(f"frames must be <= {len(self.weight)}, the rows of the time table, got {frames}")
        return self.weight[:frames]


class AbsoluteTime(nn.Module):
    """Fourier features of the frame number through a linear layer to D (the paper's analytic time encoding)."""

    freqs: Tensor

    def __init__(self, width: int, frequencies: int = 32, sigma: float = 0.05) -> None:
        super().__init__()
        self.register_buffer("freqs", torch.randn(1, frequencies) * sigma)
        self.projection = nn.Linear(2 * frequencies, width)

    def forward(self, frames: int) -> Tensor:
        """→ ``(T, D)``."""
        time = torch.arange(frames, device=self.freqs.device, dtype=self.freqs.dtype)
        return self.projection(rff_encode(time[:, None], self.freqs))


class RelativeTimeBias(nn.Module):
    """A bias for each head and frame offset: Fourier features of the offset through a linear layer."""

    freqs: Tensor

    def __init__(self, heads: int, window: tuple[int, int], frequencies: int = 16, sigma: float = 0.1) -> None:
        super().__init__()
        self.window = window
        self.register_buffer("freqs", torch.randn(1, frequencies) * sigma)
        self.projection = nn.Linear(2 * frequencies, heads)

    def forward(self) -> Tensor:
        """→ ``(H, left + right + 1)``."""
        left, right = self.window
        offsets = torch.arange(-left, right + 1, device=self.freqs.device, dtype=self.freqs.dtype)
        return self.projection(rff_encode(offsets[:, None], self.freqs)).T


class TemporalProximityAttention(nn.Module):
    """Multi-head banded attention over the frames of each joint."""

    def __init__(self, width: int, heads: int, window: tuple[int, int], relative_time: bool) -> None:
        super().__init__()
        self.heads, self.window = heads, window
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)
        self.time_bias = RelativeTimeBias(heads, window) if relative_time else None

    def forward(self, x: Tensor, visible: Tensor, lengths: Tensor | None) -> Tensor:
        """x ``(B, T, J, D)``, visible ``(B, T, J)``, lengths ``(B,)`` → ``(B, T, J, D)``."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(dim=-3)
        bias = None if self.time_bias is None else self.time_bias()
        out = banded_attention(q, k, v, self.window, bias=bias, visible=visible, lengths=lengths)
        return self.projection(out.flatten(-2))


class JointAttention(nn.Module):
    """Multi-head attention over the joints of each frame; the first half of the heads attends only along the graph."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x: Tensor, graph: Tensor | None, joint_mask: Tensor) -> Tensor:
        """x ``(B, T, J, D)``, graph bool ``(B, J, J)``, joint_mask ``(B, J)`` → ``(B, T, J, D)``."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(dim=-3)
        heads = None
        if graph is not None:
            everything = torch.ones_like(graph)
            local = self.heads // 2
            heads = torch.stack([graph] * local + [everything] * (self.heads - local), dim=1)
        visible = joint_mask[:, None, :].expand(x.shape[:3])
        return self.projection(joint_attention(q, k, v, graph=heads, visible=visible).flatten(-2))


def mlp(width: int, ratio: int) -> nn.Sequential:
    """D → ratio·D → GELU → D."""
    return nn.Sequential(nn.Linear(width, ratio * width), nn.GELU(), nn.Linear(ratio * width, width))


class MotionLayer(nn.Module):
    """Pre-norm transformer layer over time."""

    def __init__(self, width: int, heads: int, window: tuple[int, int], ratio: int, relative_time: bool) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = TemporalProximityAttention(width, heads, window, relative_time)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = mlp(width, ratio)

    def forward(self, x: Tensor, visible: Tensor, lengths: Tensor | None) -> Tensor:
        """x ``(B, T, J, D)`` → same."""
        x = x + self.attention(self.attention_norm(x), visible, lengths)
        return x + self.mlp(self.mlp_norm(x))


class SpaceLayer(nn.Module):
    """Pre-norm transformer layer over the joints of a frame."""

    def __init__(self, width: int, heads: int, ratio: int) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = JointAttention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = mlp(width, ratio)

    def forward(self, x: Tensor, graph: Tensor | None, joint_mask: Tensor) -> Tensor:
        """x ``(B, T, J, D)`` → same."""
        x = x + self.attention(self.attention_norm(x), graph, joint_mask)
        return x + self.mlp(self.mlp_norm(x))


class Decoder(nn.Module):
    """Tokens to joints: LayerNorm, D → D → GELU → 3, or 5 with the logarithms of two standard deviations."""

    def __init__(self, width: int, outputs: int = 3) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, T, J, D)`` → ``(B, T, J, outputs)``."""
        return self.mlp(self.norm(x))


class Lifter(nn.Module):
    """2D keypoint sequences of any skeleton to 3D joints: encoder, motion encoder, space encoder, decoder."""

    def __init__(
        self,
        *,
        width: int = 128,
        heads: int = 4,
        motion_layers: int = 2,
        space_layers: int = 4,
        window: tuple[int, int] = (8, 8),
        mlp_ratio: int = 2,
        encoding: Encoding = "rff",
        frequencies: int = 64,
        sigma: float = 0.5,
        time_encoding: TimeEncoding = "relative",
        time_rows: int = 243,
        pitch: bool = False,
        kinds: int = 0,
        uncertainty: bool = False,
    ) -> None:
        super().__init__()
        relative = time_encoding == "relative"
        self.encoder = KeypointEncoder(width, encoding, frequencies, sigma, time_encoding, time_rows, pitch, kinds)
        self.motion = nn.ModuleList(
            MotionLayer(width, heads, window, mlp_ratio, relative) for _ in range(motion_layers)
        )
        self.space = nn.ModuleList(SpaceLayer(width, heads, mlp_ratio) for _ in range(space_layers))
        self.decoder = Decoder(width, 5 if uncertainty else 3)

    def forward(
        self,
        keypoints: Tensor,
        visible: Tensor | None = None,
        *,
        graph: Tensor | None = None,
        sides: Tensor | None = None,
        pitch: Tensor | None = None,
        kinds: Tensor | None = None,
        joint_mask: Tensor | None = None,
        lengths: Tensor | None = None,
        uncertainty: bool = False,
    ) -> Tensor:
        """Lift normalized keypoints: each frame centered on its visible keypoints, one scale for a clip.

        Args:
            keypoints: ``(B, T, J, 2)``.
            visible: bool ``(B, T, J)``; by default True for finite keypoints.
            graph: bool ``(J, J)`` or ``(B, J, J)``, True for pairs of joints that local heads may attend.
            sides: ``(J,)`` or ``(B, J)``, +1 left, -1 right, 0 middle or unknown.
            pitch: ``(B,)``, degrees by which the camera looks down; NaN if unknown.
            kinds: int64 ``(J,)`` or ``(B, J)``, each joint's kind; 0 if unknown.
            joint_mask: bool ``(B, J)``, False for joints that only pad the batch.
            lengths: int ``(B,)``, frames of each clip that are not padding.
            uncertainty: return the standard deviations of the joints' errors, too.

        Returns:
            joints ``(B, T, J, 3)``, up to a rotation for each clip and a translation for each frame; with `uncertainty`
            ``(B, T, J, 5)``: x, y, z, the standard deviation of x and y, and that of z. 0 in padding.
        """
        batch, frames, joints, _ = keypoints.shape
        if joint_mask is None:
            joint_mask = torch.ones(batch, joints, dtype=torch.bool, device=keypoints.device)
        if visible is None:
            visible = keypoints.isfinite().all(dim=-1)
        real = joint_mask[:, None, :].expand(batch, frames, joints)
        if lengths is not None:
            real = real & (torch.arange(frames, device=keypoints.device) < lengths[:, None])[:, :, None]
        visible = visible & real
        sides = keypoints.new_zeros(batch, joints) if sides is None else sides.to(keypoints).expand(batch, joints)
        if graph is not None:
            graph = graph.expand(batch, joints, joints)

        if kinds is not None:
            kinds = kinds.expand(batch, joints)
        tokens = self.encoder(keypoints, visible, sides, pitch, kinds)
        for layer in self.motion:
            tokens = layer(tokens, visible, lengths)
        for layer in self.space:
            tokens = layer(tokens, graph, joint_mask)
        out = self.decoder(tokens)
        lifted = torch.cat([out[..., :3], out[..., 3:].clamp(-8, 4).exp()], dim=-1) if uncertainty else out[..., :3]
        return torch.where(real[..., None], lifted, 0.0)


# --------------------------------------------------------------------------------------------- alignment


def procrustes(
    source: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    *,
    kind: ProcrustesKind = "rigid",
    reflection: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The R, s and t that minimize ``Σ w |s R source + t - target|²``, by an SVD (Kabsch 1976, Umeyama 1991).

    Args:
        source, target: ``(..., P, 3)``.
        weights: ``(..., P)``, >= 0; points of weight 0 are never read, and may be NaN.
        kind: "rigid" (s = 1), "similarity", or "rotation" (s = 1, t = 0).
        reflection: allow det R = -1.

    Returns:
        R ``(..., 3, 3)``, s ``(...)``, t ``(..., 3)``.
    """
    source, target, weights, source_mean, target_mean = _centered(source, target, weights, kind)
    covariance = (source * weights).mT @ target
    u, singular, vh = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    if not reflection:
        sign[..., 2] = torch.linalg.det(u @ vh).sign()
    rotation = vh.mT @ (sign.unsqueeze(-1) * u.mT)
    return _with_scale_and_translation(rotation, source, weights, covariance, source_mean, target_mean, kind)


def procrustes_quaternion(
    source: Tensor, target: Tensor, weights: Tensor | None = None, *, kind: ProcrustesKind = "rigid"
) -> tuple[Tensor, Tensor, Tensor]:
    """`procrustes` without an SVD: R from the top eigenvector of Davenport's 4×4 matrix (Horn 1987)."""
    source, target, weights, source_mean, target_mean = _centered(source, target, weights, kind)
    covariance = (source * weights).mT @ target
    _, vectors = torch.linalg.eigh(davenport(covariance))
    rotation = quaternion_to_matrix(vectors[..., :, -1])
    return _with_scale_and_translation(rotation, source, weights, covariance, source_mean, target_mean, kind)


def _centered(
    source: Tensor, target: Tensor, weights: Tensor | None, kind: ProcrustesKind
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Source and target less their weighted means, weights ``(..., P, 1)``, and the two means ``(..., 1, 3)``."""
    weights = source.new_ones(source.shape[:-1]) if weights is None else weights
    weights = weights.unsqueeze(-1)
    source = torch.where(weights > 0, source, 0.0)
    target = torch.where(weights > 0, target, 0.0)
    total = weights.sum(dim=-2, keepdim=True)
    share = weights / torch.where(total > 0, total, 1.0) * (kind != "rotation")
    source_mean = (share * source).sum(dim=-2, keepdim=True)
    target_mean = (share * target).sum(dim=-2, keepdim=True)
    return source - source_mean, target - target_mean, weights, source_mean, target_mean


def _with_scale_and_translation(
    rotation: Tensor,
    source: Tensor,
    weights: Tensor,
    covariance: Tensor,
    source_mean: Tensor,
    target_mean: Tensor,
    kind: ProcrustesKind,
) -> tuple[Tensor, Tensor, Tensor]:
    if kind == "similarity":
        spread = (weights * source.square()).sum(dim=(-2, -1))
        agreement = (rotation @ covariance).diagonal(dim1=-2, dim2=-1).sum(dim=-1)
        scale = torch.where(spread > 0, agreement / torch.where(spread > 0, spread, 1.0), 1.0)
    else:
        scale = source.new_ones(source.shape[:-2])
    translation = target_mean - scale[..., None, None] * (source_mean @ rotation.mT)
    return rotation, scale, translation.squeeze(-2)


def davenport(covariance: Tensor) -> Tensor:
    """The symmetric ``(..., 4, 4)`` matrix whose top eigenvector is the quaternion (w, x, y, z) of the best rotation.

    The top eigenvector is that of the largest eigenvalue. ``covariance[..., i, j] = Σ w source_i target_j``.
    """
    trace = covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    skew = covariance - covariance.mT
    vector = torch.stack([skew[..., 1, 2], skew[..., 2, 0], skew[..., 0, 1]], dim=-1)
    eye = torch.eye(3, dtype=covariance.dtype, device=covariance.device)
    inner = covariance + covariance.mT - trace[..., None, None] * eye
    top = torch.cat([trace[..., None], vector], dim=-1).unsqueeze(-2)
    return torch.cat([top, torch.cat([vector.unsqueeze(-1), inner], dim=-1)], dim=-2)


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Unit quaternions ``(..., 4)`` as (w, x, y, z) to rotations ``(..., 3, 3)``."""
    w, x, y, z = quaternion.unbind(dim=-1)
    rows = [
        *(w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
        *(2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
        *(2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
    ]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))


def procrustes_align(
    source: Tensor, target: Tensor, weights: Tensor | None = None, *, kind: ProcrustesKind = "rigid"
) -> Tensor:
    """``s R source + t``: the source moved onto the target, ``(..., P, 3)``."""
    rotation, scale, translation = procrustes(source, target, weights, kind=kind)
    return scale[..., None, None] * (source @ rotation.mT) + translation[..., None, :]


def procrustes_mse(
    source: Tensor, target: Tensor, weights: Tensor | None = None, *, kind: ProcrustesKind = "rigid"
) -> Tensor:
    """``min Σ w |s R source + t - target|² / Σ w``, ``(...)``; 0 where all weights are 0."""
    aligned = procrustes_align(source, target, weights, kind=kind)
    weights = source.new_ones(source.shape[:-1]) if weights is None else weights
    squared = torch.where(weights[..., None] > 0, aligned - target, 0.0).square().sum(dim=-1)
    total = weights.sum(dim=-1)
    return (weights * squared).sum(dim=-1) / torch.where(total > 0, total, 1.0)


def orthographic_procrustes(
    source: Tensor, target: Tensor, weights: Tensor | None = None, *, iterations: int = 64
) -> tuple[Tensor, Tensor, Tensor]:
    """The R, s and t that minimize ``Σ w |s (R source)_xy + t - target|²`` (scaled orthographic N-point problem).

    It starts from the rotation nearest to the best affine map. Then two steps alternate: take the target's depth from
    the current fit, and fit source to the completed target as `procrustes` does. Both steps need only 3×3 moments, and
    no step raises the error.

    Args:
        source: ``(..., P, 3)``.
        target: ``(..., P, 2)``.
        weights: ``(..., P)``, >= 0.

    Returns:
        R ``(..., 3, 3)``, s ``(...)``, t ``(..., 2)``.
    """
    weights = source.new_ones(source.shape[:-1]) if weights is None else weights
    weights = weights.unsqueeze(-1)
    source = torch.where(weights > 0, source, 0.0)
    target = torch.where(weights > 0, target, 0.0)
    total = weights.sum(dim=-2, keepdim=True)
    share = weights / torch.where(total > 0, total, 1.0)
    source_mean = (share * source).sum(dim=-2, keepdim=True)
    target_mean = (share * target).sum(dim=-2, keepdim=True)
    source, target = source - source_mean, target - target_mean
    spread = (weights * source).mT @ source
    cross = (weights * source).mT @ target
    total_spread = spread.diagonal(dim1=-2, dim2=-1).sum(dim=-1)
    safe_spread = torch.where(total_spread > 0, total_spread, 1.0)

    affine = torch.linalg.pinv(spread, rtol=1e-6) @ cross
    u, singular, vh = torch.linalg.svd(affine.mT, full_matrices=False)
    rows = u @ vh
    third = torch.linalg.cross(rows[..., 0, :], rows[..., 1, :], dim=-1)
    rotation = torch.cat([rows, third.unsqueeze(-2)], dim=-2)
    scale = singular.mean(dim=-1)
    for _ in range(iterations):
        depth = scale[..., None, None] * (spread @ rotation[..., 2:, :].mT)
        covariance = torch.cat([cross, depth], dim=-1)
        _, vectors = torch.linalg.eigh(davenport(covariance))
        rotation = quaternion_to_matrix(vectors[..., :, -1])
        scale = (rotation @ covariance).diagonal(dim1=-2, dim2=-1).sum(dim=-1) / safe_spread
    projected = scale[..., None, None] * (source_mean @ rotation.mT)[..., :2]
    return rotation, scale, (target_mean - projected).squeeze(-2)


# --------------------------------------------------------------------------------------------- loss and metrics


def center(points: Tensor, mask: Tensor) -> Tensor:
    """Each frame's points less the mean of the points whose mask is True; points whose mask is False become 0.

    points ``(..., J, C)``, mask bool ``(..., J)`` → ``(..., J, C)``.
    """
    kept = torch.where(mask.unsqueeze(-1), points, 0.0)
    count = mask.sum(dim=-1)[..., None, None].clamp(min=1)
    return torch.where(mask.unsqueeze(-1), kept - kept.sum(dim=-2, keepdim=True) / count, 0.0)


def align_clip(
    joints: Tensor, target: Tensor, labelled: Tensor, *, alignment: Alignment, kind: ProcrustesKind
) -> tuple[Tensor, Tensor]:
    """Center both in each frame on the labeled joints, and align `joints` with `target` by one fit a clip or a frame.

    The gradient holds the fit constant. That is exact for a squared error, whose derivative by the fit is 0 at the
    optimum (envelope theorem).
    """
    joints, target = center(joints, labelled), center(target, labelled)
    weights = labelled.to(joints.dtype)
    if alignment == "sequence":
        flat = (joints.flatten(1, 2), target.flatten(1, 2), weights.flatten(1, 2))
        with torch.no_grad():
            rotation, scale, translation = (x.unsqueeze(1) for x in procrustes_quaternion(*flat, kind=kind))
    else:
        with torch.no_grad():
            rotation, scale, translation = procrustes_quaternion(joints, target, weights, kind=kind)
    return scale[..., None, None] * (joints @ rotation.mT) + translation[..., None, :], target


def lifting_loss(
    joints: Tensor,
    target: Tensor,
    labelled: Tensor,
    *,
    alignment: Alignment = "sequence",
    velocity_weight: float = 1.0,
    keypoints: Tensor | None = None,
    visible: Tensor | None = None,
    reprojection_weight: float = 0.0,
    bones: Tensor | None = None,
    bone_variance_weight: float = 0.0,
    bone_ratio_weight: float = 0.0,
    uncertainty: Tensor | None = None,
    uncertainty_weight: float = 0.0,
) -> Tensor:
    """Squared joint error after rigid alignment + λ · squared velocity error + weighted terms of 2D and of the bones.

    Args:
        joints, target: ``(B, T, J, 3)``.
        labelled: bool ``(B, T, J)``, where the target is known.
        alignment: one Procrustes fit for a "sequence", or one for each "frame".
        keypoints, visible: ``(B, T, J, 2)`` and bool ``(B, T, J)``, the normalized input, for the reprojection term:
            x and y of the joints against the input, both centered on the visible keypoints.
        bones: int64 ``(B, E, 2)``, pairs of joints, padded with -1, for the two terms of `bone_errors`.
        uncertainty: ``(B, T, J, 2)`` standard deviations for one more term, the `deviance`, through which no gradient
            reaches the joints.

    Returns:
        Scalar: each term is a mean over what is labeled (visible) in the batch.
    """
    aligned, target = align_clip(joints, target, labelled, alignment=alignment, kind="rigid")
    loss = masked_mean((aligned - target).square().sum(dim=-1), labelled)
    if velocity_weight and joints.shape[1] > 1:
        error = (aligned - target).diff(dim=1).square().sum(dim=-1)
        loss = loss + velocity_weight * masked_mean(error, labelled[:, 1:] & labelled[:, :-1])
    if reprojection_weight and keypoints is not None:
        visible = keypoints.isfinite().all(dim=-1) if visible is None else visible
        error = center(joints[..., :2], visible) - center(keypoints, visible)
        loss = loss + reprojection_weight * masked_mean(error.square().sum(dim=-1), visible)
    if bones is not None and (bone_variance_weight or bone_ratio_weight):
        variance, ratio = bone_errors(joints, target, labelled, bones)
        loss = loss + bone_variance_weight * variance + bone_ratio_weight * ratio
    if uncertainty_weight and uncertainty is not None:
        given = (aligned - target).detach()
        loss = loss + uncertainty_weight * masked_mean(deviance(given, uncertainty, labelled), labelled)
    return loss


def bone_errors(joints: Tensor, target: Tensor, labelled: Tensor, bones: Tensor) -> tuple[Tensor, Tensor]:
    """How much more the bones stretch within a clip than those of the target, and how wrong their proportions are.

    All lengths are in units of the clip's mean bone, so the prediction's size has no effect.

    Args:
        joints, target: ``(B, T, J, 3)``.
        labelled: bool ``(B, T, J)``.
        bones: int64 ``(B, E, 2)``, padded with -1.

    Returns:
        Two scalars. The mean over bones of how much the variance of a bone's length exceeds the target's (at least 0),
        for bones labeled in two frames or more; and the mean squared error of the bones' mean lengths, for bones
        labeled in any frame. 0 if there is no such bone.
    """
    excess, ratio = [joints.new_zeros(0)], [joints.new_zeros(0)]
    for clip in range(len(joints)):
        lengths = []
        for a, b in bones[clip].tolist():
            seen = labelled[clip, :, a] & labelled[clip, :, b]
            if a >= 0 and seen.any():
                lengths.append([(x[clip, seen, a] - x[clip, seen, b]).norm(dim=-1) for x in (joints, target)])
        if lengths:
            whole = [torch.stack([x.mean() for x in own]).mean() for own in zip(*lengths, strict=True)]
            whole = [torch.where(x == 0, 1.0, x) for x in whole]
        for mine, true in lengths:
            mine, true = mine / whole[0], true / whole[1]
            ratio.append((mine.mean() - true.mean()).square()[None])
            if len(mine) > 1:
                excess.append((mine.var(correction=0) - true.var(correction=0)).clamp(min=0)[None])
    variance, off = (torch.cat(values).sum() / max(len(values) - 1, 1) for values in (excess, ratio))
    return variance, off


def deviance(error: Tensor, uncertainty: Tensor, labelled: Tensor) -> Tensor:
    """Negative log-likelihood ``(B, T, J)`` of the error ``(B, T, J, 3)`` under Student's t with 4 degrees of freedom.

    It is the mean over x, y and z, without the constant term. uncertainty ``(B, T, J, 2)`` has the scale of the
    distribution for x and y, and that for z.
    """
    known = torch.where(labelled[..., None], uncertainty, 1.0)
    scale = torch.stack([known[..., 0], known[..., 0], known[..., 1]], dim=-1)
    squared = (torch.where(labelled[..., None], error, 0.0) / scale) ** 2
    return (torch.log(scale) + (4 + 1) / 2 * torch.log(1 + squared / 4)).mean(dim=-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of the values whose mask is True; 0 if there are none."""
    return torch.where(mask, values, 0.0).sum() / mask.sum().clamp(min=1)


def fa_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: ProcrustesKind = "similarity") -> Tensor:
    """Mean joint error of each clip ``(B,)`` after aligning each frame by Procrustes."""
    return _clip_error(joints, target, labelled, "frame", kind)


def sa_mpjpe(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: ProcrustesKind = "similarity") -> Tensor:
    """Mean joint error of each clip ``(B,)`` after aligning the whole sequence by one Procrustes fit.

    Both are relative to a root, as in the paper's protocol. The root is the mean of a frame's labeled joints.
    """
    return _clip_error(joints, target, labelled, "sequence", kind)


def sa_mpve(joints: Tensor, target: Tensor, labelled: Tensor, *, kind: ProcrustesKind = "similarity") -> Tensor:
    """Mean velocity error per frame step of each clip ``(B,)`` after aligning the whole sequence; 0 for one frame."""
    aligned, target = align_clip(joints, target, labelled, alignment="sequence", kind=kind)
    both = labelled[:, 1:] & labelled[:, :-1]
    return _mean_per_clip((aligned - target).diff(dim=1).norm(dim=-1), both)


def _clip_error(joints: Tensor, target: Tensor, labelled: Tensor, alignment: Alignment, kind: ProcrustesKind) -> Tensor:
    aligned, target = align_clip(joints, target, labelled, alignment=alignment, kind=kind)
    return _mean_per_clip((aligned - target).norm(dim=-1), labelled)


def _mean_per_clip(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, values, 0.0).sum(dim=(1, 2)) / mask.sum(dim=(1, 2)).clamp(min=1)
