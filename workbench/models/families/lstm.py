"""LSTM: a small recurrent network over the last L bars of one symbol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.models.base import DEFAULT_BUDGET, Budget, Fitted, Inputs
from workbench.models.export import INPUT, Graph
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.prepare import Sample, Standardiser, clean, make_sample
from workbench.models.windows import WindowView, session_marker

PROJECTION, HIDDEN = 16, 16
DROPOUT, RATE, DECAY = 0.1, 3e-3, 0.05
BATCH = 256


@dataclass(frozen=True, slots=True)
class LSTM:
    """Long short-term memory over a window (sequential).

    Learns head(h_L) where h runs an LSTM of 16 units over 16 linear projections of each bar's standardised features
    (clipped to 5 deviations, NaN 0) and the session marker; weighted squared error, AdamW, head starting at 0. As
    with MLP, the weights kept are those that correlate best with the later rows, scaled by their slope there, or the
    constant 0. Source: Hochreiter and Schmidhuber 1997; Fischer and Krauss 2018, EJOR 270 (returns).
    """

    name: str = "LSTM"
    sequential: bool = True
    slow: bool = True
    classifies: bool = False
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
        """See :class:`~workbench.models.base.Family`; X is a WindowView."""
        sample = make_sample(self, X, y, weight, classify)
        early, late = sample.split(gap)
        if early.constant:
            return constant_model(sample, "the label does not vary")
        standardiser = Standardiser.fit(early.x)
        network, best = _train(early, late, standardiser, seed, threads, budget.sequence_epochs)
        if best is None:
            return constant_model(sample, "no epoch beats the constant on later rows")
        return _fitted(sample, standardiser, network, best, threads)


@dataclass(frozen=True, slots=True)
class Panel:
    """The bars that some windows need, standardised once: `z` (T' + L, N, F), L rows of "unknown" in front."""

    z: Any
    rows: Any
    columns: Any
    marker: Any  # (R, L)

    @classmethod
    def of(cls, view: WindowView, standardiser: Standardiser) -> Panel:
        """Standardise rows min - L + 1 .. max of the view's panel, and count from there."""
        first = max(0, int(view.rows.min()) - view.length + 1)
        known = standardiser.apply(clean(view.values[first : int(view.rows.max()) + 1]))
        blank = np.zeros((view.length, *known.shape[1:]), np.float32)
        marker = session_marker(view.bar_of_session[view.rows], view.length)
        return cls(np.concatenate([blank, known]), view.rows - first + view.length, view.columns, marker)

    def gather(self, values: Any, index: Any) -> Any:
        """(b, L, C) of `values` (T' + L, N, C), a tensor or an array, for the windows `index`."""
        at = self.rows[index][:, None] + np.arange(1 - self.marker.shape[1], 1)
        return values[at, self.columns[index][:, None]]


def _train(early: Sample, late: Sample, standardiser: Standardiser, seed: int, threads: int, epochs: int) -> Any:
    import torch

    from workbench.models import neural

    assert early.windows is not None
    assert late.windows is not None
    panel, later = Panel.of(early.windows, standardiser), Panel.of(late.windows, standardiser)

    def gather(index: Any) -> Any:
        at = index.numpy()
        window = panel.gather(panel.z, at)
        return torch.from_numpy(np.concatenate([window, panel.marker[at][:, :, None]], axis=2))

    with neural.deterministic(seed, threads):
        network = neural.Recurrent(early.x.shape[1] + 1, PROJECTION, HIDDEN, DROPOUT)
        recipe = neural.Recipe(batch=min(BATCH, max(32, len(early) // 32)), rate=RATE, decay=DECAY)
        best = neural.train(network, early, late, gather, lambda net: predict_panel(net, later), recipe, epochs)
    return network, best


def predict_panel(network: Any, panel: Panel) -> FloatArray:
    """(R,) output for every window. Each bar is projected once, however many windows hold it."""
    import torch

    from workbench.models.neural import PREDICTION_BATCH

    with torch.inference_mode():
        weight, bias = network.project.weight, network.project.bias
        projected = torch.nn.functional.linear(torch.from_numpy(panel.z), weight[:, :-1], bias).numpy()
        marker_weight = weight[:, -1].numpy()
        out = np.empty(len(panel.rows))
        for start in range(0, len(out), PREDICTION_BATCH):
            index = np.arange(start, min(start + PREDICTION_BATCH, len(out)))
            window = panel.gather(projected, index)
            row, bar = np.nonzero(panel.marker[index])
            window[row, bar] += marker_weight
            out[index] = network.recur(torch.from_numpy(window)).numpy()
    return out


def _fitted(sample: Sample, standardiser: Standardiser, network: Any, best: Any, threads: int) -> FittedModel:
    from workbench.models import neural

    assert sample.windows is not None
    content = {ONNX_FILE: _graph(neural.arrays(network), standardiser, sample.windows)}

    def native(view: Any) -> Any:
        with neural.deterministic(0, threads):
            return predict_panel(network, Panel.of(view, standardiser)) if len(view) else np.empty(0)

    info: dict[str, float | int | str] = {"rows": len(sample), "score": best[0], "updates": best[1]}
    return FittedModel(sample.family, sample.task, header_of(sample, "onnx"), content, native, info)


def _graph(weights: dict[str, Any], standardiser: Standardiser, view: WindowView) -> bytes:
    """Standardise (the marker passes through), project, bars first, ONNX's LSTM, head."""
    graph = Graph((view.length, view.n_features + 1))
    through = Standardiser(np.append(standardiser.mean, np.float32(0)), np.append(standardiser.inverse, np.float32(1)))
    z = graph.standardised(INPUT, through)
    bars = graph.affine(z, weights["project.weight"].T, weights["project.bias"])
    recurrent = [graph.constant(_onnx_gates(weights[f"lstm.weight_{kind}_l0"])[None]) for kind in ("ih", "hh")]
    bias = np.concatenate([_onnx_gates(weights[f"lstm.bias_{kind}_l0"]) for kind in ("ih", "hh")])
    sequence = graph.add("Transpose", bars, perm=[1, 0, 2])
    state = graph.add("LSTM", sequence, *recurrent, graph.constant(bias[None]), outputs=2, hidden_size=HIDDEN)
    last = graph.add("Squeeze", state, graph.constant([0], np.int64))
    return graph.finish(graph.affine(last, weights["head.weight"].T, weights["head.bias"]))


def _onnx_gates(values: Any) -> Any:
    """PyTorch stacks the gates as input, forget, cell, output; ONNX as input, output, forget, cell."""
    i, f, c, o = np.split(values, 4)
    return np.concatenate([i, o, f, c])
