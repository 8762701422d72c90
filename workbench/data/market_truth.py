"""What only the simulator knows: the latent alphas, and the best that a filter could make of what is visible.

Given true parameters, the oracle is the Kalman filter (Kalman 1960) of the two intraday alphas on the very quantities
that features may see: the order-flow imbalance of each 5-minute bar, the queues standing at its end and its mid return.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.core.arrays import FloatArray, IntArray
from workbench.core.bars import Bars
from workbench.core.horizon import Horizon, horizon
from workbench.core.units import BAR_MINUTES
from workbench.data.market_model import MarketModel, Shape, Traits


@dataclass(frozen=True, slots=True)
class Truth:
    """Latent state of T intraday bars, D intraday sessions and S daily sessions.

    `fast`, `slow` (T, N) at each bar's end, unit variance; `drift` (S, N) the day alpha that drives session s (known
    from the close of session s - 1 on); `volatility` (S, N) factor on the usual sigma; `minutes` (S,) of each session;
    `row` (T,) daily row of each bar's session.
    """

    model: MarketModel
    traits: Traits
    fast: FloatArray
    slow: FloatArray
    drift: FloatArray
    volatility: FloatArray
    minutes: IntArray
    row: IntArray
    bar_of_session: IntArray

    def expected(self, label: str) -> FloatArray:
        """Expected log mid return over the horizon, given the latent state and the day's volatility.

        Intraday horizons: (T, N) from each bar's end, NaN where the session ends first. Day horizons: (S, N) from the
        open of session s to the open of session s + n.
        """
        h = horizon(label)
        if h.is_day:
            return self._expected_daily(h)
        loads = self.loads(h)
        out = loads[0] * self.fast + loads[1] * self.slow + loads[2] * self.drift[self.row]
        return out * self.traits.sigma_minute(self.model) * self.volatility[self.row]

    def loads(self, h: Horizon) -> tuple[FloatArray, ...]:
        """(T, 1) weight of the fast, the slow and the day alpha, in usual minute sigmas of each symbol."""
        m, out = self.model, np.full((3, len(self.row)), np.nan)
        decay = np.arange(h.minutes)
        for minutes in np.unique(self.minutes[self.row]):
            shape = Shape.of(int(minutes)).volatility
            windows = np.lib.stride_tricks.sliding_window_view(shape, h.minutes)[BAR_MINUTES::BAR_MINUTES]
            rows = self.minutes[self.row] == minutes
            for k, weight in enumerate((m.strength * m.fast_load * m.phi_fast**decay,
                                        m.strength * m.slow_load * m.phi_slow**decay,
                                        np.full(h.minutes, m.day_load))):  # fmt: skip
                table = np.full(int(minutes) // BAR_MINUTES, np.nan)
                table[: len(windows)] = windows @ weight
                out[k, rows] = table[self.bar_of_session[rows]]
        return tuple(out[:, :, None])

    def _expected_daily(self, h: Horizon) -> FloatArray:
        m = self.model
        total = (1 - m.day_phi**h.days) / (1 - m.day_phi)
        return m.strength * m.day_ic * total * self.drift * self.traits.sigma_day * self.volatility


def oracle_forecast(bars: Bars, truth: Truth, label: str = "5m") -> FloatArray:
    """(T, N) expected return over an intraday horizon from the bar's end, in units of the symbol's usual sigma.

    Uses only `bars` up to each row and the model's constants, never the latent state. Observations of a bar: its
    `ofi` over the expected flow, less the part that its own mid return explains; half the log ratio of the queues.
    """
    m = truth.model
    flow, queue = observations(bars, truth)
    predict, gain = _kalman(m, int(bars.bar_of_session.max()) + 1)
    state = np.zeros((2, bars.shape[1]))
    filtered = np.empty((2, *bars.shape))
    for t, k in enumerate(bars.bar_of_session):
        if k == 0:
            state = np.zeros_like(state)
        ahead = predict @ state  # (fast, slow, flow) expected at the bar's end
        surprise = np.stack([flow[t] - ahead[2], queue[t] - m.queue_fast * ahead[0] - m.queue_slow * ahead[1]])
        state = ahead[:2] + gain[k] @ surprise
        filtered[:, t] = state
    fast, slow, _ = truth.loads(horizon(label))
    return fast * filtered[0] + slow * filtered[1]


def _kalman(m: MarketModel, bars: int) -> tuple[FloatArray, FloatArray]:
    """Prediction (3, 2) over a bar, and the gain (K, 2, 2) at each of a session's K bars.

    State (fast, slow), stationary at the open. Over a bar of five minutes the flow adds up as a third component; it is
    observed without further error, the queue with `queue_noise`.
    """
    phi = np.array([m.phi_fast, m.phi_slow])
    load = np.array([m.flow_fast, m.flow_slow])
    step = np.array([[phi[0], 0, 0], [0, phi[1], 0], [*(load * phi), 1]])
    enter = np.array([[1, 0], [0, 1], load])  # how shocks to the alphas enter the three components
    shock = enter @ np.diag(1 - phi**2) @ enter.T + np.diag([0, 0, m.flow_noise**2])
    whole, noise = np.eye(3), np.zeros((3, 3))
    for _ in range(BAR_MINUTES):
        whole, noise = step @ whole, step @ noise @ step.T + shock
    predict = whole[:, :2]
    see = np.array([[0, 0, 1], [m.queue_fast, m.queue_slow, 0]])
    error = np.diag([0.0, m.queue_noise**2])
    covariance, gain = np.eye(2), np.empty((bars, 2, 2))
    for k in range(bars):
        ahead = predict @ covariance @ predict.T + noise
        full = ahead @ see.T @ np.linalg.inv(see @ ahead @ see.T + error)
        gain[k] = full[:2]
        covariance = ((np.eye(3) - full @ see) @ ahead)[:2, :2]
    return predict, gain


def observations(bars: Bars, truth: Truth) -> tuple[FloatArray, FloatArray]:
    """(T, N) order flow of the bar that its own return does not explain, in the model's units summed over the bar;
    and half the log ratio of bid to ask queue at its end."""
    m, n = truth.model, bars.shape[1]
    expected, sigma = np.empty((len(bars.ts), 1)), np.empty((len(bars.ts), 1))
    for minutes in np.unique(truth.minutes[truth.row]):
        shape, rows = Shape.of(int(minutes)), truth.minutes[truth.row] == minutes
        at = bars.bar_of_session[rows]
        expected[rows, 0] = shape.volume.reshape(-1, BAR_MINUTES).mean(1)[at]
        sigma[rows, 0] = np.sqrt((shape.volatility**2).reshape(-1, BAR_MINUTES).mean(1))[at]
    mid = np.log(bars.mid)
    before = np.vstack([np.log(bars.open[:1]), mid[:-1]])
    first = bars.bar_of_session == 0
    before[first] = np.log(bars.open[first])
    shock = (mid - before) / (sigma * truth.traits.sigma_minute(m))
    flow = bars.ofi / (m.flow_scale * truth.traits.shares * expected) - m.flow_return * shock
    return flow.reshape(-1, n), np.log(bars.bid_size / bars.ask_size) / 2
