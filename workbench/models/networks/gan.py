"""The networks of GAN: a generator of labels and the critic that it has to fool."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.layers import Batch, Network, array, descend, emit, perceptron, quiet

CRITIC, FEATURES = 64, 8
"""Width of the critic's hidden layer, and how many features of a label it looks at."""


class Critic(nn.Module):
    """score_k(x, y) = sum_j v_kj(x) f_j(y_k): how real the label of task k looks beside the features (b, K).

    Bilinear in features and label, as the projection critic of Miyato and Koyama 2018: a shift of the label's mean
    with x, which is all that a forecast wants, is one product away.
    """

    def __init__(self, n_inputs: int, hidden: int, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.outputs, self.width = outputs, width
        self.trunk = perceptron(n_inputs, (hidden,), dropout)
        self.direction = nn.Linear(hidden, outputs * width)
        self.label = nn.Sequential(nn.Linear(1, width), nn.Tanh())

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        direction = self.direction(self.trunk(x)).view(-1, self.outputs, self.width)
        return (direction * self.label(y[:, :, None])).sum(dim=2)


class Generator(Network):
    """head(relu(A trunk(x) + B noise)) + C noise; as a forecast, its mean over `draws` noise vectors that are fixed.

    They come in opposite pairs, so C, which starts with the spread of the labels, leaves no trace in the mean; and
    the head is linear, so the mean is taken before it. `anchor` weighs the squared error of that mean, and
    `pressure` the critic's opinion of one fresh draw per row.
    """

    noise: Tensor

    def __init__(
        self, n_inputs: int, hidden: tuple[int, ...], mixed: int, outputs: int, dropout: float, *,
        draws: int, noise: int, anchor: float, pressure: float,
    ) -> None:  # fmt: skip
        super().__init__()
        self.anchor, self.pressure = anchor, pressure
        self.trunk = perceptron(n_inputs, hidden, dropout)
        self.mix, self.stir = nn.Linear(hidden[-1], mixed), nn.Linear(noise, mixed, bias=False)
        self.head = quiet(nn.Linear(mixed, outputs))
        self.spread = nn.Linear(noise, outputs, bias=False)
        nn.init.normal_(self.spread.weight, std=noise**-0.5)
        half = torch.randn(draws // 2, noise)
        self.register_buffer("noise", torch.cat([half, -half]))
        self.critic = Critic(n_inputs, CRITIC, FEATURES, outputs, dropout)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self._mean(self.mix(self.trunk(x))))
        return out

    @property
    def maker(self) -> tuple[nn.Module, ...]:
        """All but the critic."""
        return self.trunk, self.mix, self.stir, self.spread, self.head

    def _mean(self, known: Tensor) -> Tensor:
        """(b, mixed) mean over the fixed noise."""
        return torch.relu(known[:, None, :] + self.stir(self.noise)[None]).mean(dim=1)

    def optimisers(self, rate: float, decay: float) -> tuple[Any, ...]:
        """AdamW of the generator and of the critic."""
        own = [p for module in self.maker for p in module.parameters()]
        return (
            torch.optim.AdamW(own, lr=rate, weight_decay=decay),
            torch.optim.AdamW(self.critic.parameters(), lr=rate, weight_decay=decay, betas=(0.5, 0.9)),
        )

    def update(self, batch: Batch, optimisers: tuple[Any, ...]) -> None:
        """A step of the critic towards 1 for real and -1 for drawn labels, then one of the generator."""
        known = self.mix(self.trunk(batch.x))
        fresh = torch.randn(len(known), self.noise.shape[1], device=known.device)
        drawn = self.head(torch.relu(known + self.stir(fresh))) + self.spread(fresh)
        real, fake = self.critic(batch.x, batch.y), self.critic(batch.x, drawn.detach())
        descend((batch.weight * ((real - 1) ** 2 + (fake + 1) ** 2)).mean(), optimisers[1], self.critic)
        fooled = -(batch.weight * self.critic(batch.x, drawn)).mean()
        error = self.misfit(self.head(self._mean(known)), batch)
        descend(self.anchor * error + self.pressure * fooled, optimisers[0], *self.maker)

    def emit(self, graph: Graph, x: str) -> str:
        known = emit(graph, self.mix, emit(graph, self.trunk, x))
        stirred = graph.constant(array(self.stir(self.noise))[None])
        axis = graph.constant([1], np.int64)
        drawn = graph.add("Relu", graph.add("Add", graph.add("Unsqueeze", known, axis), stirred))
        mean = graph.add("ReduceMean", drawn, axis, keepdims=0)
        return emit(graph, self.head, mean)
