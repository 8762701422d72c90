"""The network of MLP."""

from __future__ import annotations

from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.layers import Network, emit, perceptron, quiet


class Perceptron(Network):
    """Hidden layers with ReLU and dropout, and a linear head."""

    def __init__(self, n_inputs: int, hidden: tuple[int, ...], outputs: int, dropout: float, classify: bool) -> None:
        super().__init__(classify)
        self.trunk = perceptron(n_inputs, hidden, dropout)
        self.head = quiet(nn.Linear(hidden[-1], outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.trunk(x))
        return out

    def emit(self, graph: Graph, x: str) -> str:
        return emit(graph, self.head, emit(graph, self.trunk, x))
