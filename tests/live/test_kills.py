"""Real processes, killed: a client changes nothing, an engine leaves no order at work, a restart finds everything."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from failpoints import Site
from rig import FROZEN, START, Rig, loud_bundle, trading_settings

from workbench.commands import CommandError, CommandStore
from workbench.config import Settings
from workbench.core.clock import ScaledClock
from workbench.core.errors import WorkbenchError
from workbench.engine.codec import live_codec
from workbench.engine.heart import Heart
from workbench.engine.live import LiveTradingSystem
from workbench.engine.modes import Mode
from workbench.engine.process import COMMANDS, FALLBACK, JOURNAL, KEY, PLAN, Engine
from workbench.engine.recovery import restore
from workbench.engine.simulation import RunningGateway, running_gateway, stop_gateway
from workbench.execution.account_broker import AccountBroker, is_ours
from workbench.execution.ibkr.connection import IbkrConnection
from workbench.execution.reports import Facts, OutgoingOrder
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import FallbackJournal, SqlJournal
from workbench.logs import logger

SPEED = 60.0
TELLING = (
    Site("journal:intents", "after", 2), Site("journal:orders", "after", 2), Site("broker:place", "after", 3),
    Site("journal:order_state-sent", "before", 3), Site("journal:report-execution", "before", 5),
    Site("journal:fill", "after", 5), Site("journal:cancel", "after", 1),
)  # fmt: skip
"""Where an order or a fill could be lost or doubled: killed there in the slow suite, at the others in the soak."""
OTHERS = (
    Site("journal:market", "after", 2), Site("journal:decision", "after", 2), Site("journal:report-order", "after", 30),
    Site("journal:commission", "before", 6), Site("broker:what_if", "before", 2), Site("broker:facts", "after", 3),
    Site("journal:reconciliation", "before", 3),
)  # fmt: skip
SITES = [
    *(pytest.param(site, marks=pytest.mark.slow) for site in TELLING),
    *(pytest.param(site, marks=pytest.mark.soak) for site in OTHERS),
]


class Place:
    """A folder with an engine and its gateway, and what the test sees of both."""

    def __init__(self, folder: Path, **branches: dict[str, Any]) -> None:
        self.folder = folder / "live"
        self.settings = self._settings(loud_bundle(folder / "bundle"), branches)
        self.system = LiveTradingSystem(self.settings)
        self.client = self.system.client

    def _settings(self, bundle: tuple[str, str], branches: dict[str, dict[str, Any]]) -> Settings:
        base = trading_settings(
            bundle,
            broker={"speed": SPEED, "start": "2026-03-02T09:33"},
            live={"folder": str(self.folder), "heartbeat_s": 0.1, "watchdog_s": 30.0},
            guards={"max_quote_age_s": 600.0, "max_clock_skew_s": 60.0},
            execution={"policy": "marketable_limit", "limit_offset_bps": 0.0},
        )
        return base.change(**branches) if branches else base

    @property
    def gateway(self) -> RunningGateway:
        found = running_gateway(self.folder)
        assert found is not None
        return found

    @property
    def pid(self) -> int:
        return int(self.client.status()["pid"])

    def launch(self, site: Site) -> subprocess.Popen[bytes]:
        """An engine that kills itself at `site`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / PLAN).write_text(self.client.plan.to_json(), encoding="utf-8")
        script = Path(__file__).with_name("failpoints.py")
        words = [str(self.folder), site.name, site.when, str(site.passage), "workbench.engine"]
        with (self.folder / "engine.out").open("ab") as out:
            return subprocess.Popen([sys.executable, str(script), *words], stdout=out, stderr=out)

    def facts(self, work: Callable[[IbkrConnection], None] = lambda c: None, client_id: int = 91) -> Facts:
        """What the gateway says to another client, which may do something first."""
        broker = self.settings.broker.model_copy(update={"client_id": client_id})
        with closing(self._connection(broker)) as connection:
            connection.open()
            work(connection)
            return connection.facts()

    def _connection(self, broker: Any, heard: Callable[[Any], None] = lambda report: None) -> IbkrConnection:
        at = self.gateway
        return IbkrConnection(broker, heard, time.time_ns, host=at.host, port=at.port, unthrottled=True)

    def audit(self) -> None:
        """With no engine alive: nothing of ours works, twice, unknown or lost, and all positions are accounted for."""
        codec = live_codec()
        fallback = FallbackJournal(self.folder / FALLBACK, codec=codec)
        with closing(SqlJournal(self.folder / JOURNAL, session="audit", codec=codec)) as journal:
            reports: list[Callable[[Any], None]] = []
            connection = self._connection(self.settings.broker, lambda report: reports[0](report))
            clock = ScaledClock(0, SPEED)
            account = AccountBroker(connection, journal, clock, systems=("main",), client_id=17)
            reports.append(account.hear)
            with closing(connection):
                clock.follow(connection.open().server_time)
                account.restore(restore(journal, fallback, ["main"]).entries)
                for _ in range(3):
                    result = account.reconcile(clock.now())
                    time.sleep(0.2)
                facts = connection.facts()
            assert result.differences == ()
            assert account.outside_positions == {}
            written = {o["order"]["order_ref"]: o["order"] for e in journal.read("orders") for o in e.payload["orders"]}
        mine = [o for o in (*facts.orders, *facts.completed) if is_ours(o.order_ref)]
        shares: Counter[str] = Counter()
        for execution in facts.executions:
            shares[execution.order_ref] += execution.quantity
        assert {o.order_ref for o in mine} | set(shares) <= set(written)
        assert {ref: n for ref, n in shares.items() if n > written[ref]["quantity"]} == {}
        perms = {(o.order_ref, o.perm_id) for o in mine if o.perm_id}
        assert max(Counter(ref for ref, _ in perms).values(), default=0) <= 1
        assert working(facts) == []

    def end(self) -> None:
        """Leave nothing running."""
        self.client.stop(timeout_s=10.0)
        for process in psutil.process_iter(["cmdline"]):
            if str(self.folder) in (process.info["cmdline"] or ()):
                process.kill()
        stop_gateway(self.folder)


def working(facts: Facts) -> list[str]:
    """References of our orders that may still fill."""
    over = ("Cancelled", "ApiCancelled", "Filled", "Inactive")
    return [o.order_ref for o in facts.orders if is_ours(o.order_ref) and o.status not in over]


def until(what: Callable[[], Any], patience_s: float = 60.0) -> Any:
    """Wait until `what` is true; its value."""
    deadline = time.monotonic() + patience_s
    while not (value := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return value


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    made = Place(tmp_path, **getattr(request, "param", {}))
    yield made
    made.end()


def trading(place: Place, cycles: int = 1) -> None:
    """Wait until the engine has decided `cycles` times."""
    place.client.wait(60.0)
    until(lambda: place.client.status().get("cycles", 0) >= cycles)


def killed_at(place: Place, site: Site) -> None:
    """The engine kills itself at `site`; the watchdog cancels; another one goes on, and all is accounted for."""
    engine = place.launch(site)
    assert engine.wait(300.0) == -signal.SIGKILL, (place.folder / "engine.out").read_text()[-2000:]
    until(lambda: (place.folder / "watchdog.last").exists())
    assert working(place.facts()) == []
    place.system.start()
    trading(place)
    place.system.stop()
    place.audit()


def test_killed_between_two_orders(place):
    killed_at(place, Site("broker:place", "after", 1))


@pytest.mark.parametrize("site", SITES, ids=str)
def test_killed_at(site, place):
    killed_at(place, site)


@pytest.mark.slow
def test_the_end_of_the_client_changes_nothing(place):
    code = (
        "import sys, time; from pathlib import Path; from workbench.config import Settings\n"
        "from workbench.engine.live import LiveTradingSystem\n"
        "s = LiveTradingSystem(Settings.model_validate_json(Path(sys.argv[1]).read_text()))\n"
        "s.start(); s.client.wait(); print('trading', flush=True); time.sleep(600)\n"
    )
    place.folder.mkdir(parents=True)
    config = place.folder / "settings.json"
    config.write_text(place.settings.model_dump_json())
    client = subprocess.Popen([sys.executable, "-c", code, str(config)], stdout=subprocess.PIPE, text=True)
    assert client.stdout is not None
    assert client.stdout.readline() == "trading\n"
    trading(place)
    engine, seen = place.pid, place.client.status()["cycles"]
    client.kill()
    client.wait()
    client.stdout.close()
    until(lambda: place.client.status()["cycles"] >= seen + 2)
    assert place.pid == engine
    place.system.start()  # the same settings: attached to, not started again
    assert place.pid == engine
    place.system.stop()
    place.audit()


@pytest.mark.slow
def test_the_watchdog_takes_back_only_what_is_ours(place):
    def by_hand(connection: IbkrConnection) -> None:
        connection.qualify(["AAA"])
        number = connection.reserve_order_id()
        connection.place(OutgoingOrder(number, "by hand", "AAA", 1, 10, "LMT", 1.0, "DAY"))
        connection.server_time()

    place.system.start()
    trading(place)
    place.facts(by_hand)
    until(lambda: working(place.facts()))
    engine = psutil.Process(place.pid)
    dogs = [p for p in psutil.process_iter(["cmdline"]) if "workbench.engine.watchdog" in (p.info["cmdline"] or ())
            and str(place.folder) in p.info["cmdline"]]  # fmt: skip
    assert len(dogs) == 1
    os.kill(engine.pid, signal.SIGKILL)
    dogs[0].wait(60.0)
    facts = place.facts()
    assert working(facts) == []
    assert [o.order_ref for o in facts.orders if o.status in ("Submitted", "PreSubmitted")] == ["by hand"]
    before = {p.symbol: p.quantity for p in facts.positions}
    time.sleep(1.0)
    assert {p.symbol: p.quantity for p in place.facts().positions} == before, "something was opened"
    assert place.client.status()["phase"] == "dead"


@pytest.mark.slow
@pytest.mark.parametrize("place", [{"live": {"watchdog_s": 1.0}}], ids=["soon"], indirect=True)
def test_an_engine_that_hangs_is_fenced(place):
    place.system.start()
    trading(place)
    engine = psutil.Process(place.pid)
    engine.suspend()
    until(lambda: (place.folder / "watchdog.last").exists())
    assert not engine.is_running() or engine.status() == psutil.STATUS_ZOMBIE
    assert working(place.facts()) == []


@pytest.mark.slow
def test_locks_signals_and_attaching(place):
    place.system.start()
    trading(place)
    second = subprocess.run([sys.executable, "-m", "workbench.engine", str(place.folder)],
                            capture_output=True, text=True, timeout=60, check=False)  # fmt: skip
    assert second.returncode == 2
    assert f"in use by process {place.pid}" in second.stderr
    assert place.client.status()["alive"]
    other = LiveTradingSystem(place.settings.change(sizing={"max_weight": 0.1}))
    with pytest.raises(WorkbenchError, match="other settings"):
        other.start()
    os.kill(place.pid, signal.SIGTERM)
    until(lambda: place.client.status()["phase"] == "stopped")
    assert not (place.folder / "watchdog.last").exists()
    place.audit()


@pytest.mark.slow
def test_commands_act_and_forged_ones_do_not(place):
    place.system.start()
    trading(place)
    with CommandStore(place.folder / COMMANDS, place.folder / KEY) as store:
        late = store.put("halt", issuer="x", role="operator", reason="r", expires_s=1, now=time.time_ns() - 10**10)
        viewer = store.put("halt", issuer="x", role="viewer", reason="r", now=time.time_ns())
        (place.folder / "other.key").touch(mode=0o600)
        (place.folder / "other.key").write_text("0" * 64)
        with CommandStore(place.folder / COMMANDS, place.folder / "other.key") as forger:
            forged = forger.put("halt", issuer="x", role="operator", reason="r", now=time.time_ns())
        until(lambda: all(store.outcome(c).state == "refused" for c in (late, viewer, forged)))
        with pytest.raises(CommandError):
            store.put("explode", issuer="x", role="operator", reason="r", now=time.time_ns())
    mode = lambda: place.system.get_portfolio_status()["mode"]  # noqa: E731
    assert mode() in ("LIVE", "DEGRADED")
    for act, wanted in (
        (place.system.observe, "OBSERVE"),
        (place.system.resume, "LIVE"),
        (place.system.halt, "OBSERVE"),
    ):
        assert act().startswith("done")
        until(lambda wanted=wanted: mode() in (wanted, "DEGRADED" if wanted == "LIVE" else wanted))
    until(lambda: working(place.facts()) == [])
    place.system.resume()
    assert place.client.command("cancel", "a test").startswith("done")
    place.system.flatten()
    until(lambda: mode() == "EMERGENCY")
    until(lambda: all(not p.quantity for p in place.facts().positions))
    place.system.stop()
    assert place.client.status()["phase"] == "stopped"
    place.audit()


@pytest.mark.slow
@pytest.mark.parametrize("word", ["halt", "cancel", "flatten", ""])
def test_panic_flag(word, place):
    place.system.start()
    trading(place)
    (place.folder / "panic.flag").write_text(word)
    wanted = "EMERGENCY" if word == "flatten" else "OBSERVE"
    until(lambda: place.system.get_portfolio_status()["mode"] == wanted)
    until(lambda: place.client.status()["open_orders"] == [])
    until(lambda: working(place.facts()) == [])
    if word == "flatten":
        until(lambda: all(not p.quantity for p in place.facts().positions))
    os.kill(place.pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(place.client.status()["pid"]) or place.client.status()["phase"] == "dead")
    place.client.start()
    with pytest.raises(WorkbenchError, match=r"panic\.flag"):
        place.client.wait(60.0)


def test_a_step_that_is_stuck_in_a_call_does_not_block_a_cancel(tmp_path):
    """The heart cancels beside a step thread that waits for the broker's facts."""
    stuck, asked = threading.Event(), threading.Event()

    class Stuck(IbkrConnection):
        def facts(self) -> Facts:
            if asked.is_set():
                stuck.wait(30.0)
            return super().facts()

    with SimulatedGateway(speed=FROZEN, start=START) as gateway:
        rig = Rig(tmp_path, gateway, (trading_settings(loud_bundle(tmp_path / "bundle")),))
        host = rig.open(connection_type=Stuck)
        rig.bar()
        assert gateway.brokerage.register.open()
        rig.move(65)
        asked.set()
        step = threading.Thread(target=host.turn)
        step.start()
        with CommandStore(tmp_path / COMMANDS, tmp_path / KEY) as store:
            engine = SimpleNamespace(host=host, _log=logger("test"))
            heart = Heart(tmp_path, store, 1.0, lambda why: Engine._cancel_now(engine, why), host.commands.put)  # type: ignore[arg-type]
            number = store.put("halt", issuer="x", role="operator", reason="r", now=time.time_ns())
            heart.beat()
            assert store.outcome(number).state == "taken"
            assert step.is_alive()
            rig.host = None  # type: ignore[assignment]
            host.connection.server_time()
            rig.move(2)
            assert gateway.brokerage.register.open() == []
            assert step.is_alive()
        stuck.set()
        step.join(30.0)
        assert not step.is_alive()
        rig.host = host
        host.turn()  # obeyed here, unless the step itself heard of it on its way out
        assert host.commands.empty()
        assert host.desks[0].session.mode is Mode.OBSERVE
        rig.close()
