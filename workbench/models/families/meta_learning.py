"""MetaLearning: Reptile over symbols."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from workbench.models.neural_learner import NeuralLearner
from workbench.models.prepare import Sample, Standardiser

HIDDEN, DROPOUT = (256, 32), 0.2


@dataclass(frozen=True, slots=True)
class MetaLearning(NeuralLearner):
    """x"""

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
