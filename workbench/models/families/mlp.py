"""MLP: a small multilayer perceptron on standardised features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.base import DEFAULT_BUDGET, Budget, Fitted, Inputs
from workbench.models.export import INPUT, Graph
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.prepare import Sample, Standardiser, make_sample

HIDDEN = (256, 128)
DROPOUT, RATE, DECAY = 0.3, 3e-4, 0.1


@dataclass(frozen=True, slots=True)
class MLP:
    """Feed-forward network 256-128 with ReLU (tabular).

    Learns W3 relu(W2 relu(W1 z + b1) + b2) + b3 on standardised features z, clipped to 5 deviations, NaN imputed by
    the mean: weighted squared error for returns, log loss through a sigmoid for barriers; AdamW, dropout 0.3, the
    head starting at 0. Twice per epoch it looks at the last 20 % of the rows (after a purged gap) and keeps the
    weights with the best correlation about zero (returns) or log loss (barriers); if none beats the constant, it is
    the constant. A regressor is scaled by its slope on those rows. Hidden weights are rounded to float16.
    Source: Gu, Kelly and Xiu 2020, RFS 33 (networks of this kind for returns); Loshchilov and Hutter 2019 (AdamW).
    """

    name: str = "MLP"
    sequential: bool = False
    slow: bool = True
    classifies: bool = True
    min_rows: int = 200

    def fit(
        self,
        X: Inputs,
        y: FloatArray,
        weight: FloatArray | None = None,
        *,
        seed: int,
        classify: bool = False,
        threads: int = 1,
        budget: Budget = DEFAULT_BUDGET,
        gap: int | None = None,
    ) -> Fitted:
        """See :class:`~workbench.models.base.Family`."""
        sample = make_sample(self, X, y, weight, classify)
        early, late = sample.split(gap)
        if early.constant:
            return constant_model(sample, "the label does not vary")
        standardiser = Standardiser.fit(early.x)
        network, best = _train(early, late, standardiser, seed, threads, budget.epochs)
        if best is None:
            return constant_model(sample, "no epoch beats the constant on later rows")
        return _fitted(sample, standardiser, network, best, threads)


def _train(early: Sample, late: Sample, standardiser: Standardiser, seed: int, threads: int, epochs: int) -> Any:
    import torch

    from workbench.models import neural

    z, later = torch.from_numpy(standardiser.apply(early.x)), standardiser.apply(late.x)
    with neural.deterministic(seed, threads):
        network = neural.perceptron(early.x.shape[1], HIDDEN, DROPOUT)
        recipe = neural.Recipe(batch=int(np.clip(len(early) // 64, 64, 1024)), rate=RATE, decay=DECAY)
        best = neural.train(
            network, early, late, lambda rows: z[rows], lambda net: neural.predict_table(net, later), recipe, epochs
        )
    neural.round_hidden(network)
    return network, best


def _fitted(sample: Sample, standardiser: Standardiser, network: Any, best: Any, threads: int) -> FittedModel:
    from workbench.models import neural

    classify = sample.task == "classify"
    values = list(neural.arrays(network).values())
    graph = Graph((sample.x.shape[1],))
    out = graph.standardised(INPUT, standardiser)
    layers = list(zip(values[::2], values[1::2]))
    for number, (weight, bias) in enumerate(layers):
        hidden = number < len(layers) - 1
        out = graph.affine(out, weight.T, bias, half=hidden)
        out = graph.add("Relu", out) if hidden else out
    if classify:
        out = graph.add("Sigmoid", out)

    def native(x: Any) -> Any:
        with neural.deterministic(0, threads):
            raw = neural.predict_table(network, standardiser.apply(x))
        return 0.5 * (1 + np.tanh(0.5 * raw)) if classify else raw

    info: dict[str, float | int | str] = {"rows": len(sample), "score": best[0], "updates": best[1]}
    content = {ONNX_FILE: graph.finish(out)}
    return FittedModel(sample.family, sample.task, header_of(sample, "onnx"), content, native, info)
