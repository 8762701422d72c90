"""Every component of the trading flow together, through a real client connection to the simulated gateway.

One engine trades eight bars of three symbols with a bundle on disk; each test looks at one stage of what it left in the
journal, at the gateway and in its own books.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from workbench.commands import Command
from workbench.core.calendar import iso_time
from workbench.core.horizon import HORIZONS
from workbench.core.types import Book, State
from workbench.core.units import BAR_MINUTES, NS_PER_MINUTE
from workbench.decision.pipeline import decide
from workbench.engine.codec import live_codec
from workbench.engine.explain import explain
from workbench.engine.heart import Heart
from workbench.engine.modes import Mode
from workbench.engine.session_record import read_session
from workbench.engine.status import engine_view
from workbench.engine.verify import verify_session
from workbench.execution.account_broker import is_ours
from workbench.features.engine import build_history
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import JournalError, SqlJournal
from workbench.live_trading import LiveTradingSystem

sys.path.insert(0, str(Path(__file__).parent / "live"))
from rig import FROZEN, START, SYMBOLS, Rig, loud_bundle, trading_settings

BARS = 8


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    """(rig after BARS bars, its journal opened for reading)."""
    folder = tmp_path_factory.mktemp("flow")
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(folder, gateway, (trading_settings(loud_bundle(folder / "bundle")),))
        rig.open()
        for _ in range(BARS):
            rig.bar()
        with SqlJournal(folder / "journal.db", read_only=True, codec=live_codec()) as journal:
            yield rig, journal
        rig.close()


@pytest.fixture(scope="module")
def decisions(flow):
    return [entry.payload for entry in flow[1].read("decision")]


def test_1_market_data_every_bar_is_the_bar_of_the_gateways_own_history(flow):
    rig, journal = flow
    batches = [entry.payload["batch"] for entry in journal.read("market")]
    assert len(batches) == BARS
    last = batches[-1]
    rows = rig.host.connection.bars(SYMBOLS, BAR_MINUTES, last.ts, BARS)
    for i, symbol in enumerate(SYMBOLS):
        told = [[r.open, r.high, r.low, r.close, r.volume] for r in rows[symbol]]
        np.testing.assert_array_equal([b.bars[i] for b in batches], told)
    steps = np.diff([b.ts for b in batches])
    assert (steps == BAR_MINUTES * NS_PER_MINUTE).all()
    assert all((b.bar_known >= b.ts).all() and b.closed_at >= b.ts for b in batches)


def test_1_the_quote_of_a_bar_is_no_later_than_the_bar(flow):
    for entry in flow[1].read("market"):
        assert (entry.payload["batch"].quote_known <= entry.payload["batch"].ts + NS_PER_MINUTE / 60).all()


def test_2_features_live_are_those_that_research_computes_from_the_same_bars(flow, decisions):
    rig, journal = flow
    warm = journal.last("warmup").payload
    system = rig.systems[0]
    batches = [entry.payload["batch"] for entry in journal.read("market")]
    table = np.stack([b.bars for b in batches], axis=0)  # (T, N, 5)
    rows = rig.host.feed._history(_sessions(), *_span(batches), BAR_MINUTES, batches[-1].ts)
    fields = {name: np.concatenate([getattr(warm["bars"], name), table[:, :, k]])
              for k, name in enumerate(("open", "high", "low", "close", "volume"))}  # fmt: skip
    fresh = slice(len(rows.ts) - BARS, None)
    grid = {name: np.concatenate([getattr(warm["bars"], name), getattr(rows, name)[fresh]])
            for name in ("ts", "session", "bar_of_session", "bars_in_session")}  # fmt: skip
    unknown = np.full((len(warm["bars"].ts), len(SYMBOLS)), np.nan)
    quotes = {name: np.concatenate([unknown, np.stack([b.quotes[:, k] for b in batches])])
              for k, name in enumerate(("bid", "ask", "bid_size", "ask_size"))}  # fmt: skip
    bars = replace(warm["bars"], **fields, **grid, **quotes)
    history = build_history(bars, warm["daily"], system.universe, system.features)
    for k, payload in enumerate(decisions):
        want = history.values[len(history) - BARS + k]
        np.testing.assert_array_equal(payload["snapshot"].features.latest, want)


def test_3_every_model_of_an_open_horizon_speaks(decisions):
    for payload in decisions:
        d, s = payload["decision"], payload["snapshot"]
        for row, key in enumerate(d.forecasts.keys):
            order = next(h.order for h in HORIZONS if h.label == key.horizon)
            assert np.isfinite(d.forecasts.expected_return[row]).all() == bool(s.horizon_open[order])


def test_4_to_7_alpha_costs_choice_and_gate_are_in_their_units(decisions):
    for payload in decisions:
        d = payload["decision"]
        open_ = payload["snapshot"].horizon_open
        used = [h.order for h in HORIZONS if h.label in ("5m", "10m", "30m") and open_[h.order]]
        assert np.isfinite(d.alphas.smoothed[used]).all()
        assert (d.costs.one_way[used] > 0).all()
        assert (d.costs.one_way[used] < 0.05).all()
        assert np.isin(d.choice.state, [int(State.FORECAST)]).all()
        assert np.allclose(d.choice.weights.sum(axis=0), 1.0)
        assert ((d.gate >= 0.2) & (d.gate <= 1.0)).all()


def test_8_and_9_limits_hold_in_every_target(flow, decisions):
    sizing = flow[0].plan.first.sizing
    for payload in decisions:
        weights = payload["decision"].target.weights
        moved = payload["decision"].target.tradable
        grown = np.abs(weights) > np.abs(payload["book"].weights) + 1e-12
        assert (np.abs(weights[moved & grown]) <= sizing.max_weight + 1e-9).all()
    assert any(np.abs(p["decision"].target.weights).sum() > 0.1 for p in decisions)


def test_10_nothing_was_sent_that_was_not_recorded_before(flow):
    _, journal = flow
    recorded: dict[str, int] = {}
    for entry in journal.read(("orders", "report")):
        if entry.kind == "orders":
            recorded |= {o["order"]["order_ref"]: entry.number for o in entry.payload["orders"]}
        elif entry.payload["type"] == "order":
            ref = entry.payload["report"]["order_ref"]
            assert is_ours(ref)
            assert recorded[ref] < entry.number
    assert recorded


def test_10_books_positions_and_money_are_those_of_the_gateway(flow):
    rig, _ = flow
    assert rig.at_gateway
    assert rig.in_books == rig.at_gateway
    cash = rig.gateway.brokerage.account_values()["TotalCashValue"]
    assert rig.host.desks[0].session.portfolio.cash == pytest.approx(cash, abs=0.01)


def test_10_each_order_filled_what_was_asked_and_no_more(flow):
    _, journal = flow
    record = read_session(journal, "s1")
    filled = dict.fromkeys(record.sent.order_ref, 0.0)
    for ref, quantity in zip(record.fills.order_ref, record.fills.quantity):
        filled[ref] += quantity
    for ref, quantity, told in zip(record.sent.order_ref, record.sent.quantity, record.sent.filled):
        assert filled[ref] == told <= quantity
    assert np.isfinite(record.fills.commission).all()
    assert (record.fills.commission > 0).all()


def test_decide_alone_repeats_the_decision_from_what_was_recorded(flow, decisions):
    rig, _ = flow
    payload = decisions[-1]

    class Told:
        def predict(self, snapshot):
            return payload["decision"].forecasts

    book: Book = payload["book"]
    stages = replace(rig.systems[0].stages, predictor=Told())
    again = decide(payload["snapshot"], book, stages)
    np.testing.assert_array_equal(again.target.weights, payload["decision"].target.weights)


def test_verify_finds_the_session_equal_in_both_verdicts(flow):
    verdict = verify_session(flow[1], "s1")
    assert (verdict.decisions, verdict.stages, verdict.forecasts) == (BARS, "equal", "equal")


def test_explain_tells_one_symbol_from_models_to_fills(flow, decisions):
    at = decisions[2]["decision"].known_at
    receipt = explain(flow[1], "AAA", at)
    d = decisions[2]["decision"]
    assert receipt["digest"] == d.digest
    assert receipt["choice"]["target_weight"] == d.target.weights[0]
    assert len(receipt["models"]) == len(d.forecasts.keys)
    assert {o["what"] for o in receipt["orders"]} >= {"intents", "orders", "fill", "commission"}


def test_status_shows_mode_positions_orders_and_latencies(flow):
    rig, _ = flow
    view = engine_view(rig.host, rig.plan, "s1", "trading", "")
    own = view["systems"]["main"]
    assert own["mode"] == "LIVE"
    assert own["positions"] == rig.at_gateway
    assert view["cycles"] == BARS
    assert view["missed"] == 0
    assert view["reconciled"] is True
    assert set(view["metrics"]["latencies"]) >= {"gather", "features", "decide", "send", "cycle"}


@pytest.fixture
def told(flow, tmp_path):
    """(what `get_portfolio_status` says a minute after the last bar, read from the folder as clients read it; rig)."""
    rig, _ = flow
    rig.move(60)
    assert rig.host.turn()
    heart = Heart(tmp_path, None, 1.0, lambda reason: None, lambda command: None)
    heart.show(engine_view(rig.host, rig.plan, "s1", "trading", ""))
    heart.write()
    system = LiveTradingSystem(rig.plan.first.change(live={"folder": str(tmp_path)}))
    return system.get_portfolio_status(), rig


def test_portfolio_status_has_the_weights_and_the_profit_of_the_gateways_account(told):
    status, rig = told
    account, quotes = rig.gateway.brokerage.account_values(), rig.host.connection.quotes()
    worth = account["NetLiquidation"]
    assert status["nav"] == pytest.approx(worth, abs=0.01)
    assert status["cash"] == pytest.approx(account["TotalCashValue"], abs=0.01)
    assert status["gross"] == pytest.approx(account["GrossPositionValue"] / worth, abs=1e-9)
    assert status["profit_today"] == pytest.approx(rig.gateway.brokerage.pnl().daily, abs=0.01)
    assert status["profit_today"] != 0
    value = {s: q * (quotes[s].bid + quotes[s].ask) / 2 for s, q in rig.at_gateway.items()}
    assert status["weights"] == pytest.approx({s: v / worth for s, v in value.items()}, abs=1e-9)
    assert status["net"] == pytest.approx(sum(value.values()) / worth, abs=1e-9)
    assert status["positions"] == rig.at_gateway
    peak = max(1_000_000.0, *(e.payload["book"].peak_nav for e in rig.host.journal.read("decision")))
    assert status["drawdown"] >= 1 - worth / peak - 1e-9


def test_portfolio_status_has_the_last_decision_of_the_journal(told, decisions):
    status, _ = told
    last = decisions[-1]["decision"]
    target = {s: float(w) for s, w in zip(last.symbols, last.target.weights) if w}
    assert status["last_decision"] == {
        "at": iso_time(last.known_at),
        "digest": last.digest,
        "target": target,
        "breaches": [],
    }
    assert target
    assert status["last_bar"] == iso_time(last.known_at)


def test_portfolio_status_tells_health_as_the_journal_has_it(told):
    status, rig = told
    journal, brokerage = rig.host.journal, rig.gateway.brokerage
    assert (status["phase"], status["alive"], status["error"], status["mode"]) == ("trading", True, "", "LIVE")
    assert status["account"] == brokerage.account
    assert (status["connected"], status["reconciled"]) == (True, True)
    assert status["cycles"] == sum(1 for _ in journal.read("cycle"))
    assert status["missed"] == sum(1 for _ in journal.read("missed"))
    sent = sum(len(e.payload["orders"]) for e in journal.read("orders"))
    assert status["metrics"]["counters"]["orders sent"] == sent == len(brokerage.register.by_perm_id)
    at_work = [(o.ticket.symbol, o.remaining) for o in brokerage.register.open()]
    assert [(o["symbol"], o["quantity"]) for o in status["open_orders"]] == at_work
    last = max((e.number for e in journal.read("decision")), default=0)
    held = [h for e in journal.read("held_back", after=last) for h in e.payload["orders"]]
    assert status["held_back"] == [f"{h.symbol}: {h.quantity} shares, {h.reason}" for h in held]


# ---- several systems ------------------------------------------------------------------------------------------------


def grows(order, share, held) -> bool:
    """Whether a system's share of an order opens or adds to what it held."""
    there = held.get((share["system"], order["symbol"]), 0)
    return order["side"] * there >= 0 or share["quantity"] > abs(there)


def test_the_net_order_of_two_systems_keeps_the_bound_of_one_unless_it_only_reduces(tmp_path):
    bundle, bound = loud_bundle(tmp_path / "b"), 30_000.0
    both = tuple(
        trading_settings(bundle, system={"name": name}, guards={"max_order_notional": bound}) for name in ("one", "two")
    )
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, both)
        rig.open()
        for _ in range(5):
            rig.bar()
        journal, held, growing = rig.host.journal, {}, 0
        for entry in journal.read(("orders", "fill")):
            for share in entry.payload["shares"] if entry.kind == "fill" else ():
                key = share["system"], entry.payload["fill"]["symbol"]
                held[key] = held.get(key, 0) + entry.payload["fill"]["side"] * share["quantity"]
            for o in entry.payload["orders"] if entry.kind == "orders" else ():
                order, shares = o["order"], o["shares"]
                assert sum(s["quantity"] for s in shares) == order["quantity"]
                if any(grows(order, s, held) for s in shares):
                    assert order["quantity"] * sum(o["quote_at_sending"]) / 2 <= bound * 1.001
                    growing += len(shares) > 1
        assert growing
        assert [e for e in journal.read("dropped") if "limits in total" in e.payload["reason"]]
        assert rig.in_books == rig.at_gateway
        rig.close()


# ---- the journal fails ----------------------------------------------------------------------------------------------


class Failing(SqlJournal):
    broken = False

    def record_many(self, records):
        if Failing.broken:
            raise JournalError("the disk is full")
        return super().record_many(records)


@pytest.fixture
def stepping(tmp_path):
    """A rig whose limits step from the mid to the touch every twenty seconds, over a journal that can fail."""
    stepwise = {"policy": "mid_step", "steps": 4, "max_replacements": 4}
    settings = trading_settings(loud_bundle(tmp_path / "b"), execution=stepwise, system={"update_interval": 20.0})
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, (settings,))
        rig.open(journal_type=Failing)
        yield rig
        Failing.broken = False
        rig.close()


def test_between_bars_a_journal_that_refuses_neither_ends_the_engine_nor_moves_what_grows(stepping):
    rig, host = stepping, stepping.host
    rig.bar()
    before = {o.order_ref: o.limit_price for o in host.account.working()}
    assert before
    Failing.broken = True
    for _ in range(12):
        rig.move(20)
        host.turn()
    assert {o.order_ref: o.limit_price for o in host.account.working()}.items() <= before.items()
    assert host.desks[0].session.mode is Mode.LIVE
    Failing.broken = False
    assert list(host.journal.read("change")) == []


def test_a_flattening_between_bars_goes_out_where_the_journal_takes_nothing(stepping):
    rig, host = stepping, stepping.host
    rig.bar()
    assert rig.at_gateway
    Failing.broken = True
    for _ in range(12):  # limits would step
        rig.move(20)
        host.turn()
    now = rig.clock.now()
    host.obey(Command("1", "flatten", "", "tester", "operator", "a test", now, now + 10**12))
    for _ in range(6):
        host.turn()
        rig.move(70)
    assert rig.at_gateway == {}


def _sessions():
    from workbench.core.calendar import exchange_sessions

    return exchange_sessions()


def _span(batches):
    """First and last index of the sessions of the live bars."""
    at = int(np.searchsorted(_sessions().close_ns, batches[0].ts))
    return at, at
