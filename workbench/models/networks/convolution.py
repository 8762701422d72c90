"""The body of CNN1D and TabCNN."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from workbench.models.export import Graph
from workbench.models.networks.fusion import Body
from workbench.models.networks.layers import array


class Convolutions(Body):
    """Dilated convolutions over time with ReLU and dropout; the last position and the mean over all are read.

    Each pads with zeros in front only, so position t holds bars up to t: with three taps and dilations 1, 2, 4 it sees
    the 15 bars that end in t.
    """

    TAPS = 3

    def __init__(
        self, projection: int = 16, channels: int = 16, dilations: tuple[int, ...] = (1, 2, 4), dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.projection, self.width = projection, 2 * channels
        self.dropout = nn.Dropout(dropout)
        widths = (projection, *[channels] * (len(dilations) - 1))
        self.layers = nn.ModuleList(
            nn.Conv1d(width, channels, self.TAPS, dilation=dilation)
            for width, dilation in zip(widths, dilations, strict=True)
        )

    def forward(self, bars: Tensor) -> Tensor:
        """See :class:`Body`."""
        x = self.dropout(bars).transpose(1, 2)
        for layer in self.layers:
            x = x + torch.relu(layer(nn.functional.pad(x, (self._reach(layer), 0))))
        return torch.cat([x[:, :, -1], x.mean(dim=2)], dim=1)

    def emit(self, graph: Graph, bars: str) -> str:
        x = graph.add("Transpose", bars, perm=[0, 2, 1])
        for layer in self.layers:
            x = graph.add("Add", x, graph.add("Relu", self._convolution(graph, layer, x)))
        last = graph.last(x, axis=2)
        mean = graph.add("ReduceMean", x, graph.constant([2], np.int64), keepdims=0)
        return graph.add("Concat", last, mean, axis=1)

    def _reach(self, layer: nn.Module) -> int:
        """How many bars before its own a layer reads from."""
        assert isinstance(layer, nn.Conv1d)
        return (self.TAPS - 1) * int(layer.dilation[0])

    def _convolution(self, graph: Graph, layer: nn.Module, x: str) -> str:
        assert isinstance(layer, nn.Conv1d)
        assert layer.bias is not None
        return graph.add(
            "Conv", x, graph.constant(array(layer.weight)), graph.constant(array(layer.bias)),
            kernel_shape=[self.TAPS], pads=[self._reach(layer), 0], dilations=list(layer.dilation),
        )  # fmt: skip
