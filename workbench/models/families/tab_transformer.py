"""TabTransformer: attention over the last L bars, beside a dense branch on the latest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample

DROPOUT = 0.1


@dataclass(frozen=True, slots=True)
class TabTransformer(NeuralLearner):
    """Encoder of a transformer over a window fused with a dense branch (sequential).

    Learns head([body, relu(W z_L + b)]): the body is that of Transformer over the window (see its formula), and the
    dense branch, 32 units with dropout 0.3, reads the latest bar as it is: standardised features (clipped to 5
    deviations, NaN 0), context and session marker. Weighted squared error or log loss, AdamW, head starting at 0. As
    with MLP, the weights kept are those that do best on the later rows, scaled by their slope there, or the constant.
    Source: Cheng et al. 2016, DLRS (wide and deep branches side by side); Vaswani et al. 2017 (body).
    """

    name: str = "TabTransformer"
    sequential: bool = True
    classifies: bool = True
    rate: float = 2e-3
    decay: float = 0.1
    batch: int = 256

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.attention import Encoder
        from workbench.models.networks.fusion import Fusion

        assert sample.windows is not None
        return Fusion(n_channels, Encoder(sample.windows.length), outputs, DROPOUT, sample.task == "classify")
