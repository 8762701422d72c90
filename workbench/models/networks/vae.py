"""The network of VAE: an encoder, a decoder that only training needs, and a head on the code."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.layers import Batch, Network, emit, perceptron, quiet


class Autoencoder(Network):
    """q(c | x) = Normal(mean(x), exp(spread(x))) over a code of `width`, p(x | c) = Normal(decoder(c), 1), and a linear
    head on the code. Predictions use the code's mean.

    `weight` is that of the (negative) evidence bound per feature in the loss, `beta` that of the divergence in it.
    """

    def __init__(
        self, n_inputs: int, hidden: int, width: int, outputs: int, dropout: float, classify: bool, *,
        weight: float, beta: float,
    ) -> None:  # fmt: skip
        super().__init__(classify)
        self.weight, self.beta = weight, beta
        self.trunk = perceptron(n_inputs, (hidden,), dropout)
        self.mean, self.spread = nn.Linear(hidden, width), quiet(nn.Linear(hidden, width))
        self.decoder = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, n_inputs))
        self.head = quiet(nn.Linear(width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.mean(self.trunk(x)))
        return out

    def loss(self, batch: Batch) -> Tensor:
        """That of the head on a drawn code, and the evidence bound."""
        state = self.trunk(batch.x)
        mean, spread = self.mean(state), self.spread(state)
        code = mean + torch.exp(0.5 * spread) * torch.randn_like(mean)
        error = 0.5 * ((self.decoder(code) - batch.x) ** 2).sum(dim=1)
        divergence = 0.5 * (mean**2 + torch.exp(spread) - 1 - spread).sum(dim=1)
        bound = (error + self.beta * divergence).mean() / batch.x.shape[1]
        return self.misfit(self.head(code), batch) + self.weight * bound

    def emit(self, graph: Graph, x: str) -> str:
        return emit(graph, self.head, emit(graph, self.mean, emit(graph, self.trunk, x)))
