"""What a journaled session did, in numbers: for reports and dashboards. Reads the journal, computes nothing new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from workbench.analysis.tca import Fills, SentOrders, join
from workbench.config import CostSettings
from workbench.core.arrays import FloatArray, IntArray
from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.core.types import Book, Decision, Fill, OrderIntent, Snapshot
from workbench.engine.plan import EnginePlan
from workbench.execution.executions import revision
from workbench.execution.order_states import OrderState
from workbench.execution.policies import ON_CLOSE
from workbench.journal import Entry, SqlJournal

Values = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SessionRecord:
    """One session of an engine. USD; times UTC ns of the clock that it traded by.

    `nav` sum over the systems at each decision time from when all have decided, a system that did not decide then as it
    stood last; `sent` and `fills` as transaction-cost analysis takes them;
    `held_back` rule -> orders it dropped or reduced; `modes` (system, mode, reason) as they changed; `latencies` stage
    -> count, p50_s, p95_s, p99_s, max_s; `costs` the settings of the cost model.
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
    costs: CostSettings


@dataclass(frozen=True, slots=True)
class Executions:
    """What one or several sessions executed: as `SessionRecord` has it, an order that outlived a session once."""

    sessions: tuple[str, ...]
    sent: SentOrders
    fills: Fills
    held_back: Mapping[str, int]
    costs: CostSettings


def together(records: Sequence[SessionRecord]) -> Executions:
    """The executions of sessions of one journal, oldest first; the settings are those of the last one."""
    if not records:
        raise WorkbenchError("no session to put together: give at least one record")
    sent, fills = join([(r.sent, r.fills) for r in records])
    held = sum((Counter(r.held_back) for r in records), Counter[str]())
    return Executions(tuple(r.session for r in records), sent, fills, dict(held.most_common()), records[-1].costs)


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
    plan = EnginePlan.from_json(about.payload["plan"])
    fills = _fills(journal, session)
    return SessionRecord(
        session=session,
        kind=str(about.payload["kind"]),
        first_bar=decisions[0].known_at,
        last_bar=decisions[-1].known_at,
        decisions=len(decisions),
        missed=sum(1 for _ in journal.read("missed", session=session)),
        nav=tuple(float(nav) for (nav,) in _together(navs).values()),
        sent=_sent(journal, session, decisions, fills, plan),
        fills=fills,
        held_back=dict(held.most_common()),
        modes=tuple(
            (e.system, str(e.payload["to"]), str(e.payload["reason"])) for e in journal.read("mode", session=session)
        ),
        latencies={} if last is None else last.payload["latency"]["latencies"],
        costs=plan.first.costs,
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


TOLD = (
    "mode",
    "command",
    "refused",
    "abandoned",
    "missed",
    "failed",
    "no_daily",
    "reconcile_failed",
    "dropped",
    "stopped",
)


def read_happenings(journal: SqlJournal, session: str) -> tuple[Happening, ...]:
    """Modes, commands, breaches, missed bars and failures of `session`, in order."""
    return tuple(h for e in journal.read((*TOLD, "decision"), session=session) for h in happenings_of(e))


def happenings_of(e: Entry) -> tuple[Happening, ...]:
    """What an entry of a kind in TOLD tells, or the breaches of a decision."""
    if e.kind == "decision":
        return tuple(Happening(e.known_at, "breach", e.system, _breach(b)) for b in e.payload["decision"].breaches)
    return (Happening(e.known_at, e.kind, e.system, _in_words(e)),)


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


def _sent(journal: SqlJournal, session: str, decisions: list[Entry], fills: Fills, plan: EnginePlan) -> SentOrders:
    """Every account order of the session, and those of earlier ones that it filled, with what was known of them."""
    facts = {(e.system, e.known_at, s): (e.payload["snapshot"], e.payload["decision"].costs, i) for e in decisions
             for i, s in enumerate(e.payload["decision"].symbols)}  # fmt: skip
    ends, changes = _ends(journal, session), _changes(journal, session)
    policies = {s.system.name: s.execution.policy for s in plan.systems}
    lines = []
    for sent in _orders(journal, session, set(fills.order_ref)):
        o, ref, system = sent["order"], sent["order"]["order_ref"], sent["shares"][0]["system"]
        state, done = ends.get(ref, ("", 0.0))
        mid, width = _quote_at_sending(sent)
        known = _known(*facts.get((system, sent["decided_at"], o["symbol"]), (None, None, 0)))
        line = {
            "order_ref": ref, "system": "+".join(sorted({s["system"] for s in sent["shares"]})), "symbol": o["symbol"],
            "policy": _policy(o, policies.get(system, "")), "side": o["side"], "quantity": o["quantity"],
            "filled": done, "cancelled": state == OrderState.CANCELLED, "replacements": changes[ref],
            "decision_mid": _float(sent["arrival_mid"]), "arrival_mid": mid, "interval_mid": np.nan, **known,
        }  # fmt: skip
        lines.append(line if width != width else line | {"spread": width})
    columns = {f.name: [line[f.name] for line in lines] for f in fields(SentOrders)}
    texts = ("order_ref", "system", "symbol", "policy")
    return SentOrders(**{name: tuple(c) if name in texts else np.array(c) for name, c in columns.items()})  # type: ignore[arg-type]


def _orders(journal: SqlJournal, session: str, filled: set[str]) -> Iterator[Mapping[str, Any]]:
    """The orders that the session sent; first those of earlier sessions that are among the `filled`."""
    ours = [sent for e in journal.read("orders", session=session) for sent in e.payload["orders"]]
    if strange := filled - {sent["order"]["order_ref"] for sent in ours}:
        for entry in journal.read("orders"):
            yield from (s for s in entry.payload["orders"] if s["order"]["order_ref"] in strange)
    yield from ours


def _policy(order: Mapping[str, Any], wanted: str) -> str:
    """How an order left: as the policy that its system wanted, or what that gave way to."""
    if order["order_type"] in ON_CLOSE:
        return "closing auction"
    if order["order_type"] == "MKT":
        return "market"
    if order["algo"]:
        return str(order["algo"]).lower()
    return "marketable_limit" if wanted in ("", "adaptive") else wanted


def _quote_at_sending(sent: Mapping[str, Any]) -> tuple[float, float]:
    """Mid and relative spread as an order left; NaN where no sound quote was known, and in journals without it."""
    bid, ask = map(_float, sent.get("quote_at_sending", (None, None)))
    mid = (bid + ask) / 2
    return mid, (ask - bid) / mid


def _known(snapshot: Any, costs: Any, i: int) -> dict[str, float]:
    """What was known of a symbol at the decision; NaN where unknown. An order works until its bar ends."""
    if snapshot is None:
        unknown = ("spread", "sigma_exec", "sigma_1d", "expected_volume", "predicted")
        return dict.fromkeys(unknown, np.nan) | {"bucket": 0}
    s = snapshot
    return {
        "spread": s.spread[i], "sigma_exec": s.sigma_5m[i], "sigma_1d": s.sigma_1d[i],
        "expected_volume": s.expected_volume[0, i], "bucket": s.bucket,
        "predicted": costs.spread[i] + costs.volatility[i] + costs.impact[i],
    }  # fmt: skip


def _changes(journal: SqlJournal, session: str) -> Counter[str]:
    """order_ref -> changes of its limit that were recorded."""
    return Counter(e.payload["order_ref"] for e in journal.read("change", session=session))


def _ends(journal: SqlJournal, session: str) -> dict[str, tuple[str, float]]:
    """order_ref -> (last state, shares filled)."""
    return {
        e.payload["order_ref"]: (str(e.payload["after"]), float(e.payload["filled"]))
        for e in journal.read("order_state", session=session)
    }


def _fills(journal: SqlJournal, session: str) -> Fills:
    """Every execution of the session as it stood at the end: corrected ones as corrected."""
    tally = FillTally()
    for entry in journal.read(FILL_KINDS, session=session):
        tally.take(entry)
    commissions, made = tally.commissions, list(tally.rows.items())
    return Fills(
        order_ref=tuple(f["order_ref"] for _, f in made),
        quantity=_floats([f["quantity"] for _, f in made]),
        price=_floats([f["price"] for _, f in made]),
        commission=_floats([commissions.get(name, np.nan) for name, _ in made]),
        mid=_floats([_float(f["mid"]) for _, f in made]),
        time=np.array([f["time"] for _, f in made], np.int64),
    )


FILL_KINDS = ("fill", "correction", "commission")


class FillTally:
    """The executions of a session as they stand: `rows` execId without its revision -> fill, `commissions` -> USD."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}
        self.commissions: Counter[str] = Counter()

    def take(self, entry: Entry) -> None:
        """Take in an entry of one of FILL_KINDS; what systems of the account dealt among themselves is no execution."""
        p = entry.payload
        if entry.kind == "commission":
            self.commissions[_name(p["exec_id"])] += p["amount"]
            return
        fill = p["fill"] if entry.kind == "fill" else p["after"]
        if not p.get("internal"):
            self.rows[_name(fill["exec_id"])] = fill


def _name(exec_id: str) -> str:
    return revision(exec_id)[0]


def _float(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _floats(values: Any) -> FloatArray:
    return np.array(list(values), np.float64)
