"""Training of small networks in PyTorch: early stopping on later rows, calibrated heads, deterministic bytes.

Imported only to train; nothing live does.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from workbench.core.arrays import FloatArray
from workbench.core.errors import ConfigError
from workbench.models.losses import log_loss, skill, slope
from workbench.models.networks.layers import Batch, Network, SequenceNetwork
from workbench.models.prepare import Sample, Standardiser, clean
from workbench.models.windows import WindowView, session_marker

PREDICTION_BATCH = 2048


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a network is trained: AdamW with `rate` and `decay`, at most `batch` rows per update and at least 64 updates
    per epoch where there are rows for it, `checks` looks at the later rows per epoch; the best look wins."""

    rate: float
    decay: float
    batch: int = 1024
    checks: int = 2

    def batch_of(self, rows: int) -> int:
        """Rows per update for a sample of `rows`."""
        return int(np.clip(rows // 64, min(64, self.batch), self.batch))


@dataclass(frozen=True, slots=True)
class Best:
    """The look that won: its `score` (mean over tasks), after `updates`."""

    score: float
    updates: int


def check_training_device(device: str) -> None:
    """ConfigError unless PyTorch can train on `device`."""
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device {device!r} is unknown: choose cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device 'cuda' was asked for, but this PyTorch sees no GPU: install a CUDA build of torch on a machine "
            "with one, or train on the cpu"
        )


@contextmanager
def deterministic(seed: int, threads: int, device: str = "cpu") -> Iterator[None]:
    """torch with its own random state and `threads` threads; both are restored afterwards."""
    check_training_device(device)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    strict = torch.are_deterministic_algorithms_enabled()
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS may sum in any order
        torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch.random.fork_rng(devices=[torch.cuda.current_device()] if device == "cuda" else []):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(before)
        torch.use_deterministic_algorithms(strict)


class TableFeed:
    """Standardised rows (R, F) on the device."""

    def __init__(self, x: Any, standardiser: Standardiser, device: str) -> None:
        self._z = torch.from_numpy(standardiser.apply(x)).to(device)

    def __len__(self) -> int:
        return len(self._z)

    def inputs(self, index: Tensor) -> Tensor:
        """(b, F) rows `index`."""
        return self._z[index]

    def outputs(self, network: Network, index: Tensor) -> Tensor:
        """(b, K) outputs of rows `index`."""
        out: Tensor = network(self._z[index])
        return out


class WindowFeed:
    """The bars that some windows need, standardised once and kept on the device: L rows of "unknown" in front."""

    def __init__(self, view: WindowView, standardiser: Standardiser, device: str) -> None:
        first = max(0, int(view.rows.min(initial=0)) - view.length + 1)
        features = standardiser.part(slice(0, view.n_features))
        known = features.apply(clean(view.values[first : int(view.rows.max(initial=-1)) + 1]))
        blank = np.zeros((view.length, *known.shape[1:]), np.float32)
        context = np.zeros((len(view), 0), np.float32)
        if view.context is not None:
            context = standardiser.part(slice(view.n_features, None)).apply(clean(view.context))
        marker = session_marker(view.bar_of_session[view.rows], view.length)
        arrays = np.concatenate([blank, known]), view.rows - first + view.length, view.columns, context, marker
        self._z, self._rows, self._columns, self._context, self._marker = (
            torch.from_numpy(np.array(a)).to(device) for a in arrays
        )
        self._back = torch.arange(1 - view.length, 1, device=device)
        self._projected: tuple[Any, Tensor] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def inputs(self, index: Tensor) -> Tensor:
        """(b, L, C) windows `index`: features, context, marker."""
        bars = self._gather(self._z, index)
        context = self._context[index][:, None, :].expand(-1, bars.shape[1], -1)
        return torch.cat([bars, context, self._marker[index][:, :, None]], dim=2)

    def outputs(self, network: Network, index: Tensor) -> Tensor:
        """(b, K) outputs of windows `index`. Each bar is projected once, however many windows hold it."""
        assert isinstance(network, SequenceNetwork)
        weight, width = network.project.weight, self._z.shape[2]
        bars = self._gather(self._bars(network), index)
        marker, context = self._marker[index], self._context[index]
        bars = bars + (context @ weight[:, width:-1].T)[:, None, :] + marker[:, :, None] * weight[:, -1]
        now = self._rows[index], self._columns[index]
        return network.read(bars, torch.cat([self._z[now], context, marker[:, -1:]], dim=1))

    def _bars(self, network: SequenceNetwork) -> Tensor:
        """Every bar projected; remembered until the projection changes."""
        weight, bias = network.project.weight, network.project.bias
        state = (id(network), weight._version, bias._version)
        if self._projected is None or self._projected[0] != state:
            projected = torch.nn.functional.linear(self._z, weight[:, : self._z.shape[2]], bias)
            self._projected = state, projected
        return self._projected[1]

    def _gather(self, values: Tensor, index: Tensor) -> Tensor:
        at = self._rows[index][:, None] + self._back
        return values[at, self._columns[index][:, None]]


Feed = TableFeed | WindowFeed


def feed(sample: Sample, standardiser: Standardiser, device: str) -> Feed:
    """What a network reads of `sample`."""
    if sample.windows is not None:
        return WindowFeed(sample.windows, standardiser, device)
    return TableFeed(sample.x, standardiser, device)


@torch.inference_mode()
def predict(network: Network, data: Feed, device: str) -> FloatArray:
    """(R, K) raw outputs."""
    network.eval()
    parts = [
        network_out.cpu().numpy()
        for index in torch.arange(len(data), device=device).split(PREDICTION_BATCH)
        if len(index)
        for network_out in (data.outputs(network, index),)
    ]
    return np.concatenate(parts).astype(np.float64) if parts else np.empty((0, network.head.out_features))


def train(
    network: Network, early: Sample, late: Sample, feeds: tuple[Feed, Feed], recipe: Recipe, epochs: int, device: str
) -> Best | None:
    """Train in place (samples as tasks) and keep the weights that are best on the later rows; None if none beats 0.

    Each output of a regressor is then multiplied by its slope on the later rows, so that its RMS there is its
    correlation times that of the label; an output without a slope above 0 is silenced.
    """
    if network.classify:
        network.set_bias(float(np.log(early.center / (1 - early.center))))
    optimisers = network.optimisers(recipe.rate, recipe.decay)
    targets = _Targets.of(early, device)
    best_score, best, best_step = score(network, late, feeds[1], device), None, 0
    size = recipe.batch_of(len(early))
    looks = max(1, -(-len(early) // size) // recipe.checks)
    for step, rows in enumerate(_batches(len(early), size, epochs, device), start=1):
        network.train()
        network.update(targets.batch(feeds[0], rows), optimisers)
        if step % looks == 0:
            now = score(network, late, feeds[1], device)
            if now > best_score:
                best_score, best, best_step = now, copy.deepcopy(network.state_dict()), step
    if best is None:
        return None
    network.load_state_dict(best)
    if not network.classify:
        network.scale(slopes(predict(network, feeds[1], device), late))
    return Best(best_score, best_step)


def score(network: Network, late: Sample, data: Feed, device: str) -> float:
    """Larger is better: mean over the tasks of the correlation about zero (blind to scale), or minus log loss."""
    return measure(predict(network, data, device), late, network.classify)


def measure(out: FloatArray, late: Sample, classify: bool) -> float:
    """The score of raw outputs (R, K)."""
    if classify:
        return -log_loss(0.5 * (1 + np.tanh(0.5 * out[:, 0])), late.y[:, 0], late.weight[:, 0])
    return float(np.mean([skill(out[:, k], late.y[:, k], late.weight[:, k]) for k in _present(late)]))


def slopes(out: FloatArray, late: Sample) -> FloatArray:
    """(K,) slope of each output on the later rows; 0 where the task has none."""
    found = np.zeros(out.shape[1])
    for k in _present(late):
        found[k] = slope(out[:, k], late.y[:, k], late.weight[:, k])
    return found


def _present(late: Sample) -> list[int]:
    """The tasks that have later rows."""
    return [k for k in range(late.y.shape[1]) if late.weight[:, k].any()]


@dataclass(frozen=True, slots=True)
class _Targets:
    """What an update learns from, on the device."""

    y: Tensor
    weight: Tensor
    auxiliary: dict[str, Tensor]

    @classmethod
    def of(cls, early: Sample, device: str) -> _Targets:
        y, weight = (torch.from_numpy(a.astype(np.float32)).to(device) for a in (early.y, early.weight))
        auxiliary = {n: torch.from_numpy(a.astype(np.float32)).to(device) for n, a in early.auxiliary.items()}
        return cls(y, weight, auxiliary)

    def batch(self, data: Feed, rows: Tensor) -> Batch:
        auxiliary = {name: values[rows] for name, values in self.auxiliary.items()}
        return Batch(data.inputs(rows), self.y[rows], self.weight[rows], auxiliary)


def _batches(rows: int, size: int, epochs: int, device: str) -> Iterator[Tensor]:
    for _ in range(epochs):
        yield from torch.randperm(rows).to(device).split(size)
