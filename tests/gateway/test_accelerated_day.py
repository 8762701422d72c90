"""A whole day of 50 symbols and two clients that trade them: what the clients were told adds up, to the last millionth.

The sums are made from the frames alone: executions and commission reports as a client reads them, prices as decimals.
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal

import numpy as np
import pytest

from workbench.core.clock import ManualClock
from workbench.core.units import NS_PER_SECOND
from workbench.gateway.answers import Answers
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.hub import Client, Hub
from workbench.gateway.simulated import opening
from workbench.gateway.tape import SyntheticMarket
from workbench.gateway.wire import messages as m
from workbench.gateway.wire.contracts import WireContract
from workbench.gateway.wire.orders import WireOrder

CASH = 50_000_000
SYMBOLS = [f"D{chr(65 + i // 26)}{chr(65 + i % 26)}" for i in range(50)]
KINDS = ("MKT", "LMT", "LMT", "STP", "LOC", "MOC")


@dataclass
class Reader:
    """A client's ears: digests every frame, keeps what is about money."""

    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    executions: dict[str, list[str]] = field(default_factory=dict)  # exec id -> fields of execDetails
    commissions: dict[str, Decimal] = field(default_factory=dict)
    statuses: dict[int, list[str]] = field(default_factory=dict)  # order id -> fields of the last orderStatus
    frames: int = 0

    def take(self, frame: bytes) -> None:
        assert struct.unpack(">I", frame[:4])[0] == len(frame) - 4
        self.digest.update(frame)
        self.frames += 1
        fields = frame[4:-1].decode().split("\0")
        if fields[0] == "11":
            assert fields[14] not in self.executions
            self.executions[fields[14]] = fields
        elif fields[0] == "59":
            assert fields[2] not in self.commissions
            self.commissions[fields[2]] = Decimal(fields[3])
        elif fields[0] == "3":
            self.statuses[int(fields[1])] = fields


def contract(symbol: str) -> WireContract:
    return WireContract(symbol=symbol, sec_type="STK", currency="USD", exchange="SMART")


class Trader:
    """Places, changes and cancels orders at random, from a seed."""

    def __init__(self, hub: Hub, answers: Answers, client_id: int, seed: int) -> None:
        self.reader = Reader()
        self.client = Client(self.reader.take, client_id=client_id)
        hub.clients[client_id] = self.client
        self.hub, self.answers, self.rng = hub, answers, np.random.default_rng(seed)
        self.orders: dict[int, tuple[str, WireOrder]] = {}
        answers.welcome(self.client)
        for i, symbol in enumerate(SYMBOLS[:10]):
            self.ask(m.ReqMktData(i, contract(symbol), "", False, False, ""))

    def ask(self, request: m.Request) -> None:
        self.answers.answer(self.client, request)

    def act(self) -> None:
        for _ in range(6):
            self.place()
        if self.orders and self.rng.random() < 0.5:
            self.ask(m.CancelOrder(int(self.rng.integers(1, len(self.orders) + 1)), ""))
        if self.orders and self.rng.random() < 0.5:
            self.change(int(self.rng.integers(max(1, len(self.orders) - 10), len(self.orders) + 1)))

    def place(self) -> None:
        symbol, kind = str(self.rng.choice(SYMBOLS)), str(self.rng.choice(KINDS))
        mid, away = self.hub.price(symbol), float(self.rng.normal(0, 0.003))
        price = round(mid * (1 + away), 2)
        number = len(self.orders) + 1
        order = WireOrder(
            order_id=number, action=str(self.rng.choice(["BUY", "SELL"])), order_type=kind, tif="DAY",
            total_quantity=float(self.rng.integers(1, 400)), lmt_price=price if kind in ("LMT", "LOC") else None,
            aux_price=price if kind == "STP" else None,
        )  # fmt: skip
        self.orders[number] = symbol, order
        self.ask(m.PlaceOrder(number, contract(symbol), order))

    def change(self, number: int) -> None:
        symbol, order = self.orders[number]
        if order.order_type == "LMT":
            order = replace(order, lmt_price=round(self.hub.price(symbol) * 1.001, 2))
            self.ask(m.PlaceOrder(number, contract(symbol), order))


def live(minutes: int, seed: int) -> tuple[Hub, list[Trader]]:
    clock = ManualClock(opening("2026-03-02"))
    hub = Hub(clock, Brokerage(clock, float(CASH)), SyntheticMarket(seed))
    answers = Answers(hub)
    traders = [Trader(hub, answers, i, seed * 10 + i) for i in (1, 2)]
    begin = clock.now()
    for minute in range(1, minutes + 1):
        hub.advance_to(begin + minute * 60 * NS_PER_SECOND)
        if minute < 389:
            for trader in traders:
                trader.act()
    return hub, traders


def whole(value: Decimal) -> int:
    """USD in millionths; fails where something is finer."""
    scaled = value * 1_000_000
    assert scaled == int(scaled)
    return int(scaled)


def check_books(hub: Hub, traders: list[Trader]) -> int:
    """Every identity; the number of executions."""
    cash, held, count = CASH * 1_000_000, defaultdict(int), 0
    commissions = 0
    for trader in traders:
        filled: dict[int, int] = defaultdict(int)
        value: dict[int, int] = defaultdict(int)
        reader = trader.reader
        assert reader.executions.keys() == reader.commissions.keys()
        for exec_id, f in reader.executions.items():
            side, shares, price = (1 if f[18] == "BOT" else -1), int(Decimal(f[19])), whole(Decimal(f[20]))
            assert f[4] == trader.orders[int(f[2])][0]
            cash -= side * shares * price + whole(reader.commissions[exec_id])
            commissions += whole(reader.commissions[exec_id])
            held[f[4]] += side * shares
            filled[int(f[2])] += shares
            value[int(f[2])] += shares * price
            assert (int(f[22]), int(Decimal(f[24]))) == (trader.client.client_id, filled[int(f[2])])
        for number, f in reader.statuses.items():
            quantity = int(trader.orders[number][1].total_quantity)
            done, left = int(Decimal(f[3])), int(Decimal(f[4]))
            assert done == filled[number]
            assert done + left == quantity
            assert f[2] != "Filled" or left == 0
            if done:
                assert abs(float(f[5]) - value[number] / done / 1e6) < 1e-6
        count += len(reader.executions)
    books = hub.brokerage.books
    assert books.cash == cash
    assert books.commissions == commissions
    assert books.imbalance == 0
    assert {s: h.quantity for s, h in books.holdings.items() if h.quantity} == {s: q for s, q in held.items() if q}
    prices = {s: hub.price(s) for s in held}
    equity = cash + sum(q * round(prices[s] * 1_000_000) for s, q in held.items())
    assert abs(hub.brokerage.account_values(prices)["NetLiquidation"] * 1e6 - equity) < 1
    return count


def test_half_an_hour_adds_up_and_the_same_seed_is_the_same_tape():
    runs = [live(30, seed=1) for _ in range(2)]
    assert check_books(*runs[0]) > 50
    assert [t.reader.digest.digest() for t in runs[0][1]] == [t.reader.digest.digest() for t in runs[1][1]]
    other = live(1, seed=2)
    assert other[1][0].reader.digest.digest() != live(1, seed=1)[1][0].reader.digest.digest()


@pytest.mark.slow
def test_a_day_adds_up():
    hub, traders = live(391, seed=3)
    assert sum(len(t.orders) for t in traders) > 4_000
    assert check_books(hub, traders) > 2_000
    assert all(f[2] in ("Filled", "Cancelled", "Inactive") for t in traders for f in t.reader.statuses.values())
