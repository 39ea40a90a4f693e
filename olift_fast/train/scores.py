"""Means of metrics over many batches and processes: `Mean` for one metric, `Scores` for several, by category."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.distributed
from torch import Tensor

from olift_fast.train.metrics import bone_length_drift


class Mean:
    """The mean of a metric over the clips of many batches; a clip with nothing to score, NaN, does not count.

    Args:
        metric: a function that gives one value a clip ``(B,)``; `functools.partial` sets its options.
        device: of the state. On the data's device an update needs no synchronization; NCCL needs a GPU.

    Fields:
        state: float64 ``(2,)``, the sum of the values and their count. An ``all_reduce`` may sum it over processes.
    """

    def __init__(self, metric: Callable[..., Tensor], device: torch.device | str = "cpu") -> None:
        self.metric = metric
        self.state = torch.zeros(2, dtype=torch.float64, device=device)

    def update(self, *arguments: Any, **options: Any) -> None:
        """Score a batch. The arguments are those of the metric, for most ``(joints, target, labelled)``."""
        with torch.no_grad():
            self.add(self.metric(*arguments, **options))

    def add(self, values: Tensor) -> None:
        """Add values ``(B,)`` of the metric that were computed before."""
        values = values.detach().to(self.state)
        scored = ~values.isnan()
        # Not in place, because a state made under `inference_mode` could not be updated outside of it.
        self.state = self.state + torch.stack([torch.where(scored, values, 0.0).sum(), scored.sum().to(values)])

    def merge(self, other: Mean) -> None:
        """Add what another `Mean` has counted."""
        self.state = self.state + other.state.to(self.state)

    def over_processes(self, group: torch.distributed.ProcessGroup | None = None) -> Mean:
        """A new `Mean` over all processes of a group; all of them must call this, and `self` is unchanged."""
        whole = Mean(self.metric, self.state.device)
        whole.state = _summed(self.state, group)
        return whole

    def compute(self) -> Tensor:
        """The mean, a float64 scalar; NaN if nothing was counted."""
        return self.state[0] / self.state[1]

    def reset(self) -> None:
        """Forget all counted values."""
        self.state = torch.zeros_like(self.state)


class Scores:
    """Means of several metrics by category, such as species, actions or data sets.

    Args:
        metrics: by name, each a function of ``(joints, target, labelled)``; `functools.partial` sets options.
        device: of the states, as in `Mean`.

    Fields:
        means: `Mean` by category and name; a category is added with its first clip.
    """

    def __init__(self, metrics: Mapping[str, Callable[..., Tensor]], device: torch.device | str = "cpu") -> None:
        self.metrics = dict(metrics)
        self.device = device
        self.means: dict[str, dict[str, Mean]] = {}

    def update(
        self,
        joints: Tensor,
        target: Tensor,
        labelled: Tensor,
        categories: str | Sequence[str],
        edges: Sequence[tuple[int, int]] | None = None,
    ) -> None:
        """Score a batch.

        Args:
            joints, target: ``(B, T, J, 3)``, one unit of length.
            labelled: bool ``(B, T, J)``.
            categories: one for all clips, or one for each clip.
            edges: the bones of all clips; if given, "bone_length_drift" is scored as well.

        Raises:
            ValueError: the number of categories is not that of the clips, or a metric raises it.
        """
        names = [categories] * len(joints) if isinstance(categories, str) else list(categories)
        if len(names) != len(joints):
            raise ValueError(f"categories must be one a clip, {len(joints)}, got {len(names)}")
        with torch.no_grad():
            values = {name: metric(joints, target, labelled) for name, metric in self.metrics.items()}
            if edges is not None:
                values["bone_length_drift"] = bone_length_drift(joints, labelled, edges)
        for category in dict.fromkeys(names):
            rows = [row for row, name in enumerate(names) if name == category]
            for name, value in values.items():
                self._mean(category, name).add(value[rows])

    def merge(self, other: Scores) -> None:
        """Add what other `Scores` of the same metrics have counted."""
        if other.metrics.keys() != self.metrics.keys():
            raise ValueError(f"metrics to merge must be {', '.join(self.metrics)}, got {', '.join(other.metrics)}")
        for category, means in other.means.items():
            for name, mean in means.items():
                self._mean(category, name).merge(mean)

    def over_processes(self, group: torch.distributed.ProcessGroup | None = None) -> Scores:
        """New `Scores` over all processes of a group; all of them must call this, and `self` is unchanged.

        The processes may have different categories.
        """
        keys = [(category, name) for category, means in self.means.items() for name in means]
        if _several_processes():
            gathered: list[Any] = [None] * torch.distributed.get_world_size(group)
            torch.distributed.all_gather_object(gathered, keys, group=group)
            keys = list(dict.fromkeys(key for process in gathered for key in process))
        whole = Scores(self.metrics, self.device)
        means = [whole._mean(*key) for key in keys]
        whole.merge(self)
        if means:
            states = _summed(torch.stack([mean.state for mean in means]), group)
            for mean, state in zip(means, states, strict=True):
                mean.state = state
        return whole

    def compute(self) -> dict[str, dict[str, float]]:
        """The mean by category and metric; NaN if nothing could be scored."""
        return {
            category: dict(zip(means, torch.stack([mean.compute() for mean in means.values()]).tolist(), strict=True))
            for category, means in self.means.items()
        }

    def reset(self) -> None:
        """Forget all counted values and the categories."""
        self.means = {}

    def _mean(self, category: str, name: str) -> Mean:
        means = self.means.setdefault(category, {})
        if name not in means:
            means[name] = Mean(self.metrics.get(name, bone_length_drift), self.device)
        return means[name]


def _summed(state: Tensor, group: torch.distributed.ProcessGroup | None) -> Tensor:
    """A copy of the state, summed over the processes if there are several."""
    total = state.clone()
    if _several_processes():
        torch.distributed.all_reduce(total, group=group)
    return total


def _several_processes() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()
