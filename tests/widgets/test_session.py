"""The session report: a record with costs known by hand, and a real session of six bars in its journal."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import ipywidgets
import numpy as np
import pytest

from workbench.analysis.drift import feature_drift
from workbench.analysis.tca import Fills, SentOrders
from workbench.config import CostSettings
from workbench.core.errors import DataError, WorkbenchError
from workbench.engine.codec import live_codec
from workbench.engine.session_record import (
    SessionRecord,
    last_record,
    read_decision,
    read_happenings,
    read_path,
    read_session,
)
from workbench.engine.verify import Verdict
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import SqlJournal
from workbench.research.session_outcomes import SessionOutcomes, live_calibration, live_ic, session_outcomes
from workbench.widgets import view
from workbench.widgets.execution import ExecutionView
from workbench.widgets.session import SessionView, card

BARS = 6
BAR_NS = 300 * 10**9


def record(**changes: object) -> SessionRecord:
    """Two orders: AAA bought 100 at 100.10 against a mid of 100.00, BBB sold 50 at 199.80 against 200.00."""
    nan = np.full(2, np.nan)
    sent = SentOrders(
        order_ref=("r1", "r2"), system=("main", "main"), symbol=("AAA", "BBB"), policy=("MKT", "MKT"),
        side=np.array([1, -1]), quantity=np.array([100.0, 50.0]), filled=np.array([100.0, 50.0]),
        cancelled=np.array([False, False]),
        replacements=np.zeros(2, np.int64), decision_mid=np.array([100.0, 200.0]), arrival_mid=nan, interval_mid=nan,
        spread=nan, sigma_exec=nan, sigma_1d=nan, expected_volume=nan, bucket=np.zeros(2, np.int64),
        predicted=nan,
    )  # fmt: skip
    when = 1_772_462_100 * 10**9  # 2026-03-02 14:35 UTC
    fills = Fills(("r1", "r2"), np.array([100.0, 50.0]), np.array([100.1, 199.8]), np.array([1.0, 0.5]),
                  np.array([np.nan, np.nan]), np.array([when, when + 3600 * 10**9]))  # fmt: skip
    made = SessionRecord(
        session="s1", kind="simulated", first_bar=when, last_bar=when + BAR_NS, decisions=2, missed=1,
        nav=(1_000_000.0, 1_000_100.0), sent=sent, fills=fills, held_back={"price band": 3}, modes=(),
        latencies={"decide": {"count": 2, "p50_s": 0.01, "p95_s": 0.02, "p99_s": 0.02, "max_s": 0.02}},
        costs=CostSettings(),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def words(html: str) -> str:
    """The text of a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))


def test_card_in_numbers() -> None:
    told = words(card(record()))
    assert "2026-03-02, session s1" in told
    assert "bars (UTC) 14:35 to 14:40" in told
    assert "traded USD 20,000" in told  # 10,010 + 9,990
    assert "commission USD 1.50" in told
    assert "change (bps) +1.00" in told
    assert "slippage (bps) +10.00 ± 0.00" in told  # both orders paid 10 bps
    assert "says nothing about real profit" in told
    assert "`verdict=verify_session(...)`" in told


def test_parity_is_shown_with_its_first_difference() -> None:
    same = Verdict("s1", 2, None, None, False, "onnxruntime 1")
    told = words(card(record(), same))
    assert "replayed from the journal equal" in told
    assert "inferred again not comparable" in told
    assert 'class="good"' in card(record(), same)


def test_the_costs_are_those_of_the_execution_view() -> None:
    shown = SessionView(record())
    assert isinstance(shown.execution, ExecutionView)
    assert shown.execution.executions.sessions == ("s1",)
    body = shown.shown()
    assert shown.execution.shown() in list(body)


def test_what_is_missing_is_said() -> None:
    shown = SessionView(record())
    shown.__panel__()
    rest = words(shown.rest_html())
    assert "pass journal=" in rest
    assert "decide 2 10.0 20.0 20.0 20.0" in rest


def test_nothing_filled() -> None:
    full = record()
    none = np.zeros(0)
    empty = replace(full, fills=Fills((), none, none, none, none, np.zeros(0, np.int64)))
    shown = SessionView(empty)
    shown.__panel__()
    assert "slippage (bps) –" in words(shown.heading())


def test_widget_turns() -> None:
    shown = SessionView(record())
    turns = {w.description: w for w in shown.widget().children[2].children}
    assert set(turns) == {"Costs by", "Cost", "Horizon", "Barrier"}
    assert all(isinstance(w, ipywidgets.Widget) for w in turns.values())
    turns["Costs by"].value = "hour"
    assert shown.execution.group == "hour"


# ---- a session that happened ------------------------------------------------------------------------------------


def live_rig() -> ModuleType:
    """The rig of the live tests: an engine in this process over a gateway whose clock the test moves."""
    path = Path(__file__).parent.parent / "live" / "rig.py"
    spec = importlib.util.spec_from_file_location("rig_of_live_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def journal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlJournal]:
    rig = live_rig()
    folder = tmp_path_factory.mktemp("session")
    with SimulatedGateway(speed=rig.FROZEN, start=rig.START) as gateway:
        at_work = rig.Rig(folder, gateway, (rig.trading_settings(rig.loud_bundle(folder / "bundle")),))
        at_work.open()
        for _ in range(BARS):
            at_work.bar()
        at_work.close()
    with closing(SqlJournal(folder / "journal.db", read_only=True, codec=live_codec())) as opened:
        yield opened


@pytest.fixture(scope="module")
def outcomes(journal: SqlJournal) -> SessionOutcomes:
    return session_outcomes(journal, "s1")


def test_path_is_that_of_the_books(journal: SqlJournal) -> None:
    path, books = read_path(journal, "s1"), [e.payload["book"] for e in journal.read("decision")]
    assert len(path.ts) == BARS
    assert (np.diff(path.ts) == BAR_NS).all()
    assert path.nav.tolist() == [b.nav for b in books]
    assert path.gross[0] == 0.0
    np.testing.assert_allclose(path.gross[-1], sum(abs(w) for w in books[-1].weights))
    assert path.names[-1] == sum(q != 0 for q in books[-1].positions)
    assert path.gross.max() > 0


def test_decision_with_its_orders_and_fills(journal: SqlJournal) -> None:
    ts = read_path(journal, "s1").ts
    first, last = read_decision(journal, "s1", int(ts[0])), read_decision(journal, "s1")
    assert first.decision.known_at == ts[0]
    assert last.decision.known_at == ts[-1]
    assert first.orders
    assert {o.decided_at for o in first.orders} == {int(ts[0])}
    refs = {o.order_ref for o in first.orders}
    assert first.fills
    assert {f.order_ref for f in first.fills} <= refs
    with pytest.raises(WorkbenchError, match=r"no decision of that bar; the last one is of 2026-03-02T15:00:00Z"):
        read_decision(journal, "s1", int(ts[-1]) + BAR_NS)


def test_last_record_is_that_of_the_last_session_that_decided(journal: SqlJournal, tmp_path: Path) -> None:
    found = last_record(journal)
    assert found is not None
    assert (found.session, found.decisions) == ("s1", BARS)
    with closing(SqlJournal(tmp_path / "empty.db", session="s0")) as empty:
        assert last_record(empty) is None
        assert read_path(empty, "s0").nav.tolist() == []
        with pytest.raises(WorkbenchError, match="nothing was decided"):
            read_decision(empty, "s0")


def test_happenings_tell_breaches(journal: SqlJournal) -> None:
    breaches = sum(len(e.payload["decision"].breaches) for e in journal.read("decision"))
    assert sum(h.kind == "breach" for h in read_happenings(journal, "s1")) == breaches


def test_outcomes_are_returns_of_the_journaled_quotes(journal: SqlJournal, outcomes: SessionOutcomes) -> None:
    batches = [e.payload["batch"] for e in journal.read("market", session="s1")]
    mid = np.array([b.quotes[:, :2].mean(axis=1) for b in batches])
    rows = np.searchsorted(outcomes.ts, [b.ts for b in batches])
    five, ten = outcomes.labels["5m"].value, outcomes.labels["10m"].value
    np.testing.assert_allclose(five[rows[:-1]], mid[1:] / mid[:-1] - 1)
    np.testing.assert_allclose(ten[rows[:-2]], mid[2:] / mid[:-2] - 1)
    assert np.isnan(five[rows[-1]]).all()


def test_a_window_that_did_not_end_has_no_outcome(outcomes: SessionOutcomes) -> None:
    row = int(np.flatnonzero(np.isfinite(outcomes.alpha).any(axis=(0, 2)))[-1])
    for label, bars in (("5m", 1), ("10m", 2), ("30m", 6)):
        of = outcomes.labels[label]
        for panel in (of.peak, of.valley, of.value):
            assert np.isnan(panel[row - bars + 1 :]).all()
    known = outcomes.labels["5m"].peak
    assert np.isfinite(known[:row][np.isfinite(outcomes.alpha[0, :row]).all(axis=1)]).any()


def test_calibration_and_ic_of_one_session_have_no_interval(outcomes: SessionOutcomes) -> None:
    found = live_calibration(outcomes, "5m", "peak")
    label = outcomes.labels["5m"]
    known = np.isfinite(label.peak) & np.isfinite(outcomes.p_peak[0])
    assert found.rows == known.sum()
    assert found.base_rate == pytest.approx(label.peak[known].mean())
    assert np.isnan(found.skill.low)
    assert live_calibration(outcomes, "120m", "valley").rows == 0
    assert np.isnan(live_ic(outcomes, "120m").value[0])
    with pytest.raises(DataError, match="1d ends on a later day; a session tells the outcome of 5m, 10m"):
        live_ic(outcomes, "1d")
    with pytest.raises(DataError, match="7m is no horizon"):
        live_calibration(outcomes, "7m", "peak")


def test_view_of_a_journaled_session(journal: SqlJournal) -> None:
    found = read_session(journal, "s1")
    shown = view(found, journal=journal)
    shown.__panel__()
    assert shown.nav().dframe().iloc[:, 1].tolist() == list(found.nav)
    assert shown.exposure().get(0).dframe().iloc[0, 1] == 0.0
    dots = shown.reliability().get(1).dframe()
    assert dots["rows"].sum() == shown.calibration().rows
    shown.horizon = "120m"
    assert shown.reliability().get(1).dframe().empty
    assert "No 120m window ended" in words(shown.outcome_html())
    assert shown.ic().get(0).dframe()["horizon"].tolist()[0] == "5m"
    assert "`history=` of the view" in words(shown.rest_html())


def test_drifted_features_come_first() -> None:
    rng = np.random.default_rng(1)
    names = tuple(f"f{k}" for k in range(12))
    past = [rng.normal(size=(30, 12)) + rng.normal(size=12) * (np.arange(12) != 7) for _ in range(20)]
    live = past[0].copy()
    live[:, 7] += 1.0  # moves little, but more than any session did
    shown = SessionView(record())
    shown.drift = feature_drift(names, live, past)
    bars, dashes = (shown.drift_bars().get(k).dframe() for k in (0, 1))
    assert bars["feature"].tolist()[0] == "f7"
    assert len(bars) == 10
    assert bars["distance"].tolist()[0] > dashes["distance"].tolist()[0]
    assert "1 of 12 features are further from training (20 sessions" in words(shown.rest_html())


class TwoSystems:
    """The journal of one system, and a second one with the same books that failed at the bars `lost`."""

    def __init__(self, journal: SqlJournal, lost: tuple[int, ...]) -> None:
        self.journal, self.lost = journal, lost

    def __getattr__(self, name: str) -> Any:
        return getattr(self.journal, name)

    def read(self, kinds: Any, **filters: Any) -> Iterator[Any]:
        for entry in self.journal.read(kinds, **filters):
            yield entry
            if kinds == "decision" and entry.known_at not in self.lost:
                yield replace(entry, system="two")


def test_a_system_that_fails_at_a_bar_keeps_its_money(journal: SqlJournal) -> None:
    ts, nav = read_path(journal, "s1").ts, read_path(journal, "s1").nav
    both: Any = TwoSystems(journal, (int(ts[2]), int(ts[-1])))
    wanted = nav + nav[[0, 1, 1, 3, 4, 4]]  # at the third and the last bar the second system stands as before
    np.testing.assert_allclose(read_path(both, "s1").nav, wanted)
    np.testing.assert_allclose(read_session(both, "s1").nav, wanted)
    late: Any = TwoSystems(journal, (int(ts[0]),))
    assert read_path(late, "s1").ts.tolist() == ts[1:].tolist()  # of the first bar not all is known
    assert len(read_session(late, "s1").nav) == BARS - 1
