"""The interface of a stream's steps, one for each frame: `NativeSteps` and `ModuleSteps` implement it."""

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
    """The encoder's inputs for each track beside its keypoints, see `KeypointEncoder`; arrays or tensors."""

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
        """With more tracks than this, a step's time grows in proportion; None if it is the same for any number."""

    def warmup(self) -> None:
        """Compiles and captures what a step needs."""

    def step(self, tracks: Indices, times: Indices, lengths: Indices, inputs: Inputs | None) -> Answers | None:
        """Takes frame ``times[i]`` of track ``tracks[i]``, and returns the result of its frame ``times[i] - latency``.

        Args:
            tracks: ``(K,)``, each once; the other tracks rest.
            times: ``(K,)``, the number of the next frame of each; 0 starts a new track in the slot.
            lengths: ``(K,)``, the number of the track's frames so far: ``times + 1``. After the last frame, steps go on
                with this number fixed, to compute the last results without later frames.
            inputs: of the tracks whose ``times < lengths``, in their order; None if there are none.

        Returns:
            the results; None if none is due.
        """
