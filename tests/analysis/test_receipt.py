"""The receipt says what the decision holds, in the units it names."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.analysis.receipt import Receipt, receipt
from workbench.core.errors import DataError
from workbench.core.horizon import horizon
from workbench.journal import CORE_TYPES, Codec, MemoryJournal


@pytest.fixture(scope="module")
def row(traded) -> int:
    """A bar whose orders were filled."""
    recall = traded.recall
    return next(int(r) for r in recall.rows if len(recall.fills(r)) > 1)


@pytest.fixture(scope="module")
def told(traded, row) -> Receipt:
    recall = traded.recall
    m = recall.moment(row)
    orders, fills = recall.orders(row), recall.fills(row)
    return receipt(m.decision, orders[0].symbol, snapshot=m.snapshot, book=m.book, orders=orders, fills=fills)


def test_it_reads_the_decision_in_basis_points(traded, row, told):
    d = traded.recall.decision(row)
    i = d.symbols.index(told.symbol)
    assert told.digest == d.digest
    line = next(h for h in told.horizons if np.isfinite(h.alpha_bps))
    at = horizon(line.horizon).order
    assert line.alpha_bps == pytest.approx(d.alphas.smoothed[at, i] * 1e4)
    assert line.cost_bps == pytest.approx(d.costs.one_way[at, i] * 1e4)
    assert told.edge[line.horizon] == pytest.approx(line.alpha_bps / line.cost_bps / 2)
    assert line.net_bps == pytest.approx(np.sign(line.alpha_bps) * max(abs(line.alpha_bps) - 2 * line.cost_bps, 0))
    assert sum(told.costs_bps.values()) == pytest.approx(line.cost_bps)
    assert told.target_weight == d.target.weights[i]
    assert [m.horizon for m in told.models] == [k.horizon for k in d.forecasts.keys]


def test_the_rate_adds_up_from_horizons_through_the_gate(told):
    steps = dict(told.rate_steps)
    assert told.state == "FORECAST"
    assert sum(v for k, v in steps.items() if k != "gate") == pytest.approx(told.gross_bps_a_day)
    assert sum(steps.values()) == pytest.approx(told.gate * told.gross_bps_a_day)
    assert told.z == pytest.approx(sum(steps.values()) * 1e-4 / told.market.known["sigma_1d"])
    assert {h.horizon for h in told.horizons if h.weight > 0} == set(steps) - {"gate"}


def test_orders_and_fills_lead_from_the_position_to_the_target(told):
    steps = dict(told.weight_steps)
    assert len(told.orders) == 1
    assert {f.symbol for f in told.fills} == {told.symbol}
    one_share = told.orders[0].arrival_mid / told.position.nav
    assert steps["ordered"] == pytest.approx(steps["target"], abs=one_share)
    bought = sum(f.side * f.quantity for f in told.fills)
    assert np.sign(bought) == np.sign(steps["filled"] - steps["held"]) == told.orders[0].side
    worst = max(f.side * (f.price / f.mid - 1) * 1e4 for f in told.fills)
    assert 0 < told.slippage_bps <= worst + 1e-9


def test_what_was_not_given_is_unknown(traded, row, told):
    alone = receipt(traded.recall.decision(row), told.symbol)
    assert alone.market is alone.position is None
    assert np.isnan(alone.z)
    assert np.isnan(dict(alone.weight_steps)["held"])
    assert np.isnan(alone.slippage_bps)
    assert [h.alpha_bps for h in alone.horizons if h.weight] == [h.alpha_bps for h in told.horizons if h.weight]
    assert np.isnan([h.sigma_bps for h in alone.horizons]).all()


def test_an_unknown_symbol_is_named(traded, row):
    d = traded.recall.decision(row)
    with pytest.raises(DataError, match=f"nothing was decided on {d.symbols[0]}X. Did you mean '{d.symbols[0]}'?"):
        receipt(d, d.symbols[0] + "X")


def test_explain_prints_the_receipt(traded, row, told):
    """What `workbench explain --json` has always said, from a journaled decision."""
    import json

    from workbench.engine.explain import explain

    recall = traded.recall
    m, journal = recall.moment(row), MemoryJournal(codec=Codec(CORE_TYPES))
    kept = {"digest": m.decision.digest, "mode": "live", "decision": m.decision, "book": m.book, "snapshot": m.snapshot}
    journal.record("decision", m.decision.known_at, kept)
    journal.record("intents", m.decision.known_at, {"orders": recall.orders(row)})
    said = explain(journal, told.symbol, m.decision.known_at)
    json.dumps(said, allow_nan=False)
    i = m.decision.symbols.index(told.symbol)
    assert list(said) == [
        "symbol", "system", "session", "at", "mode", "digest", "snapshot", "models", "horizons", "choice", "position",
        "breaches", "orders",
    ]  # fmt: skip
    assert list(said["choice"]) == [
        "state", "net_bps_a_day", "gross_bps_a_day", "gate", "desired_weight", "target_weight", "tradable",
    ]  # fmt: skip
    assert list(said["horizons"][0]) == ["horizon", "alpha_bps", "cost_bps", "net_bps", "p_peak", "p_valley", "weight"]
    assert said["horizons"][0] == {"horizon": "5m", **dict.fromkeys(["alpha_bps", "net_bps", "p_peak", "p_valley"]),
                                   "cost_bps": said["horizons"][2]["cost_bps"], "weight": 0.0}  # fmt: skip
    assert said["snapshot"]["price"] == m.snapshot.price[i]
    assert list(said["snapshot"]) == [
        "price", "bid", "ask", "quote_age_s", "spread", "sigma_5m", "sigma_1d", "halted", "phase", "features",
    ]  # fmt: skip
    assert said["position"] == {"shares": m.book.positions[i], "weight": m.book.weights[i], "nav": m.book.nav}
    assert [o["what"] for o in said["orders"]] == ["intents"]
