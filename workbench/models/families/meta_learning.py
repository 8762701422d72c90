"""MetaLearning: a start from which a few steps lead to the model of each symbol."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample, Standardiser

HIDDEN, DROPOUT = (256, 32), 0.2


@dataclass(frozen=True, slots=True)
class MetaLearning(NeuralLearner):
    """Reptile over symbols: a start for all, and a head adapted to each (tabular, with the context ``symbol``).

    Learns head_i(t(z)), t a 256-32 perceptron with ReLU on standardised features z (clipped to 5 deviations, NaN
    imputed by the mean). Meta-training: from the same weights W, 2 gradient steps on 32 rows each of some symbols
    (drawn in proportion to their rows) end at W_i, and AdamW follows W - mean W_i as if it were the gradient. That
    favours weights from which a few steps on one symbol help that symbol's other rows.
    Adaptation: 5 gradient steps of the head alone on a symbol's early rows, shrunk by n / (n + 1000) for n rows, times
    a strength of 0, 0.5 or 1 that later rows choose; 0 for all unless the t statistic of the change, against what the
    start leaves unexplained there, is above 2 (its error from 40 blocks of time: rows overlap and share the market).
    A symbol that is unknown (code -1, or not met in training) takes the start; without the context all rows are one
    symbol's. Weighted squared error for returns, log loss for barriers.
    Dropout 0.2; of two looks per epoch at the last 20 % of the rows (after a purged gap) the best correlation about
    zero or log loss wins; if none beats the constant, it is the constant. A regressor is scaled by its slope there.
    The file holds the start and a table of the heads' moves, chosen by the code.
    Source: Nichol, Achiam and Schulman 2018, arXiv:1803.02999.
    """

    name: str = "MetaLearning"
    rate: float = 5e-4
    classifies: bool = True
    per_symbol: bool = True

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks.meta import SymbolHeads

        symbol = _symbol(sample)
        groups = 1 if symbol is None else int(sample.x[:, symbol].max()) + 2
        classify = sample.task == "classify"
        return SymbolHeads(n_channels, HIDDEN, outputs, DROPOUT, classify, symbol=symbol, groups=max(1, groups))

    def train(self, network: Any, early: Sample, late: Sample, feeds: Any, epochs: int, device: str) -> Any:
        """See :class:`~workbench.models.neural_learner.NeuralLearner`."""
        from workbench.models.networks import meta

        return meta.train(network, early, late, feeds, self.recipe(), epochs, device)

    def standardiser(self, early: Sample) -> Standardiser:
        """A symbol's number only passes through, made small by a power of 2."""
        from workbench.models.networks.meta import CODE

        learned, symbol = Standardiser.fit(early.x), _symbol(early)
        if symbol is None:
            return learned
        mean, inverse = learned.mean.copy(), learned.inverse.copy()
        mean[symbol], inverse[symbol] = 0, CODE
        return replace(learned, mean=mean, inverse=inverse)


def _symbol(sample: Sample) -> int | None:
    """The column of the symbol's number."""
    return sample.n_features + sample.context.index("symbol") if "symbol" in sample.context else None
