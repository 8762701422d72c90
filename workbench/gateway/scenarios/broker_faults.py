"""What happens at the exchange and in the account without anybody's API order: trades through, corrections, recalls."""

from __future__ import annotations

import json
from dataclasses import replace

from workbench.gateway import brokerage_state
from workbench.gateway.auctions import REOPENING
from workbench.gateway.books import MICRO, micros
from workbench.gateway.borrow import BorrowLine
from workbench.gateway.broker_orders import BrokerOrder, Stage
from workbench.gateway.halts import HaltingMarket
from workbench.gateway.hub import Hub
from workbench.gateway.subscriptions import Quotes
from workbench.gateway.tickets import Execution, Ticket

TICK = 0.01


def fill(hub: Hub, order: BrokerOrder, shares: int = 0) -> None:
    """The market trades through the limit of a resting order, or `shares` at it once the queue ahead is gone."""
    if order.stage is not Stage.SENT or order.ticket.limit_price != order.ticket.limit_price:
        return
    engine, symbol, limit = hub.brokerage.engine, order.ticket.symbol, order.ticket.limit_price
    now = hub.clock.now()
    if shares:
        ahead = engine.order(order.reference).ahead
        engine.order(order.reference).ahead = 0.0 if ahead != ahead else ahead
        engine.on_trade(symbol, limit, engine.order(order.reference).ahead + shares, now)
    else:
        through = limit - order.ticket.side * TICK
        engine.on_range(symbol, through, through, now)


def manual_trade(hub: Hub, symbol: str, quantity: int) -> None:
    """A market order entered in TWS: of client 0, with order id 0 and no reference."""
    hub.feed.join(symbol)
    con_id = hub.instruments.stock(symbol).con_id
    side = 1 if quantity > 0 else -1
    hub.brokerage.place(0, Ticket(0, symbol, side, abs(quantity), "MKT", con_id=con_id))


def double(hub: Hub, order: BrokerOrder, ticket: Ticket) -> None:
    """A second order instead of a modification: same client and reference, a permId of its own, no number."""
    hub.brokerage.place(order.client_id, replace(ticket, order_id=0))


def correct(hub: Hub, execution: Execution, change: float) -> Execution:
    """The execution at a price `change` USD higher, its revision one more; books, order and the day's record follow."""
    brokerage, value = hub.brokerage, execution.shares * micros(change)
    holding, cost = brokerage.books.holdings[execution.symbol], execution.side * value
    brokerage.books.cash -= cost
    holding.flow -= cost
    realized = execution.realized
    if holding.quantity * execution.side > 0:
        holding.basis += cost
    else:
        holding.realized -= cost
        holding.realized_today -= cost
        realized -= cost / MICRO
    order = brokerage.register.by_perm_id[execution.perm_id]
    order.value += value
    average = execution.average_price + value / MICRO / execution.cumulative
    head, _, revision = execution.exec_id.rpartition(".")
    corrected = replace(
        execution, exec_id=f"{head}.{int(revision) + 1:02d}", price=round(execution.price + change, 4),
        average_price=average, realized=realized,
    )  # fmt: skip
    brokerage.today[:] = [corrected if e.exec_id == execution.exec_id else e for e in brokerage.today]
    return corrected


def halt(hub: Hub, market: HaltingMarket, symbol: str) -> None:
    """Trading stops."""
    hub.feed.join(symbol)
    market.stop(symbol, hub.clock.now())
    hub.brokerage.engine.on_halt(symbol, hub.clock.now())


def resume(hub: Hub, market: HaltingMarket, symbol: str) -> None:
    """Trading begins again, with a reopening that prints nothing; the first quote is that of the next second."""
    if hub.brokerage.engine.halted(symbol):
        market.resume(symbol, hub.clock.now())
        hub.feed.leave(symbol)
        hub.brokerage.engine.on_auction(symbol, REOPENING, float("nan"), 0.0, hub.clock.now())


def recall(hub: Hub, symbol: str, shares: int, buy_in: bool, locatable: bool) -> None:
    """Only `shares` can be borrowed from now on; a short position beyond them may be bought in."""
    book = hub.brokerage.borrow
    book.lines[symbol] = BorrowLine(shares, book.line(symbol).fee_rate, locatable)
    for client in hub.clients.values():
        for quotes in client.market.values():
            if isinstance(quotes, Quotes) and quotes.symbol == symbol:
                quotes.shortable = shares
    beyond = -hub.brokerage.books.quantity(symbol) - shares
    if buy_in and beyond > 0:
        manual_trade(hub, symbol, beyond)


def reload(hub: Hub) -> None:
    """What a restarted gateway knows: its books, read back from where they were written. A halt goes on."""
    halted = hub.brokerage.engine.halts
    written = json.loads(json.dumps(brokerage_state.to_dict(hub.brokerage)))
    hub.take(brokerage_state.from_dict(written, hub.clock, hub.brokerage.hours))
    for symbol in halted:
        hub.brokerage.engine.on_halt(symbol, hub.clock.now())
