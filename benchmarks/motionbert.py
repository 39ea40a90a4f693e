"""A peer of the lifter: MotionBERT-lite, written from the paper and its published configuration, with random weights.

Zhu et al., "MotionBERT: A Unified Perspective on Learning Human Motion Representations" (ICCV 2023), section 3 and
appendix; ``MB_ft_h36m_global_lite``: 243 frames of 17 joints, 5 layers, 256 channels, 8 heads, an MLP of 4 times the
channels, a representation of 512, learned fusion, and the mean of a clip's joints and its mirror image's. 16.0 million
parameters.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FRAMES, JOINTS, WIDTH, HEADS, LAYERS, MLP_RATIO, REPRESENTATION = 243, 17, 256, 8, 5, 4, 512
RIGHT, LEFT = (1, 2, 3, 14, 15, 16), (4, 5, 6, 11, 12, 13)
"""Joints of Human3.6M, in pairs: hip, knee, ankle, shoulder, elbow, wrist."""


class Attention(nn.Module):
    """Dense attention over the tokens (N, S, D), with scores as a matrix; `fused`: in PyTorch's own kernel."""

    def __init__(self, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.qkv, self.projection = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        if self.fused:
            out = functional.scaled_dot_product_attention(q, k, v)
        else:
            out = (q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5).softmax(dim=-1) @ v
        return self.projection(out.transpose(1, 2).flatten(-2))


class Half(nn.Module):
    """Attention and MLP over one axis of (B, T, J, D), each after a norm and with what goes into it added."""

    def __init__(self, over_time: bool, fused: bool) -> None:
        super().__init__()
        self.over_time = over_time
        self.attention_norm, self.attention = nn.LayerNorm(WIDTH, eps=1e-6), Attention(fused)
        self.mlp_norm = nn.LayerNorm(WIDTH, eps=1e-6)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, MLP_RATIO * WIDTH), nn.GELU(), nn.Linear(MLP_RATIO * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        rows = self.attention_norm(x.transpose(1, 2) if self.over_time else x)
        attended = self.attention(rows.flatten(0, 1)).unflatten(0, rows.shape[:2])
        x = x + (attended.transpose(1, 2) if self.over_time else attended)
        return x + self.mlp(self.mlp_norm(x))


class MotionBertLite(nn.Module):
    """Keypoints (B, T, 17, 3) of x, y and confidence, T up to 243 → joints (B, T, 17, 3).

    Two streams in each of 5 layers, one over joints and then time, one over time and then joints. Each token weighs the
    two by a softmax of a linear layer of both.

    Args:
        flip: gives the mean of a clip's joints and those of its mirror image, turned back: two passes, as MotionBERT
            does it by default.
        fused: attention by PyTorch's own kernel and not by matrices of scores.
    """

    def __init__(self, *, flip: bool = True, fused: bool = False) -> None:
        super().__init__()
        self.flip = flip
        self.embed, self.out_norm = nn.Linear(3, WIDTH), nn.LayerNorm(WIDTH, eps=1e-6)
        self.joints = nn.Parameter(0.02 * torch.randn(1, 1, JOINTS, WIDTH))
        self.frames = nn.Parameter(0.02 * torch.randn(1, FRAMES, 1, WIDTH))

        def stream(*over_time: bool) -> nn.Module:
            return nn.Sequential(*(Half(each, fused) for each in over_time))

        self.joints_first = nn.ModuleList(stream(False, True) for _ in range(LAYERS))
        self.time_first = nn.ModuleList(stream(True, False) for _ in range(LAYERS))
        self.fusion = nn.ModuleList(nn.Linear(2 * WIDTH, 2) for _ in range(LAYERS))
        self.representation, self.head = nn.Linear(WIDTH, REPRESENTATION), nn.Linear(REPRESENTATION, 3)

    def forward(self, keypoints: Tensor) -> Tensor:
        joints = self.lift(keypoints)
        return (joints + mirrored(self.lift(mirrored(keypoints)))) / 2 if self.flip else joints

    def lift(self, keypoints: Tensor) -> Tensor:
        """One pass."""
        x = self.embed(keypoints) + self.joints + self.frames[:, : keypoints.shape[1]]
        for joints_first, time_first, fusion in zip(self.joints_first, self.time_first, self.fusion, strict=True):
            a, b = joints_first(x), time_first(x)
            share = fusion(torch.cat([a, b], dim=-1)).softmax(dim=-1)
            x = a * share[..., :1] + b * share[..., 1:]
        return self.head(self.representation(self.out_norm(x)).tanh())


def mirrored(x: Tensor) -> Tensor:
    """What the mirror image of a person has at (…, 17, C): x with the other sign, left and right joints exchanged."""
    order = list(range(JOINTS))
    for right, left in zip(RIGHT, LEFT, strict=True):
        order[right], order[left] = left, right
    return torch.cat([-x[..., :1], x[..., 1:]], dim=-1)[..., order, :]
