"""Bars: those of the gateway's own tape, stamped by their end; and history into a store."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.core.calendar import exchange_sessions, sessions_between
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE, NS_PER_SECOND
from workbench.data.store import EMBEDDED, Store
from workbench.execution.ibkr.bars import BarRow, bars_request
from workbench.execution.ibkr.download import Download, calendar_days
from workbench.execution.ibkr.errors import NotConnected, RequestRefused


def by_hand(gateway, symbol: str, end: int, minutes: int) -> tuple[float, ...]:
    """Open, high, low, close, volume of the seconds before `end`, out of the gateway's tape."""
    day = end // NS_PER_DAY
    tape = gateway.hub.market.tape(symbol, day)
    a, b = (int((t - tape.open_ns) // NS_PER_SECOND) for t in (end - minutes * NS_PER_MINUTE, end))
    printed = tape.last[a:b]
    return printed[0], printed.max(), printed.min(), printed[-1], float(tape.volume[a:b].sum())


@pytest.mark.parametrize(("minutes", "count"), [(5, 3), (5, 200), (1, 7)])
def test_bars_equal_the_tape_and_are_stamped_by_their_end(desk, minutes, count):
    d = desk(speed=1.0)
    (session,) = sessions_between("2026-02-27", "2026-02-27").close_ns
    rows = d.connection.bars(["AAPL"], minutes, int(session) + 5, count)["AAPL"]
    assert len(rows) == count
    assert rows[-1].ts == session
    stamps = np.array([r.ts for r in rows])
    assert (np.diff(stamps) > 0).all()
    for row in (rows[0], rows[len(rows) // 2], rows[-1]):
        told = (row.open, row.high, row.low, row.close, row.volume)
        assert told == pytest.approx(by_hand(d.gateway, "AAPL", row.ts, minutes))


def test_a_bar_that_still_grows_is_not_told(desk):
    d = desk(speed=600.0)
    opened = int(sessions_between("2026-03-02", "2026-03-02").open_ns[0])
    d.until(lambda: d.gateway.clock.now() > opened + 13 * NS_PER_MINUTE, "thirteen minutes")
    rows = d.connection.bars(["AAPL"], 5, opened + 13 * NS_PER_MINUTE, 3)["AAPL"]
    assert [(r.ts - opened) // NS_PER_MINUTE for r in rows][-2:] == [5, 10]
    assert rows[0].ts < opened  # the third is yesterday's last


def test_daily_bars_are_stamped_with_the_close(desk):
    d = desk(speed=1.0)
    sessions = sessions_between("2025-11-24", "2025-12-02")  # with an early close
    rows = d.connection.bars(["AAPL"], 390, int(sessions.close_ns[-1]), len(sessions))["AAPL"]
    assert [r.ts for r in rows] == sessions.close_ns.tolist()


def test_a_symbol_that_fails_is_absent_and_says_why(desk):
    d = desk()
    end = d.gateway.clock.now()
    found = d.connection.bars(["AAPL", "NOSUCHNAME1"], 5, end, 2)
    assert list(found) == ["AAPL"]
    assert "No security definition" in d.connection.bar_failures["NOSUCHNAME1"]
    d.connection.close()
    assert d.connection.bars(["AAPL"], 5, end, 2) == {}
    assert d.connection.bar_failures["AAPL"] == "bars of AAPL: not connected"


def test_history_that_is_not_answered(desk):
    d = desk("history_unanswered", request_timeout_s=0.5)
    assert d.connection.bars(["AAPL"], 5, d.gateway.clock.now(), 2) == {}
    assert "did not answer within 0.5 s" in d.connection.bar_failures["AAPL"]


def test_many_symbols_at_once(desk):
    d = desk(speed=1.0, request_timeout_s=60.0)  # the gateway makes 120 pasts first: seconds of a slow core
    names = [f"S{i:03d}" for i in range(120)]
    found = d.connection.bars(names, 5, d.gateway.clock.now(), 1)
    assert len(found) == 120


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([1, 5, 390]), st.integers(1, 2500),
    st.integers(1_577_836_800, 1_893_456_000).map(lambda s: s * NS_PER_SECOND),
)  # fmt: skip
def test_the_wanted_stamps_are_the_last_of_the_grid(interval, count, end):
    request = bars_request(interval, end, count)
    every = exchange_sessions().between(end - 20 * 365 * NS_PER_DAY if interval == 390 else end - 60 * NS_PER_DAY, end)
    stamps: list[int] = []
    for opened, closed in zip(every.open_ns.tolist(), every.close_ns.tolist()):
        step = interval * NS_PER_MINUTE
        stamps += [closed] if interval == 390 else list(range(opened + step, closed + 1, step))
    assert request.stamps == frozenset([t for t in stamps if t <= end][-count:])
    first, last = min(request.stamps), max(request.stamps)
    sessions = len(every.between(first, last))
    number, unit = request.duration.split()
    covered = {"S": sessions if int(number) == (last - first) // NS_PER_SECOND + 60 * interval else 0, "D": int(number)}
    assert covered.get(unit, 252 * int(number)) >= sessions
    assert unit != "D" or int(number) <= 365


@pytest.mark.parametrize(("interval", "count"), [(7, 3), (5, 0)])
def test_bars_that_cannot_be_asked_for(interval, count):
    with pytest.raises(DataError, match="at least 1, of 1, 5, 390 minutes"):
        bars_request(interval, 1_772_461_800 * NS_PER_SECOND, count)


# ---- download -------------------------------------------------------------------------------------------------------

NOW = int(sessions_between("2026-03-02", "2026-03-02").close_ns[0]) + 60 * NS_PER_MINUTE


class Source:
    """Gives a bar of 10 dollars at every stamp, counts what it is asked, and fails as told: a list of answers."""

    def __init__(self, *errors: dict) -> None:
        self.asked: list[tuple[tuple[str, ...], int, int]] = []
        self.errors, self.connected = list(errors), True

    def ask_bars(self, symbols, interval, end, count):
        self.asked.append((tuple(symbols), end, count))
        failed = self.errors.pop(0) if self.errors else {}
        stamps = sorted(bars_request(interval, end, count).stamps)
        rows = [BarRow(ts, 10.0, 10.0, 10.0, 10.0, 100.0) for ts in stamps]
        return {s: rows for s in symbols if s not in failed}, {s: e for s, e in failed.items() if s in symbols}


def test_a_download_fills_the_store_and_is_not_repeated(tmp_path):
    source, store = Source(), Store(tmp_path)
    told = Download(source, store, 5, "ibkr").run(["BBB", "AAA"], "2W", NOW)
    bars = store.serve(5)
    expected = sessions_between("2026-02-17", "2026-03-02")
    assert sorted(set(bars.session.tolist())) == expected.date.tolist()
    assert bars.shape == (len(expected) * 78, 2)
    assert np.isfinite(bars.close).all()
    assert told.bars == len(expected) * 78 * 2
    assert store.data_origin == "ibkr"
    again = Source()
    told = Download(again, Store(tmp_path), 5, "ibkr").run(["AAA", "BBB"], "2W", NOW)
    assert (again.asked, told.bars, told.known_before) == ([], 0, 2 * len(expected))
    newer = Source()
    Download(newer, Store(tmp_path), 5, "ibkr").run(["AAA"], "2W", NOW + NS_PER_DAY)
    assert [(names, count) for names, _, count in newer.asked] == [(("AAA",), 78)]


def test_an_interrupted_download_goes_on(tmp_path):
    class Stopped(Source):
        def ask_bars(self, *args):
            if len(self.asked) == 2:
                raise KeyboardInterrupt
            return super().ask_bars(*args)

    stopped = Stopped()
    with pytest.raises(KeyboardInterrupt):
        Download(stopped, Store(tmp_path), 5, "ibkr").run(["AAA"], "6M", NOW)
    rest = Source()
    Download(rest, Store(tmp_path), 5, "ibkr").run(["AAA"], "6M", NOW)
    ends = [end for _, end, _ in stopped.asked + rest.asked]
    assert ends == sorted(set(ends))
    bars = Store(tmp_path).serve(5)
    assert np.isfinite(bars.close).all()
    assert len(set(bars.session.tolist())) == len(sessions_between("2025-09-02", "2026-03-02"))


def test_pacing_waits_and_asks_again(tmp_path):
    slow = RequestRefused(162, "Historical Market Data Service error message:historical data query pacing violation")
    source, waits = Source({"AAA": slow}, {"AAA": slow}), []
    told = Download(source, Store(tmp_path), 5, "ibkr", sleep=waits.append).run(["AAA", "BBB"], "1W", NOW)
    assert [names for names, *_ in source.asked] == [("AAA", "BBB"), ("AAA",), ("AAA",)]
    assert waits == [15.0, 30.0]
    assert not told.failed


def test_no_data_is_noted_and_final(tmp_path):
    none = RequestRefused(162, "Historical Market Data Service error message:HMDS query returned no data: AAA")
    told = Download(Source({"AAA": none}), Store(tmp_path), 5, "ibkr").run(["AAA", "BBB"], "1W", NOW)
    assert told.no_data["AAA"] == told.sessions
    again = Source()
    Download(again, Store(tmp_path), 5, "ibkr").run(["AAA", "BBB"], "1W", NOW)
    assert again.asked == []


def test_an_unknown_symbol_does_not_stop_the_others(tmp_path):
    unknown = RequestRefused(200, "No security definition has been found for the request")
    told = Download(Source({"ZZZ": unknown}), Store(tmp_path), 5, "ibkr").run(["ZZZ", "BBB"], "3M", NOW)
    assert list(told.failed) == ["ZZZ"]
    assert Store(tmp_path).serve(5).symbols == ("BBB",)


def test_a_lost_connection_is_waited_for(tmp_path):
    source = Source({"AAA": NotConnected("gone")})
    source.connected, slept = False, []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        source.connected = len(slept) > 3

    told = Download(source, Store(tmp_path), 390, "ibkr", sleep=sleep).run(["AAA"], "1W", NOW)
    assert told.bars == 5
    gone = Source({"BBB": NotConnected("gone")})
    gone.connected = False
    with pytest.raises(NotConnected, match="it goes on where it stopped"):
        Download(gone, Store(tmp_path), 390, "ibkr", sleep=lambda s: None).run(["BBB", "AAA"], "1W", NOW)


def test_bars_that_cannot_be_right_are_not_stored(tmp_path):
    class Wrong(Source):
        def ask_bars(self, *args):
            found, failed = super().ask_bars(*args)
            rows = found["AAA"]
            return {"AAA": [BarRow(rows[0].ts, 10.0, 9.0, 10.0, 10.0, 5.0), *rows[1:]]}, failed

    told = Download(Wrong(), Store(tmp_path), 390, "ibkr").run(["AAA"], "1W", NOW)
    assert dict(told.bad) == {"high and low contradict": 1}
    assert told.bars == 4


def test_it_does_not_mix_with_the_embedded_market(tmp_path):
    Download(Source(), Store(tmp_path), 5, EMBEDDED).run(["AAA"], "1W", NOW)
    source = Source()
    with pytest.raises(DataError, match="must not mix"):
        Download(source, Store(tmp_path), 5, "ibkr").run(["AAA"], "1W", NOW)
    assert source.asked == []


@pytest.mark.parametrize("duration", ["6", "M6", "0D", "1 fortnight"])
def test_bad_durations(duration):
    with pytest.raises(DataError, match="is not like 10D, 2W, 6M or 1Y"):
        calendar_days(duration)


def test_a_damaged_record_says_what_to_do(tmp_path):
    (tmp_path / "imports").mkdir()
    (tmp_path / "imports" / "ibkr_5.json").write_text("[1]")
    with pytest.raises(DataError, match=r"damaged.*delete it"):
        Download(Source(), Store(tmp_path), 5, "ibkr")


def test_from_the_gateway_into_a_workspace(desk, tmp_path):
    from workbench import cli_ibkr

    d = desk(speed=1.0)
    told = cli_ibkr._download(("AAPL", "MSFT"), ("127.0.0.1", d.gateway.port), "10D", 5, 18, tmp_path)
    assert told["origin"] == EMBEDDED
    assert told["bars"] == told["sessions"] * 78
    assert Store(tmp_path / "store").serve(5).symbols == ("AAPL", "MSFT")
    assert threading.active_count() < 20
