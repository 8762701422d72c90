"""GAN: the mean of labels drawn by a conditional generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

HIDDEN, MIXED, DROPOUT = (128, 64), 32, 0.3
DRAWS, NOISE = 16, 8
ANCHOR, PRESSURE = 1.0, 0.5


@dataclass(frozen=True, slots=True)
class GAN(NeuralLearner):
    """x"""

    name: str = "GAN"

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.gan import Generator

        return Generator(
            n_channels, HIDDEN, MIXED, outputs, DROPOUT, draws=DRAWS, noise=NOISE, anchor=ANCHOR, pressure=PRESSURE
        )
