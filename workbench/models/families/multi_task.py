"""MultiTask: returns, barriers and excursions learned by one trunk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

HIDDEN, DROPOUT = (128, 64), 0.3
EVENT, EXCURSION = 0.1, 0.1


@dataclass(frozen=True, slots=True)
class MultiTask(NeuralLearner):
    """x"""

    name: str = "MultiTask"
    classifies: bool = True
    needs: tuple[str, ...] = ("peak", "valley", "highest", "lowest")

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.multi_task import SharedTrunk

        mean, spread = _moments(sample, self.needs)
        classify = sample.task == "classify"
        return SharedTrunk(
            n_channels, HIDDEN, outputs, DROPOUT, classify, mean=mean, spread=spread, event=EVENT, excursion=EXCURSION
        )


def _moments(sample: Sample, names: tuple[str, ...]) -> tuple[Any, Any]:
    """(mean, spread) of what is known of each auxiliary target, (4, K) both; kept off 0 (and a mean event off 1)."""
    values = np.stack([sample.as_tasks().auxiliary[name] for name in names])
    known = np.isfinite(values)
    count = np.maximum(known.sum(axis=1), 1)
    mean = np.where(known, values, 0).sum(axis=1) / count
    variance = np.where(known, values - mean[:, None], 0) ** 2
    spread = np.sqrt(variance.sum(axis=1) / count)
    mean[:2] = np.clip(mean[:2], 1e-3, 1 - 1e-3)
    return mean, np.where(spread > 1e-6, spread, 1.0)
