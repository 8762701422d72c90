"""The network of MultiTask: one trunk, and a head for each kind of target."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.layers import Batch, Network, emit, perceptron, quiet

EVENTS, EXCURSIONS = ("peak", "valley"), ("highest", "lowest")
CLIP = 4.0


class SharedTrunk(Network):
    """`head` on a trunk that four more heads share in training: of the events and of the excursions of each task.

    `mean` and `spread` (4, K) are those of the auxiliary targets; `event`, `excursion` the weights of their losses.
    """

    mean: Tensor
    spread: Tensor

    def __init__(
        self, n_inputs: int, hidden: tuple[int, ...], outputs: int, dropout: float, classify: bool, *,
        mean: Any, spread: Any, event: float, excursion: float,
    ) -> None:  # fmt: skip
        super().__init__(classify)
        self.event, self.excursion = event, excursion
        self.trunk = perceptron(n_inputs, hidden, dropout)
        self.head = quiet(nn.Linear(hidden[-1], outputs))
        self.others = nn.ModuleDict({name: quiet(nn.Linear(hidden[-1], outputs)) for name in EVENTS + EXCURSIONS})
        for name, value in (("mean", mean), ("spread", spread)):
            self.register_buffer(name, torch.as_tensor(value, dtype=torch.float32))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.trunk(x))
        return out

    def loss(self, batch: Batch) -> Tensor:
        """That of the head, plus a little of each other; what is unknown counts for nothing."""
        state = self.trunk(batch.x)
        total = self.misfit(self.head(state), batch)
        for number, name in enumerate(EVENTS + EXCURSIONS):
            target = batch.auxiliary[name]
            weight = batch.weight * target.isfinite()
            out, target = self.others[name](state), target.nan_to_num(0.0)
            mean, spread = self.mean[number], self.spread[number]
            if name in EVENTS:
                miss = nn.functional.binary_cross_entropy_with_logits(out + torch.logit(mean), target, weight)
                total = total + self.event * miss
            else:
                scaled = ((target - mean) / spread).clamp(-CLIP, CLIP)
                total = total + self.excursion * (weight * (out - scaled) ** 2).mean()
        return total

    def emit(self, graph: Graph, x: str) -> str:
        return emit(graph, self.head, emit(graph, self.trunk, x))
