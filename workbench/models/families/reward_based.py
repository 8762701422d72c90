"""RewardBased: a network that is paid for its position, net of cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

HIDDEN, DROPOUT = (128, 64), 0.3
RISK = 0.2


@dataclass(frozen=True, slots=True)
class RewardBased(NeuralLearner):
    """Position network 128-64 with ReLU, trained on the reward of the position it implies (tabular)."""

    name: str = "RewardBased"
    needs: tuple[str, ...] = ("cost",)

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.reward import Trader

        return Trader(n_channels, HIDDEN, outputs, DROPOUT, RISK, len(sample))
