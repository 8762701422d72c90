"""Made-up but consistent inputs for the analysis tests: random arrays that say of themselves that they are random."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.analysis.inputs import CostFit, DataSummary, GateSample, HorizonBlend, ProbeVerdict, ReportInputs
from workbench.core.calendar import sessions_between
from workbench.core.horizon import HORIZONS, N_HORIZONS, Horizon
from workbench.core.results import BacktestResult
from workbench.core.types import Fill, ModelKey, OofForecasts
from workbench.core.units import NS_PER_DAY

FAMILIES = ("LightGBM", "MLP", "FTRLProximal", "Ensemble", "LSTM")
FIRST, LAST = "2025-05-12", "2025-09-30"
TRADED = "2025-07-29"  # first session of segment 2


def make_oof(h: Horizon, *, signal=0.06, symbols=12, bars=6, families=FAMILIES, origin="embedded", seed=0, sessions=60):
    """Random OOF forecasts whose tradable IC is about `signal` times 1, .75, .5 ... by family (the last is noise)."""
    rng = np.random.default_rng(seed + h.order)
    day = sessions_between("2021-01-04", LAST) if h.is_day else sessions_between(FIRST, LAST)
    picked = np.arange(len(day))[-(sessions + h.days) :][:sessions]
    per = 1 if h.is_day else bars
    when = np.concatenate([day.close_ns[i - (1 if h.is_day else 0)] - np.arange(per)[::-1] * 300 * 10**9 for i in picked])  # fmt: skip # noqa: E501
    known = np.repeat(when, symbols)
    rows = len(known)
    session = np.repeat(np.repeat(day.date[picked], per), symbols)
    fold = 1 + np.minimum(np.searchsorted(np.unique(session), session) * 4 // sessions, 3)
    fitted = np.array([known[fold == f].min() for f in fold]) - 3 * NS_PER_DAY
    latent, noise = rng.normal(size=rows), rng.standard_t(5, size=rows)
    label = 2 * signal * latent + noise
    scale = 0.6 * np.maximum(0, 1 - 0.25 * np.arange(len(families)))
    forecast = scale * latent[:, None] + np.sqrt(np.maximum(1 - scale**2, 0)) * rng.normal(size=(rows, len(families)))
    sigma = 0.002 * np.sqrt(h.minutes / 5) * np.exp(0.3 * rng.normal(size=rows))
    p = 1 / (1 + np.exp(-(0.2 * rng.normal(size=(rows, 2)))))
    return OofForecasts(
        horizon=h, symbols=tuple(f"S{i:02d}" for i in range(symbols)),
        keys=tuple(ModelKey(f, "single_task", h.label) for f in families),
        barrier_families=("LightGBM", "FTRLProximal"),
        known_at=known, matured_at=known + max(1, h.minutes) * 60 * 10**9, fitted_until=fitted, session=session,
        symbol=np.tile(np.arange(symbols), rows // symbols), bucket=np.zeros(rows, int), fold=fold,
        forecast=forecast * sigma[:, None], label=label * sigma, skip_label=(0.5 * signal * latent + noise) * sigma,
        naive_label=(3 * signal * latent + noise) * sigma, sigma_h=sigma, p_peak=p, p_valley=1 - p,
        peak=(rng.random(rows) < 0.45).astype(float), valley=(rng.random(rows) < 0.45).astype(float),
        embargo_ns=NS_PER_DAY, data_origin=origin,
    )  # fmt: skip


def make_result(label="1x", *, edge_bps=3.0, cost=1.0, symbols=8, first=FIRST, last=LAST, idle=False, seed=1):
    """A backtest whose accounts close: nav change = gross - costs. `idle` never trades."""
    rng = np.random.default_rng(seed)
    day = sessions_between(first, last)
    ts, session, bar, _ = day.grid(5)
    n, on = len(ts), 0.0 if idle else 1.0
    gross = on * (0.28 + 0.15 * np.sin(np.arange(n) / 700) + 0.03 * rng.normal(size=n)) * (bar < 76)
    turnover = on * np.abs(0.008 + 0.006 * rng.normal(size=n))
    pnl = on * 1e6 * (edge_bps * 1e-4 / 78 + 0.00035 * rng.standard_t(4, size=n))
    spread, impact = 1e6 * turnover * 1.2e-4 * cost, 1e6 * turnover * 0.5e-4
    commission, borrow = 1e6 * turnover * 0.3e-4, on * np.where(bar == 0, 8.0, 0.0)
    nav = 1e6 + np.cumsum(pnl - spread - impact - commission - borrow)
    share = rng.dirichlet(np.r_[2.0, 1.5, 1.2, 1.0, 0.8, 0.5, 0.8, 0.02, 0.02], size=n) if not idle else np.full((n, N_HORIZONS), np.nan)  # fmt: skip # noqa: E501
    share[:, 7:] = 0 if not idle else np.nan
    share = share / share.sum(axis=1, keepdims=True)
    weights = np.zeros((n, symbols))
    weights[:, 0] = gross
    fills = tuple(Fill(f"e{i}", "r", "S00", 1, 10, 100.0, 1.0, int(ts[i])) for i in range(0 if idle else 40))
    return BacktestResult(
        label=label, symbols=tuple(f"S{i:02d}" for i in range(symbols)), ts=ts, session=session, nav=nav, gross=gross,
        net=0.3 * gross * np.sin(np.arange(n) / 300), weights=weights, target=weights, state=np.zeros((n, symbols)),
        horizon_share=share, horizon_active=np.full((n, N_HORIZONS), symbols), gross_pnl=pnl, spread_cost=spread,
        impact_cost=impact, commission=commission, borrow_cost=borrow, turnover=turnover, start_nav=1e6,
        orders=len(fills), fills=fills, breaches=(), digest="0123456789abcdef0123456789abcdef",
    )  # fmt: skip


def make_gate(label, side, *, rows=6000, sessions=60, seed=3):
    """Probabilities that are too bold before calibration and right after it; outcomes cluster by day."""
    rng = np.random.default_rng(seed)
    session = np.repeat(np.arange(20_000, 20_000 + sessions), rows // sessions)
    truth = 1 / (1 + np.exp(0.2 - 0.5 * rng.normal(size=len(session))))
    shift = np.repeat(0.05 * rng.normal(size=sessions), rows // sessions)
    y = (rng.random(len(session)) < np.clip(truth + shift, 0, 1)).astype(float)
    raw = np.clip(0.5 + 1.8 * (truth - 0.5), 0.001, 0.999)
    return GateSample(label, side, raw, truth, y, session, "isotonic")


def make_data(origin="embedded"):
    """A data summary with one of everything."""
    return DataSummary(
        symbols=tuple(f"S{i:02d}" for i in range(30)),
        sessions=99,
        first_date=FIRST,
        last_date=LAST,
        bars=231_660,
        missing=0.0031,
        daily_sessions=756,
        daily_first="2022-09-27",
        daily_last=LAST,
        has_quotes=origin == "embedded",
        spread_estimated=origin != "embedded",
        quarantined={"outside regular hours": 1204, "duplicate": 18, "OHLC violation": 3},
        quarantine_file="quarantine.parquet",
        remarks=("S07 starts on 2025-06-02.", "S03/S04 correlate above 0.95; S04 is not eligible."),
    )


def make_inputs(*, origin="embedded", idle=False, horizons=HORIZONS, **changes):
    """A full set of inputs, labelled as made up."""
    oofs = {h.label: make_oof(h, origin=origin) for h in horizons}
    weights = (("LightGBM", 0.46), ("Ensemble", 0.22), ("MLP", 0.18), ("LSTM", 0.14), ("FTRLProximal", 0.0))
    blends = {}
    for h in horizons:
        turn = h.order % 4
        names = [w[0] for w in weights]
        blends[h.label] = HorizonBlend(
            dict(zip(names, np.roll([w[1] for w in weights], turn).tolist())), 0.1, 0.62 / (1 + h.order), 2.0, 400
        )
    blends |= {
        k: HorizonBlend({}, abstained=f"insufficient data: {n} of 30 non-overlapping windows", windows=n)
        for k, n in (("5d", 24), ("20d", 6)) if k in blends
    }  # fmt: skip
    results = {m: make_result(f"{m:g}x", cost=m, idle=idle, first=TRADED) for m in (0.5, 1.0, 2.0)}
    values = {
        "title": "Made-up run for the tests",
        "data_origin": origin,
        "data": make_data(origin),
        "oofs": oofs,
        "blends": blends,
        "gates": tuple(make_gate(h.label, s, seed=h.order) for h in horizons[:7] for s in ("peak", "valley")),
        "costs": CostFit(
            {"k1": 0.53, "k2": 0.02, "k3": 0.151}, {"k1": 0.5, "k2": 0.0, "k3": 0.142}, 3200, 0.005, "tiered"
        ),
        "results": results,
        "naive": make_result("naive", edge_bps=12, cost=0, idle=idle, first=TRADED),
        "probe": ProbeVerdict(True, "Cut at 2025-08-14; 18,204 values compared, none differs."),
        "features": 49,
        "daily_features": 20,
        "settings_digest": "8f14e45fceea167a5a36dedd4bea2543",
        "settings_summary": {"training.segments": "5", "sizing.method": "ridge", "gating.g_min": "0.2"},
        "provenance": {"Models": "c9f0f895fb98ab9159f51fd0297e236d", "Blender": "45c48cce2e2d7fbdea1afc51c7c6ad26"},
        "timings": {"simulate": 6.1, "features": 8.4, "labels": 1.2, "train": 151.0, "stages": 14.2, "backtest": 61.8},
        "notes": ("MLP and LSTM saw at most 20,000 rows per fit (row cap of the default profile).",),
        "made_at": "2025-10-01 12:00 UTC",
        "command": "workbench run --demo",
    }
    return ReportInputs(**{**values, **changes})


@pytest.fixture(scope="session")
def make():
    """Builders of made-up inputs: make.oof, make.result, make.gate, make.inputs."""
    return SimpleNamespace(oof=make_oof, result=make_result, gate=make_gate, inputs=make_inputs)


@pytest.fixture(scope="session")
def inputs():
    """One full set, shared by tests that only read it."""
    return make_inputs()
