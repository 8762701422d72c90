"""Information coefficient: the correlation of a forecast with what came, and how sure one may be of it.

Forecast and label are divided by sigma_h first, so that a volatile name or hour does not decide the number alone.

Two kinds, because the question can be two:

- ``"cross_section"`` (default): r_t = Pearson correlation over the names of one decision time, IC = mean of r_t over
  the times with at least `min_names` names. It asks "were the names ranked well?" and the market's move drops out.
- ``"pooled"``: one Pearson correlation over all rows. It also counts the market's direction, needs no cross-section
  and is the one to use for fewer than `min_names` names.

Intervals and tests come from the day-block bootstrap (:mod:`workbench.stats.bootstrap`); for n-day labels, whose
windows overlap, blocks are n sessions long.

Source: Grinold & Kahn (1999), Active portfolio management, ch. 6 (IC); Politis & Romano (1992) (blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.stats.bootstrap import Bootstrapped, day_block_bootstrap, session_sums

Kind = Literal["cross_section", "pooled"]
MIN_NAMES = 5


@dataclass(frozen=True, slots=True)
class InformationCoefficient:
    """IC of M forecasts. `overall` has estimate (M,) and its draws; `by_session` (D, M) the IC of each session in
    `session` (D,), NaN where a session has none; `pairs` (M,) rows used; `times` (M,) decision times used."""

    kind: Kind
    overall: Bootstrapped
    session: IntArray
    by_session: FloatArray
    pairs: IntArray
    times: IntArray

    @property
    def value(self) -> FloatArray:
        """(M,) the coefficient."""
        return self.overall.estimate


def information_coefficient(
    forecast: FloatArray,
    label: FloatArray,
    when: IntArray,
    session: IntArray,
    *,
    sigma: FloatArray | None = None,
    kind: Kind = "cross_section",
    min_names: int = MIN_NAMES,
    block: int = 1,
    draws: int = 1000,
    seed: int = 0,
) -> InformationCoefficient:
    """IC of each column of `forecast` with `label`.

    Parameters
    ----------
    forecast : (R, M) or (R,) expected return; NaN abstains and leaves that model's row out
    label : (R,) realised return; NaN leaves the row out
    when : (R,) decision time of the row; rows of equal time form the cross-section
    session : (R,) session of the row; a time belongs to one session
    sigma : (R,) sigma_h that both are divided by; None where they are scaled already
    block : sessions per bootstrap block: at least the label's length in sessions

    All-NaN columns, or no time with enough names: NaN, never 0. ValueError on shapes that do not agree.

    >>> f = np.arange(12.0); when = np.repeat([0, 1], 6)
    >>> ic = information_coefficient(f, f**1.0, when, when)
    >>> ic.value.round(6).tolist(), ic.times.tolist()
    ([1.0], [2])
    """
    f, y, when, session = _checked(forecast, label, when, session, sigma, kind)
    ok = np.isfinite(f) & np.isfinite(y)[:, None]
    if kind == "cross_section":
        days, sums = _cross_section_sums(f, y, ok, when, session, min_names)
        statistic, times = _mean_of_sums, sums[..., 1].sum(axis=0)
    else:
        days, sums = session_sums(_products(f, y, ok), session)
        statistic, times = _correlation_of_sums, _count_times(ok, when)
    seen = (sums[..., -1] > 0).any(axis=1) if len(sums) else np.zeros(0, bool)
    days, sums = days[seen], sums[seen]
    overall = _bootstrap(sums, statistic, f.shape[1], block, draws, seed)
    pairs = ok.sum(axis=0).astype(np.int64)
    return InformationCoefficient(kind, overall, days, statistic(sums), pairs, times.astype(np.int64))


def _cross_section_sums(
    f: FloatArray, y: FloatArray, ok: np.ndarray, when: IntArray, session: IntArray, min_names: int
) -> tuple[IntArray, FloatArray]:
    """(sessions (D,), sums (D, M, 2)) of r_t and of the count of times that have one."""
    if len(y) == 0:
        return np.array([], np.int64), np.zeros((0, f.shape[1], 2))
    starts = np.flatnonzero(np.r_[True, np.diff(when) != 0])
    r = _correlation_by_group(f, y, ok, starts, min_names)
    known = np.isfinite(r)
    return session_sums(np.stack([np.where(known, r, 0.0), known.astype(float)], axis=-1), session[starts])


def _correlation_by_group(f: FloatArray, y: FloatArray, ok: np.ndarray, starts: IntArray, min_names: int) -> FloatArray:
    """(G, M) Pearson correlation in each run of rows; NaN below `min_names` pairs or where one side is constant."""
    lengths = np.diff(np.r_[starts, len(y)])
    count = np.add.reduceat(ok, starts, axis=0, dtype=np.float64)
    f = _centred(np.where(ok, f, 0.0), ok, count, starts, lengths)
    y = _centred(np.where(ok, y[:, None], 0.0), ok, count, starts, lengths)
    ff, yy, fy = (np.add.reduceat(x, starts, axis=0) for x in (f * f, y * y, f * y))
    with np.errstate(divide="ignore", invalid="ignore"):
        r = fy / np.sqrt(ff * yy)
    return np.where((count >= min_names) & (ff > 0) & (yy > 0), np.clip(r, -1, 1), np.nan)


def _centred(x: FloatArray, ok: np.ndarray, count: FloatArray, starts: IntArray, lengths: IntArray) -> FloatArray:
    """Each run of rows minus its mean over valid rows, 0 elsewhere; rounding noise of a constant run becomes 0."""
    mean = np.add.reduceat(x, starts, axis=0) / np.maximum(count, 1)
    deviation = np.where(ok, x - np.repeat(mean, lengths, axis=0), 0.0)
    noise = 64 * np.finfo(float).eps * np.repeat(np.abs(mean), lengths, axis=0)
    return np.where(np.abs(deviation) <= noise, 0.0, deviation)


def _products(f: FloatArray, y: FloatArray, ok: np.ndarray) -> FloatArray:
    """(R, M, 6): f, y, f^2, y^2, f*y, 1 of the valid rows, centred over all rows for precision."""
    count = np.maximum(ok.sum(axis=0), 1)
    y = np.where(ok, y[:, None], 0.0)
    f = np.where(ok, f, 0.0)
    f = np.where(ok, f - f.sum(axis=0) / count, 0.0)
    y = np.where(ok, y - y.sum(axis=0) / count, 0.0)
    return np.stack([f, y, f * f, y * y, f * y, ok.astype(np.float64)], axis=-1)


def _mean_of_sums(sums: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(sums[..., 1] > 0, sums[..., 0] / sums[..., 1], np.nan)


def _correlation_of_sums(sums: FloatArray) -> FloatArray:
    f, y, ff, yy, fy, n = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        vf, vy, c = ff - f * f / n, yy - y * y / n, fy - f * y / n
        r = c / np.sqrt(vf * vy)
        varies = (vf > 1e-14 * ff) & (vy > 1e-14 * yy)
    return np.where((n >= 3) & varies, np.clip(r, -1, 1), np.nan)


def _bootstrap(sums: FloatArray, statistic: object, models: int, block: int, draws: int, seed: int) -> Bootstrapped:
    if len(sums) == 0:
        nan = np.full(models, np.nan)
        return Bootstrapped(nan, np.tile(nan, (2, 1)), 0)
    return day_block_bootstrap(sums, statistic, block=block, draws=draws, seed=seed)  # type: ignore[arg-type]


def _count_times(ok: np.ndarray, when: IntArray) -> IntArray:
    if len(when) == 0:
        return np.zeros(ok.shape[1], np.int64)
    starts = np.flatnonzero(np.r_[True, np.diff(when) != 0])
    return np.logical_or.reduceat(ok, starts, axis=0).sum(axis=0)


def _checked(
    forecast: FloatArray, label: FloatArray, when: IntArray, session: IntArray, sigma: FloatArray | None, kind: str
) -> tuple[FloatArray, FloatArray, IntArray, IntArray]:
    """Two-dimensional scaled forecast and label, rows sorted by time."""
    if kind not in ("cross_section", "pooled"):
        raise ValueError(f"kind {kind!r} is unknown; use 'cross_section' or 'pooled'")
    f, y = np.asarray(forecast, dtype=np.float64), np.asarray(label, dtype=np.float64)
    f = f[:, None] if f.ndim == 1 else f
    when, session = np.asarray(when, dtype=np.int64), np.asarray(session, dtype=np.int64)
    named = {"forecast": f, "when": when, "session": session} | ({} if sigma is None else {"sigma": sigma})
    for name, value in named.items():
        if len(value) != len(y):
            raise ValueError(f"{name} has {len(value)} rows, label {len(y)}; pass one value per row")
    if sigma is not None:
        scale = np.asarray(sigma, dtype=np.float64)
        scale = np.where(scale > 0, scale, np.nan)
        f, y = f / scale[:, None], y / scale
    if (np.diff(when) < 0).any():
        order = np.argsort(when, kind="stable")
        f, y, when, session = f[order], y[order], when[order], session[order]
    if ((np.diff(when) == 0) & (np.diff(session) != 0)).any():
        raise ValueError("rows of one decision time carry different sessions; a time belongs to one session")
    return f, y, when, session
