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
    """Position network 128-64 with ReLU, paid for the position it implies, not for its squared error (tabular).

    Learns a = tanh(W3 relu(W2 relu(W1 z + b1) + b2) + b3) in [-1, 1] on standardised features z (clipped to 5
    deviations, NaN imputed by the mean) by raising the weighted mean reward ::

        a y - c s(a) - (risk / 2) (a y)^2,   s(a) = sqrt(a^2 + knee^2) - knee

    with y the centred label and c the cost of the round trip, both in sigmas (an unknown cost is that of the rest of
    the batch). The cost acts on the size of the position, so it never turns its sign. Two things keep a weak edge
    alive where costs exceed it: s(a) is quadratic below the knee of 0.1, and c rises from 0 over the first pass. The
    risk of 0.2 keeps positions off the bounds, but lets them saturate where squared error would not.
    The forecast is the position times its slope on the later rows. AdamW, dropout 0.3; of two looks per epoch at the
    last 20 % of the rows (after a purged gap) the best correlation about zero wins; without one above 0, it is the
    constant. Flipped labels give flipped forecasts.
    Source: Moody and Saffell 2001, IEEE Trans. Neural Networks 12 (reward of the position, net of cost, as the
    objective), with a mean-variance reward instead of their Sharpe ratio.
    """

    name: str = "RewardBased"
    needs: tuple[str, ...] = ("cost",)

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.reward import Trader

        return Trader(n_channels, HIDDEN, outputs, DROPOUT, RISK, len(sample))
