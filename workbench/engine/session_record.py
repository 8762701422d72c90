"""What a journaled session did, in numbers: for reports and dashboards. Reads the journal, computes nothing new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.analysis.tca import Fills, SentOrders
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.core.types import Book, Decision, Fill, OrderIntent, Snapshot
from workbench.execution.order_states import OrderState
from workbench.journal import Entry, SqlJournal

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session of an engine. USD; times UTC ns of the clock that it traded by.

    `nav` sum over the systems at each decision time from when all have decided, a system that did not decide then as it
    stood last; `sent` and `fills` as transaction-cost analysis takes them;
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
    navs: dict[int, dict[str, Values]] = {}
    for entry in decisions:
        book = entry.payload["book"]
        navs.setdefault(entry.known_at, {})[entry.system] = (book.nav,)
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
        nav=tuple(float(nav) for (nav,) in _together(navs).values()),
        sent=_sent(journal, session, decisions),
        fills=_fills(journal, session),
        held_back=dict(held.most_common()),
        modes=tuple(
            (e.system, str(e.payload["to"]), str(e.payload["reason"])) for e in journal.read("mode", session=session)
        ),
        latencies={} if last is None else last.payload["latency"]["latencies"],
    )


def last_record(journal: SqlJournal, session: str = "") -> SessionRecord | None:
    """The record of `session`, or (empty) of the last one that decided anything; None where none did."""
    if session:
        return read_session(journal, session)
    decided = journal.last("decision")
    return None if decided is None else read_session(journal, decided.session)


@dataclass(frozen=True, slots=True)
class SessionPath:
    """The books that K decision times found, all systems together, (K,) each: `ts` UTC ns, `nav` USD, `gross` and `net`
    (delta-weighted) exposure as fractions of it, `names` held. Times and systems as in `SessionRecord.nav`."""

    ts: IntArray
    nav: FloatArray
    gross: FloatArray
    net: FloatArray
    names: IntArray


def read_path(journal: SqlJournal, session: str) -> SessionPath:
    """The path of `session`; arrays of length 0 where nothing was decided."""
    found: dict[int, dict[str, Values]] = {}  # decision time -> system -> nav, gross and net USD, names
    for entry in journal.read("decision", session=session):
        book, leverage = entry.payload["book"], entry.payload["snapshot"].leverage
        held = float(np.abs(book.weights).sum()), float(book.weights @ leverage)
        line = (book.nav, held[0] * book.nav, held[1] * book.nav, int(np.count_nonzero(book.positions)))
        found.setdefault(entry.known_at, {})[entry.system] = line
    told = _together(found)
    nav, gross, net, names = np.array([*told.values()], np.float64).reshape(-1, 4).T
    return SessionPath(np.array([*told], np.int64), nav, gross / nav, net / nav, names.astype(np.int64))


def _together(told: Mapping[int, Mapping[str, Values]]) -> dict[int, FloatArray]:
    """Decision time -> sum over systems, in order of time, from when each has told once.

    A system that failed at a bar still has its book: left out, its money would seem lost.

    >>> made = _together({1: {"a": (2.0,)}, 2: {"a": (2.0,), "b": (3.0,)}, 3: {"b": (4.0,)}})
    >>> {ts: total.tolist() for ts, total in made.items()}
    {2: [5.0], 3: [6.0]}
    """
    systems = {name for of in told.values() for name in of}
    last: dict[str, Values] = {}  # system -> what it told last
    out = {}
    for ts in sorted(told):
        last |= told[ts]
        if len(last) == len(systems):
            out[ts] = np.asarray(np.sum([*last.values()], axis=0), np.float64)
    return out


@dataclass(frozen=True, slots=True)
class Happening:
    """Something other than an ordinary bar: `at` UTC ns, its `kind` in the journal, the system (or ""), in words."""

    at: int
    kind: str
    system: str
    text: str


_TOLD = ("mode", "command", "refused", "missed", "failed", "no_daily", "reconcile_failed", "dropped", "stopped")


def read_happenings(journal: SqlJournal, session: str) -> tuple[Happening, ...]:
    """Modes, commands, breaches, missed bars and failures of `session`, in order."""
    out = []
    for e in journal.read((*_TOLD, "decision"), session=session):
        if e.kind == "decision":
            out += [Happening(e.known_at, "breach", e.system, _breach(b)) for b in e.payload["decision"].breaches]
        else:
            out.append(Happening(e.known_at, e.kind, e.system, _in_words(e)))
    return tuple(out)


def _breach(b: Any) -> str:
    of = f" of {b.symbol}" if b.symbol else ""
    return f"{b.rule}{of}: {b.value:.6g} against {b.bound:.6g}, {b.action}"


def _in_words(e: Entry) -> str:
    p = e.payload
    if e.kind == "mode":
        return f"{p['from']} to {p['to']}: {p['reason']}"
    if e.kind in ("command", "refused"):
        asked = p["command"]
        why = f": refused, {p['reason']}" if e.kind == "refused" else f": {asked.reason}"
        return f"{asked.action} by {asked.issuer}{why}"
    return ", ".join(f"{k} {v}" for k, v in p.items())


@dataclass(frozen=True, slots=True)
class DecisionRecord:
    """One journaled decision with what it was made on and what followed until the next one of its system."""

    system: str
    decision: Decision
    snapshot: Snapshot
    book: Book
    orders: tuple[OrderIntent, ...]
    fills: tuple[Fill, ...]


def read_decision(journal: SqlJournal, session: str, at: int | None = None, system: str = "") -> DecisionRecord:
    """The decision of the bar that ends at `at` (UTC ns; None: the last one). :class:`WorkbenchError` without one."""
    filters: dict[str, Any] = {"session": session} | ({"system": system} if system else {})
    when: dict[str, Any] = {} if at is None else {"since": at, "until": at}
    entry = journal.last("decision", **filters, **when)
    if entry is None:
        known = journal.last("decision", **filters)
        last = "nothing was decided" if known is None else f"the last one is of {iso_time(known.known_at)}"
        raise WorkbenchError(f"session {session} holds no decision of that bar; {last}")
    mine: dict[str, Any] = {"session": session, "system": entry.system, "after": entry.number}
    orders: list[OrderIntent] = []
    fills: list[Fill] = []
    for found in journal.read(("decision", "intents", "filled"), **mine):
        if found.kind == "decision":
            break
        if found.kind == "intents":
            orders.extend(found.payload["orders"])
        else:
            fills.append(found.payload["event"].fill)
    p = entry.payload
    return DecisionRecord(entry.system, p["decision"], p["snapshot"], p["book"], tuple(orders), tuple(fills))


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
