"""What every network is made of: a module, and beside its `forward` an `emit` that writes the same into a graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.export import Graph


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one update. `x` (b, F) or (b, L, C) standardised; `y`, `weight` (b, K); `auxiliary` name -> (b, K)."""

    x: Tensor
    y: Tensor
    weight: Tensor
    auxiliary: Mapping[str, Tensor] = field(default_factory=dict)


class Network(nn.Module):
    """Standardised inputs (b, ...) to K raw outputs (b, K): sigmas of return, or logits where it classifies.

    A subclass builds its layers, ends them in ``self.head = quiet(nn.Linear(width, outputs))``, and writes `forward`
    and `emit`, the same calculation twice: for PyTorch and for ONNX.
    """

    head: nn.Linear

    def __init__(self, classify: bool = False) -> None:
        super().__init__()
        self.classify = classify

    def forward(self, x: Tensor) -> Tensor:
        """(b, K)."""
        raise NotImplementedError

    def emit(self, graph: Graph, x: str) -> str:
        """Name of the (R, K) result of standardised `x` in `graph`."""
        raise NotImplementedError

    def loss(self, batch: Batch) -> Tensor:
        """What an update lowers; here the misfit of the outputs."""
        return self.misfit(self(batch.x), batch)

    def misfit(self, out: Tensor, batch: Batch) -> Tensor:
        """Weighted squared error, or log loss where it classifies; a weight of 0 leaves a label out."""
        if self.classify:
            return nn.functional.binary_cross_entropy_with_logits(out, batch.y, batch.weight)
        return (batch.weight * (out - batch.y) ** 2).mean()

    def optimisers(self, rate: float, decay: float) -> tuple[Any, ...]:
        """What `update` steps: AdamW over all parameters."""
        return (torch.optim.AdamW(self.parameters(), lr=rate, weight_decay=decay),)

    def update(self, batch: Batch, optimisers: tuple[Any, ...]) -> None:
        """One step on `batch`."""
        descend(self.loss(batch), optimisers[0], self)

    def set_bias(self, value: float) -> None:
        """Start from a constant output."""
        with torch.no_grad():
            self.head.bias.fill_(value)

    def scale(self, factors: Any) -> None:
        """Multiply output k by factors[k]."""
        factor = torch.as_tensor(factors, dtype=torch.float32, device=self.head.weight.device)
        with torch.no_grad():
            self.head.weight.mul_(factor[:, None])
            self.head.bias.mul_(factor)

    def round_hidden(self) -> None:
        """Round every weight matrix but the head's to float16 (half the file, 3 digits: far below their noise)."""
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, nn.Linear) and module is not self.head:
                    module.weight.copy_(module.weight.half())


class SequenceNetwork(Network):
    """A network over windows (b, L, C): each bar is projected linearly, then `read` sees the projections (b, L, P) and
    the latest bar as it was (b, C). Because the projection is linear, a panel's bars are projected only once."""

    def __init__(self, n_channels: int, projection: int, classify: bool = False) -> None:
        super().__init__(classify)
        self.project = nn.Linear(n_channels, projection)

    def forward(self, x: Tensor) -> Tensor:
        return self.read(self.project(x), x[:, -1])

    def read(self, bars: Tensor, latest: Tensor) -> Tensor:
        """(b, K) from projected bars (b, L, P) and the latest bar (b, C)."""
        raise NotImplementedError

    def emit(self, graph: Graph, x: str) -> str:
        latest = graph.last(x, axis=1)
        return self.emit_read(graph, emit(graph, self.project, x), latest)

    def emit_read(self, graph: Graph, bars: str, latest: str) -> str:
        """As `read`, in `graph`."""
        raise NotImplementedError


def descend(loss: Tensor, optimiser: Any, *modules: nn.Module) -> None:
    """One step down the gradient of `loss`, clipped to norm 1."""
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for m in modules for p in m.parameters()], 1.0)
    optimiser.step()


def quiet(layer: nn.Linear) -> nn.Linear:
    """The layer, starting at 0: a head that has no view before it has learned one."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def perceptron(n_inputs: int, hidden: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Linear, ReLU, dropout for each hidden width."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_inputs, width), nn.ReLU(), nn.Dropout(dropout)]
        n_inputs = width
    return nn.Sequential(*layers)


def emit(graph: Graph, module: nn.Module, x: str) -> str:
    """Write `module` applied to `x`; a module that PyTorch does not have writes itself by its own ``emit``."""
    if isinstance(module, nn.Sequential):
        for part in module:
            x = emit(graph, part, x)
        return x
    if isinstance(module, nn.Dropout):
        return x
    if isinstance(module, nn.Linear):
        return _linear(graph, module, x)
    if isinstance(module, nn.LayerNorm):
        return graph.add("LayerNormalization", x, graph.constant(array(module.weight)),
                         graph.constant(array(module.bias)), axis=-1, epsilon=module.eps)  # fmt: skip
    if isinstance(module, nn.Conv1d):
        return _convolution(graph, module, x)
    if isinstance(module, nn.LSTM):
        return _lstm(graph, module, x)
    operator = _POINTWISE.get(type(module))
    return graph.add(operator, x) if operator else str(module.emit(graph, x))  # type: ignore[operator]


_POINTWISE: dict[type[nn.Module], str] = {nn.ReLU: "Relu", nn.Tanh: "Tanh", nn.Sigmoid: "Sigmoid", nn.GELU: "Gelu"}


def array(value: Tensor) -> Any:
    """A parameter as an array of its own."""
    return value.detach().cpu().numpy().copy()


def _linear(graph: Graph, layer: nn.Linear, x: str) -> str:
    weight = array(layer.weight).T
    half = bool(np.array_equal(weight, weight.astype(np.float16).astype(np.float32)))
    return graph.affine(x, weight, array(layer.bias), half=half)


def _convolution(graph: Graph, layer: nn.Conv1d, x: str) -> str:
    """Of (R, C, L); the padding is the layer's own."""
    pad, step = int(layer.padding[0]), int(layer.stride[0])
    return graph.add(
        "Conv", x, graph.constant(array(layer.weight)), graph.constant(array(layer.bias)),
        kernel_shape=list(layer.kernel_size), pads=[pad, pad], strides=[step], dilations=list(layer.dilation),
    )  # fmt: skip


def _lstm(graph: Graph, layer: nn.LSTM, x: str) -> str:
    """The last state (R, hidden) of one layer over x (R, L, P)."""
    recurrent = [graph.constant(_onnx_gates(array(getattr(layer, f"weight_{kind}_l0")))[None]) for kind in ("ih", "hh")]
    bias = np.concatenate([_onnx_gates(array(getattr(layer, f"bias_{kind}_l0"))) for kind in ("ih", "hh")])
    sequence = graph.add("Transpose", x, perm=[1, 0, 2])
    state = graph.add("LSTM", sequence, *recurrent, graph.constant(bias[None]), outputs=2,
                      hidden_size=layer.hidden_size)  # fmt: skip
    return graph.add("Squeeze", state, graph.constant([0], np.int64))


def _onnx_gates(values: Any) -> Any:
    """PyTorch stacks the gates as input, forget, cell, output; ONNX as input, output, forget, cell."""
    i, f, c, o = np.split(values, 4)
    return np.concatenate([i, o, f, c])
