"""CNN1D: dilated convolutions over the last L bars of one symbol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

DROPOUT = 0.1


@dataclass(frozen=True, slots=True)
class CNN1D(NeuralLearner):
    """Convolutional network over a window (sequential).

    Learns head([h_L, mean of h_t]) where each bar's standardised features (clipped to 5 deviations, NaN 0) and the
    session marker are projected linearly to 16 channels, and three times h_t <- h_t + relu(w * h)_t: convolutions of
    three taps with dilations 1, 2, 4 that reach back only, so that h_t sees 15 bars; the sum keeps a straight path
    for what is linear. Dropout 0.1. Weighted squared error or log loss, AdamW, head starting at 0. As with MLP, the
    weights kept are those that do best on the later rows, scaled by their slope there, or the constant.
    Source: Bai, Kolter and Koltun 2018, arXiv:1803.01271 (dilated residual convolutions over time).
    """

    name: str = "CNN1D"
    sequential: bool = True
    classifies: bool = True
    rate: float = 3e-3
    decay: float = 0.1
    batch: int = 256

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.convolution import Convolutions
        from workbench.models.networks.fusion import Reader

        return Reader(n_channels, Convolutions(), outputs, DROPOUT, sample.task == "classify")
