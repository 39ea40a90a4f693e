"""The lifter as a torch module, from 2D keypoint sequences of any skeleton to 3D joints, and its copy for inference."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from olift_fast.errors import InputError
from olift_fast.model import checkpoints
from olift_fast.model.config import LifterConfig, latency_window
from olift_fast.model.native_lifter import check_told
from olift_fast.nn import KeypointEncoder, MotionLayer, SpaceLayer, dual_graph
from olift_fast.nn.decoder import Decoder
from olift_fast.nn.fused import ModuleLayers, why_not_fused, why_not_plain
from olift_fast.nn.passes import run_passes, why_not_passes
from olift_fast.ops.banded_attention import check_window
from olift_fast.ops.checks import check_floating, check_mask, check_shape
from olift_fast.ops.native_module import why_not_products
from olift_fast.renamed import warn_of_old_name
from olift_fast.runtime.arrays import Array, Mask


class Lifter(nn.Module):
    """Encoder, motion encoder (banded attention over time), space encoder (dual graph over joints), decoder.

    Args:
        config: the architecture.
        name: the model's name, as results record it.

    Equivalent to `olift_fast.reference.Lifter`, with the same ``state_dict``. Source: arXiv 2412.01166.
    """

    def __init__(self, config: LifterConfig | None = None, name: str = "unnamed") -> None:
        super().__init__()
        self.config = config = LifterConfig() if config is None else config
        self.name = name
        time = config.time_encoding
        self.encoder = KeypointEncoder(
            config.width,
            config.encoding,
            config.frequencies,
            config.sigma,
            time,
            config.time_rows,
            config.pitch,
            config.kinds,
        )
        self.motion = nn.ModuleList(
            MotionLayer(config.width, config.heads, config.window, config.mlp_ratio, time == "relative")
            for _ in range(config.motion_layers)
        )
        self.space = nn.ModuleList(
            SpaceLayer(config.width, config.heads, config.mlp_ratio) for _ in range(config.space_layers)
        )
        self.decoder = Decoder(config.width, 5 if config.uncertainty else 3)
        self._fused: ModuleLayers | None = None
        self._products = torch.float32

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
            keypoints: ``(B, T, J, 2)``; hidden ones may have any value, also NaN.
            visible: bool ``(B, T, J)``; by default True where a keypoint is finite.
            graph: bool ``(J, J)`` or ``(B, J, J)``, `Skeleton.graph(config.hops)`; by default all heads attend all
                joints.
            sides: ``(J,)`` or ``(B, J)``, +1 left, -1 right, 0 middle or unknown.
            pitch: ``(B,)``, degrees by which the camera looks down, negative where it looks up; NaN where unknown.
            kinds: int64 ``(J,)`` or ``(B, J)``, the number of each joint's kind (`olift_fast.tracks.kinds.KINDS`); 0
                where unknown.
            joint_mask: bool ``(B, J)``, False for joints that only pad the batch.
            lengths: int ``(B,)``, frames of each clip that are not padding.
            uncertainty: also return the standard deviations of the joints' errors.

        Returns:
            joints ``(B, T, J, 3)``, up to a rotation for each clip and a translation for each frame; with `uncertainty`
            ``(B, T, J, 5)``: x, y, z, the standard deviation of x and y, and that of z. 0 in padding.

        Raises:
            ValueError, TypeError: an argument has the wrong shape, dtype or device, or the model does not support it
                (`LifterConfig.pitch`, `kinds`, `uncertainty`).
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
        if pitch is not None:
            check_shape("pitch", pitch, (batch,))
            pitch = pitch.to(keypoints)
        if kinds is not None:
            check_shape("kinds", kinds, (joints,), (batch, joints))
            kinds = kinds.expand(batch, joints)
        check_told(self.config, self.name, pitch=pitch is not None, kinds=kinds is not None, uncertainty=uncertainty)
        if graph is not None:
            graph = graph.expand(batch, joints, joints)
        heads = dual_graph(graph, joint_mask, self.config.heads)

        tokens = self.encoder(keypoints, visible, sides, pitch, kinds)
        fused = self.fused_layers(tokens)
        if fused is not None:
            out = fused(tokens, visible, lengths, heads)
        elif why_not_passes(tokens, self.motion, self.space, self.decoder) is None:
            out = run_passes(tokens, self.motion, self.space, self.decoder, visible, lengths, heads)
        else:
            for layer in self.motion:
                tokens = layer(tokens, visible, lengths)
            for layer in self.space:
                tokens = layer(tokens, heads)
            out = self.decoder(tokens)
        lifted = torch.cat([out[..., :3], deviations(out[..., 3:])], dim=-1) if uncertainty else out[..., :3]
        return lifted if real is None else torch.where(real[..., None], lifted, 0.0)

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the packed weights out of copies and pickles, which pack them again at their first call."""
        return {**self.__dict__, "_fused": None}

    def fused_layers(self, tokens: Tensor) -> ModuleLayers | None:
        """The layers as native passes over such tokens; None if those can't run, or if a part is another or has hooks.

        The weights are packed at the first call, and again after they change. `forward` and streams compute with this.
        """
        layers = (self.motion, self.space, self.decoder)
        if why_not_fused(tokens, *layers) is not None:
            return None
        fused = self._fused
        if fused is None or not fused.current():
            plain = why_not_plain([*self.motion, *self.space], self.decoder) is None
            fused = self._fused = ModuleLayers(*layers, products=self._products) if plain else None
        return None if fused is None or fused.hooked() else fused

    def lift_arrays(self, keypoints: Array, visible: Mask, **given: Any) -> Array:
        """`forward` for NumPy arrays, without gradients, on this lifter's device: see `AnyLifter`."""
        device = next(self.parameters()).device
        arrays = {name: x for name, x in given.items() if isinstance(x, np.ndarray)}
        told = {name: torch.from_numpy(x).to(device) for name, x in arrays.items()}
        with torch.inference_mode():
            points, seen = (torch.from_numpy(x).to(device) for x in (keypoints, visible))
            lifted: Array = self(points, seen, **(given | told)).cpu().numpy()
        return lifted

    def weight_bytes(self) -> Iterator[tuple[str, bytes]]:
        """See `AnyLifter.weight_bytes`."""
        for name, tensor in sorted(self.state_dict().items()):
            yield name, tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes()

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which to call this lifter's modules: autocast to the dtype of `optimize`, or no change."""
        return nullcontext()

    def optimize(
        self, device: torch.device | str | None = None, dtype: torch.dtype = torch.float32, *, compile: bool = False
    ) -> Lifter:
        """A copy for inference, without gradients; its input and output stay float32.

        Args:
            device: where the copy is to run; by default this lifter's device.
            dtype: of the linear layers' products. torch.bfloat16 (on GPUs, and on CPUs with AVX512-BF16) and
                torch.float16 (on GPUs) round inputs and weights, and sum in float32; joints then move by about 0.4 %
                of the animal's size. torch.int16 (on x86-64 CPUs) rounds them to integers, with a scale for
                each token and each output; joints move by 0.1 %.
            compile: `torch.compile` the whole forward pass; on a GPU it is replayed as one CUDA graph for each shape.
                The first calls take seconds to minutes. On the CPU the native passes, which need no compiler, are
                faster.

        Raises:
            InputError: `dtype` does not run on the device; the message says why.

        Later changes of this lifter's weights don't change the copy. Equivalent to `forward` under
        ``torch.no_grad()`` and ``torch.autocast`` to `dtype`.
        """
        target = next(self.parameters()).device if device is None else torch.device(device)
        return OptimizedLifter(self, target, dtype, compile)

    def with_window(self, window: int | tuple[int, int]) -> Lifter:
        """A copy with the same weights and another window; the latency of a stream changes with it.

        No parameter depends on the window, so any window works. The joints are accurate for windows that the weights
        were trained with: for "small-causal", 0 … 8 frames to the right.

        Args:
            window: ``(left, right)`` frames, or α for ``(α, α)``.

        Raises:
            ValueError: a negative window.
        """
        lifter = copy.deepcopy(self)
        lifter.set_window(window)
        return lifter

    def with_latency(self, frames: int) -> Lifter:
        """A copy whose results depend on this many later frames; see `with_window`.

        The number of later frames is ``motion_layers`` × right; the left side of the window stays as it is.

        Raises:
            InputError: `frames` is not a multiple >= 0 of the number of motion layers.
        """
        return self.with_window(latency_window(self.config, frames))

    def with_delay(self, frames: int) -> Lifter:
        """The old name of `with_latency`."""
        warn_of_old_name("Lifter.with_delay", "Lifter.with_latency")
        return self.with_latency(frames)

    def set_window(self, window: int | tuple[int, int]) -> None:
        """`with_window` in place, for training with several windows."""
        self.config = replace(self.config, window=check_window(window))
        for layer in self.motion:
            cast(MotionLayer, layer).attention.set_window(window)
        self._fused = None

    @staticmethod
    def _real(keypoints: Tensor, joint_mask: Tensor | None, lengths: Tensor | None) -> Tensor | None:
        """Bool ``(B, T, J)``, False in padding; None if nothing is padded."""
        real = None if joint_mask is None else joint_mask[:, None, :].expand(keypoints.shape[:3])
        if lengths is not None:
            inside = (torch.arange(keypoints.shape[1], device=keypoints.device) < lengths[:, None])[:, :, None]
            real = inside.expand(keypoints.shape[:3]) if real is None else real & inside
        return real

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path = "small", *, revision: str | None = None) -> Lifter:
        """Load a lifter from a folder that `save_pretrained` wrote, from the package, or from the Hub.

        It is in evaluation mode, float32, on the CPU. The string "small" means the shipped checkpoint; a folder of that
        name is ``"./small"`` or ``Path("small")``. "owner/name" means a folder if it exists, else a model on the Hub:
        its ``config.json`` and ``model.safetensors`` are fetched and kept in the cache.

        Args:
            name_or_path: the checkpoint; "owner/name@revision" is the same as "owner/name" with `revision`.
            revision: a branch, a tag or a commit of a model on the Hub; by default the newest state of its main branch.

        Raises:
            InputError: there is no such checkpoint; its files are broken, beyond the limits (docs/training.md), or
                don't fit together; or it can't be fetched from the Hub. The message names the file or the next step.
                The files are checked before the lifter is built.
            MissingExtraError: it is on the Hub, and the extra `hub` is not installed.
        """
        config, name, weights = checkpoints.load(name_or_path, revision)
        lifter = Lifter(config, name=name)
        lifter.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
        return lifter.eval()

    def save_pretrained(self, folder: str | Path) -> Path:
        """Write ``config.json`` and ``model.safetensors`` into the folder, created if missing; returns the folder.

        Raises:
            InputError: the folder can't be written.
        """
        return checkpoints.save(self.config, self.name, self.state_dict(), folder)

    def push_to_hub(
        self,
        repo: str,
        *,
        card: str | None = None,
        license: str | None = None,
        private: bool = False,
        revision: str | None = None,
        message: str | None = None,
    ) -> str:
        """Put config, weights and a model card into a repository on the Hub; returns the web address of the commit.

        ``lifter.push_to_hub("me/mouse", license="apache-2.0")``, then ``Lifter.from_pretrained("me/mouse")`` anywhere.
        A shipped lifter is pushed with its own card, if its weights are unchanged.

        Args:
            repo: "owner/name"; the repository is created if missing.
            card: in Markdown; by default a short card made from the config, which does not replace a card in the
                repository. Metadata is added to a card that has none.
            license: for the metadata, such as "apache-2.0".
            private: make the repository private.
            revision: the branch; the main branch by default.
            message: the commit message.

        Raises:
            InputError: `repo` is not "owner/name", or the upload fails: not logged in, no right to write there, no
                network.
            MissingExtraError: the extra `hub` is not installed.
        """
        config, name, weights = self.config, self.name, self.state_dict()
        arrays = {key: weight.detach().cpu().numpy() for key, weight in weights.items()}
        how = checkpoints.Publication(card=card, license=license, private=private, revision=revision, message=message)
        with tempfile.TemporaryDirectory(prefix="olift-push-") as scratch:
            known = checkpoints.ships(config, name, arrays)
            source = name if known else checkpoints.save(config, name, weights, Path(scratch) / "it")
            return checkpoints.push(source, repo, how)


def deviations(logarithms: Tensor) -> Tensor:
    """Standard deviations from the decoder's logarithms, clamped to e⁻⁸ … e⁴ model units."""
    return logarithms.clamp(-8, 4).exp()


class OptimizedLifter(Lifter):
    """The copy that `Lifter.optimize` returns: for inference on one device, without gradients.

    Args:
        lifter: the lifter to copy.
        device, dtype, compile: see `Lifter.optimize`.
    """

    def __init__(self, lifter: Lifter, device: torch.device, dtype: torch.dtype, compile: bool) -> None:
        nn.Module.__init__(self)
        _check_dtype(device, dtype, compile)
        self.config, self.name, self.dtype = lifter.config, lifter.name, dtype
        for name, part in lifter.named_children():
            self.add_module(name, copy.deepcopy(part))
        self.eval().requires_grad_(False).to(device)
        self._fused, self._products = None, torch.float32
        self._compiled: Callable[..., Tensor] | None = None
        self._device, self._compile = device, compile
        if device.type == "cpu" and not compile:
            self._products = dtype
        elif dtype != torch.float32:
            self._round_weights()

    def forward(self, keypoints: Tensor, visible: Tensor | None = None, **given: Any) -> Tensor:
        """`Lifter.forward`, with the same arguments, without gradients."""
        with torch.no_grad(), self.autocast():
            if not self._compile:
                return super().forward(keypoints, visible, **given).to(keypoints.dtype)
            # A copy, because a CUDA graph writes its next result to the same memory.
            return self._compiled_forward()(keypoints, visible, **given).to(keypoints.dtype, copy=True)

    def extra_repr(self) -> str:
        """Device, dtype, and whether it is compiled."""
        return f"device={self._device}, dtype={self.dtype}, compile={self._compile}"

    def __getstate__(self) -> dict[str, Any]:
        """Leaves the compiled function out of copies and pickles, which compile again at their first call."""
        return {**super().__getstate__(), "_compiled": None}

    def autocast(self) -> torch.autocast:
        """See `Lifter.autocast`."""
        enabled = self.dtype not in (torch.float32, self._products)
        return torch.autocast(self._device.type, dtype=self.dtype if enabled else None, enabled=enabled)

    def _round_weights(self) -> None:
        """Rounds the layers' weights once, as autocast would do at each call."""
        for layers in (self.encoder.projection, self.motion, self.space, self.decoder):
            for module in layers.modules():
                if isinstance(module, nn.Linear):
                    module.to(self.dtype)

    def _compiled_forward(self) -> Callable[..., Tensor]:
        if self._compiled is None:
            mode = "reduce-overhead" if self._device.type == "cuda" else None
            self._compiled = torch.compile(super().forward, fullgraph=True, dynamic=True, mode=mode)
        return self._compiled


def _check_dtype(device: torch.device, dtype: torch.dtype, compile: bool) -> None:
    """Raises InputError if products in `dtype` don't run on the device."""
    if dtype not in (torch.float32, torch.bfloat16, torch.int16, torch.float16):
        raise InputError(f"dtype must be torch.float32, torch.bfloat16, torch.int16 or torch.float16, got {dtype}")
    if dtype == torch.int16 and (device.type != "cpu" or compile):
        raise InputError(
            "dtype torch.int16 is for the native passes on the CPU; compiled, or on a GPU, it does not run"
        )
    if device.type != "cpu" or dtype == torch.float32:
        return
    if dtype == torch.float16:
        raise InputError("dtype torch.float16 is for GPUs; on the CPU there are torch.float32, bfloat16 and int16")
    reason = None if compile else why_not_products(dtype)
    if reason is not None:
        raise InputError(f"dtype {dtype} does not run on this CPU: {reason}; torch.float32 does")
