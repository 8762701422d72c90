"""The body of Transformer and TabTransformer."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.fusion import Body
from workbench.models.networks.layers import array, emit


class Attention(nn.Module):
    """Multi-head attention, softmax(Q K' / sqrt(D)) V per head of D channels, of (b, Q, C) over (b, L, C)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, 1 / math.sqrt(width // heads)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, asking: Tensor, bars: Tensor) -> Tensor:
        """(b, Q, C)."""
        query, value = self._by_head(self.query(asking)), self._by_head(self.value(bars))
        match = (query * self.scale) @ self._by_head(self.key(bars)).transpose(2, 3)
        mixed = (torch.softmax(match, dim=3) @ value).transpose(1, 2)
        out: Tensor = self.out(mixed.flatten(2))
        return out

    def _by_head(self, x: Tensor) -> Tensor:
        """(b, heads, L, D) of (b, L, C)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def emit(self, graph: Graph, asking: str, bars: str) -> str:
        """As `forward`, in `graph`."""
        query = graph.add("Mul", self._emit_by_head(graph, self.query, asking), graph.constant(self.scale))
        key = self._emit_by_head(graph, self.key, bars, [0, 2, 3, 1])
        weights = graph.add("Softmax", graph.add("MatMul", query, key), axis=-1)
        mixed = graph.add("MatMul", weights, self._emit_by_head(graph, self.value, bars))
        rows = graph.add("Transpose", mixed, perm=[0, 2, 1, 3])
        width = self.out.in_features
        return emit(graph, self.out, graph.add("Reshape", rows, graph.constant([0, -1, width], np.int64)))

    def _emit_by_head(self, graph: Graph, layer: nn.Linear, x: str, order: list[int] | None = None) -> str:
        shape = graph.constant([0, -1, self.heads, layer.out_features // self.heads], np.int64)
        return graph.add("Transpose", graph.add("Reshape", emit(graph, layer, x), shape), perm=order or [0, 2, 1, 3])


class Block(nn.Module):
    """A pre-norm encoder block: x + attention(norm x), then x + feed-forward(norm x). Of the last block only the last
    position is wanted (`last`): one query over L bars, not L."""

    def __init__(self, width: int, heads: int, dropout: float, last: bool) -> None:
        super().__init__()
        self.last = last
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.forth = nn.Sequential(nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(b, L, C), or (b, 1, C) of the last block."""
        normal = self.before(x)
        if self.last:
            x, asking = x[:, -1:], normal[:, -1:]
        else:
            asking = normal
        x = x + self.dropout(self.attention(asking, normal))
        out: Tensor = x + self.dropout(self.forth(self.between(x)))
        return out

    def emit(self, graph: Graph, x: str) -> str:
        """As `forward`, in `graph`."""
        normal = asking = emit(graph, self.before, x)
        if self.last:
            end = graph.constant([-1], np.int64)
            x, asking = (graph.add("Gather", name, end, axis=1) for name in (x, normal))
        x = graph.add("Add", x, self.attention.emit(graph, asking, normal))
        return graph.add("Add", x, emit(graph, self.forth, emit(graph, self.between, x)))


class Encoder(Body):
    """Bars and what their position means (learned, from sinusoids on), two blocks, and the normed last position."""

    AT_ONCE = 128

    def __init__(
        self,
        length: int,
        width: int = 16,
        heads: int = 2,
        blocks: int = 2,
        dropout: float = 0.1,
        amplitude: float = 0.5,
    ) -> None:
        super().__init__()
        self.projection = self.width = width
        self.position = nn.Parameter(amplitude * sinusoids(length, width))
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.Sequential(*(Block(width, heads, dropout, n == blocks - 1) for n in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, bars: Tensor) -> Tensor:
        """See :class:`Body`; few windows at a time, because the matches of many would not fit the processor's cache."""
        parts = [self.blocks(self.dropout(part + self.position))[:, 0] for part in torch.split(bars, self.AT_ONCE)]
        out: Tensor = self.norm(torch.cat(parts))
        return out

    def emit(self, graph: Graph, bars: str) -> str:
        x = emit(graph, self.blocks, graph.add("Add", bars, graph.constant(array(self.position))))
        return emit(graph, self.norm, graph.last(x, axis=1))


def sinusoids(length: int, width: int) -> Tensor:
    """(length, width) sines and cosines of the age of each bar (the latest has age 0), periods from 2 pi to 2 pi L.

    >>> sinusoids(3, 4)[-1].tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    age = torch.arange(length - 1, -1, -1, dtype=torch.float32)
    angle = age[:, None] * float(max(length, 2)) ** -torch.linspace(0, 1, width // 2)
    return torch.cat([torch.sin(angle), torch.cos(angle)], dim=1)
