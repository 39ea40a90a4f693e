"""The lifter: 2D keypoint sequences of any skeleton to 3D joints."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from olift_fast.errors import InputError
from olift_fast.model.config import LifterConfig
from olift_fast.nn import KeypointEncoder, MotionLayer, SpaceLayer, dual_graph
from olift_fast.nn.fused import FusedLayers, why_not_fused
from olift_fast.nn.hooks import is_unheard
from olift_fast.nn.native_layers import through_norm_mlp
from olift_fast.ops.banded_attention import check_window
from olift_fast.ops.checks import check_floating, check_mask, check_shape
from olift_fast.reference import Decoder


class Lifter(nn.Module):
    """Encoder, motion encoder (banded attention over time), space encoder (dual graph over joints), decoder.

    Args:
        config: the architecture.
        name: what the results say they were lifted with.

    Equivalent to `olift_fast.reference.Lifter`, same ``state_dict``. Source: arXiv 2412.01166.
    """

    def __init__(self, config: LifterConfig | None = None, name: str = "unnamed") -> None:
        super().__init__()
        self.config = config = LifterConfig() if config is None else config
        self.name = name
        time = config.time_encoding
        self.encoder = KeypointEncoder(
            config.width, config.encoding, config.frequencies, config.sigma, time, config.time_rows
        )
        self.motion = nn.ModuleList(
            MotionLayer(config.width, config.heads, config.window, config.mlp_ratio, time == "relative")
            for _ in range(config.motion_layers)
        )
        self.space = nn.ModuleList(
            SpaceLayer(config.width, config.heads, config.mlp_ratio) for _ in range(config.space_layers)
        )
        self.decoder = Decoder(config.width)
        self._fused: FusedLayers | None = None
        self._products = torch.float32

    def forward(
        self,
        keypoints: Tensor,
        visible: Tensor | None = None,
        *,
        graph: Tensor | None = None,
        sides: Tensor | None = None,
        joint_mask: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """Lift normalised keypoints: each frame centred on its visible keypoints, one scale a clip.

        Args:
            keypoints: ``(B, T, J, 2)``; hidden ones may hold anything, NaN too.
            visible: bool ``(B, T, J)``; finite keypoints by default.
            graph: bool ``(J, J)`` or ``(B, J, J)``, `Skeleton.graph(config.hops)`; None makes all heads global.
            sides: ``(J,)`` or ``(B, J)``, +1 left, -1 right, 0 middle or unknown.
            joint_mask: bool ``(B, J)``, False for joints that only pad the batch.
            lengths: int ``(B,)``, frames of each clip that are not padding.

        Returns:
            joints ``(B, T, J, 3)`` up to a rotation a clip and a translation a frame; 0 in padding.

        Raises:
            ValueError, TypeError: an argument has the wrong shape, dtype or device.
        """
        check_floating("keypoints", keypoints)
        if keypoints.dim() != 4 or keypoints.shape[-1] != 2:
            raise ValueError(f"keypoints must be (B, T, J, 2), got {tuple(keypoints.shape)}")
        batch, frames, joints, _ = keypoints.shape
        check_mask("visible", visible, keypoints, (batch, frames, joints))
        check_mask("graph", graph, keypoints, (joints, joints), (batch, joints, joints))
        check_mask("joint_mask", joint_mask, keypoints, (batch, joints))
        if visible is None:
            visible = keypoints.isfinite().all(dim=-1)
        real = self._real(keypoints, joint_mask, lengths)
        if real is not None:
            visible = visible & real
        if sides is not None:
            check_shape("sides", sides, (joints,), (batch, joints))
            sides = sides.to(keypoints).expand(batch, joints)
        if graph is not None:
            graph = graph.expand(batch, joints, joints)
        heads = dual_graph(graph, joint_mask, self.config.heads)

        tokens = self.encoder(keypoints, visible, sides)
        fused = self._fused_layers(tokens)
        if fused is not None:
            joints_3d = fused(tokens, visible, lengths, heads)
        else:
            for layer in self.motion:
                tokens = layer(tokens, visible, lengths)
            for layer in self.space:
                tokens = layer(tokens, heads)
            joints_3d = self._decode(tokens)
        return joints_3d if real is None else torch.where(real[..., None], joints_3d, 0.0)

    def _decode(self, tokens: Tensor) -> Tensor:
        if type(self.decoder) is not Decoder or not is_unheard(self.decoder):
            return cast(Tensor, self.decoder(tokens))
        return through_norm_mlp(tokens, self.decoder.norm, self.decoder.mlp, residual=False)

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles go without the packed weights, which are made again."""
        return {**self.__dict__, "_fused": None}

    def _fused_layers(self, tokens: Tensor) -> FusedLayers | None:
        """The layers as native passes, packed again after a change; None where they can't run or have hooks."""
        layers = (self.motion, self.space, self.decoder)
        if why_not_fused(tokens, *layers) is not None:
            return None
        if self._fused is None or not self._fused.current():
            self._fused = FusedLayers(*layers, products=self._products)
        return None if self._fused.hooked() else self._fused

    def optimize(
        self, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32, *, compile: bool = False
    ) -> Lifter:
        """A copy for inference: it computes no gradients, and what comes in and goes out stays float32.

        Args:
            device: where it is to run; where this lifter is, by default.
            dtype: of the linear layers' products. torch.bfloat16 rounds their factors to 8 bits and adds up in float32:
                on GPUs, and on CPUs with AVX512-BF16; torch.float16 on GPUs. Joints then move by some 0.5 % of the
                animal's size.
            compile: `torch.compile` the whole forward pass, on a GPU replayed as one CUDA graph for each shape. The
                first calls take seconds to minutes. On the CPU the native passes, which need no compiler, are faster.

        Raises:
            InputError: `dtype` does not run there; the message tells why.

        Changes of this lifter's weights don't reach the copy. Equivalent to `forward` under ``torch.no_grad()``, and
        ``torch.autocast`` to `dtype`.
        """
        from olift_fast.model.optimized import OptimizedLifter

        target = next(self.parameters()).device if device is None else torch.device(device)
        return OptimizedLifter(self, target, dtype, compile)

    def with_window(self, window: int | tuple[int, int]) -> Lifter:
        """A copy with the same weights whose motion layers attend other frames: another delay in a stream.

        No parameter belongs to one window, so this always works. How good the joints are depends on the windows that
        the weights were trained with: "small-causal" knows 0 … 8 frames to the right.

        Args:
            window: ``(left, right)`` frames, or α for ``(α, α)``.

        Raises:
            ValueError: a negative window.
        """
        lifter = copy.deepcopy(self)
        lifter.set_window(window)
        return lifter

    def with_delay(self, frames: int) -> Lifter:
        """`with_window`, such that a result depends on this many frames after its own: ``motion_layers`` × right.

        Raises:
            InputError: not a multiple >= 0 of the motion layers.
        """
        layers, (left, _) = self.config.motion_layers, self.config.window
        if frames < 0 or (frames % layers if layers else frames):
            raise InputError(
                f"delay must be a multiple >= 0 of the model's {layers} motion layers, got {frames} frames"
            )
        return self.with_window((left, frames // max(layers, 1)))

    def set_window(self, window: int | tuple[int, int]) -> None:
        """`with_window` in place, for training with several windows."""
        self.config = replace(self.config, window=check_window(window))
        for layer in self.motion:
            cast(MotionLayer, layer).attention.set_window(window)
        self._fused = None

    @staticmethod
    def _real(keypoints: Tensor, joint_mask: Tensor | None, lengths: Tensor | None) -> Tensor | None:
        """Bool ``(B, T, J)``, False in padding; None when nothing is padded."""
        real = None if joint_mask is None else joint_mask[:, None, :].expand(keypoints.shape[:3])
        if lengths is not None:
            inside = (torch.arange(keypoints.shape[1], device=keypoints.device) < lengths[:, None])[:, :, None]
            real = inside.expand(keypoints.shape[:3]) if real is None else real & inside
        return real

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = "small") -> Lifter:
        """A lifter that was saved by `save_pretrained`, or one that ships with the package, by name.

        A string that is a shipped name means that one; ``"./small"`` and ``Path("small")`` are a folder of one's own.

        Raises:
            InputError: no such checkpoint, or its files don't fit together; the message names the file.
        """
        from olift_fast.model.checkpoints import load

        return load(name_or_path)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write ``config.json`` and ``model.safetensors`` into the folder, which is made; returns it.

        Raises:
            InputError: the folder can't be written.
        """
        from olift_fast.model.checkpoints import save

        return save(self, folder)
