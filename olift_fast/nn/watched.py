"""What was computed of some tensors is held; have they changed since?"""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

from torch import Tensor


class Watched:
    """Some tensors, as they were when this was made.

    They and their memory are held, so that no other tensor comes to have the identity of one, and no other values come
    to lie at its address, whatever is assigned to `data`.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tuple(tensors)
        self._memory = [x.untyped_storage() for x in self._tensors]
        self._counted = [x for x in self._tensors if not x.is_inference()]
        self._state = self._now()

    def are(self, tensors: Sequence[Tensor]) -> bool:
        """Whether these are the same tensors, and `unchanged`."""
        return len(tensors) == len(self._tensors) and all(map(is_, tensors, self._tensors)) and self.unchanged()

    def unchanged(self) -> bool:
        """Whether none of the tensors was changed in place since, as far as PyTorch counts it.

        It counts no changes of tensors made in inference mode; of them, only new memory is seen.
        """
        return self._state == self._now()

    def _now(self) -> list[int]:
        # One list: this runs at each call, when other data have pushed the tensors out of the cache.
        return [x._version for x in self._counted] + [x.data_ptr() for x in self._tensors]
