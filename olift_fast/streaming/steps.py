"""A step of a stream: what goes in and what comes out, on whatever device it runs."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from olift_fast.streaming.rings import Indices

Array = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


class Inputs(NamedTuple):
    """Of each track that has a frame in this step: normalised keypoints ``(N, J, 2)`` and visible ``(N, J)``."""

    keypoints: Array
    visible: Mask


class Answers(NamedTuple):
    """Tracks ``(N,)``, the frame of each that is answered ``(N,)``, and joints ``(N, J, 3)`` as the model has them."""

    tracks: Indices
    frames: Indices
    joints: Array


class Steps(Protocol):
    """A lifter's work on one frame of some tracks, and what it keeps of the frames before."""

    def warmup(self) -> None:
        """Compiles and captures what a step needs."""

    def step(self, tracks: Indices, times: Indices, lengths: Indices, inputs: Inputs | None) -> Answers | None:
        """Takes frame ``times[i]`` of each track in, and answers frame ``times[i] - latency``, where there is one.

        Args:
            tracks: ``(K,)``, each once; the others rest.
            times: ``(K,)``, the next frame of each; 0 starts a track anew, whatever its slot held.
            lengths: ``(K,)``, how many frames the track has: ``times + 1``, or less at its end, where frames that never
                come are waited for no longer.
            inputs: of the tracks whose ``times < lengths``, in their order; None where there are none.
        """
