"""A live engine in the test's own process, against a simulated gateway whose clock the test moves."""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.artifacts import load_bundle, save_blender
from workbench.config import Settings
from workbench.core.units import NS_PER_SECOND
from workbench.engine.agenda import next_bar_end
from workbench.engine.codec import live_codec
from workbench.engine.host import EngineHost
from workbench.engine.plan import EnginePlan
from workbench.engine.systems import System, load_system
from workbench.execution.account_broker import AccountBroker
from workbench.execution.broker import BrokerTimeout, NotConnected
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import FallbackJournal, SqlJournal

SYMBOLS = ("AAA", "BBB", "CCC")
FROZEN = 1e-9
"""Speed of a gateway whose clock only the test moves."""
START = "2026-03-02T09:28"


def loud_bundle(folder: Path) -> tuple[str, str]:
    """(model_dir, blender_dir) of the demo bundle with every slope a hundred times larger: it trades in any market."""
    shipped = Path(str(files("workbench"))) / "demo_bundle"
    bundle = load_bundle(shipped / "models", shipped / "blenders")
    parts = json.loads(json.dumps(dict(bundle.parts)))
    for fit in parts["blender"]["fits"].values():
        fit["slope"] *= 100.0
    save_blender(folder, shipped / "models", bundle.models.id, parts, fitted_until=bundle.fitted_until)
    return str(shipped / "models"), str(folder)


def trading_settings(
    bundle: tuple[str, str], symbols: tuple[str, ...] = SYMBOLS, **branches: dict[str, Any]
) -> Settings:
    """Settings under which `bundle` trades nearly every bar."""
    base = Settings().change(
        system={"symbols": symbols, "horizons": ("5m", "10m", "30m"), "model_dir": bundle[0], "blender_dir": bundle[1]},
        arbitration={"force_trading": True},
        sizing={"max_weight": 0.2, "no_trade_band": 0.0},
        live={"warmup_sessions": 6, "warmup_days": 60},
    )
    return base.change(**branches) if branches else base


class GatewayClock:
    """The gateway's own simulated time."""

    def __init__(self, gateway: SimulatedGateway) -> None:
        self._gateway = gateway

    def now(self) -> int:
        return self._gateway.clock.now()


class Rig:
    """One engine after another over one gateway and one journal. `systems` are loaded once."""

    def __init__(
        self, folder: Path, gateway: SimulatedGateway, settings: tuple[Settings, ...], systems: tuple[System, ...] = ()
    ) -> None:
        self.folder, self.gateway = folder, gateway
        self.plan = EnginePlan(settings)
        self.systems = systems or tuple(load_system(s, simulated=True) for s in settings)
        self.clock = GatewayClock(gateway)
        self.sessions = 0
        self.host: EngineHost = None  # type: ignore[assignment]
        self._end = ExitStack()

    def open(self, *, journal_type: Any = SqlJournal, connection_type: Any = IbkrConnection) -> EngineHost:
        """Start an engine; it has reconciled and warmed up when this returns."""
        self.sessions += 1
        journal = journal_type(self.folder / "journal.db", session=f"s{self.sessions}", codec=live_codec())
        self._end.callback(journal.close)
        heard: list[Any] = []
        connection = connection_type(
            self.plan.first.broker, lambda report: heard[0](report), self.clock.now,
            host="127.0.0.1", port=self.gateway.port, unthrottled=True,
        )  # fmt: skip
        self._end.callback(connection.close)
        fallback = FallbackJournal(self.folder / "fallback.jsonl", codec=live_codec())
        names = tuple(s.name for s in self.systems)
        account = AccountBroker(connection, journal, self.clock, systems=names, fallback=fallback, client_id=17)
        heard.append(account.hear)
        self.host = EngineHost(self.plan, self.systems, connection, account, journal, self.clock, fallback=fallback)
        self.host.start()
        return self.host

    def close(self) -> None:
        """End the engine without a word, as a crash would; the gateway and the journal stay."""
        self._end.close()

    def move(self, seconds: float) -> None:
        """Move the gateway's clock on, a second at a time, and let the engine hear what came of it."""
        self.move_to(self.clock.now() + int(seconds * NS_PER_SECOND))

    def move_to(self, when: int, *, hear: bool = True) -> None:
        """Move the gateway's clock to `when`; the engine hears of it unless told otherwise."""
        loop, hub = self.gateway._loop, self.gateway.hub
        assert loop is not None

        async def step() -> None:
            while hub.clock.now() < when:
                hub.advance_to(min(hub.clock.now() + NS_PER_SECOND, when))
                await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(step(), loop).result(60)
        if hear:
            self.hear()

    def hear(self) -> None:
        """Wait until everything that the gateway has sent is taken in, as far as it can be reached."""
        if self.host is not None and self.host.connection.connected:
            with suppress(NotConnected, BrokerTimeout):
                self.host.connection.server_time()
            self.host.account.poll_reports()

    def bar(self) -> None:
        """Move to the next bar end, decide, and let the orders meet ten seconds of the market."""
        self.move_to(next_bar_end(self.clock.now()))
        while self.host.turn():
            pass
        self.move(10)

    @property
    def at_gateway(self) -> dict[str, int]:
        """Positions by the gateway's own books."""
        return {p.symbol: p.quantity for p in self.gateway.brokerage.positions() if p.quantity}

    @property
    def in_books(self) -> dict[str, int]:
        """Positions by ours, all systems and what is outside of them."""
        total: dict[str, int] = dict(self.host.account.outside_positions)
        for desk in self.host.desks:
            desk.session._take_events(self.clock.now())
            for symbol, quantity in zip(desk.session.portfolio.symbols, desk.session.portfolio.shares):
                total[symbol] = total.get(symbol, 0) + int(quantity)
        return {s: q for s, q in total.items() if q}
