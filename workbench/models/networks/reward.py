"""The network of RewardBased: its output is a position, its loss the reward of holding it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.layers import Batch, Network, array, emit, perceptron, quiet

KNEE = 0.1
"""Positions well below this pay less than in proportion, so that a small edge is never cut to nothing."""


class Trader(Network):
    """``size * tanh(head(trunk(x)))``: `size` (K,) is 1 until :meth:`scale` turns positions into forecasts.

    `risk` is the aversion to the variance of the reward; the cost rises from 0 to all of it over the first `ramp`
    rows that are learned from.
    """

    size: Tensor

    def __init__(
        self, n_inputs: int, hidden: tuple[int, ...], outputs: int, dropout: float, risk: float, ramp: int
    ) -> None:
        super().__init__()
        self.risk, self.ramp, self._seen = risk, ramp, 0
        self.trunk = perceptron(n_inputs, hidden, dropout)
        self.head = quiet(nn.Linear(hidden[-1], outputs))
        self.register_buffer("size", torch.ones(outputs))

    def position(self, x: Tensor) -> Tensor:
        """(b, K) in [-1, 1]."""
        return torch.tanh(self.head(self.trunk(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.size * self.position(x)

    def loss(self, batch: Batch) -> Tensor:
        """Minus the weighted mean of a y - c |a| - (risk / 2) (a y)^2, |a| rounded off below the knee."""
        a = self.position(batch.x)
        size = torch.sqrt(a**2 + KNEE**2) - KNEE
        reward = a * batch.y - self._charged(batch) * size - 0.5 * self.risk * (a * batch.y) ** 2
        self._seen += len(a)
        return -(batch.weight * reward).mean()

    def _charged(self, batch: Batch) -> Tensor:
        """(b, K) the cost so far up its ramp; a row of unknown cost pays the mean of the others."""
        cost = batch.auxiliary["cost"]
        cost = torch.where(cost.isnan(), cost.nanmean(dim=0), cost).nan_to_num(0.0)
        return cost * min(1.0, self._seen / self.ramp)

    def scale(self, factors: Any) -> None:
        self.size.mul_(torch.as_tensor(factors, dtype=torch.float32, device=self.size.device))

    def emit(self, graph: Graph, x: str) -> str:
        a = graph.add("Tanh", emit(graph, self.head, emit(graph, self.trunk, x)))
        return graph.add("Mul", a, graph.constant(array(self.size)))
