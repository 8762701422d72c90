"""What a journaled session did, in numbers: for reports and dashboards. Reads the journal, computes nothing new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.analysis.tca import Fills, SentOrders
from workbench.core.arrays import FloatArray
from workbench.core.errors import WorkbenchError
from workbench.execution.order_states import OrderState
from workbench.journal import Entry, SqlJournal


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session of an engine. USD; times UTC ns of the clock that it traded by.

    `nav` sum over the systems at each decision time, `sent` and `fills` as transaction-cost analysis takes them;
    `held_back` rule -> orders it dropped or reduced; `modes` (system, mode, reason) as they changed; `latencies` stage
    -> count, p50_s, p95_s, p99_s, max_s.
    """

    session: str
    kind: str
    first_bar: int
    last_bar: int
    decisions: int
    missed: int
    nav: tuple[float, ...]
    sent: SentOrders
    fills: Fills
    held_back: Mapping[str, int]
    modes: tuple[tuple[str, str, str], ...]
    latencies: Mapping[str, Mapping[str, float]]


def read_session(journal: SqlJournal, session: str) -> SessionRecord:
    """The record of `session`; :class:`WorkbenchError` if the journal holds no decision of it."""
    about = journal.last("engine", session=session)
    decisions = list(journal.read("decision", session=session))
    if about is None or not decisions:
        raise WorkbenchError(f"session {session} of the journal {journal.address} decided nothing")
    navs: dict[int, float] = {}
    for entry in decisions:
        book = entry.payload["book"]
        navs[entry.known_at] = navs.get(entry.known_at, 0.0) + book.nav
    held = Counter(
        _rule(order.reason) for entry in journal.read("held_back", session=session) for order in entry.payload["orders"]
    )
    last = journal.last("cycle", session=session)
    return SessionRecord(
        session=session,
        kind=str(about.payload["kind"]),
        first_bar=decisions[0].known_at,
        last_bar=decisions[-1].known_at,
        decisions=len(decisions),
        missed=sum(1 for _ in journal.read("missed", session=session)),
        nav=tuple(navs[t] for t in sorted(navs)),
        sent=_sent(journal, session, decisions),
        fills=_fills(journal, session),
        held_back=dict(held.most_common()),
        modes=tuple(
            (e.system, str(e.payload["to"]), str(e.payload["reason"])) for e in journal.read("mode", session=session)
        ),
        latencies={} if last is None else last.payload["latency"]["latencies"],
    )


def _rule(reason: str) -> str:
    return reason.split(":")[0]


def _sent(journal: SqlJournal, session: str, decisions: list[Entry]) -> SentOrders:
    """Every account order of the session, with what was known of its symbol when it was decided."""
    facts = {(e.known_at, s): (e.payload["snapshot"], i) for e in decisions
             for i, s in enumerate(e.payload["decision"].symbols)}  # fmt: skip
    ends = _ends(journal, session)
    lines: list[tuple[Any, ...]] = []
    for entry in journal.read("orders", session=session):
        for sent in entry.payload["orders"]:
            o, ref = sent["order"], sent["order"]["order_ref"]
            state, done = ends.get(ref, ("", 0.0))
            snapshot, i = facts.get((sent["decided_at"], o["symbol"]), (None, 0))
            known: tuple[Any, ...] = _known(snapshot, i)
            mid = np.nan if sent["arrival_mid"] is None else sent["arrival_mid"]
            lines.append(
                (ref, o["symbol"], o["algo"] or o["order_type"], o["side"], float(o["quantity"]), done,
                 state == OrderState.CANCELLED, mid, *known)
            )  # fmt: skip
    columns: list[tuple[Any, ...]] = list(zip(*lines)) if lines else [()] * 13
    ref, symbol, policy, side, quantity, filled, cancelled, mid, *rest = columns
    width, sigma_exec, sigma_1d, volume, bucket = rest
    unknown = np.full(len(lines), np.nan)
    return SentOrders(
        order_ref=tuple(ref), symbol=tuple(symbol), policy=tuple(policy), side=np.array(side, np.int64),
        quantity=_floats(quantity), filled=_floats(filled), cancelled=np.array(cancelled, bool),
        replacements=np.zeros(len(lines), np.int64), decision_mid=_floats(mid), arrival_mid=unknown,
        interval_mid=unknown, spread=_floats(width), sigma_exec=_floats(sigma_exec), sigma_1d=_floats(sigma_1d),
        expected_volume=_floats(volume), bucket=np.array(bucket, np.int64),
    )  # fmt: skip


def _known(snapshot: Any, i: int) -> tuple[float, float, float, float, int]:
    """Spread, sigma of a bar and of a day, expected volume of the next bar, time bucket; NaN where unknown."""
    if snapshot is None:
        return np.nan, np.nan, np.nan, np.nan, 0
    s = snapshot
    return s.spread[i], s.sigma_5m[i], s.sigma_1d[i], s.expected_volume[0, i], s.bucket


def _ends(journal: SqlJournal, session: str) -> dict[str, tuple[str, float]]:
    """order_ref -> (last state, shares filled)."""
    return {
        e.payload["order_ref"]: (str(e.payload["after"]), float(e.payload["filled"]))
        for e in journal.read("order_state", session=session)
    }


def _fills(journal: SqlJournal, session: str) -> Fills:
    """Every execution of the session as it stood at the end: corrected ones as corrected."""
    rows: dict[str, dict[str, Any]] = {}  # execId without its revision -> fill
    commissions: Counter[str] = Counter()
    for entry in journal.read(("fill", "correction", "commission"), session=session):
        p = entry.payload
        if entry.kind == "commission":
            commissions[_name(p["exec_id"])] += p["amount"]
            continue
        fill = p["fill"] if entry.kind == "fill" else p["after"]
        if not p.get("internal"):
            rows[_name(fill["exec_id"])] = fill
    made = list(rows.items())
    return Fills(
        order_ref=tuple(f["order_ref"] for _, f in made),
        quantity=_floats([f["quantity"] for _, f in made]),
        price=_floats([f["price"] for _, f in made]),
        commission=_floats([commissions.get(name, np.nan) for name, _ in made]),
        mid=_floats([np.nan if f["mid"] is None else f["mid"] for _, f in made]),
        time=np.array([f["time"] for _, f in made], np.int64),
    )


def _name(exec_id: str) -> str:
    return exec_id.rsplit(".", 1)[0]


def _floats(values: Any) -> FloatArray:
    return np.array(list(values), np.float64)
