"""MLP: a small multilayer perceptron on standardised features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

HIDDEN, DROPOUT = (256, 128), 0.3


@dataclass(frozen=True, slots=True)
class MLP(NeuralLearner):
    """Feed-forward network 256-128 with ReLU (tabular).

    Learns W3 relu(W2 relu(W1 z + b1) + b2) + b3 on standardised features z, clipped to 5 deviations, NaN imputed by
    the mean: weighted squared error for returns, log loss through a sigmoid for barriers; AdamW, dropout 0.3, the
    head starting at 0. Twice per epoch it looks at the last 20 % of the rows (after a purged gap) and keeps the
    weights with the best correlation about zero (returns) or log loss (barriers); if none beats the constant, it is
    the constant. A regressor is scaled by its slope on those rows. Hidden weights are rounded to float16.
    Source: Gu, Kelly and Xiu 2020, RFS 33 (networks of this kind for returns); Loshchilov and Hutter 2019 (AdamW).
    """

    name: str = "MLP"
    classifies: bool = True

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.perceptron import Perceptron

        return Perceptron(n_channels, HIDDEN, outputs, DROPOUT, sample.task == "classify")
