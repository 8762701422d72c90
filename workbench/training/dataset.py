"""From dense (T, N) panels to the rows that a model learns from or predicts.

Which rows a fit may see is decided here and nowhere else: a row is *trainable* for a cutoff when its label matured
strictly before it, its label and sigma are known and at least half of its features are. It is *predictable* when its
sigma and at least one feature are known; the families impute the rest (and abstain where nothing is known).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.core.arrays import BoolArray, FloatArray, IntArray, check_shape
from workbench.core.horizon import horizon
from workbench.stats.splits import Segment
from workbench.training.labels import PANELS, TIMES, Labels

TARGETS = ("value", "peak", "valley")
MIN_INFORMED = 0.5
"""Least share of known features in a row that is learned from."""


@dataclass(frozen=True, slots=True)
class Panel:
    """Features of one axis: `values` (T, N, F) float32 (all that any family reads), `bar_of_session` (T,), `names`.

    On the day axis the rows are sessions and `bar_of_session` is 0 throughout.
    """

    values: NDArray[np.float32]
    bar_of_session: IntArray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        check_shape("Panel.values", self.values, (-1, -1, len(self.names)))
        check_shape("Panel.bar_of_session", self.bar_of_session, (self.values.shape[0],))

    @classmethod
    def of(cls, values: FloatArray, bar_of_session: IntArray, names: tuple[str, ...]) -> Panel:
        """The panel of float64 features; values beyond the range of float32 count as unknown."""
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        narrow[~np.isfinite(narrow)] = np.nan
        return cls(narrow, np.asarray(bar_of_session, np.int64), tuple(names))

    def known_share(self) -> FloatArray:
        """(T, N) share of the features of each row that are known."""
        count = np.zeros(self.values.shape[:2], np.int64)
        for f in range(self.values.shape[2]):
            count += np.isfinite(self.values[:, :, f])
        return count / max(self.values.shape[2], 1)


@dataclass(frozen=True, slots=True)
class Rows:
    """R rows of a panel in time order: `bar` (R,) and `column` (R,) index into (T, N)."""

    bar: IntArray
    column: IntArray

    def __len__(self) -> int:
        return len(self.bar)

    def of(self, panel: NDArray[Any]) -> NDArray[Any]:
        """(R,) or (R, F): `panel` at these rows."""
        return panel[self.bar, self.column]

    def take(self, index: Any) -> Rows:
        return Rows(self.bar[index], self.column[index])


def trainable(labels: Labels, target: str, share: FloatArray, cutoff_ns: int) -> BoolArray:
    """(T, N) rows whose `target` matured strictly before `cutoff_ns` and may be learned from."""
    matured = labels.exists & (labels.matured_at < cutoff_ns)
    known = np.isfinite(getattr(labels, target)) & (labels.sigma_h > 0)
    return matured[:, None] & known & (share >= MIN_INFORMED)


def predictable(labels: Labels, share: FloatArray, segment: Segment) -> Rows:
    """The rows of `segment` on which models are asked, in time order."""
    inside = labels.exists & segment.holds(labels.session)
    bars = np.flatnonzero(inside)
    row, column = np.nonzero((labels.sigma_h[bars] > 0) & (share[bars] > 0))
    return Rows(bars[row], column)


def save_arrays(folder: Path, panel: Panel, share: FloatArray) -> None:
    """Write a panel as .npy files that :func:`load_panel` maps into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "values.npy", panel.values)
    np.save(folder / "bar_of_session.npy", panel.bar_of_session)
    np.save(folder / "share.npy", share)
    (folder / "names.json").write_text(json.dumps(panel.names), encoding="utf-8")


def load_panel(folder: Path) -> tuple[Panel, FloatArray]:
    """The panel and the share of known features, mapped read-only."""
    names = tuple(json.loads((folder / "names.json").read_text(encoding="utf-8")))
    return Panel(_map(folder / "values.npy"), _map(folder / "bar_of_session.npy"), names), _map(folder / "share.npy")


def save_labels(folder: Path, labels: Labels) -> None:
    """Write labels as .npy files that :func:`load_labels` maps into memory."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*TIMES, *PANELS):
        np.save(folder / f"{name}.npy", getattr(labels, name))
    about = {"horizon": labels.horizon.label, "symbols": labels.symbols}
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")


def load_labels(folder: Path) -> Labels:
    """The labels, mapped read-only."""
    about = json.loads((folder / "about.json").read_text(encoding="utf-8"))
    arrays = {name: _map(folder / f"{name}.npy") for name in (*TIMES, *PANELS)}
    return Labels(horizon(about["horizon"]), tuple(about["symbols"]), **arrays)


def save_probabilities(folder: Path, horizon_label: str, probabilities: NDArray[np.float32]) -> None:
    """Write (T, N, 2) calibrated p_peak and p_valley of one horizon."""
    np.save(folder / f"probabilities-{horizon_label}.npy", probabilities)


def load_probabilities(folder: Path, horizon_label: str) -> NDArray[np.float32] | None:
    """Those of `save_probabilities`, mapped read-only; None where the horizon has none."""
    path = folder / f"probabilities-{horizon_label}.npy"
    return _map(path) if path.is_file() else None


def _map(path: Path) -> NDArray[Any]:
    return np.load(path, mmap_mode="r", allow_pickle=False)
