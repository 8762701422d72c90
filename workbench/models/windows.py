"""Windows of the last L bars of one symbol, gathered only when a batch is needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.core.arrays import FloatArray, IntArray, check_shape, readonly

Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WindowView:
    """R windows of `length` bars over a panel of features; nothing is copied until :meth:`batch`.

    Attributes
    ----------
    values : (T, N, F) features of the panel (float64 or float32); NaN is unknown
    bar_of_session : (T,) number of the bar within its session, 0 for the first (all 0 for daily rows)
    rows, columns : (R,) bar and symbol whose window ends each row; a window never leaves its symbol
    length : L bars, oldest first; bars before the start of the panel are NaN
    context : (R, E) what else is known of each row, the same on every bar of its window; None: nothing

    A window has F + E + 1 channels: the features, the context, and last a marker, 1 on the first bar of the session
    that the window ends in (so that a model sees where the night was) and 0 elsewhere.

    >>> view = WindowView(np.arange(4.0).reshape(4, 1, 1), np.array([0, 1, 0, 1]), np.array([3]), np.array([0]), 3)
    >>> view.batch()[0].tolist()
    [[1.0, 0.0], [2.0, 1.0], [3.0, 0.0]]
    """

    values: FloatArray | Float32Array
    bar_of_session: IntArray
    rows: IntArray
    columns: IntArray
    length: int
    context: FloatArray | Float32Array | None = None

    def __post_init__(self) -> None:
        for name in ("bar_of_session", "rows", "columns"):
            object.__setattr__(self, name, readonly(getattr(self, name), np.int64))
        check_shape("WindowView.values", self.values, (-1, -1, -1))
        check_shape("WindowView.bar_of_session", self.bar_of_session, (self.values.shape[0],))
        check_shape("WindowView.columns", self.columns, self.rows.shape)
        if self.context is not None:
            check_shape("WindowView.context", self.context, (len(self.rows), -1))
        if self.length < 1:
            raise ValueError(f"WindowView.length is {self.length}, must be at least 1")
        for name, bound in (("rows", self.values.shape[0]), ("columns", self.values.shape[1])):
            index = getattr(self, name)
            if len(index) and (index.min() < 0 or index.max() >= bound):
                raise ValueError(f"WindowView.{name} runs from {index.min()} to {index.max()}, outside 0..{bound - 1}")

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def n_features(self) -> int:
        """F, without context and marker."""
        return int(self.values.shape[2])

    @property
    def n_context(self) -> int:
        """E."""
        return 0 if self.context is None else int(self.context.shape[1])

    def take(self, index: Any) -> WindowView:
        """The windows chosen by a slice, mask or index array."""
        context = None if self.context is None else self.context[index]
        return replace(self, rows=self.rows[index], columns=self.columns[index], context=context)

    def latest(self) -> Float32Array:
        """(R, F + E) features of each window's last bar, and the context."""
        with np.errstate(over="ignore"):
            features = self.values[self.rows, self.columns].astype(np.float32)
        return features if self.context is None else np.hstack([features, self.context.astype(np.float32)])

    def batch(self, start: int = 0, stop: int | None = None) -> Float32Array:
        """(b, L, F + E + 1) float32 windows `start` to `stop`, oldest bar first, marker last."""
        rows, columns = self.rows[start:stop], self.columns[start:stop]
        at = rows[:, None] + np.arange(1 - self.length, 1)
        out = np.empty((len(rows), self.length, self.n_features + self.n_context + 1), np.float32)
        features = out[:, :, : self.n_features]
        with np.errstate(over="ignore"):
            features[:] = self.values[np.maximum(at, 0), columns[:, None]]
        features[at < 0] = np.nan
        if self.context is not None:
            out[:, :, self.n_features : -1] = self.context[start:stop, None, :]
        out[:, :, -1] = session_marker(self.bar_of_session[rows], self.length)
        return out

    def batches(self, size: int) -> Iterator[tuple[slice, Float32Array]]:
        """(rows, windows) in chunks of at most `size`."""
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self))), self.batch(start, start + size)


def session_marker(bar_of_session: IntArray, length: int) -> Float32Array:
    """(R, L) marker channel: 1 on the bar that opened the session in which the window ends, if the window holds it.

    >>> session_marker(np.array([0, 2, 9]), 4).tolist()
    [[0.0, 0.0, 0.0, 1.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    """
    position = length - 1 - np.asarray(bar_of_session, np.int64)
    marker: Float32Array = (np.arange(length)[None, :] == position[:, None]).astype(np.float32)
    return marker


def with_marker(window: FloatArray, bar_of_session: int, context: FloatArray | None = None) -> Float32Array:
    """(N, L, F + E + 1) float32 live windows from a snapshot's (N, L, F), its bar number and a context (N, E)."""
    n, length, width = window.shape
    more = 0 if context is None else context.shape[1]
    out = np.empty((n, length, width + more + 1), np.float32)
    with np.errstate(over="ignore"):
        out[:, :, :width] = window
    if context is not None:
        out[:, :, width:-1] = context[:, None, :]
    out[:, :, -1] = session_marker(np.array([bar_of_session]), length)
    return out
