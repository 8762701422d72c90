"""The honest backtest: the money adds up, runs repeat, the future changes nothing, and bad input is named."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from workbench.config import Settings
from workbench.core.bars import TRADE_FIELDS
from workbench.core.errors import DataError, ProvenanceError
from workbench.core.types import Breach
from workbench.engine.backtest import naive_backtest, run_backtest

SETTINGS = Settings()


@pytest.fixture(scope="module", params=[True, False], ids=["quotes", "no quotes"])
def world(request, toy_module) -> SimpleNamespace:
    """Three sessions traded at random, with everything needed to run them again."""
    toy = toy_module
    bars = toy.bars(quotes=request.param)
    decide = toy.follow(toy.random_weights())
    result = run_backtest(bars, toy.history(bars), [toy.tranche(bars)], SETTINGS, label="x", decide=decide)
    return SimpleNamespace(toy=toy, bars=bars, decide=decide, result=result)


def again(world, bars=None, settings=SETTINGS, decide=None, **kwargs):
    bars = world.bars if bars is None else bars
    toy = world.toy
    tranche = toy.tranche(world.bars)
    return run_backtest(bars, toy.history(bars), [tranche], settings, decide=decide or world.decide, **kwargs)


def costs(r):
    return r.spread_cost + r.impact_cost + r.commission + r.borrow_cost


def test_every_dollar_is_accounted_for(world) -> None:
    r = world.result
    np.testing.assert_allclose(r.net_pnl, r.gross_pnl - costs(r), rtol=0, atol=1e-6)
    for part in (r.spread_cost, r.impact_cost, r.commission, r.borrow_cost):
        assert (part >= -1e-9).all()
        assert part.sum() > 0
    assert sum(f.commission for f in r.fills) == pytest.approx(r.commission.sum())
    slipped = sum(f.side * f.quantity * (f.price - f.mid) for f in r.fills)
    assert slipped == pytest.approx((r.spread_cost + r.impact_cost).sum())


def test_the_books_follow_from_the_fills_alone(world) -> None:
    """Cash and shares computed here from the fills, with marks read off the bars."""
    r, bars = world.result, world.bars
    rows = np.searchsorted(bars.ts, r.ts)
    marks = (bars.mid if bars.has_quotes else bars.close)[rows]
    cash, shares, k = r.start_nav, np.zeros(3), 0
    for t in range(len(r.ts)):
        while k < len(r.fills) and r.fills[k].time <= r.ts[t]:
            f = r.fills[k]
            cash -= f.side * f.quantity * f.price + f.commission
            shares[r.symbols.index(f.symbol)] += f.side * f.quantity
            k += 1
        cash -= r.borrow_cost[t]
        assert r.nav[t] == pytest.approx(cash + shares @ marks[t], abs=1e-6)
        np.testing.assert_allclose(r.weights[t], shares * marks[t] / r.nav[t], atol=1e-12)
    assert k == len(r.fills)


def test_orders_arrive_after_the_decision_and_within_its_bar(world) -> None:
    r = world.result
    for f in r.fills:
        before = r.ts[np.searchsorted(r.ts, f.time) - 1]
        assert f.time == before + 1_000_000_000
    assert {f.time // 86_400_000_000_000 for f in r.fills} == set(r.session.tolist())
    last = r.ts[np.r_[np.diff(r.session) != 0, True]]
    assert not any(f.time > t and f.time < t + 3_600_000_000_000 for f in r.fills for t in last)


def test_runs_repeat_bit_for_bit(world) -> None:
    r, s = world.result, again(world)
    assert (r.digest, r.fills) == (s.digest, s.fills)
    np.testing.assert_array_equal(r.nav, s.nav)


def test_cutting_the_future_off_changes_nothing_before(world) -> None:
    cut = 78 + 78 + 30
    short = again(world, world.bars.rows(0, cut))
    n = len(short.ts)
    assert n == cut - 78
    np.testing.assert_array_equal(short.nav, world.result.nav[:n])
    np.testing.assert_array_equal(short.target, world.result.target[:n])
    assert short.fills == tuple(f for f in world.result.fills if f.time <= short.ts[-1])


def test_the_spread_is_paid_in_proportion(world) -> None:
    free = {"costs": {"k3": 0.0}, "execution": {"min_notional": 0.0}}
    paid = [again(world, settings=SETTINGS.change(**free), spread_multiplier=m) for m in (0.0, 1.0, 2.0)]
    assert paid[0].spread_cost.sum() == pytest.approx(0.0, abs=1e-6)
    assert paid[2].spread_cost.sum() == pytest.approx(2 * paid[1].spread_cost.sum(), rel=0.02)
    assert paid[0].nav[-1] > paid[1].nav[-1] > paid[2].nav[-1]


def test_participation_bounds_every_fill(world) -> None:
    tight = again(world, settings=SETTINGS.change(execution={"max_participation": 0.002}))
    volume = {s: world.bars.volume[:, i] for i, s in enumerate(world.bars.symbols)}
    assert len(tight.fills) > 50
    taken: dict[tuple[str, int], int] = {}
    for f in tight.fills:
        row = int(np.searchsorted(world.bars.ts, f.time))
        taken[f.symbol, row] = taken.get((f.symbol, row), 0) + f.quantity
    assert all(q <= 0.002 * volume[s][row] for (s, row), q in taken.items())


def test_shorts_held_overnight_pay_borrow_for_calendar_days(toy) -> None:
    bars = toy.bars("2025-06-05", "2025-06-09")  # Thursday, Friday, Monday
    hold = toy.follow(lambda s, b: np.array([-0.04, 0.04, 0.0]) if b.positions[0] == 0 else b.weights)
    r = run_backtest(bars, toy.history(bars), [toy.tranche(bars, 0)], SETTINGS, decide=hold)
    charged = np.flatnonzero(r.borrow_cost)
    assert charged.tolist() == [78, 156]
    for row, days in ((78, 1), (156, 3)):
        value = -r.weights[row - 1, 0] * r.nav[row - 1]
        assert r.borrow_cost[row] == pytest.approx(value * 0.01 * days / 360, rel=1e-9)


def test_a_held_symbol_without_a_bar_keeps_its_mark_and_is_counted(toy) -> None:
    bars = toy.bars(quotes=False)
    gone = {name: getattr(bars, name).copy() for name in TRADE_FIELDS}
    for array in gone.values():
        array[100:105, 0] = np.nan  # one symbol stops trading
        array[120] = np.nan  # nobody trades
    bars = replace(bars, **gone)
    hold = toy.follow(lambda s, b: np.full(3, 0.04) if not b.positions.any() else b.weights)
    r = run_backtest(bars, toy.history(bars), [toy.tranche(bars)], SETTINGS, decide=hold)
    assert dict(r.breaches) == {"stale mark of a held symbol": 8}
    assert np.flatnonzero(~r.complete).tolist() == [120 - 78]
    assert np.isfinite(r.nav).all()
    assert r.gross_pnl[120 - 78] == 0.0


def test_naive_claims_more_than_honest(world) -> None:
    r = world.result
    naive = naive_backtest(r, world.bars)
    assert naive.label == "naive"
    np.testing.assert_array_equal(naive.target, r.target)
    assert costs(naive).sum() == 0
    rows = np.searchsorted(world.bars.ts, r.ts)
    close = world.bars.close[rows]
    expected = r.start_nav * np.prod(1 + np.sum(r.target[:-1] * (close[1:] / close[:-1] - 1), axis=1))
    assert naive.nav[-1] == pytest.approx(expected)
    assert naive.nav[-1] > r.nav[-1]
    with pytest.raises(DataError, match="do not hold every bar"):
        naive_backtest(r, world.bars.rows(0, 100))


def test_bounce_is_alpha_only_for_the_naive(toy) -> None:
    """Closes bounce between bid and ask around a still mid: buying what printed at the bid earns nothing but cost."""
    bars = toy.bars()
    rng = np.random.default_rng(0)
    print_at = rng.choice([-1.0, 1.0], bars.shape)
    mid = np.broadcast_to([50.0, 100.0, 20.0], bars.shape)
    bars = replace(bars, close=mid * (1 + 5e-4 * print_at), bid=mid * (1 - 5e-4), ask=mid * (1 + 5e-4))
    fade = toy.follow(lambda s, b: -0.04 * np.sign(s.price - s.mid))
    honest = run_backtest(bars, toy.history(bars), [toy.tranche(bars)], SETTINGS, decide=fade)
    naive = naive_backtest(honest, bars)
    assert naive.nav[-1] > 1.005 * naive.start_nav
    assert honest.nav[-1] < honest.start_nav
    assert abs(honest.gross_pnl.sum()) < 1e-6 * honest.start_nav


def test_breaches_change_the_mode_and_reduce_only_holds(toy) -> None:
    bars = toy.bars()
    degraded = Breach("max_drawdown", "", 0.3, 0.2, "reduce_only")

    def decide(snapshot, book, stages):
        return toy.decision(snapshot, np.full(3, 0.04), (degraded,) if snapshot.bar_of_session > 2 else ())

    r = run_backtest(bars, toy.history(bars), [toy.tranche(bars, 3)], SETTINGS, decide=decide)
    assert dict(r.breaches) == {"max_drawdown": 75}
    assert {f.side for f in r.fills if f.time < r.ts[3]} >= {1}
    assert {f.side for f in r.fills if f.time > r.ts[3]} <= {-1}  # all positions are long


def test_progress_and_limit_orders(world) -> None:
    seen = []
    settings = SETTINGS.change(execution={"policy": "marketable_limit"})
    r = again(
        world, settings=settings, progress=lambda done, total, what: seen.append((done, total, what)), label="lim"
    )
    assert seen == [(78, 234, "backtest lim"), (156, 234, "backtest lim"), (234, 234, "backtest lim")]
    np.testing.assert_allclose(r.net_pnl, r.gross_pnl - costs(r), rtol=0, atol=1e-6)
    assert r.fills


def test_bad_input_is_named(toy) -> None:
    bars = toy.bars()
    history, tranche = toy.history(bars), toy.tranche(bars)
    decide = toy.follow(toy.random_weights())
    late = SimpleNamespace(**{**vars(tranche), "fitted_until": int(bars.ts[40])})
    with pytest.raises(ProvenanceError, match="0 whole sessions lie between, the embargo is 1"):
        run_backtest(bars, history, [late], SETTINGS, decide=decide)
    with pytest.raises(DataError, match="schedule is empty"):
        run_backtest(bars, history, [], SETTINGS, decide=decide)
    with pytest.raises(DataError, match="history has no row for 78 of 234"):
        run_backtest(bars, toy.history(bars.rows(0, 234)), [tranche], SETTINGS, decide=decide)
    with pytest.raises(DataError, match="in another order"):
        run_backtest(bars.select(("BBB", "AAA", "CCC")), history, [tranche], SETTINGS, decide=decide)
    with pytest.raises(DataError, match="spread_multiplier = -1"):
        run_backtest(bars, history, [tranche], SETTINGS, decide=decide, spread_multiplier=-1)
    with pytest.raises(DataError, match="no bar lies in a session"):
        run_backtest(bars.rows(0, 78), history, [tranche], SETTINGS, decide=decide)
