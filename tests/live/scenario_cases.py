"""How each shipped scenario is met by a live engine, and what it says the client must end with."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from tests.live.scenario_runs import Case, Hand, Run
from workbench.core.units import NS_PER_SECOND
from workbench.execution.account_order import AccountOrder
from workbench.execution.ibkr.errors import Mute, PortClosed
from workbench.execution.order_states import OrderState

DURING = "2026-03-02T10:34:55"
"""The first bar ends five seconds after the start: between faults at 3 s and their end at 6 s."""
SHORTLY_AFTER = "2026-03-02T10:34:57"
"""It ends three seconds after the start."""
REST = Hand()
FILLS = Hand(away=-0.01)
SHORT = Hand(side=-1, away=-0.01)

# ---- what is done meanwhile ---------------------------------------------------------------------------------------


def cancel(run: Run) -> None:
    run.account.cancel_all("the test cancels")


def change(run: Run) -> None:
    """Move the limit a cent away, as a policy does."""
    (entry,) = run.account.ledger.open_orders
    assert run.account.change(entry.order_ref, round(entry.order.limit_price - entry.order.side * 0.01, 2))
    run.rig.hear()


def compare(run: Run) -> None:
    """What happens every minute."""
    run.account.reconcile(run.rig.clock.now())


def restart(run: Run) -> None:
    run.restart()


def is_working(run: Run) -> None:
    """The order is open, once, at both ends, and nothing doubts it."""
    (entry,) = run.account.ledger.open_orders
    assert entry.state is OrderState.ACCEPTED, run.states(entry.order_ref)
    (theirs,) = [o for o in run.at_gateway if o.open]
    assert (theirs.perm_id, theirs.ticket.limit_price) == (entry.perm_id, entry.order.limit_price)


def is_open(run: Run) -> None:
    """The order counts as open, as it is."""
    (entry,) = run.account.ledger.open_orders
    assert [o.ticket.order_ref for o in run.at_gateway if o.open] == [entry.order_ref]


def is_flat(run: Run) -> None:
    assert run.rig.at_gateway == {} == run.rig.in_books


# ---- what must come of it -----------------------------------------------------------------------------------------


def filled(run: Run) -> None:
    """What set the scenario off counts as filled, once and whole."""
    entry = first(run)
    assert entry.remaining == 0
    assert run.filled(entry.order_ref) == entry.filled == entry.order.quantity
    assert entry.state is OrderState.FILLED, run.states(entry.order_ref)


def filled_after_all(run: Run) -> None:
    """Told as cancelled, and filled all the same: every share is counted."""
    entry = first(run)
    assert entry.filled == run.filled(entry.order_ref) == entry.order.quantity


def refused(run: Run) -> None:
    """No such order exists, and the record says so and why."""
    entry = first(run)
    assert entry.state in (OrderState.REJECTED, OrderState.ABSENT), run.states(entry.order_ref)
    assert not [o for o in run.at_gateway if o.ticket.order_ref == entry.order_ref and (o.open or o.filled)]
    assert any(e["order_ref"] == entry.order_ref for e in run.reports("error"))
    assert run.journal("rejected")


def never_arrived(run: Run) -> None:
    """It is proved to be absent, after it was in doubt."""
    entry = first(run)
    assert run.states(entry.order_ref)[-2:] == ["unknown", "absent"]
    assert not run.known(entry.order_ref)


def cancelled(run: Run) -> None:
    entry = first(run)
    assert entry.state is OrderState.CANCELLED
    assert entry.filled == run.filled(entry.order_ref) == 0


def exists_once(run: Run) -> None:
    """It was not lost, nor sent again."""
    entry = first(run)
    assert [o.perm_id for o in run.at_gateway if o.ticket.order_ref == entry.order_ref] == [entry.perm_id]
    assert entry.state not in (OrderState.REJECTED, OrderState.ABSENT)


def first(run: Run) -> AccountOrder:
    """The order that the first deed was about, or else the first that was sent."""
    refs = {order["order_id"]: order["order_ref"] for _, order in run.sent()}
    numbers = [d.order_id for d in run.deeds if d.order_id in refs] or [min(refs)]
    return run.account.ledger.orders[refs[numbers[0]]]


def nothing_sent_while_cut(run: Run) -> None:
    """Nothing was sent between the loss of the way to the broker and the reconciliation after its return."""
    links = [(r["time"], r["link"]) for r in run.reports("link") if r["link"] in ("cut", "restored", "up", "down")]
    compared = [e.known_at for e in run.journal("reconciliation")]
    for (lost, link), (back, _) in pairwise(links):
        if link in ("cut", "down"):
            until = min(t for t in compared if t >= back)
            assert not [o for t, o in run.sent() if lost < t < until]


def one_outage(run: Run) -> None:
    """It is said five times, and is one: orders and subscriptions are doubted once."""
    nothing_sent_while_cut(run)
    doubted = [e for e in run.journal("order_state") if "cut" in e.payload["reason"]]
    assert len({e.payload["order_ref"] for e in doubted}) == len(doubted)


def not_traded(run: Run) -> None:
    """Nothing was sent of the symbol that the scenario is about."""
    symbol = run.deeds[0].symbol
    assert symbol not in {o["symbol"] for _, o in run.sent()}
    assert run.sent()


def not_traded_between(start_s: float, end_s: float) -> Callable[[Run], None]:
    """As above, from `start_s` to `end_s` after the start."""

    def check(run: Run) -> None:
        symbol, begun = run.deeds[0].symbol, run.rig.host.tally.started_at
        times = [(t - begun) / NS_PER_SECOND for t, o in run.sent() if not symbol or o["symbol"] == symbol]
        assert not [t for t in times if start_s <= t < end_s], times
        assert times

    return check


def lines_asked_once(run: Run) -> None:
    not_traded(run)
    assert run.gateway.hub.injector._seen == [3], "no line more is asked for"


def traded(run: Run) -> None:
    assert run.deeds[0].symbol in {o["symbol"] for _, o in run.sent()}


def outside(**positions: int) -> Callable[[Run], None]:
    def check(run: Run) -> None:
        assert run.account.outside_positions == positions
        assert any(e.payload["reason"] == "changed outside" for e in run.journal("outside"))

    return check


def corrected(run: Run) -> None:
    (correction,) = run.journal("correction")
    before, after = correction.payload["before"], correction.payload["after"]
    assert round(after["price"] - before["price"], 4) == 0.05
    assert (before["exec_id"][-3:], after["exec_id"][-3:]) == (".01", ".02")


def skew_stops_it(run: Run) -> None:
    """Without a clock to trust nothing is sent, and the skew is in the record."""
    assert not run.sent()
    reasons = [h.reason for e in run.journal("held_back") for h in e.payload["orders"]]
    assert reasons
    assert all("clock" in r for r in reasons)


def refused_with(kind: type) -> Callable[[Run], None]:
    """It could not start at first, and knew why."""

    def check(run: Run) -> None:
        assert run.refusals
        assert all(isinstance(r, kind) for r in run.refusals)

    return check


def no_error_103(run: Run) -> None:
    assert not [e for e in run.reports("error") if e["code"] == 103]
    numbers = [o["order_id"] for _, o in run.sent()]
    assert numbers == sorted(set(numbers))


def no_print(run: Run) -> None:
    """The exchange ended it, without a cancel of ours: after the cut-off there is none."""
    cancelled(run)
    assert not run.journal("cancel")
    assert any("no closing auction print" in e["text"] for e in run.reports("error"))


def cancelled_again(run: Run) -> None:
    cancelled(run)
    assert len([e for e in run.journal("cancel") if e.payload["order_ref"] == first(run).order_ref]) == 2


def one_of_two(run: Run) -> None:
    """The second order was seen, and cancelled."""
    entry = first(run)
    both = [o for o in run.at_gateway if o.ticket.order_ref == entry.order_ref]
    assert len(both) == 2
    assert sum(o.filled for o in both) <= entry.order.quantity
    findings = [f["matter"] for e in run.journal("reconciliation") for f in e.payload["findings"]]
    assert "doubled" in findings
    assert "AAA" not in {o["symbol"] for t, o in run.sent() if t > run.deeds[0].time}, "beside an order that is stuck"


def two_fills(run: Run) -> None:
    filled(run)
    ref = first(run).order_ref
    assert [e.payload["fill"]["quantity"] for e in run.journal("fill") if e.payload["order_ref"] == ref] == [40, 60]


def forty_filled(run: Run) -> None:
    entry = first(run)
    assert entry.filled == run.filled(entry.order_ref) == 40
    assert entry.state is OrderState.CANCELLED


def in_doubt_never_cancelled(run: Run) -> None:
    """Both libraries call the order cancelled; it never counted as that."""
    filled(run)
    assert "cancelled" not in run.states(first(run).order_ref)


def was_cancelling(run: Run) -> None:
    (entry,) = run.account.ledger.open_orders
    assert entry.state is OrderState.CANCELLING
    is_open(run)


def not_decided_without(run: Run) -> None:
    """An order of a symbol only if its history came."""
    missing = {s for e in run.journal("warmup") for s in e.payload["missing"]}
    assert not missing & {o["symbol"] for _, o in run.sent()}
    assert run.sent()


CASES: dict[str, Case] = {
    # the way to the gateway, at the start and later
    "accept_without_handshake": Case(broker={"connect_timeout_s": 0.5}, check=refused_with(Mute)),
    "connection_refused_at_start": Case(check=refused_with(PortClosed)),
    "connection_closed": Case(hand=REST, acts={20: is_working}, check=exists_once),
    "connection_reset": Case(hand=REST, acts={20: is_working}, check=exists_once),
    "rate_exceeded_disconnect": Case(hand=REST, acts={20: is_working}, check=exists_once),
    "nightly_restart": Case(hand=REST, acts={20: is_working}, check=exists_once),
    "port_reset_1300": Case(check=nothing_sent_while_cut),
    "id_in_use_after_reconnect": Case(hand=REST, acts={24: is_working}),
    "half_open_socket": Case(
        quiet=True, leap=3, broker={"request_timeout_s": 0.5}, acts={3: lambda run: run.send(REST)}, check=never_arrived
    ),
    "frames_split": Case(),
    "slow_drip": Case(broker={"request_timeout_s": 20.0}),
    "rate_warning_code_0": Case(hand=REST, acts={5: is_working}, check=exists_once),
    "mute_for_a_while": Case(hand=REST, leap=6, check=filled),
    "clock_skew": Case(check=skew_stops_it, trades_on=False),
    "stale_next_valid_id": Case(acts={20: restart}, check=no_error_103),
    # the gateway's way to the broker
    "connectivity_lost_data_kept": Case(check=nothing_sent_while_cut),
    "connectivity_lost_data_lost": Case(start=DURING, check=nothing_sent_while_cut),
    "connectivity_lost_repeats": Case(check=one_outage),
    "data_paused_despite_1102": Case(start=DURING, check=nothing_sent_while_cut),
    "tws_server_broken_2110": Case(start=DURING, check=not_traded_between(3, 6)),
    "fills_lost_around_1100": Case(hand=REST, check=filled),
    # orders that are refused, lost or doubtful
    "duplicate_order_id": Case(hand=REST, check=refused),
    "no_trading_permission": Case(hand=REST, check=refused),
    "order_without_definition": Case(hand=REST, check=refused),
    "price_increment_refused": Case(hand=REST, check=refused),
    "rejected_insufficient_equity": Case(hand=REST, check=refused),
    "security_not_allowed": Case(hand=REST, check=refused),
    "short_not_available": Case(hand=SHORT, check=refused),
    "order_read_then_dropped": Case(hand=REST, check=never_arrived),
    "restart_swallows_order": Case(hand=REST, check=never_arrived),
    "placement_without_callbacks": Case(hand=REST, acts={20: is_working}, check=exists_once),
    "processed_then_disconnected": Case(hand=REST, acts={20: is_working}, check=exists_once),
    "attribute_ignored_2109": Case(hand=REST, acts={5: is_working}, check=exists_once),
    "order_held_399": Case(hand=REST, acts={5: is_working}, check=exists_once),
    "tif_preset_message": Case(hand=REST, check=in_doubt_never_cancelled),
    "shares_being_located": Case(hand=SHORT, acts={1: is_open}, check=filled),
    # cancels and changes
    "cancel_acknowledged_late": Case(hand=REST, acts={2: cancel, 4: was_cancelling}, check=cancelled),
    "cancel_meets_fill": Case(hand=REST, acts={2: cancel}, check=filled),
    "cancel_not_found": Case(hand=REST, acts={2: cancel}, check=cancelled_again),
    "cancel_read_then_dropped": Case(hand=REST, acts={2: cancel, 9: was_cancelling}, check=cancelled_again),
    "fill_after_cancel": Case(hand=REST, acts={2: cancel}, check=filled_after_all),
    "failed_modify_keeps_order": Case(hand=REST, acts={2: change, 8: is_working}, check=exists_once),
    "modify_doubles_order": Case(hand=REST, acts={2: change}, doubles=2, check=one_of_two, trades_on=False),
    # fills, their order, their corrections, what they cost
    "fill_while_disconnected": Case(hand=REST, check=filled),
    "partial_fill_then_disconnect": Case(hand=REST, check=two_fills),
    "commission_before_execution": Case(),
    "commission_late": Case(),
    "commission_missing": Case(),
    "duplicate_executions": Case(check=filled),
    "duplicate_order_status": Case(check=filled),
    "execution_before_open_order": Case(hand=FILLS, check=filled, trades_on=False),
    "execution_corrected": Case(check=corrected),
    "execution_unknown_order_id": Case(check=filled),
    "executions_forgotten": Case(acts={20: restart}, check=filled),
    "executions_replayed": Case(acts={20: restart}, check=filled),
    "no_execution_details": Case(check=filled),
    "no_filled_status": Case(check=filled),
    "no_order_status": Case(check=filled),
    "status_before_execution": Case(check=filled),
    "status_regresses": Case(hand=REST, check=forty_filled),
    # what others do, and the market
    "manual_trade_in_tws": Case(check=outside(AAPL=100)),
    "manual_sale_of_own_position": Case(hand=FILLS, acts={10: compare, 20: is_flat}, check=outside(AAA=-100)),
    "borrow_recalled_buy_in": Case(hand=SHORT, acts={10: compare, 20: is_flat}, check=outside(AAA=100)),
    "closing_auction_without_print": Case(
        start="2026-03-02T15:44:59", hand=Hand(kind="MOC"), check=no_print, trades_on=False
    ),
    "halt_and_resume": Case(hand=REST, acts={4: is_open}, check=exists_once),
    # quotes
    "competing_session": Case(start=DURING, check=not_traded_between(3, 7)),
    "crossed_quotes": Case(start=SHORTLY_AFTER, check=not_traded_between(1, 6)),
    "no_quotes": Case(start=SHORTLY_AFTER, check=not_traded_between(1, 6)),
    "farm_blip_data_dead": Case(start=DURING),
    "delayed_data_not_enabled": Case(check=not_traded, trades_on=False),
    "delayed_data_shown": Case(check=not_traded, trades_on=False),
    "no_market_data_subscription": Case(check=not_traded, trades_on=False),
    "real_time_bars_refused": Case(check=not_traded, trades_on=False),
    "tick_by_tick_refused": Case(check=not_traded, trades_on=False),
    "too_many_lines": Case(check=lines_asked_once, trades_on=False),
    "partly_subscribed_10090": Case(check=traded),
    # bars
    "bust_event": Case(),
    "live_updates_lost": Case(),
    "historical_no_data": Case(),
    "historical_pacing": Case(check=traded),
    "historical_too_many": Case(check=traded),
    "history_farm_broken": Case(broker={"request_timeout_s": 0.7}, check=not_decided_without),
    "history_unanswered": Case(broker={"request_timeout_s": 0.7}, check=traded),
}
