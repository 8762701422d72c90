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
    """One trunk 128-64 with ReLU, and a head per target: return, both barriers, both excursions (tabular).

    Learns h = relu(W2 relu(W1 z + b1) + b2) on standardised features z (clipped to 5 deviations, NaN imputed by the
    mean), and linear heads on h. Loss ::

        misfit(return) + 0.1 * (log loss(peak) + log loss(valley)) + 0.1 * (error(highest) + error(lowest))

    with misfit the weighted squared error of the return (of a barrier classifier, the log loss of its barrier) and
    error that of an excursion, standardised and clipped to 4 deviations. What is unknown (NaN) counts for nothing.
    The other targets hold what the return at the horizon forgets: how the price went there. Only trunk and return
    head are exported. AdamW, dropout 0.3; of two looks per epoch at the last 20 % of the rows (after a purged gap) the
    best correlation about zero or log loss of the first head wins; if none beats the constant, it is the constant. A
    regressor is scaled by its slope on those rows.
    Source: Caruana 1997, Machine Learning 28.
    """

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
