"""What was computed of some tensors is held; have they changed since?"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class Watched:
    """Some tensors, as they were when this was made.

    They and their memory are held, so that no other tensor comes to have the identity of one, and no other values come
    to lie at its address, whatever is assigned to `data`.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tuple(tensors)
        self._memory = [x.untyped_storage() for x in self._tensors]
        self._states = self._now()

    def are(self, tensors: Sequence[Tensor]) -> bool:
        """Whether these are the same tensors, none of them changed in place since, as far as PyTorch counts it.

        It counts no changes of tensors made in inference mode; of them, only new memory is seen.
        """
        same = len(tensors) == len(self._tensors) and all(a is b for a, b in zip(tensors, self._tensors, strict=True))
        return same and self._states == self._now()

    def _now(self) -> list[tuple[int, int]]:
        return [(0 if x.is_inference() else x._version, x.data_ptr()) for x in self._tensors]
