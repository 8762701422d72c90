"""A whole day of 50 symbols at the simulated gateway, 120 times as fast as real, in processes of their own."""

from __future__ import annotations

import time

import psutil
import pytest
from rig import loud_bundle, trading_settings

from workbench.core.clock import ManualClock
from workbench.core.units import BAR_MINUTES, SESSION_MINUTES
from workbench.engine.codec import live_codec
from workbench.engine.session_record import read_session
from workbench.engine.simulation import BOOKS, stop_gateway
from workbench.engine.verify import verify_session
from workbench.gateway.keeping import KeptBooks
from workbench.journal import SqlJournal
from workbench.live_trading import LiveTradingSystem

SYMBOLS = tuple(f"{a}{b}X" for a in "ABCDEFGHIJ" for b in "KLMNO")
CLOSE = "2026-03-02T21:00:00Z"


def trade(folder, until):
    """Run a system until the simulated time `until`; (last status, highest memory in MiB, most file descriptors)."""
    settings = trading_settings(
        loud_bundle(folder / "bundle"),
        SYMBOLS,
        broker={"speed": 120.0, "start": "2026-03-02T08:30"},
        live={"folder": str(folder / "live"), "warmup_sessions": 6, "warmup_days": 60},
        data={"bar_grace_s": 100.0},
        sizing={"max_weight": 0.05, "no_trade_band": 0.0},
    )
    system = LiveTradingSystem(settings)
    memory, handles, seen = [], [], 0
    try:
        system.start()
        status = system.client.wait(240)
        engine = psutil.Process(status["pid"])
        while (status := system.get_portfolio_status())["phase"] == "trading" and status["time"] < until:
            if status["cycles"] - seen >= 13:
                seen = status["cycles"]
                memory.append(engine.memory_info().rss / 2**20)
                handles.append(engine.num_fds())
                print(f"  {status['time']}: {seen} cycles, {status['missed']} missed, {memory[-1]:.0f} MiB")
            time.sleep(0.5)
        assert status["phase"] == "trading", status["error"]
    finally:
        system.stop()
        stop_gateway(folder / "live")
    return system.client.status(), memory, handles


def check(folder, status):
    """Books equal the gateway's, nothing works on, both verdicts hold; the record."""
    kept = KeptBooks.read(folder / "live" / BOOKS)
    brokerage = kept.brokerage(ManualClock(kept.time))
    at_gateway = {p.symbol: p.quantity for p in brokerage.positions() if p.quantity}
    ours = dict(status["systems"]["main"]["positions"])
    assert ours == at_gateway
    assert status["open_orders"] == []
    with SqlJournal(folder / "live" / "journal.db", read_only=True, codec=live_codec()) as journal:
        name = journal.sessions()[-1].session
        verdict = verify_session(journal, name)
        record = read_session(journal, name)
    assert (verdict.stages, verdict.forecasts) == ("equal", "equal"), verdict
    assert len(set(record.sent.order_ref)) == len(record.sent)
    return record


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_day_of_fifty_symbols(tmp_path):
    status, _, handles = trade(tmp_path, CLOSE)
    record = check(tmp_path, status)
    cycle = record.latencies["cycle"]
    print(
        f"  {record.decisions} decisions, {record.missed} missed, {len(record.sent)} orders, {len(record.fills)} fills"
    )
    print(f"  cycle: median {cycle['p50_s'] * 1e3:.0f} ms, 99 % {cycle['p99_s'] * 1e3:.0f} ms")
    assert record.decisions + record.missed >= SESSION_MINUTES // BAR_MINUTES - 1
    assert len(record.fills) > 1_000
    assert handles[-1] <= handles[0] + 5


@pytest.mark.soak
@pytest.mark.timeout(10_000)
def test_five_days_hold_memory_and_descriptors_flat(tmp_path):
    status, memory, handles = trade(tmp_path, "2026-03-06T21:00:00Z")
    record = check(tmp_path, status)
    first_day, last_day = max(memory[:6]), max(memory[-6:])
    print(f"  five days: {record.decisions} decisions, {record.missed} missed, {len(record.fills)} fills")
    print(f"  engine {first_day:.0f} MiB on the first day, {last_day:.0f} on the last, {handles[-1]} descriptors")
    assert last_day < 1.1 * first_day
    assert max(handles) <= handles[0] + 5
