"""Whether tensors have changed since a result was computed from them and kept."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor


class Watched:
    """Remembers the state of some tensors at the time when it is made.

    It holds references to the tensors and to their memory. So no new tensor can get the identity of one of them, and no
    new memory its address, even if its ``data`` is assigned.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        self._tensors = tuple(tensors)
        self._memory = [x.untyped_storage() for x in self._tensors]
        self._states = self._now()

    def are(self, tensors: Sequence[Tensor]) -> bool:
        """Whether these are the same tensors, and none was changed in place since, by PyTorch's count of changes.

        PyTorch does not count changes of tensors that were made in inference mode. For them only new memory is noticed.
        """
        same = len(tensors) == len(self._tensors) and all(a is b for a, b in zip(tensors, self._tensors, strict=True))
        return same and self._states == self._now()

    def _now(self) -> list[tuple[int, int]]:
        return [(0 if x.is_inference() else x._version, x.data_ptr()) for x in self._tensors]
