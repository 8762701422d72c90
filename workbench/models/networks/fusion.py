"""Networks over windows, whatever reads the bars: a body alone, or beside a dense branch on the latest bar."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.layers import SequenceNetwork, emit, perceptron, quiet


class Body(nn.Module):
    """What reads the bars of a window: `forward` maps projected bars (b, L, `projection`) to (b, `width`), and `emit`
    writes the same calculation into a graph."""

    projection: int
    width: int

    def emit(self, graph: Graph, bars: str) -> str:
        """Name of the (R, width) result of projected `bars` (R, L, projection) in `graph`."""
        raise NotImplementedError


class Reader(SequenceNetwork):
    """A body, dropout, and a linear head."""

    def __init__(self, n_channels: int, body: Body, outputs: int, dropout: float, classify: bool) -> None:
        super().__init__(n_channels, body.projection, classify)
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.head = quiet(nn.Linear(body.width, outputs))

    def read(self, bars: Tensor, latest: Tensor) -> Tensor:
        out: Tensor = self.head(self.dropout(self.body(bars)))
        return out

    def emit_read(self, graph: Graph, bars: str, latest: str) -> str:
        return emit(graph, self.head, self.body.emit(graph, bars))


class Fusion(SequenceNetwork):
    """A body on the bars and a perceptron on the latest bar, side by side, and a linear head on both.

    `hidden` and `shut` are the widths and the dropout of the perceptron.
    """

    def __init__(
        self,
        n_channels: int,
        body: Body,
        outputs: int,
        dropout: float,
        classify: bool,
        hidden: tuple[int, ...] = (32,),
        shut: float = 0.3,
    ) -> None:
        super().__init__(n_channels, body.projection, classify)
        self.body = body
        self.dropout = nn.Dropout(dropout)
        self.dense = perceptron(n_channels, hidden, shut)
        self.head = quiet(nn.Linear(body.width + hidden[-1], outputs))

    def read(self, bars: Tensor, latest: Tensor) -> Tensor:
        out: Tensor = self.head(torch.cat([self.dropout(self.body(bars)), self.dense(latest)], dim=1))
        return out

    def emit_read(self, graph: Graph, bars: str, latest: str) -> str:
        both = graph.add("Concat", self.body.emit(graph, bars), emit(graph, self.dense, latest), axis=1)
        return emit(graph, self.head, both)
