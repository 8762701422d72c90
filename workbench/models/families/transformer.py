"""Transformer: attention over the last L bars of one symbol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

DROPOUT = 0.1


@dataclass(frozen=True, slots=True)
class Transformer(NeuralLearner):
    """Encoder of a transformer over a window (sequential).

    Learns head(norm(h_L)) where each bar's standardised features (clipped to 5 deviations, NaN 0) and the session
    marker are projected linearly to 16 channels, a learned embedding of the bar's age is added (sinusoids at the
    start), and two pre-norm blocks follow, h <- h + attention(norm h), h <- h + W2 relu(W1 norm h), with two heads
    softmax(Q K' / sqrt 8) V. Of the second block only the last position is computed: one query. Dropout 0.1.
    Weighted squared error or log loss, AdamW, head starting at 0. As with MLP, the weights kept are those that do
    best on the later rows, scaled by their slope there, or the constant.
    Source: Vaswani et al. 2017, NeurIPS; Xiong et al. 2020, ICML (norm before the block).
    """

    name: str = "Transformer"
    sequential: bool = True
    classifies: bool = True
    rate: float = 3e-3
    decay: float = 0.1
    batch: int = 256

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.attention import Encoder
        from workbench.models.networks.fusion import Reader

        assert sample.windows is not None
        return Reader(n_channels, Encoder(sample.windows.length), outputs, DROPOUT, sample.task == "classify")
