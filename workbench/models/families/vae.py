"""VAE: a return head on the code of a variational autoencoder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

HIDDEN, CODE, DROPOUT = 128, 16, 0.2
WEIGHT, BETA = 0.03, 0.1


@dataclass(frozen=True, slots=True)
class VAE(NeuralLearner):
    """Variational autoencoder with a code of 16 and a linear return head on it (tabular)."""

    name: str = "VAE"
    classifies: bool = True

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.vae import Autoencoder

        classify = sample.task == "classify"
        return Autoencoder(n_channels, HIDDEN, CODE, outputs, DROPOUT, classify, weight=WEIGHT, beta=BETA)
