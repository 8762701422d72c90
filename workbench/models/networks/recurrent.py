"""The network of LSTM."""

from __future__ import annotations

from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.layers import SequenceNetwork, emit, quiet


class Recurrent(SequenceNetwork):
    """Dropout on the projected bars, one LSTM layer, dropout and a linear head on its last state."""

    def __init__(
        self, n_channels: int, projection: int, hidden: int, outputs: int, dropout: float, classify: bool
    ) -> None:
        super().__init__(n_channels, projection, classify)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(projection, hidden, batch_first=True)
        self.head = quiet(nn.Linear(hidden, outputs))

    def read(self, bars: Tensor, latest: Tensor) -> Tensor:
        _, (state, _) = self.lstm(self.dropout(bars))
        out: Tensor = self.head(self.dropout(state[0]))
        return out

    def emit_read(self, graph: Graph, bars: str, latest: str) -> str:
        return emit(graph, self.head, emit(graph, self.lstm, bars))
