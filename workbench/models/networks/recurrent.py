"""The body of LSTM and TabLSTM."""

from __future__ import annotations

from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.fusion import Body
from workbench.models.networks.layers import emit


class Recurrence(Body):
    """Dropout on the projected bars, and the last state of one LSTM layer of `width` units."""

    def __init__(self, projection: int = 16, width: int = 16, dropout: float = 0.1) -> None:
        super().__init__()
        self.projection, self.width = projection, width
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(projection, width, batch_first=True)

    def forward(self, bars: Tensor) -> Tensor:
        """See :class:`Body`."""
        _, (state, _) = self.lstm(self.dropout(bars))
        out: Tensor = state[0]
        return out

    def emit(self, graph: Graph, bars: str) -> str:
        return emit(graph, self.lstm, bars)
