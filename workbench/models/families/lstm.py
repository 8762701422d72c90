"""LSTM: a small recurrent network over the last L bars of one symbol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

DROPOUT = 0.1


@dataclass(frozen=True, slots=True)
class LSTM(NeuralLearner):
    """Long short-term memory over a window (sequential).

    Learns head(h_L) where h runs an LSTM of 16 units over 16 linear projections of each bar's standardised features
    (clipped to 5 deviations, NaN 0) and the session marker; weighted squared error or log loss, AdamW, head starting
    at 0. As with MLP, the weights kept are those that do best on the later rows, scaled by their slope there, or the
    constant. Source: Hochreiter and Schmidhuber 1997; Fischer and Krauss 2018, EJOR 270 (returns).
    """

    name: str = "LSTM"
    sequential: bool = True
    classifies: bool = True
    rate: float = 3e-3
    decay: float = 0.05
    batch: int = 256

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.fusion import Reader
        from workbench.models.networks.recurrent import Recurrence

        return Reader(n_channels, Recurrence(), outputs, DROPOUT, sample.task == "classify")
