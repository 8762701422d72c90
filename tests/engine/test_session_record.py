"""What a session's record says of its orders, over a journal whose entries are written by hand."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from workbench.config import Settings
from workbench.core.errors import WorkbenchError
from workbench.engine.plan import EnginePlan
from workbench.engine.session_record import read_session, together
from workbench.journal import Entry

BAR = 300 * 10**9


class ByHand:
    """A journal of given (session, kind, system, known_at, payload)."""

    address = "by hand"

    def __init__(self, *entries: tuple[str, str, str, int, dict[str, Any]]) -> None:
        self.entries = [
            Entry(k, s, system, kind, at, 0, "", p) for k, (s, kind, system, at, p) in enumerate(entries, 1)
        ]

    def read(self, kinds: Any, session: str | None = None) -> Iterator[Entry]:
        wanted = (kinds,) if isinstance(kinds, str) else kinds
        return (e for e in self.entries if e.kind in wanted and session in (None, e.session))

    def last(self, kinds: Any, session: str | None = None) -> Entry | None:
        return next(reversed([*self.read(kinds, session)]), None)


def began(session: str, policy: str = "mid_step") -> tuple[str, str, str, int, dict[str, Any]]:
    plan = EnginePlan((Settings().change(system={"symbols": ("A",)}, execution={"policy": policy}, costs={"k1": 0.4}),))
    return session, "engine", "", 0, {"kind": "simulated", "plan": plan.to_json()}


def decided(session: str, at: int, system: str = "main") -> tuple[str, str, str, int, dict[str, Any]]:
    """Of symbol A: spread 10 bps, daily sigma 2 %, 1000 shares a bar; predicted 4 + 1 + 2 bps, and commission."""
    one = np.ones(1)
    snapshot = SimpleNamespace(
        spread=one * 0.001, sigma_5m=one * 0.002, sigma_1d=one * 0.02, expected_volume=np.full((9, 1), 1000.0), bucket=2
    )
    costs = SimpleNamespace(spread=one * 4e-4, volatility=one * 1e-4, impact=one * 2e-4, commission=one * 9e-4)
    decision = SimpleNamespace(symbols=("A",), costs=costs)
    payload = {"book": SimpleNamespace(nav=1e6), "snapshot": snapshot, "decision": decision}
    return session, "decision", system, at, payload


def sent(session: str, ref: str, at: int, quote: Any = "absent", **order: Any) -> tuple[Any, ...]:
    o = {"order_ref": ref, "symbol": "A", "side": 1, "quantity": 100, "order_type": "LMT", "algo": "", **order}
    told = {"order": o, "decided_at": at, "arrival_mid": 50.0, "shares": [{"system": "main"}]}
    payload = {"orders": [told if quote == "absent" else {**told, "quote_at_sending": quote}]}
    return session, "orders", "", at, payload


def state(session: str, ref: str, after: str, filled: int) -> tuple[Any, ...]:
    return session, "order_state", "", 0, {"order_ref": ref, "after": after, "filled": filled}


def fill(session: str, ref: str, exec_id: str, mid: float | None = None) -> tuple[Any, ...]:
    made = {"exec_id": exec_id, "order_ref": ref, "quantity": 100, "price": 50.2, "time": 7, "mid": mid}
    return session, "fill", "", 7, {"fill": made, "internal": False}


def change(session: str, ref: str) -> tuple[Any, ...]:
    return session, "change", "", 0, {"order_ref": ref}


def test_what_was_known_as_an_order_left() -> None:
    journal: Any = ByHand(
        began("s1"), decided("s1", BAR), sent("s1", "r1", BAR, [50.08, 50.12]), state("s1", "r1", "filled", 100),
        change("s1", "r1"), change("s1", "r1"), fill("s1", "r1", "x.01", 50.15),
    )  # fmt: skip
    found = read_session(journal, "s1")
    o = found.sent
    assert (o.order_ref, o.system, o.policy, o.replacements.tolist()) == (("r1",), ("main",), ("mid_step",), [2])
    np.testing.assert_allclose([*o.decision_mid, *o.arrival_mid, *found.fills.mid], [50.0, 50.10, 50.15])
    np.testing.assert_allclose(o.spread, [0.04 / 50.10])  # as it left, not the 10 bps of the decision
    np.testing.assert_allclose(o.predicted, [7e-4])  # without the commission
    assert np.isnan(o.interval_mid).all()
    assert found.costs.k1 == 0.4


@pytest.mark.parametrize("quote", ["absent", [None, None]])
def test_an_unknown_quote_is_unknown_in_old_journals_and_new(quote: Any) -> None:
    journal: Any = ByHand(began("s1"), decided("s1", BAR), sent("s1", "r1", BAR, quote), fill("s1", "r1", "x.01"))
    found = read_session(journal, "s1")
    assert np.isnan(found.sent.arrival_mid).all()
    assert np.isnan(found.fills.mid).all()
    np.testing.assert_allclose(found.sent.spread, [0.001])  # that of the decision
    assert found.sent.replacements.tolist() == [0]


@pytest.mark.parametrize(
    ("policy", "order", "told"),
    [
        ("mid_step", {"order_type": "MOC"}, "closing auction"),
        ("twap", {"order_type": "MKT"}, "market"),
        ("adaptive", {"algo": "Adaptive"}, "adaptive"),
        ("adaptive", {}, "marketable_limit"),
        ("twap", {}, "twap"),
    ],
)
def test_policy_in_words(policy: str, order: dict[str, Any], told: str) -> None:
    journal: Any = ByHand(began("s1", policy), decided("s1", BAR), sent("s1", "r1", BAR, **order))
    assert read_session(journal, "s1").sent.policy == (told,)


def two_sessions() -> Any:
    """An order of the first session is filled in the second."""
    return ByHand(
        began("s1"), decided("s1", BAR), sent("s1", "r1", BAR, [49.9, 50.1]), state("s1", "r1", "accepted", 0),
        ("s1", "held_back", "", 0, {"orders": [SimpleNamespace(reason="halted: A")]}),
        began("s2", "market"), state("s2", "r1", "filled", 100), fill("s2", "r1", "x.01"),
        decided("s2", 2 * BAR), sent("s2", "r2", 2 * BAR, order_type="MKT"), fill("s2", "r2", "y.01"),
        ("s2", "held_back", "", 0, {"orders": [SimpleNamespace(reason="halted: A"), SimpleNamespace(reason="phase")]}),
    )  # fmt: skip


def test_a_fill_of_an_order_of_an_earlier_session_finds_its_order() -> None:
    found = read_session(two_sessions(), "s2")
    assert found.sent.order_ref == ("r1", "r2")
    np.testing.assert_allclose(found.sent.filled, [100.0, 0.0])
    np.testing.assert_allclose(found.sent.arrival_mid, [50.0, np.nan])
    assert np.isnan(found.sent.predicted[0])  # its decision is not of this session


def test_sessions_together() -> None:
    journal = two_sessions()
    both = together([read_session(journal, "s1"), read_session(journal, "s2")])
    assert both.sessions == ("s1", "s2")
    assert both.sent.order_ref == ("r1", "r2")
    assert len(both.fills) == 2
    assert both.held_back == {"halted": 2, "phase": 1}
    with pytest.raises(WorkbenchError, match="at least one record"):
        together([])
