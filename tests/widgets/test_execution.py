"""The costs of execution: records whose costs are known by hand."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import panel as pn

from workbench.analysis.tca import Fills, SentOrders
from workbench.config import CostSettings
from workbench.engine.session_record import SessionRecord
from workbench.widgets.execution import ExecutionView

WHEN = 1_772_462_100 * 10**9  # 2026-03-02 14:35 UTC, 09:35 in New York
HOUR = 3600 * 10**9


def record(session: str = "s1", first: int = 0, **changes: object) -> SessionRecord:
    """AAA bought 100 at 100.10 (mids: decision 100, arrival 100.02, fill 100.05), BBB sold 50 at 199.80 of 80 sent."""
    refs = (f"r{first + 1}", f"r{first + 2}")
    nan = np.full(2, np.nan)
    sent = SentOrders(
        order_ref=refs, system=("one", "two"), symbol=("AAA", "BBB"), policy=("market", "mid_step"),
        side=np.array([1, -1]), quantity=np.array([100.0, 80.0]), filled=np.array([100.0, 50.0]),
        cancelled=np.array([False, True]), replacements=np.array([0, 3]), decision_mid=np.array([100.0, 200.0]),
        arrival_mid=np.array([100.02, 200.0]), interval_mid=nan, spread=np.array([4e-4, 6e-4]),
        sigma_exec=np.array([1e-3, 1e-3]), sigma_1d=np.array([0.01, 0.02]), expected_volume=np.array([1e4, np.nan]),
        bucket=np.zeros(2, np.int64), predicted=np.array([5e-4, 12e-4]),
    )  # fmt: skip
    fills = Fills(refs, np.array([100.0, 50.0]), np.array([100.1, 199.8]), np.array([1.0, 0.5]),
                  np.array([100.05, np.nan]), np.array([WHEN, WHEN + HOUR]))  # fmt: skip
    made = SessionRecord(
        session=session, kind="simulated", first_bar=WHEN, last_bar=WHEN + HOUR, decisions=2, missed=0, nav=(1e6, 1e6),
        sent=sent, fills=fills, held_back={"spread": 3, "halted": 1}, modes=(), latencies={}, costs=CostSettings(),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def nothing_filled() -> SessionRecord:
    none = np.zeros(0)
    return record(fills=Fills((), none, none, none, none, np.zeros(0, np.int64)))


def words(html: str) -> str:
    """The text of a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))


def test_parts_of_the_cost_by_hand() -> None:
    parts = ExecutionView(record()).anatomy().get(0).dframe().set_index("part")["bps"]
    value = 10_010.0, 9_990.0
    delay = (value[0] * 2.0 + value[1] * 0.0) / sum(value)  # 0.02 of 100
    assert parts.index.tolist() == ["delay", "spread paid", "impact", "commission"]
    np.testing.assert_allclose(
        parts, [delay, 0.05 / 100.02 * 1e4, 0.03 / 100.02 * 1e4, 1.5 / sum(value) * 1e4], rtol=1e-9
    )


def test_costs_by_group() -> None:
    shown = ExecutionView(record())
    bars = shown.cost_bars().get(0).dframe()
    assert bars["symbol"].tolist() == ["AAA", "BBB"]
    np.testing.assert_allclose(bars.iloc[:, 1], [0.08 / 100.02 * 1e4, 10.0])
    assert shown.cost_bars().get(1).dframe().empty  # one order each: no interval
    for group, keys in {"hour": ["09:00", "10:00"], "policy": ["market", "mid_step"], "system": ["one", "two"]}.items():
        shown.group = group
        assert shown.cost_bars().get(0).dframe()[group].tolist() == keys
    shown.cost = "commission_bps"
    np.testing.assert_allclose(shown.cost_bars().get(0).dframe().iloc[:, 1], [1e4 * 1 / 10_010, 1e4 * 0.5 / 9_990])


def test_rates_of_fills_and_cancels() -> None:
    filled, ended = (ExecutionView(record()).rates().get(k).dframe()["percent"].tolist() for k in (0, 1))
    assert (filled, ended) == ([100.0, 62.5], [0.0, 100.0])
    told = words(ExecutionView(record()).summary_html())
    assert "ended unfilled 50.0 %" in told
    assert "changes per order 1.50" in told


def test_the_table_names_what_is_not_known() -> None:
    shown = ExecutionView(record())
    last = words(shown.table_by("symbol")).split(" all ")[1].split()
    assert last[:3] == ["2", "2", "20,000"]
    assert last[-1] == "1"  # the mid at one fill
    old = record()
    nan = np.full(2, np.nan)
    old = replace(old, sent=replace(old.sent, arrival_mid=nan), fills=replace(old.fills, mid=nan))
    shown = ExecutionView(old)
    assert list(shown.known_costs()) == ["slippage against the decision", "commission"]
    assert shown.cost == "decision_bps"
    assert "Not told: slippage against arrival, delay, spread paid, impact." in words(shown.cost_html())
    assert "older than these records" in words(shown.summary_html())
    assert isinstance(shown.calibration(), pn.pane.HTML)


def test_distribution_of_orders() -> None:
    shown = ExecutionView(record())
    np.testing.assert_allclose(shown.paid(), [0.08 / 100.02 * 1e4, 10.0])
    assert shown.distribution().get(0).dframe().iloc[:, 1].sum() == 2


def test_predicted_against_paid() -> None:
    line, _, bars, dots = shown = [*ExecutionView(record()).calibration()]
    assert len(shown) == 4
    told = dots.dframe()
    np.testing.assert_allclose(told["predicted"], [5.0, 12.0])
    np.testing.assert_allclose(told["paid"], [0.08 / 100.02 * 1e4, 10.0])
    assert bars.dframe().empty  # one order in each group
    np.testing.assert_allclose(line.dframe()["predicted"], [0.0, 12.0])


def test_the_fit_says_what_it_lacks_and_how_far_it_is_shrunk() -> None:
    told = words(ExecutionView(record()).fit_html())
    assert "A fit to 1 of 2 filled orders" in told
    assert "which weigh 98% in it" in told  # 50 / 51
    assert "lack what it needs: expected volume (1)." in told
    blind = replace(record(), sent=replace(record().sent, arrival_mid=np.full(2, np.nan)))
    told = words(ExecutionView(blind).fit_html())
    assert "None of the 2 filled orders tells everything" in told
    assert "mid when it was sent (2)" in told
    assert "k1 · spread 0.5 – –" in told


def test_guards() -> None:
    shown = ExecutionView(record())
    assert dict(shown.guards().dframe().itertuples(index=False)) == {"spread": 3, "halted": 1}
    assert "spread 3 halted 1" in words(shown.guard_html())
    assert "No guard held" in words(ExecutionView(record(held_back={})).guards().object)


def test_several_sessions_and_newer_ones() -> None:
    shown = ExecutionView([record(), record("s2", first=2)])
    shown.__panel__()
    assert "sessions 2 orders 4 fills 4" in words(shown.summary_html())
    assert dict(shown.guards().dframe().itertuples(index=False)) == {"spread": 6, "halted": 2}
    shown.group, shown.cost = "policy", "impact_bps"
    shown.show([record()])
    assert (shown.group, shown.cost) == ("policy", "impact_bps")
    assert "sessions 1 orders 2" in words(shown.summary_html())


def test_nothing_filled_yet_and_then_something() -> None:
    shown = ExecutionView(nothing_filled())
    shown.__panel__()
    assert "Nothing was filled" in words(shown.summary_html())
    for figure in (shown.anatomy, shown.distribution, shown.cost_bars, shown.calibration):
        assert isinstance(figure(), pn.pane.HTML)
    shown.show([record()])
    assert shown.problem == ""
    assert len(shown.cost_bars().get(0)) == 2
