"""Training of small networks in PyTorch: the one module of `models` that imports torch; nothing live imports it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from workbench.core.arrays import FloatArray
from workbench.models.losses import log_loss, skill, slope
from workbench.models.prepare import Sample

PREDICTION_BATCH = 2048


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: AdamW, `checks` looks at the later rows per epoch, the best look wins."""

    batch: int
    rate: float
    decay: float
    checks: int = 2


@contextmanager
def deterministic(seed: int, threads: int) -> Iterator[None]:
    """torch with its own random state and `threads` threads; both are restored afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)


def perceptron(n_features: int, hidden: tuple[int, ...], dropout: float) -> nn.Sequential:
    """Linear, ReLU, dropout for each hidden width, then a linear head that starts at 0."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(n_features, width), nn.ReLU(), nn.Dropout(dropout)]
        n_features = width
    return nn.Sequential(*layers, _quiet(nn.Linear(n_features, 1)), nn.Flatten(0))


class Recurrent(nn.Module):
    """Projection of each bar, dropout, one LSTM layer, and a linear head on its last state that starts at 0."""

    def __init__(self, n_channels: int, projection: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(n_channels, projection)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(projection, hidden, batch_first=True)
        self.head = _quiet(nn.Linear(hidden, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(R,) from x (R, L, channels)."""
        return self.recur(self.project(x))

    def recur(self, projected: torch.Tensor) -> torch.Tensor:
        """(R,) from bars that are projected already (R, L, projection)."""
        _, (state, _) = self.lstm(self.dropout(projected))
        out: torch.Tensor = self.head(self.dropout(state[0]))[:, 0]
        return out


def _quiet(layer: nn.Linear) -> nn.Linear:
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def train(
    network: Any,
    early: Sample,
    late: Sample,
    gather: Callable[[Any], torch.Tensor],
    predict_late: Callable[[Any], FloatArray],
    recipe: Recipe,
    epochs: int,
) -> tuple[float, int] | None:
    """Train in place and keep the weights that are best on the later rows.

    `gather` maps row numbers of `early` to a batch; `predict_late` maps the network to its raw output on `late`.
    Returns (score, updates) of the best look, or None if no look beats the constant. The head of a regressor is then
    multiplied by its slope on the later rows, so that its RMS there is its correlation times that of the label.
    """
    classify = early.task == "classify"
    if classify:
        _set_bias(network, early.center)
    optimiser = torch.optim.AdamW(network.parameters(), lr=recipe.rate, weight_decay=recipe.decay)
    y, weight = (torch.from_numpy(a.astype(np.float32)) for a in (early.y, early.weight))
    best_score, best, best_step = _score(network, late, predict_late), None, 0
    per_epoch = -(-len(early) // recipe.batch)
    looks = max(1, per_epoch // recipe.checks)
    for step, rows in enumerate(_batches(len(early), recipe.batch, epochs), start=1):
        network.train()
        _update(network, optimiser, gather(rows), y[rows], weight[rows], classify)
        if step % looks == 0:
            score = _score(network, late, predict_late)
            if score > best_score:
                best_score, best, best_step = score, copy.deepcopy(network.state_dict()), step
    if best is None:
        return None
    network.load_state_dict(best)
    network.eval()
    if not classify:
        _scale_head(network, slope(predict_late(network), late.y, late.weight))
    return best_score, best_step


def _batches(rows: int, size: int, epochs: int) -> Iterator[torch.Tensor]:
    for _ in range(epochs):
        yield from torch.randperm(rows).split(size)


def _update(network: Any, optimiser: Any, x: Any, y: Any, weight: Any, classify: bool) -> None:
    out = network(x)
    if classify:
        loss = nn.functional.binary_cross_entropy_with_logits(out, y, weight)
    else:
        loss = (weight * (out - y) ** 2).mean()
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()


def _score(network: Any, late: Sample, predict_late: Callable[[Any], FloatArray]) -> float:
    """Larger is better: correlation about zero for returns (blind to scale), minus log loss for barriers."""
    network.eval()
    out = predict_late(network)
    if late.task == "regress":
        return skill(out, late.y, late.weight)
    return -log_loss(0.5 * (1 + np.tanh(0.5 * out)), late.y, late.weight)


def round_hidden(network: Any) -> None:
    """Round every weight matrix but the head's to float16 (half the file, 3 digits: far below their noise)."""
    head = _last_linear(network)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Linear) and module is not head:
                module.weight.copy_(module.weight.half())


def _last_linear(network: Any) -> nn.Linear:
    return [m for m in network.modules() if isinstance(m, nn.Linear)][-1]


def _set_bias(network: Any, base_rate: float) -> None:
    with torch.no_grad():
        _last_linear(network).bias.fill_(float(np.log(base_rate / (1 - base_rate))))


def _scale_head(network: Any, factor: float) -> None:
    head = _last_linear(network)
    with torch.no_grad():
        head.weight.mul_(factor)
        head.bias.mul_(factor)


@torch.inference_mode()
def predict_table(network: Any, z: Any) -> FloatArray:
    """(R,) float64 output for z (R, F) float32."""
    parts = [network(torch.from_numpy(z[i : i + PREDICTION_BATCH])) for i in range(0, len(z), PREDICTION_BATCH)]
    return torch.cat(parts).numpy().astype(np.float64) if parts else np.empty(0)


def arrays(network: Any) -> dict[str, Any]:
    """Parameter name -> float32 array."""
    return {name: value.detach().numpy().copy() for name, value in network.state_dict().items()}
