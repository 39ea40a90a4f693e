"""Whether tensors have changed since a result was computed from them and kept."""

from __future__ import annotations

from collections.abc import Sequence
from operator import is_

from torch import Tensor


class Watched:
    """Remembers the state of some tensors at the time when it is made.

    It holds references to the tensors and to their memory. So no new tensor can get the identity of one of them, and no
    new memory its address, even if its ``data`` is assigned.
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

        PyTorch does not count changes of tensors that were made in inference mode. For them only new memory is noticed.
        """
        return self._state == self._now()

    def _now(self) -> list[int]:
        # One list: this runs at each call, when other data have pushed the tensors out of the cache.
        return [x._version for x in self._counted] + [x.data_ptr() for x in self._tensors]
