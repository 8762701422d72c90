"""`workbench explain`: the whole receipt of one symbol in one decision, from model outputs to fills."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from workbench.core.calendar import iso_time
from workbench.core.errors import DataError, nearest_name
from workbench.core.horizon import HORIZONS
from workbench.core.types import Decision, State
from workbench.core.units import BPS, NS_PER_SECOND
from workbench.journal import Entry, SqlJournal


def parse_time(text: str) -> int:
    """UTC ns of an ISO time; without a zone it is UTC.

    >>> parse_time("2026-03-02T14:35") == 1_772_462_100 * 10**9
    True
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"--at {text!r} is no time; write for example 2026-03-02T14:35 (UTC)") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp()) * NS_PER_SECOND


def explain(journal: SqlJournal, symbol: str, at: int, system: str = "") -> dict[str, Any]:
    """The receipt of the last decision on `symbol` at or before `at` (UTC ns), of `system` or of any."""
    entry = _decision_entry(journal, symbol, at, system)
    decision: Decision = entry.payload["decision"]
    i = decision.symbols.index(symbol)
    return {
        "symbol": symbol,
        "system": entry.system,
        "session": entry.session,
        "at": iso_time(decision.known_at),
        "mode": str(entry.payload["mode"]),
        "digest": decision.digest,
        "snapshot": _market(entry, i),
        "models": _models(decision, i),
        "horizons": _horizons(decision, i),
        "choice": _choice(decision, i),
        "position": _position(entry, i),
        "breaches": [_breach(b) for b in decision.breaches if b.symbol in ("", symbol)],
        "orders": list(_orders(journal, entry, symbol)),
    }


def _decision_entry(journal: SqlJournal, symbol: str, at: int, system: str) -> Entry:
    filters: dict[str, Any] = {"system": system} if system else {}
    for entry in journal.read("decision", until=at, newest_first=True, **filters):
        symbols = entry.payload["decision"].symbols
        if symbol in symbols:
            return entry
        if system:
            raise DataError(f"system {system} does not trade {symbol}.{nearest_name(symbol, symbols)}")
    known = journal.last("decision", **filters)
    hint = "" if known is None else nearest_name(symbol, known.payload["decision"].symbols)
    raise DataError(f"the journal holds no decision on {symbol} by then.{hint} `workbench status` shows what is traded")


def _market(entry: Entry, i: int) -> dict[str, Any]:
    s = entry.payload["snapshot"]
    names = ("price", "bid", "ask", "quote_age_s", "spread", "sigma_5m", "sigma_1d")
    known = {name: _number(getattr(s, name)[i]) for name in names}
    features = {n: _number(v) for n, v in zip(s.features.names, s.features.latest[i])}
    return {**known, "halted": bool(s.halted[i]), "phase": str(s.phase), "features": features}


def _models(d: Decision, i: int) -> list[dict[str, Any]]:
    """Every model of every horizon: its forecast in basis points, None where it abstained."""
    return [
        {"model": f"{k.family}/{k.strategy}", "horizon": k.horizon, "forecast_bps": _number(r[i] / BPS)}
        for k, r in zip(d.forecasts.keys, d.forecasts.expected_return)
    ]


def _horizons(d: Decision, i: int) -> list[dict[str, Any]]:
    rows = []
    for h in HORIZONS:
        alpha, cost = d.alphas.smoothed[h.order, i], d.costs.one_way[h.order, i]
        rows.append(
            {
                "horizon": h.label,
                "alpha_bps": _number(alpha / BPS),
                "cost_bps": _number(cost / BPS),
                "net_bps": _number(np.sign(alpha) * max(abs(alpha) - 2 * cost, 0.0) / BPS),
                "p_peak": _number(d.forecasts.p_peak[h.order, i]),
                "p_valley": _number(d.forecasts.p_valley[h.order, i]),
                "weight": _number(d.choice.weights[h.order, i]),
            }
        )
    return rows


def _choice(d: Decision, i: int) -> dict[str, Any]:
    return {
        "state": State(int(d.choice.state[i])).name,
        "net_bps_a_day": _number(d.choice.net[i] / BPS),
        "gross_bps_a_day": _number(d.choice.gross[i] / BPS),
        "gate": _number(d.gate[i]),
        "desired_weight": _number(d.desired[i]),
        "target_weight": _number(d.target.weights[i]),
        "tradable": bool(d.target.tradable[i]),
    }


def _position(entry: Entry, i: int) -> dict[str, Any]:
    book = entry.payload["book"]
    return {"shares": _number(book.positions[i]), "weight": _number(book.weights[i]), "nav": _number(book.nav)}


def _orders(journal: SqlJournal, entry: Entry, symbol: str) -> Iterator[dict[str, Any]]:
    """What was held back, sent and filled because of the decision, until the next one of the system."""
    following = next(iter(journal.read("decision", after=entry.number, system=entry.system, limit=1)), None)
    last = {} if following is None else {"before": following.number}
    for kind in ("held_back", "intents"):
        for found in journal.read(kind, after=entry.number, system=entry.system):
            if found.number > last.get("before", found.number):
                break
            for order in found.payload["orders"]:
                if order.symbol == symbol:
                    yield {"what": kind, **_plain(order)}
    for found in journal.read(("orders", "order_state", "fill", "commission", "correction"), after=entry.number):
        if found.number > last.get("before", found.number):
            break
        if symbol in _symbols(found.payload):
            yield {"what": found.kind, "time": iso_time(found.known_at), **_plain(found.payload)}


def _symbols(payload: Any) -> set[str]:
    """Every symbol that a journaled payload speaks of, at whatever depth."""
    if isinstance(payload, dict):
        own = {payload["symbol"]} if isinstance(payload.get("symbol"), str) else set()
        return own.union(*(_symbols(v) for v in payload.values()))
    return set().union(*(_symbols(v) for v in payload)) if isinstance(payload, (list, tuple)) else set()


def _breach(b: Any) -> str:
    return f"{b.rule}: {b.value:.6g} against {b.bound:.6g}, {b.action}"


def _plain(value: Any) -> dict[str, Any]:
    from workbench.journal import plain

    out: dict[str, Any] = plain(value)
    return out


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
