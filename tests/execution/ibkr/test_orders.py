"""Orders over the wire: their life, and what the libraries' own picture of them gets wrong."""

from __future__ import annotations

import math
from dataclasses import astuple

import pytest

from tests.execution.ibkr.conftest import FROZEN
from workbench.core.errors import ConfigError
from workbench.execution import broker
from workbench.execution.ibkr.accounts import AccountKind
from workbench.execution.ibkr.errors import BrokerError, NotConnected
from workbench.execution.reports import CommissionReport, ErrorReport, ExecutionReport, OrderReport
from workbench.gateway.scenarios.spec import Event, Scenario


def refusing(kind: str, code: int) -> Scenario:
    """A gateway that refuses the second request of a kind."""
    params = {"kind": kind, "count": 1, "code": code, "text": "Error processing request"}
    return Scenario("refusing", "about", "expect", (Event("refuse_request", at=3.0, params=params),))


def test_greeting(desk):
    d = desk()
    assert d.greeting.account == d.gateway.account
    assert d.greeting.kind is AccountKind.SIMULATED
    assert d.greeting.server_version == 176
    assert abs(d.greeting.server_time - d.gateway.clock.now()) < 600e9


def test_a_market_order_fills_and_costs(desk):
    d = desk()
    sent = d.send("wb-1")
    fill = d.heard(ExecutionReport, order_ref="wb-1")
    truth = d.gateway.brokerage.executions()[0]
    assert (fill.exec_id, fill.quantity, fill.price) == (truth.exec_id, 100, truth.price)
    assert fill.time == truth.time // 10**9 * 10**9
    assert (fill.order_id, fill.side, fill.symbol) == (sent.order_id, 1, "AAPL")
    assert d.heard(CommissionReport, exec_id=fill.exec_id).commission == pytest.approx(truth.commission)
    done = d.heard(OrderReport, order_ref="wb-1", status="Filled", filled=100)
    assert (done.remaining, done.perm_id, done.client_id) == (0, fill.perm_id, 17)


def test_change_in_place_then_cancel(desk):
    d = desk()
    sent = d.send("wb-1", limit=5.0)
    d.heard(OrderReport, order_ref="wb-1", status="Submitted")
    d.send("wb-1", limit=5.5, quantity=70, order_id=sent.order_id)
    d.heard(OrderReport, order_ref="wb-1", limit_price=5.5, quantity=70)
    (working,) = d.connection.facts().orders
    assert (working.order_id, working.quantity, working.limit_price, working.remaining) == (sent.order_id, 70, 5.5, 70)
    d.connection.cancel(sent.order_id)
    d.heard(OrderReport, order_ref="wb-1", status="Cancelled")
    d.heard(ErrorReport, code=202, order_ref="wb-1", order_id=sent.order_id)
    facts = d.connection.facts()
    assert not facts.orders
    assert [(o.order_ref, o.status) for o in facts.completed] == [("wb-1", "Cancelled")]


def test_adaptive_and_closing_orders_are_taken(desk):
    d = desk()
    d.send("wb-1", limit=5.0, algo="Adaptive", priority="Patient")
    d.send("wb-2", kind="MOC")
    d.send("wb-3", limit=5.0, kind="LOC")
    d.until(lambda: len(d.connection.facts().orders) == 3, "three orders")
    assert {o.order_ref: (o.order_type, o.tif) for o in d.connection.facts().orders} == {
        "wb-1": ("LMT", "DAY"), "wb-2": ("MOC", "DAY"), "wb-3": ("LOC", "DAY")
    }  # fmt: skip
    (adaptive,) = (v for v in d.gateway.brokerage.open_orders() if v.ticket.order_ref == "wb-1")
    assert (adaptive.ticket.algo, dict(adaptive.ticket.algo_params)) == ("Adaptive", {"adaptivePriority": "Patient"})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"quantity": 0}, "quantity 0 above 0"),
        ({"side": 0}, "side 0"),
        ({"limit": math.inf}, "limit price above 0"),
        ({"limit": 5.0, "algo": "Vwap"}, "must be Adaptive"),
        ({"kind": "STP"}, "'STP' must be among LMT"),
        ({"kind": "MOC", "algo": "Adaptive", "priority": "Urgent"}, "not with MOC"),
    ],
)
def test_what_must_not_leave_is_refused(desk, change, text):
    d = desk()
    with pytest.raises(ConfigError, match=text):
        d.send("wb-1", **change)
    assert not d.gateway.brokerage.open_orders()


def test_an_unknown_contract_is_refused_before_anything_is_sent(desk):
    d = desk()
    with pytest.raises(BrokerError, match="the contract of MSFT is not known yet; qualify it"):
        d.send("wb-1", symbol="MSFT")
    with pytest.raises(BrokerError, match=r"2 symbol.*NOSUCHNAME1.*NOSUCHNAME2"):
        d.connection.qualify(["AAPL", "NOSUCHNAME1", "MSFT", "NOSUCHNAME2"])
    d.send("wb-1", symbol="MSFT")
    d.heard(ExecutionReport, symbol="MSFT")


def test_what_if_says_the_margin_and_sends_nothing(desk):
    d = desk()
    told = d.connection.what_if(d.order("x", limit=5.0))
    assert told.initial_margin_after > 0
    assert told.equity_with_loan == pytest.approx(1_000_000, rel=1e-3)
    assert not d.gateway.brokerage.open_orders()
    assert not d.of(OrderReport)


def test_a_what_if_of_too_much_says_a_margin_above_the_account(desk):
    d = desk(speed=FROZEN)
    told = d.connection.what_if(d.order("x", limit=5.0, quantity=10_000_000))
    assert told.initial_margin_after == pytest.approx(0.5 * 10_000_000 * d.gateway.hub.price("AAPL"), rel=0.01)
    assert told.initial_margin_after > told.equity_with_loan


def test_a_refused_what_if_is_unknown(desk, caplog):
    d = desk(refusing("placeOrder", 201))
    d.until(lambda: d.gateway.hub.injector.guards, "the refusal")
    told = d.connection.what_if(d.order("x", limit=5.0))
    assert all(math.isnan(value) for value in astuple(told))
    assert "what-if of LMT 100 AAPL" in caplog.text
    assert not d.gateway.brokerage.open_orders()


def test_facts_that_are_refused_are_as_good_as_unanswered(desk):
    d = desk(refusing("openOrders", 322))
    d.until(lambda: d.gateway.hub.injector.guards, "the refusal")
    with pytest.raises(broker.BrokerTimeout, match="refuses to tell them"):
        d.connection.facts()


def test_the_errors_are_those_that_brokers_have_in_common(desk):
    d = desk()
    order = d.order("wb-1")
    d.connection.close()
    with pytest.raises(broker.NotConnected):
        d.connection.place(order)
    with pytest.raises(broker.NotConnected):
        type(d)(4002).connection.reserve_order_id()


def test_numbers_rise_above_what_was_used(desk):
    d = desk()
    first = d.connection.reserve_order_id()
    assert d.connection.reserve_order_id() == first + 1
    assert d.connection.reserve_order_id(above=500) == 501
    assert d.connection.reserve_order_id() == 502


def test_a_stale_next_valid_id_is_not_believed(desk):
    d = desk("stale_next_valid_id")
    orders = [d.send(f"wb-{i}", limit=5.0) for i in range(3)]
    assert len({o.order_id for o in orders}) == 3
    d.until(lambda: len(d.gateway.brokerage.open_orders()) == 3, "three orders")
    again = type(d)(d.gateway.port)
    d.connection.close()
    again.connection.open()
    try:
        assert again.connection.reserve_order_id() > max(o.order_id for o in orders)  # seen among the open orders
    finally:
        again.connection.close()


def test_10349_is_no_cancel(desk):
    d = desk("tif_preset_message")
    sent = d.send("wb-1", limit=5.0)
    d.heard(ErrorReport, code=10349, order_ref="wb-1", order_id=sent.order_id)
    d.heard(ExecutionReport, order_ref="wb-1")
    d.heard(OrderReport, order_ref="wb-1", status="Filled")
    assert not d.of(OrderReport, status="Cancelled")


def test_an_early_commission_is_kept(desk):
    d = desk("commission_before_execution")
    d.send("wb-1")
    fill = d.heard(ExecutionReport)
    cost = d.heard(CommissionReport, exec_id=fill.exec_id)
    assert d.reports.index(cost) < d.reports.index(fill)


def test_a_correction_passes_as_it_came(desk):
    d = desk("execution_corrected")
    d.send("wb-1")
    d.until(lambda: len(d.of(ExecutionReport)) == 2, "the correction")
    first, second = d.of(ExecutionReport)
    assert second.exec_id.endswith(".02")
    assert first.exec_id[:-3] == second.exec_id[:-3]
    assert second.price == pytest.approx(first.price + 0.05)


def test_an_execution_with_a_strange_number_keeps_its_names(desk):
    d = desk("execution_unknown_order_id")
    d.send("wb-1")
    fill = d.heard(ExecutionReport)
    assert (fill.order_id, fill.order_ref) == (987654, "wb-1")


def test_a_manual_trade_is_told_without_a_ref(desk):
    d = desk("manual_trade_in_tws")
    d.send("wb-1", limit=5.0)
    (manual,) = d.until(lambda: [e for e in d.connection.facts().executions if not e.order_ref], "the manual trade")
    assert manual.order_id == 0


def test_facts_are_of_every_client(desk):
    d = desk()
    other = type(d)(d.gateway.port, client_id=99)
    other.connection.open()
    try:
        other.connection.qualify(["AAPL"])
        other.send("other", limit=5.0)
        other.heard(OrderReport, status="Submitted")
        other.send("bought", quantity=30)
        other.heard(OrderReport, order_ref="bought", status="Filled", filled=30)
        facts = d.connection.facts()
    finally:
        other.connection.close()
    assert [(o.order_ref, o.client_id) for o in facts.orders] == [("other", 99)]
    assert [(e.order_ref, e.client_id, e.quantity) for e in facts.executions] == [("bought", 99, 30)]
    assert [c.exec_id for c in facts.commissions] == [facts.executions[0].exec_id]
    assert [(p.symbol, p.quantity) for p in facts.positions] == [("AAPL", 30)]
    (bought,) = facts.executions
    paid = bought.quantity * bought.price + facts.commissions[0].commission
    assert facts.account.account == d.gateway.account
    assert facts.account.net_liquidation == pytest.approx(1_000_000, rel=1e-3)
    assert facts.account.cash == pytest.approx(1_000_000 - paid, abs=0.01)
    assert facts.asked_at <= facts.told_at


def test_nothing_is_sent_over_a_closed_connection(desk):
    d = desk()
    order = d.order("wb-1")
    d.connection.close()
    d.connection.close()
    assert not d.connection.connected
    for attempt in (lambda: d.connection.place(order), d.connection.facts, lambda: d.connection.cancel(1)):
        with pytest.raises(NotConnected, match="nothing was sent"):
            attempt()


def test_a_callback_cannot_wait_for_itself(desk):
    d = desk()
    caught = []

    def call_back(report):
        d.reports.append(report)
        if isinstance(report, ExecutionReport):
            try:
                d.connection.facts()
            except BrokerError as error:
                caught.append(str(error))

    d.connection._messages.on_report = call_back
    d.send("wb-1")
    d.until(lambda: caught, "the refusal")
    assert "adapter's own thread" in caught[0]
