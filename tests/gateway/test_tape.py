"""The made-up market: pure in (seed, symbol, session), sane quotes, one path for history and for live."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.calendar import sessions_between
from workbench.core.errors import DataError
from workbench.gateway.tape import NS, SyntheticMarket, bars_of

DAYS = sessions_between("2026-03-02", "2026-03-31")
EARLY = sessions_between("2025-07-03", "2025-07-03")


@pytest.fixture(scope="module")
def market():
    return SyntheticMarket(seed=3)


def test_the_same_seed_gives_the_same_tape_in_any_order_and_another_seed_another(market):
    one = market.tape("MSFT", int(DAYS.date[3]))
    other = SyntheticMarket(seed=3)
    other.tape("AAPL", int(DAYS.date[0]))
    again = other.tape("MSFT", int(DAYS.date[3]))
    for name in ("bid", "ask", "bid_size", "ask_size", "last", "volume"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
    assert not np.array_equal(one.bid, SyntheticMarket(seed=4).tape("MSFT", int(DAYS.date[3])).bid)
    assert not np.array_equal(one.bid, market.tape("MSFX", int(DAYS.date[3])).bid)


@pytest.mark.parametrize("symbol", ["A", "SPY", "BRK B", "ZZZZ", "X1"])
def test_quotes_are_on_the_tick_uncrossed_and_prints_lie_on_them(market, symbol):
    tape = market.tape(symbol, int(DAYS.date[5]))
    assert len(tape) == 23_400
    for price in (tape.bid, tape.ask, tape.last):
        np.testing.assert_allclose(price * 100, np.round(price * 100), atol=1e-6)
    assert (tape.ask - tape.bid > 0.0099).all()
    assert ((tape.last >= 0.01) & (tape.bid >= 0.01)).all()
    assert (tape.bid_size >= 100).all()
    assert (tape.bid_size % 100 == 0).all()
    assert (tape.volume % 100 == 0).all()
    printed = tape.volume > 0
    on_quote = (tape.last == tape.bid) | (tape.last == tape.ask)
    assert on_quote[:-1][printed[:-1]].all()


def test_sessions_join_up_and_moves_have_the_size_that_the_symbol_says(market):
    traits = market.traits("JOIN")
    closes = np.array([market.close("JOIN", int(d)) for d in sessions_between("2020-01-02", "2025-12-31").date])
    daily = np.diff(np.log(closes)).std()
    assert daily == pytest.approx(traits.sigma_day, rel=0.06)
    for before, after in zip(DAYS.date[:5], DAYS.date[1:6]):
        tape = market.tape("JOIN", int(after))
        assert tape.previous_close == market.close("JOIN", int(before))
        yesterday = market.tape("JOIN", int(before))
        assert (yesterday.last[-1], yesterday.volume[-1] > 0) == (tape.previous_close, True)  # the close of its bar
        mid = (tape.bid[-1] + tape.ask[-1]) / 2
        assert mid == pytest.approx(market.close("JOIN", int(after)), rel=3e-3)
    moves = np.concatenate([np.diff(np.log(market.tape("JOIN", int(d)).bid[::300])) for d in DAYS.date])
    assert moves.std() == pytest.approx(traits.sigma_day * np.sqrt(0.75 / 78), rel=0.25)


def test_volume_follows_the_day_and_is_heavy_at_both_ends(market):
    volume = np.mean([market.tape("VOL", int(d)).volume for d in DAYS.date], axis=0)
    assert volume.sum() == pytest.approx(market.traits("VOL").shares, rel=0.05)
    assert volume[:1800].mean() > 1.5 * volume[9000:12600].mean()


def test_bars_are_the_seconds_added_up(market):
    tape = market.tape("BAR", int(DAYS.date[2]))
    bars = bars_of(tape, 300, len(tape))
    assert len(bars.end_ns) == 78
    for b in (0, 40, 77):
        part = slice(300 * b, 300 * (b + 1))
        assert bars.open[b] == tape.last[part][0]
        assert bars.high[b] == max(tape.last[part])
        assert bars.low[b] == min(tape.last[part])
        assert bars.close[b] == tape.last[part][-1]
        assert bars.volume[b] == sum(tape.volume[part])
        value = sum(p * v for p, v in zip(tape.last[part], tape.volume[part]))
        assert bars.wap[b] == pytest.approx(value / bars.volume[b])
        assert bars.end_ns[b] == tape.open_ns + 300 * (b + 1) * NS
    assert bars.volume.sum() == tape.volume.sum()


def test_a_bar_is_seen_only_when_it_is_over(market):
    day = int(DAYS.date[2])
    open_ns = int(DAYS.open_ns[2])
    assert len(market.candles("BAR", day, 300, open_ns + 299 * NS).end_ns) == 0
    assert len(market.candles("BAR", day, 300, open_ns + 300 * NS).end_ns) == 1
    assert len(market.candles("BAR", day, 300, open_ns + 899 * NS).end_ns) == 2
    assert len(market.candles("BAR", day, 300, open_ns + 10**18).end_ns) == 78
    assert market.tape("BAR", day).row(open_ns) == -1
    assert market.tape("BAR", day).row(open_ns + NS) == 0


def test_an_early_close_is_short_and_a_holiday_has_no_tape(market):
    assert len(market.tape("A", int(EARLY.date[0]))) == 210 * 60
    with pytest.raises(DataError, match="2025-07-04 is no session"):
        market.tape("A", int(EARLY.date[0]) + 1)


def test_memory_is_bounded(market):
    from workbench.gateway import tape as room

    for i in range(room.KEPT_TAPES + 20):
        market.tape(f"M{i}", int(EARLY.date[0]))
    assert len(market._tapes) == room.KEPT_TAPES
