"""What the whole chain must show on the embedded market, where the truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from chain import blended, study

from workbench.analysis.calibration import calibration
from workbench.config import Settings
from workbench.core.types import OofForecasts
from workbench.data.market_truth import oracle_forecast
from workbench.data.simulate import MarketSettings
from workbench.stats.bootstrap import session_sums
from workbench.stats.ic import information_coefficient
from workbench.stats.stack import BarrierStack
from workbench.training.probe import shuffle_labels

pytestmark = pytest.mark.slow
SEEDS = (1, 2, 3, 4, 5)


def settings(**training) -> Settings:
    quick = {"segments": 3, "families": ("LightGBM", "FTRLProximal", "Ensemble"), "max_rows": 60_000}
    return Settings().change(training={**quick, **training}, system={"horizons": ("5m",)})


def ic(forecast: np.ndarray, oof: OofForecasts) -> float:
    return float(
        information_coefficient(forecast, oof.label, oof.known_at, oof.session, sigma=oof.sigma_h).value[0]
    )  # fmt: skip


def rows_of(panel: np.ndarray, ts: np.ndarray, oof: OofForecasts) -> np.ndarray:
    return panel[np.searchsorted(ts, oof.known_at), oof.symbol]


def test_the_blend_reaches_most_of_what_an_oracle_filter_sees(tmp_path):
    """The oracle knows every constant of the market and sees the same bars; the blend had to learn them."""
    shares = []
    for seed in SEEDS:
        s = study(MarketSettings(seed=seed), settings(), tmp_path / str(seed))
        rows, alpha = blended(s.trained.oofs["5m"], s.settings)
        oracle = rows_of(oracle_forecast(s.market.bars, s.market.truth), s.market.bars.ts, rows)
        both = np.isfinite(alpha) & np.isfinite(oracle)
        rows, alpha, oracle = rows.take(both), alpha[both], oracle[both]
        mine, best = ic(alpha, rows), ic(oracle * rows.sigma_h, rows)
        print(f"seed {seed}: blend {mine:.4f}, oracle {best:.4f}, rows {len(rows)}")
        shares.append((mine, best))
    mine, best = np.mean(shares, axis=0)
    assert best > 0.015
    assert mine / best >= 0.60


def test_barrier_probabilities_are_skilful_and_calibrated(tmp_path):
    """On the last segment, with maps fitted on the five before it. Of six ECEs one may pass its 95th percentile."""
    found = []
    for seed in (11, 12, 13):
        market = MarketSettings(seed=seed, symbols=20, intraday_sessions=260)
        s = study(market, settings(segments=6, families=("LightGBM", "FTRLProximal")), tmp_path / str(seed))
        oof = s.trained.oofs["5m"]
        last = oof.fold == oof.fold.max()
        here, stack = oof.take(last), BarrierStack().fit({"5m": oof.take(~last)})
        for p, outcome in zip(stack.apply_rows(here), (here.peak, here.valley), strict=True):
            found.append(calibration(p, outcome, here.session))
    for c in found:
        print(f"skill {c.skill.value:.4f} (low {c.skill.low:.4f}), ECE {c.ece:.4f} against {c.ece_null_95:.4f}")
    assert all(c.skill.low > 0 for c in found)
    assert sum(c.ece >= c.ece_null_95 for c in found) <= 1
    assert np.mean([c.ece for c in found]) < np.mean([c.ece_null_95 for c in found])


def test_shuffled_labels_teach_nothing(tmp_path):
    s = study(
        MarketSettings(seed=5, intraday_sessions=60), settings(families=("LightGBM", "FTRLProximal")), tmp_path,
        change_labels=lambda labels: shuffle_labels(labels, seed=3),
    )  # fmt: skip
    oof = s.trained.oofs["5m"]
    found = information_coefficient(oof.forecast, oof.label, oof.known_at, oof.session, sigma=oof.sigma_h)
    assert (np.abs(found.overall.estimate) < 3 * found.overall.se).all()
    rows, alpha = blended(oof, s.settings)
    assert not (np.nan_to_num(alpha) != 0).any(), "the blend believes in shuffled labels"
    assert len(rows)


def test_without_planted_alpha_the_calibrated_slope_trades_nothing(tmp_path):
    s = study(MarketSettings(seed=21, ic=0.0), settings(), tmp_path)
    _, alpha = blended(s.trained.oofs["5m"], s.settings)
    assert not (np.nan_to_num(alpha) != 0).any()


def test_trading_noise_by_force_costs_exactly_its_costs(tmp_path):
    """No alpha, slope and trading forced: what is lost is what was paid, within two day-block standard errors."""
    from workbench.decision.costs import CostModel
    from workbench.engine.backtest import run_backtest
    from workbench.training.fitting import schedule

    forced = settings(families=("FTRLProximal",)).change(
        blending={"force_slope": 1.0}, arbitration={"force_trading": True}, sizing={"no_trade_band": 0.0}
    )
    s = study(MarketSettings(seed=31, ic=0.0, minute=False), forced, tmp_path)
    tranches = schedule(s.trained.plan, s.trained.oofs, forced, s.history, CostModel(forced.costs))
    result = run_backtest(s.market.bars, s.history, tranches, forced)
    costs = result.spread_cost + result.impact_cost + result.commission + result.borrow_cost
    _, gross = session_sums((result.net_pnl + costs)[:, None], result.session)
    daily = gross[:, 0]
    error = daily.std(ddof=1) / np.sqrt(len(daily))
    print(
        f"{len(result.fills)} fills, costs {costs.sum():.0f} USD, net + costs {daily.mean():.1f} +- {error:.1f} USD/day"
    )
    assert len(result.fills) > 1000
    assert costs.sum() > 0
    assert abs(daily.mean()) < 2 * error
