"""Ridge weights of a blend of models, from time-ordered out-of-fold rows: screen, ridge, simplex, slope.

With x_m = forecast_m / sigma_h divided by its own root mean square (unit RMS, no unit) and y = label / sigma_h::

    t_m  = slope of y on x_m over its day-block standard error             screen: Benjamini-Hochberg at 5 %
    w    = (X'X + lambda*n*I)^-1 X'y    over the screened models           lambda by time-ordered cross-validation
    p    = project_simplex(w / sum max(w, 0))                              the positive part, in proportion
    b    = sum s*y / sum s*s,  s = sum p_m x_m,  p from earlier rows only  used only if its lower bound is above 0

Everything is computed from sums over blocks of days (:class:`Moments`): one pass over the rows serves all folds.
Sources: Hoerl & Kennard (1970); Benjamini & Hochberg (1995); Liang & Zeger (1986) for the clustered standard error.
Why the screen: docs/adr/0010-blender-screen.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from scipy.special import stdtr, stdtrit

from workbench import kernels
from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.stats.multiplicity import benjamini_hochberg

FALSE_DISCOVERIES = 0.05
"""Share of worthless models that the screen lets pass on average."""

LEVEL = 0.95
"""One-sided confidence at which the slope must be above zero before it is used."""

MIN_BLOCKS = 3
FOLDS = 5


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over the rows of B consecutive blocks of sessions, M models; a missing forecast counts as no view (0).

    `first_known`, `last_matured` (B,) ns; `rows` (B,); `square` (B,) = y'y; `seen` (B, M) rows with a forecast; `gram`
    (B, M, M) = X'X and `cross` (B, M) = X'y of *unscaled* x = forecast / sigma_h. `overlap`: labels reach into the next
    block.
    """

    first_known: IntArray
    last_matured: IntArray
    rows: FloatArray
    square: FloatArray
    seen: FloatArray
    gram: FloatArray
    cross: FloatArray
    overlap: bool

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, blocks: IntArray | BoolArray | slice) -> Moments:
        """The chosen blocks."""
        names = ("first_known", "last_matured", "rows", "square", "seen", "gram", "cross")
        return replace(self, **{name: getattr(self, name)[blocks] for name in names})

    def before(self, block: int, embargo_ns: int) -> Moments:
        """The blocks whose labels, with the embargo, had all matured when block `block` began (the purge)."""
        early = self.last_matured[:block] + embargo_ns <= self.first_known[block]
        return self.take(np.flatnonzero(early))


def moments(
    x: FloatArray, y: FloatArray, block: IntArray, known_at: IntArray, matured_at: IntArray, overlap: bool = False
) -> Moments:
    """Block sums of x (R, M) and y (R,) by `block` (R,) integers that increase with time. y must be finite.

    >>> one = np.ones((4, 1))
    >>> m = moments(one, np.array([1.0, 3, 5, 7]), np.array([0, 0, 1, 1]), np.arange(4), np.arange(4) + 1)
    >>> m.cross[:, 0].tolist(), m.rows.tolist()
    ([4.0, 12.0], [2.0, 2.0])
    """
    order = np.argsort(block, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(block[order]) != 0]) if len(order) else np.zeros(0, np.int64)
    pieces = np.split(order, starts[1:]) if len(order) else []
    width = x.shape[1]
    seen, gram, cross = (np.zeros((len(pieces), *s)) for s in ((width,), (width, width), (width,)))
    for b, piece in enumerate(pieces):
        part = x[piece]
        there = np.isfinite(part)
        part = np.where(there, part, 0.0)
        seen[b], gram[b], cross[b] = there.sum(0), part.T @ part, part.T @ y[piece]
    first = np.array([known_at[p].min() for p in pieces], np.int64)
    last = np.array([matured_at[p].max() for p in pieces], np.int64)
    rows, square = (np.array(v, np.float64) for v in ([len(p) for p in pieces], [y[p] @ y[p] for p in pieces]))
    return Moments(first, last, rows, square, seen, gram, cross, overlap)


def cluster_slope(cross: FloatArray, square: FloatArray, overlap: bool = False) -> tuple[FloatArray, FloatArray]:
    """Slope sum(cross)/sum(square) and its standard error clustered by block; (B,) or (B, M) block sums.

    se^2 = sum_b e_b^2 * B/(B-1) / sum(square)^2 with e_b = cross_b - slope*square_b; where labels overlap the next
    block the covariance of neighbours is added (never subtracted). NaN where nothing was seen, or in one block only.

    >>> slope, se = cluster_slope(np.array([1.0, 3.0]), np.array([1.0, 1.0]))
    >>> float(slope), float(se)
    (2.0, 1.0)
    """
    total = square.sum(0)
    blocks = (square > 0).sum(0).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = cross.sum(0) / total
        error = cross - slope * square
        variance = (error**2).sum(0)
        if overlap:
            variance = np.maximum(variance, variance + 2 * (error[1:] * error[:-1]).sum(0))
        se = np.sqrt(variance * blocks / (blocks - 1)) / total
    return np.asarray(slope), np.asarray(np.where(blocks > 1, se, np.nan))


def screen(m: Moments, rate: float = FALSE_DISCOVERIES) -> tuple[BoolArray, FloatArray]:
    """Which models carry evidence of their own, (M,), and their t: Benjamini-Hochberg at `rate`, one-sided."""
    p, t = own_evidence(m)
    return np.asarray(p <= rate), t


def own_evidence(m: Moments) -> tuple[FloatArray, FloatArray]:
    """(M,) p-value of "its slope is not above zero", corrected by Benjamini and Hochberg over the models, and its t."""
    square = np.diagonal(m.gram, axis1=1, axis2=2)
    slope, se = cluster_slope(m.cross, square, m.overlap)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = slope / se
    t = np.where(np.isfinite(t), t, 0.0)
    blocks = (square > 0).sum(0)
    p = np.where((blocks >= MIN_BLOCKS) & (t > 0), stdtr(np.maximum(blocks - 1, 1), -t), 1.0)
    return benjamini_hochberg(p), t


def scale_of(m: Moments) -> FloatArray:
    """(M,) root mean square of each model's x over the rows where it had a view; 0 where it never had one."""
    square = np.diagonal(m.gram, axis1=1, axis2=2).sum(0)
    return np.asarray(np.sqrt(square / np.maximum(m.seen.sum(0), 1.0)))


def ridge(gram: FloatArray, cross: FloatArray, rows: float, penalty: float) -> FloatArray:
    """(M,) (X'X + penalty*rows*I)^-1 X'y.

    >>> ridge(np.array([[4.0]]), np.array([2.0]), 4.0, 1.0).tolist()
    [0.25]
    """
    return np.asarray(np.linalg.solve(gram + penalty * rows * np.eye(len(cross)), cross))


def positive_part(w: FloatArray) -> FloatArray:
    """(M,) project_simplex(w / sum max(w, 0)): positive weights in proportion; all zero where none is positive.

    Projecting raw ridge weights, whose sum is far below 1, would drift to equal weights.

    >>> positive_part(np.array([0.03, 0.01, -0.02])).round(12).tolist()
    [0.75, 0.25, 0.0]
    """
    positive = np.maximum(w, 0.0)  # what is below 0 is projected on 0 anyway, and would overflow over a tiny total
    total = positive.sum()
    if not total > 0:
        return np.zeros_like(w)
    return np.asarray(kernels.project_simplex(positive / total))


@dataclass(frozen=True, slots=True)
class Weights:
    """`p` (M,) on the simplex or all zero; `scale` (M,) RMS of x; `t` (M,); `rms` of the blend s; `penalty` chosen."""

    p: FloatArray
    scale: FloatArray
    t: FloatArray
    rms: float
    penalty: float

    def blend(self, x: FloatArray) -> FloatArray:
        """(R,) s / rms of unscaled x (R, M), missing models renormalised; NaN where no weighted model has a view."""
        use = np.flatnonzero(self.p > 0)
        part, p = x[:, use], self.p[use]
        there = np.isfinite(part)
        mass = there @ p
        with np.errstate(divide="ignore", invalid="ignore"):
            s = np.where(there, part, 0.0) @ (p / self.scale[use]) / mass
        return np.where(mass > 0, s / self.rms, np.nan) if self.rms > 0 else np.full(len(x), np.nan)


def fit_weights(m: Moments, penalties: Sequence[float], screened: bool = True, embargo_ns: int = 0) -> Weights:
    """Screen, choose the penalty by time-ordered cross-validation inside `m`, solve, keep the positive part.

    Not `screened` (experiments): every model enters, and equal weights stand in where none is positive.
    """
    scale = scale_of(m)
    t = screen(m)[1] if len(m) else np.zeros(len(scale))
    keep = admitted(m, screened)
    if not keep.any():
        return Weights(np.zeros(len(scale)), scale, t, 0.0, float(max(penalties)))
    penalty = choose_penalty(m, keep, penalties, embargo_ns)
    p = _solve(m, keep, penalty)
    if not screened and not p.any():
        p = keep / keep.sum()  # an experiment that forces the slope wants to trade even what loses
    return Weights(p, scale, t, _rms(m, p, scale), penalty)


def admitted(m: Moments, screened: bool = True) -> BoolArray:
    """(M,) models that may have weight: those that pass the screen, or not `screened` all that ever had a view."""
    spoke = np.asarray(scale_of(m) > 0)
    return (screen(m)[0] & spoke if len(m) else np.zeros_like(spoke)) if screened else spoke


@dataclass(frozen=True, slots=True)
class PenaltyPath:
    """P `penalties`, the largest first: cross-validated `score` (P,) with its standard error `se`, and the `chosen`.

    `p` (P, M): the simplex weights that each would give on all rows. A score is NaN where no later fold tested it.
    """

    penalties: FloatArray
    score: FloatArray
    se: float
    chosen: float
    p: FloatArray


def penalty_path(m: Moments, penalties: Sequence[float], screened: bool = True, embargo_ns: int = 0) -> PenaltyPath:
    """What :func:`fit_weights` weighed when it chose its penalty, and the weights along the way."""
    ordered = sorted(penalties, reverse=True)
    keep = admitted(m, screened)
    score, se = penalty_scores(m, keep, ordered, embargo_ns)
    p = np.array([_solve(m, keep, penalty) for penalty in ordered])
    chosen = choose_penalty(m, keep, penalties, embargo_ns) if keep.any() else float("nan")
    return PenaltyPath(np.array(ordered), score, se, chosen, p)


def choose_penalty(m: Moments, keep: BoolArray, penalties: Sequence[float], embargo_ns: int = 0) -> float:
    """The penalty whose blend, weighted on earlier folds, correlates best with y on the later ones.

    The largest penalty within one standard error of the best score is taken (Breiman et al. 1984), since at small
    information coefficients the scores of collinear models differ by luck alone.
    """
    ordered = sorted(penalties, reverse=True)
    if len(ordered) == 1 or keep.sum() == 1:
        return float(ordered[0])
    score, se = penalty_scores(m, keep, ordered, embargo_ns)
    if not np.isfinite(score).any():
        return float(ordered[0])
    return float(ordered[int(np.argmax(score >= np.nanmax(score) - se))])


def penalty_scores(
    m: Moments, keep: BoolArray, ordered: Sequence[float], embargo_ns: int = 0
) -> tuple[FloatArray, float]:
    """(P,) score of each of the penalties `ordered`, NaN where its blend is nothing, and the scores' standard error.

    score = sum s*y / sqrt(sum s*s) over the forward folds, s the blend weighted on the blocks before each; its standard
    error is about the RMS of y.
    """
    sums = np.zeros((len(ordered), 2))
    tested = np.zeros(2)
    for train, test in forward_folds(m, FOLDS - 1, embargo_ns):
        tested += test.square.sum(), test.rows.sum()
        for i, penalty in enumerate(ordered):
            sums[i] += _totals(test, _solve(train, keep, penalty), scale_of(train))
    score = np.divide(sums[:, 0], np.sqrt(sums[:, 1]), out=np.full(len(ordered), np.nan), where=sums[:, 1] > 0)
    return score, float(np.sqrt(tested[0] / tested[1])) if tested[1] > 0 else float("nan")


def forward_folds(m: Moments, folds: int, embargo_ns: int = 0) -> Iterator[tuple[Moments, Moments]]:
    """(earlier blocks, next fold) for contiguous folds of blocks in time order, purged and embargoed."""
    for a, b in fold_edges(len(m), folds):
        train = m.before(a, embargo_ns)
        if len(train):
            yield train, m.take(slice(a, b))


def fold_edges(blocks: int, folds: int) -> list[tuple[int, int]]:
    """[start, stop) of every fold but the first.

    >>> fold_edges(10, 5)
    [(2, 4), (4, 6), (6, 8), (8, 10)]
    """
    edges = np.linspace(0, blocks, min(folds, blocks) + 1).astype(int) if blocks else np.zeros(1, int)
    return [(int(a), int(b)) for a, b in pairwise(edges)][1:]


@dataclass(frozen=True, slots=True)
class ForwardFold:
    """Blocks [start, stop) and the weights that were fitted before them."""

    start: int
    stop: int
    weights: Weights


@dataclass(frozen=True, slots=True)
class BlendFit:
    """Final `weights`, the calibration `slope` b (0 without evidence) with its clustered `se` and `lower` bound."""

    weights: Weights
    slope: float
    raw_slope: float
    se: float
    lower: float
    forward: tuple[ForwardFold, ...]


def fit_blend(m: Moments, penalties: Sequence[float], screened: bool = True, embargo_ns: int = 0) -> BlendFit:
    """Weights on all blocks, and the slope of y on the blends that earlier blocks would have given, fold by fold.

    The slope refers to the final blend s: b = b_forward / rms(s). b is 0 unless its lower bound at LEVEL is above 0.
    """
    final = fit_weights(m, penalties, screened, embargo_ns)
    forward = tuple(
        ForwardFold(a, b, fit_weights(m.before(a, embargo_ns), penalties, screened, embargo_ns))
        for a, b in fold_edges(len(m), FOLDS)
    )
    pairs = [_block_pairs(m.take(slice(f.start, f.stop)), f.weights) for f in forward if f.weights.rms > 0]
    if not pairs or not final.rms > 0:
        return BlendFit(final, 0.0, 0.0, float("nan"), float("nan"), forward)
    cross, square = np.concatenate(pairs, axis=1)
    slope, se = cluster_slope(cross, square, m.overlap)
    blocks = int((square > 0).sum())
    lower = slope - stdtrit(blocks - 1, LEVEL) * se if blocks >= MIN_BLOCKS else np.nan
    raw, error, bound = (float(v) / final.rms for v in (slope, se, lower))
    return BlendFit(final, raw if bound > 0 else 0.0, raw, error, bound, forward)


def _solve(m: Moments, keep: BoolArray, penalty: float) -> FloatArray:
    """(M,) simplex weights on the kept models, 0 elsewhere."""
    scale = scale_of(m)
    use = np.flatnonzero(keep & (scale > 0))
    p = np.zeros(len(keep))
    if use.size:
        d = scale[use]
        gram = m.gram.sum(0)[np.ix_(use, use)] / np.outer(d, d)
        p[use] = positive_part(ridge(gram, m.cross.sum(0)[use] / d, float(m.rows.sum()), penalty))
    return p


def _direction(p: FloatArray, scale: FloatArray) -> FloatArray:
    return np.divide(p, scale, out=np.zeros_like(p), where=scale > 0)


def _totals(m: Moments, p: FloatArray, scale: FloatArray) -> FloatArray:
    d = _direction(p, scale)
    return np.array([d @ m.cross.sum(0), d @ m.gram.sum(0) @ d])


def _rms(m: Moments, p: FloatArray, scale: FloatArray) -> float:
    return float(np.sqrt(_totals(m, p, scale)[1] / m.rows.sum()))


def _block_pairs(m: Moments, w: Weights) -> FloatArray:
    """(2, B) block sums of s*y and s*s, with s of unit RMS where the weights were fitted."""
    d = _direction(w.p, w.scale) / w.rms
    return np.stack([m.cross @ d, np.einsum("i,bij,j->b", d, m.gram, d)])
