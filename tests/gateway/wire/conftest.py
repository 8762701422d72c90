"""ib_insync's own encoder and decoder without a socket; any error that it logs fails the test."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ib_insync import IB, util
from ib_insync.decoder import Decoder

from workbench.gateway.wire.contracts import ComboLeg, DeltaNeutral, Tag, WireContract
from workbench.gateway.wire.frames import Frames
from workbench.gateway.wire.orders import WireOrder


@pytest.fixture(autouse=True)
def no_errors_of_the_library(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    with caplog.at_level(logging.WARNING):
        yield
    said = [
        r.getMessage() for when in ("setup", "call") for r in caplog.get_records(when) if r.levelno >= logging.ERROR
    ]
    assert said == []


class Recorder:
    """A wrapper that keeps every callback: (name, arguments)."""

    ib = SimpleNamespace(TimezoneTWS=None)

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.calls.append((name, arguments))


def decode(data: bytes) -> list[tuple[str, tuple[Any, ...]]]:
    """The callbacks that ib_insync makes of the frames in `data`."""
    recorder = Recorder()
    decoder = Decoder(recorder, 176)  # type: ignore[arg-type]
    for message in Frames(1 << 24).feed(data):
        decoder.interpret(list(message))
    return recorder.calls


def decode_one(data: bytes) -> tuple[Any, ...]:
    ((_, arguments),) = decode(data)
    return arguments


class Insync:
    """An IB object that believes itself connected; what it sends is kept as bytes. Use within a running loop."""

    def __init__(self) -> None:
        self.ib = IB()
        self.sent = b""
        client = self.ib.client
        client.connState, client._serverVersion, client._apiReady = client.CONNECTED, 176, True
        client._accounts = ["DUSIM1"]
        client.updateReqId(7)
        client.sendMsg = self._keep  # type: ignore[method-assign]

    def _keep(self, message: str) -> None:
        self.sent += self.ib.client._prefix(message.encode())


def encode(call: Any) -> list[tuple[str, ...]]:
    """The messages that ``call(ib)`` sends; an awaitable that it gives is started and then dropped."""

    async def run() -> bytes:
        insync = Insync()
        awaitable = call(insync.ib)
        if asyncio.iscoroutine(awaitable) or asyncio.isfuture(awaitable):
            task = asyncio.ensure_future(awaitable)
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return insync.sent

    return Frames().feed(asyncio.run(run()))


def snake(name: str) -> str:
    return re.sub("([A-Z])", lambda found: "_" + found[1].lower(), name)


def plain(value: Any) -> Any:
    """ib_insync's spelling of unset as None."""
    return None if isinstance(value, int | float) and value in (util.UNSET_DOUBLE, util.UNSET_INTEGER) else value


def wire_order(order: Any) -> WireOrder:
    """The same order in our words, by renaming attributes."""
    from workbench.gateway.wire import conditions

    values = {snake(f.name): plain(getattr(order, f.name)) for f in fields(order)}
    tier = values.pop("soft_dollar_tier")
    legs = values.pop("order_combo_legs")
    values["combo_leg_prices"] = tuple(plain(leg.price) for leg in legs)
    values |= {
        "soft_dollar_name": tier.name,
        "soft_dollar_value": tier.val,
        "soft_dollar_display_name": tier.displayName,
    }
    for name in ("algo_params", "smart_combo_routing_params"):
        values[name] = tuple(Tag(t.tag, t.value) for t in values[name])
    values["order_misc_options"] = "".join(f"{t.tag}={t.value};" for t in values["order_misc_options"])
    values["conditions"] = tuple(
        getattr(conditions, type(c).__name__)(
            **{snake(f.name).replace("exch", "exchange"): getattr(c, f.name) for f in fields(c) if f.name != "condType"}
        )
        for c in order.conditions
    )
    return WireOrder(**values)


def wire_contract(contract: Any) -> WireContract:
    """The same instrument in our words."""
    c, hedge = contract, contract.deltaNeutralContract
    return WireContract(
        c.conId, c.symbol, c.secType, c.lastTradeDateOrContractMonth, c.strike, c.right, c.multiplier, c.exchange,
        c.primaryExchange, c.currency, c.localSymbol, c.tradingClass, c.includeExpired, c.secIdType, c.secId,
        c.issuerId, tuple(ComboLeg(*util.dataclassAsTuple(leg)) for leg in c.comboLegs), c.comboLegsDescrip,
        hedge and DeltaNeutral(hedge.conId, hedge.delta, hedge.price),
    )  # fmt: skip


def differences(got: Any, wanted: Any, names: set[str] | None = None) -> dict[str, tuple[Any, Any]]:
    """Attribute -> (got, wanted) where two dataclasses of the library differ; lists of dataclasses by their fields."""
    found = {}
    for f in fields(wanted):
        pair = getattr(got, f.name), getattr(wanted, f.name)
        if (names is None or f.name in names) and bare(pair[0]) != bare(pair[1]):
            found[f.name] = pair
    return found


def bare(value: Any) -> Any:
    """Values that compare by content: the library compares orders by identity and contracts by conId."""
    if isinstance(value, list):
        return [bare(v) for v in value]
    return [bare(v) for v in util.dataclassAsTuple(value)] if is_dataclass(value) else value


def golden(file: str) -> dict[str, tuple[str, ...]]:
    """Name -> fields, of a file whose lines are a name, a blank, and the fields of a message, each ended by ``|``."""
    lines = (Path(__file__).parent / file).read_text(encoding="utf-8").splitlines()
    return {name: tuple(fields.split("|")[:-1]) for name, _, fields in (line.partition(" ") for line in lines)}


@pytest.fixture(scope="session")
def golden_replies() -> dict[str, tuple[str, ...]]:
    """The frozen layout of every message of the gateway."""
    return golden("golden_replies.txt")


@pytest.fixture(scope="session")
def golden_requests() -> dict[str, tuple[str, ...]]:
    """The frozen layout of every message of a client, as ib_insync 0.9.86 sends it."""
    return golden("golden_requests.txt")


@pytest.fixture(scope="session")
def insync() -> SimpleNamespace:
    return SimpleNamespace(
        decode=decode, decode_one=decode_one, encode=encode, wire_order=wire_order, wire_contract=wire_contract,
        differences=differences, bare=bare,
    )  # fmt: skip
