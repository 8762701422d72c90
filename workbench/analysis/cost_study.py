"""What costs leave of the forecasts, what two ways of arbitration make of the same ones, and how the cost model did.

Everything goes through the stage objects: :class:`CostModel` estimates, :class:`CostArbitrator` chooses. D decisions,
H horizons, N symbols; alphas and costs are decimals over the horizon. NaN is unknown and is left out of every mean; a
mean of nothing is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.analysis.tca import Fills, SentOrders, mean_cost, order_costs
from workbench.analysis.what_if import Moment
from workbench.config import CostSettings
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.horizon import HORIZONS
from workbench.core.types import Costs, State
from workbench.core.units import BAR_MINUTES, BPS
from workbench.decision.arbitration import CostArbitrator, after_round_trip
from workbench.decision.costs import PRIOR_ROWS, CostModel, CostObservations

PARTS = ("spread", "volatility", "impact", "commission")
"""Parts of a one-way cost, as :class:`~workbench.core.types.Costs` names them."""


@dataclass(frozen=True, slots=True)
class Waterfall:
    """From gross to net for one horizon, means over `rows` forecasts of known cost, decimals over the horizon.

    gross - 2*(spread + volatility + impact + commission) + spared = net

    `gross` mean |alpha|; the parts are one-way. `spared`: what the forecasts below their costs would have lost, had
    they been traded. `net`: mean of what survives; `admitted`: the share of forecasts that do.
    """

    horizon: str
    rows: int
    gross: float
    spread: float
    volatility: float
    impact: float
    commission: float
    spared: float
    net: float
    admitted: float

    @property
    def round_trip(self) -> float:
        """Mean cost of entering and leaving."""
        return 2.0 * (self.spread + self.volatility + self.impact + self.commission)


def estimates(model: CostModel, moments: Sequence[Moment]) -> list[Costs]:
    """What `model` says of each moment."""
    return [model.estimate(m.snapshot, m.book.nav) for m in moments]


def mean_parts(costs: Sequence[Costs]) -> dict[str, FloatArray]:
    """Part of the one-way cost -> (N,) its mean over the decisions."""
    return {name: _mean(np.array([getattr(c, name) for c in costs]), axis=0) for name in PARTS}


def waterfalls(alphas: FloatArray, costs: Sequence[Costs]) -> tuple[Waterfall, ...]:
    """One per horizon, in their order, from `alphas` (D, H, N); a horizon without a forecast has 0 rows and NaN."""
    one_way = np.array([c.one_way for c in costs])
    parts = {name: np.array([getattr(c, name) for c in costs]) for name in PARTS}
    return tuple(_waterfall(h.label, alphas[:, h.order], one_way[:, h.order], parts) for h in HORIZONS)


def _waterfall(label: str, alpha: FloatArray, one_way: FloatArray, parts: dict[str, FloatArray]) -> Waterfall:
    known = np.isfinite(alpha) & np.isfinite(one_way)
    rows = int(known.sum())
    if not rows:
        return Waterfall(label, 0, *(float("nan"),) * 8)
    left = np.abs(after_round_trip(alpha[known], one_way[known]))
    gross, net = float(np.abs(alpha[known]).mean()), float(left.mean())
    spared = net - (gross - 2.0 * float(one_way[known].mean()))
    each = (float(parts[name][known].mean()) for name in PARTS)
    return Waterfall(label, rows, gross, *each, spared, net, float((left > 0).mean()))


def survival(alpha: FloatArray, one_way: FloatArray) -> FloatArray:
    """(G,) share of the forecasts `alpha` (K,) that survive a round trip at each of the costs `one_way` (G,).

    >>> survival(np.array([2e-4, -6e-4, np.nan]), np.array([0.0, 2e-4, 4e-4])).tolist()
    [1.0, 0.5, 0.0]
    """
    known = alpha[np.isfinite(alpha)]
    if not known.size:
        return np.full(len(one_way), np.nan)
    return np.asarray((after_round_trip(known, one_way[:, None]) != 0).mean(axis=1))


@dataclass(frozen=True, slots=True)
class Choices:
    """The choices of D decisions: `net`, `gross` daily rates and `state` (D, N), horizon `weights` (D, H, N)."""

    net: FloatArray
    gross: FloatArray
    weights: FloatArray
    state: IntArray

    @property
    def admitted(self) -> IntArray:
        """(D,) names whose forecast survives its costs: those that may be opened."""
        return np.asarray(((self.net != 0) & np.isfinite(self.net)).sum(axis=1))

    @property
    def forecasts(self) -> IntArray:
        """(D,) names with a view in force: the admitted ones, and held ones below their cost."""
        return np.asarray((self.state == int(State.FORECAST)).sum(axis=1))


def choices(arbitrator: CostArbitrator, costs: Sequence[Costs], moments: Sequence[Moment]) -> Choices:
    """What `arbitrator` makes of the recorded alphas and books at these costs."""
    made = [arbitrator.choose(m.decision.alphas, c, m.snapshot, m.book) for m, c in zip(moments, costs, strict=True)]
    return Choices(
        np.array([c.net for c in made]),
        np.array([c.gross for c in made]),
        np.array([c.weights for c in made]),
        np.array([c.state for c in made]),
    )


def horizon_shares(made: Choices, group: IntArray, groups: int) -> FloatArray:
    """(G, H) mean arbitration weight of each horizon over the names with a forecast, by the decisions' `group` (D,).

    Rows sum to 1; NaN where a group has no such name.
    """
    out = np.full((groups, made.weights.shape[1]), np.nan)
    for g in range(groups):
        inside = group == g
        named = made.state[inside] == int(State.FORECAST)
        if named.any():
            out[g] = made.weights[inside].transpose(0, 2, 1)[named].mean(axis=0)
    return out


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two ways of arbitration over the same K known forecasts, as shares of K unless said.

    `both`, `first`, `second`, `neither` admit the name. Of those that both admit: `same_side`, `same_horizon` (the one
    with the largest weight), and `correlation` of their gross rates in [-1, 1].
    """

    names: int
    both: float
    first: float
    second: float
    neither: float
    same_side: float
    same_horizon: float
    correlation: float


def agreement(one: Choices, other: Choices) -> Agreement:
    """How far two :class:`Choices` over the same decisions agree."""
    known = np.isfinite(one.net) & np.isfinite(other.net)
    a, b = (one.net != 0) & known, (other.net != 0) & known
    both = a & b
    names = int(known.sum())
    shares = [float(x.sum()) / names if names else float("nan") for x in (both, a & ~b, b & ~a, known & ~a & ~b)]
    same = (np.sign(one.gross) == np.sign(other.gross))[both]
    best = (one.weights.argmax(axis=1) == other.weights.argmax(axis=1))[both]
    x, y = one.gross[both], other.gross[both]
    varies = len(x) > 2 and np.ptp(x) > 0 and np.ptp(y) > 0
    correlation = float(np.corrcoef(x, y)[0, 1]) if varies else float("nan")
    return Agreement(names, *shares, float(_mean(same)), float(_mean(best)), correlation)


def day_groups(moments: Sequence[Moment], minutes: int = 30) -> IntArray:
    """(D,) how many whole `minutes` of the session had passed when each decision's bar began."""
    from_open = np.array([m.snapshot.bar_of_session for m in moments], np.int64)
    return np.asarray(from_open * BAR_MINUTES // minutes)


@dataclass(frozen=True, slots=True)
class FittedWeights:
    """k1..k3 that `rows` executions of `orders` filled orders suggest, beside the `default`, (3,) each.

    `se` is the standard error of the shrunk estimate, NaN where it stands at its bound 0 or too few rows tell; `prior`
    in [0, 1] how much the default still weighs in it: PRIOR_ROWS/(rows + PRIOR_ROWS). `lacking` what a fit needs -> the
    orders that lack it.
    """

    orders: int
    rows: int
    fitted: FloatArray
    default: FloatArray
    se: FloatArray
    prior: float
    lacking: dict[str, int]


def fit_weights(seen: CostObservations, settings: CostSettings) -> FittedWeights:
    """The fit of :meth:`CostModel.fit` to `seen`, with what can be said of its error.

    With A the (rows, 3) design, P = PRIOR_ROWS * diag(mean A_j^2) and s^2 the residual variance:

        se^2 = diag of s^2 (A'A + P)^-1 A'A (A'A + P)^-1

    the variance of a ridge estimate (Hoerl & Kennard 1970); what shrinking biases it by is not in it.
    """
    model = CostModel(settings).fit(seen)
    fitted = np.array([model.k1_, model.k2_, model.k3_])
    impact = seen.sigma_1d * np.maximum(seen.participation, 0.0) ** settings.impact_exponent
    design = np.stack([seen.spread, seen.sigma_exec, impact], axis=1)
    usable = np.isfinite(design).all(axis=1) & np.isfinite(seen.cost)
    needs = {
        "mid when it was sent": seen.cost, "spread": seen.spread, "volatility of the window": seen.sigma_exec,
        "volatility of a day": seen.sigma_1d, "expected volume": seen.participation,
    }  # fmt: skip
    return FittedWeights(
        orders=len(seen.cost),
        rows=model.rows_,
        fitted=fitted,
        default=np.array([settings.k1, settings.k2, settings.k3]),
        se=_weight_errors(design[usable], seen.cost[usable], fitted),
        prior=PRIOR_ROWS / (model.rows_ + PRIOR_ROWS),
        lacking={name: missing for name, of in needs.items() if (missing := int((~np.isfinite(of)).sum()))},
    )


def _weight_errors(design: FloatArray, cost: FloatArray, fitted: FloatArray) -> FloatArray:
    """(3,) standard errors of the weights that stand above their bound."""
    out, free = np.full(3, np.nan), fitted > 0
    left = len(cost) - int(free.sum())
    if left <= 0 or not free.any() or not (design[:, free] != 0).any(axis=0).all():
        return out
    variance = float(((cost - design @ fitted) ** 2).sum()) / left
    gram = design[:, free].T @ design[:, free]
    inverse = np.linalg.inv(gram + np.diag(PRIOR_ROWS * gram.diagonal() / len(cost)))
    out[free] = np.sqrt(variance * (inverse @ gram @ inverse).diagonal())
    return out


@dataclass(frozen=True, slots=True)
class CostCalibration:
    """What the cost model predicted against what was paid without commission, basis points, B groups of orders.

    `predicted`, `paid` (B,) means weighted by value, `se` of `paid`, `orders` in each; `unknown` orders left out.
    """

    predicted: FloatArray
    paid: FloatArray
    se: FloatArray
    orders: IntArray
    unknown: int


def cost_calibration(orders: SentOrders, fills: Fills, groups: int = 5) -> CostCalibration:
    """Slippage against arrival in at most `groups` groups of as many filled orders, from the cheapest by prediction."""
    paid = order_costs(orders, fills, "arrival_bps")
    row = {ref: k for k, ref in enumerate(orders.order_ref)}
    k = np.array([row[ref] for ref in fills.order_ref], np.int64)
    value = np.bincount(k, weights=fills.quantity * fills.price, minlength=len(orders))
    known = np.flatnonzero(np.isfinite(paid) & np.isfinite(orders.predicted) & (value > 0))
    ranked = known[np.argsort(orders.predicted[known], kind="stable")]
    parts = [part for part in np.array_split(ranked, min(groups, len(ranked)) or 1) if len(part)]
    means = [mean_cost(paid[part], value[part], part) for part in parts]
    return CostCalibration(
        predicted=np.array([float(np.average(orders.predicted[p], weights=value[p])) / BPS for p in parts]),
        paid=np.array([m.mean for m in means]),
        se=np.array([m.se for m in means]),
        orders=np.array([len(p) for p in parts], np.int64),
        unknown=len(np.unique(k)) - len(known),
    )


def _mean(values: FloatArray, axis: int | None = None) -> FloatArray:
    """Mean of what is finite; NaN of nothing."""
    values = np.asarray(values, np.float64)
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(np.where(count > 0, total / np.maximum(count, 1), np.nan))
