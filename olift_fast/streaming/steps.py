"""What a stream computes for each frame, whatever runs it: `NativeSteps` or `ModuleSteps`."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from olift_fast.runtime.arrays import Array, Mask
from olift_fast.streaming.rings import Indices

__all__ = ["Answers", "Array", "Inputs", "Mask", "Steps", "Told"]


class Inputs(NamedTuple):
    """Normalized keypoints ``(N, J, 2)`` and visible ``(N, J)`` of the N tracks that have a frame in this step."""

    keypoints: Array
    visible: Mask


class Told(NamedTuple):
    """What the encoder is told of each track beside its keypoints, see `KeypointEncoder`; arrays, or tensors."""

    sides: Any
    pitch: Any = None
    kinds: Any = None


class Answers(NamedTuple):
    """Results of a step: tracks ``(N,)``, the frame of each ``(N,)``, and the decoder's output ``(N, J, outputs)``."""

    tracks: Indices
    frames: Indices
    decoded: Array


class Steps(Protocol):
    """Lifts one frame of some tracks at a time, and keeps what it needs of the frames before."""

    @property
    def together(self) -> int | None:
        """From how many tracks on a step takes longer in proportion; None: it takes as long for all as for one."""

    def warmup(self) -> None:
        """Compiles and captures what a step needs."""

    def step(self, tracks: Indices, times: Indices, lengths: Indices, inputs: Inputs | None) -> Answers | None:
        """Takes frame ``times[i]`` of track ``tracks[i]`` in, and returns the results of frame ``times[i] - latency``.

        Args:
            tracks: ``(K,)``, each once; the other tracks rest.
            times: ``(K,)``, the next frame of each; 0 starts a new track, whatever its slot held.
            lengths: ``(K,)``, how many frames the track has so far: ``times + 1``. After its last frame the track is
                stepped on with this number fixed, and its last results are computed without the frames to come.
            inputs: of the tracks whose ``times < lengths``, in their order; None where there are none.

        Returns:
            None where no result is due.
        """
