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
    """Variational autoencoder with a code of 16 and a linear head on the code (tabular).

    Encoder: code ~ Normal(m(z), exp(s(z))), m and s linear in relu(W z + b), 128 wide; decoder 16-128-F rebuilds the
    standardised features z (clipped to 5 deviations, NaN imputed by the mean). Loss ::

        misfit(head(code), y) + 0.03 / F * (|decoder(code) - z|^2 / 2 + 0.1 * KL(code's law || Normal(0, I)))

    with misfit the weighted squared error of returns, or the log loss of barriers. The noise of the drawn code and
    the duty to rebuild all features regularise the head; the weight is small, because returns hang on little of what
    features share. A forecast is the head of the code's mean m(z): nothing is drawn, and decoder and s are not
    exported. AdamW, dropout 0.2; of two looks per epoch at the last 20 % of the rows (after a purged gap) the best
    correlation about zero or log loss wins; if none beats the constant, it is the constant. A regressor is scaled by
    its slope on those rows.
    Source: Kingma and Welling 2014, ICLR; Higgins et al. 2017, ICLR (beta); Gu, Kelly and Xiu 2021, J. Econometrics
    222 (autoencoders for returns).
    """

    name: str = "VAE"
    classifies: bool = True

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.vae import Autoencoder

        classify = sample.task == "classify"
        return Autoencoder(n_channels, HIDDEN, CODE, outputs, DROPOUT, classify, weight=WEIGHT, beta=BETA)
