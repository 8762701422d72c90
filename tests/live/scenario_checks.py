"""What must hold after any scenario: positions equal, nothing twice, nothing orphaned, everything recorded."""

from __future__ import annotations

from collections import Counter

from tests.live.scenario_runs import Run
from workbench.execution.order_states import DONE

OVER = {str(s) for s in DONE}


def check_everything(run: Run) -> None:
    """All of it; the scenario's own expectation last."""
    it_happened(run)
    positions_are_equal(run)
    nothing_twice(run)
    nothing_beyond_what_was_decided(run)
    nothing_orphaned(run)
    one_order_of_a_symbol_at_a_time(run)
    money_is_equal(run)
    run.case.check(run)
    if run.case.trades_on:
        it_trades_on(run)


def it_happened(run: Run) -> None:
    """Every event of the scenario happened, and every fault that lies in wait for a message met one."""
    injector = run.gateway.hub.injector
    assert injector is not None
    events = injector.scenario.events
    missing = [e for i, e in enumerate(events) if not any(d.index == i for d in run.deeds)]
    assert not missing, f"never happened: {missing}"
    waiting = [g for g in injector.guards if g.left > 0 and g.left < 1 << 40]
    assert not waiting, f"met no request: {waiting}"
    unmet = [e.action for e in events if e.action in run.wanted_rules and e.action not in run.rules_met]
    assert not unmet, f"met no message: {unmet}"


def positions_are_equal(run: Run) -> None:
    assert run.rig.in_books == run.rig.at_gateway
    assert run.in_journal == run.rig.at_gateway


def nothing_twice(run: Run) -> None:
    refs = Counter(o.ticket.order_ref for o in run.at_gateway)
    twice = {ref: n for ref, n in refs.items() if n > 1}
    assert all(n <= run.case.doubles for n in twice.values()), twice
    assert len(twice) <= run.case.doubles - 1
    sent = Counter(order["order_ref"] for _, order in run.sent())
    assert not {ref: n for ref, n in sent.items() if n > 1}
    fills = Counter(e.payload["fill"]["exec_id"] for e in run.journal("fill"))
    assert not {exec_id: n for exec_id, n in fills.items() if n > 1}


def nothing_beyond_what_was_decided(run: Run) -> None:
    """Every order was recorded before, filled by what we counted, and none by more than its systems wanted."""
    recorded = {order["order_ref"]: order["quantity"] for _, order in run.sent()}
    for entry in run.account.ledger.orders.values():
        assert entry.filled == run.filled(entry.order_ref), entry
        assert entry.filled <= recorded[entry.order_ref], entry
    wanted = {i.order_ref: i.quantity for e in run.journal("intents") for i in e.payload["orders"]}
    got: Counter[str] = Counter()
    for entry in run.journal("fill"):
        for share in entry.payload["shares"]:
            got[share["order_ref"]] += share["quantity"]
    assert not {ref: n for ref, n in got.items() if n > wanted.get(ref, 0)}


def nothing_orphaned(run: Run) -> None:
    """No order at the gateway that our book does not know, nor the reverse; not before the last cancels, nor after."""
    known = set(run.account.ledger.orders)
    assert {o.ticket.order_ref for o in run.at_gateway} <= known
    theirs, ours, sure = run.before_the_end
    assert theirs == ours or not sure, (theirs, ours)
    theirs, ours, sure = run.working()
    assert sure
    assert theirs == ours
    stuck = {e.order_ref for e in run.account.ledger.open_orders if not e.order.order_id}
    assert ours == stuck, "only what has no number cannot be cancelled"
    assert len(stuck) <= run.case.doubles - 1


def one_order_of_a_symbol_at_a_time(run: Run) -> None:
    """Nothing is sent of a symbol before what became of the order before is known: nothing is ever sent on a guess."""
    state: dict[str, str] = {}
    symbol: dict[str, str] = {}
    for entry in run.journal("orders", "order_state"):
        if entry.kind == "order_state":
            state[entry.payload["order_ref"]] = entry.payload["after"]
            continue
        for sent in (o["order"] for o in entry.payload["orders"]):
            open_ones = [r for r, s in symbol.items() if s == sent["symbol"] and state.get(r) not in OVER]
            assert not open_ones, (sent, [(r, state.get(r)) for r in open_ones])
            symbol[sent["order_ref"]] = sent["symbol"]


def money_is_equal(run: Run) -> None:
    """The systems' cash moved by what the account's did, commissions included; where nobody else traded."""
    others = [o for o in run.gateway.brokerage.register.by_perm_id.values() if o.client_id != 17]
    if others:
        return
    cash = sum(desk.session.portfolio.cash for desk in run.rig.host.desks)
    assert abs(cash - run.gateway.brokerage.books.cash / 1e6) < 0.01


def it_trades_on(run: Run) -> None:
    """The engine was not left behind: on the last bar it could send what it decided on."""
    cycles = [e.known_at for e in run.journal("cycle")]
    missed = [e.payload["why"] for e in run.journal("missed")]
    assert len(cycles) >= 2, f"bars that nobody decided on: {missed}"
    held = [h for e in run.journal("held_back") if e.known_at >= cycles[-1] for h in e.payload["orders"]]
    assert not held, held
    assert any(time >= cycles[-2] for time, _ in run.sent())
