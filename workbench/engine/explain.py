"""`workbench explain`: the whole receipt of one symbol in one decision, from model outputs to fills."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from workbench.analysis.receipt import HorizonLine, Market, ModelLine, Receipt, receipt
from workbench.core.calendar import iso_time
from workbench.core.errors import DataError, nearest_name
from workbench.core.types import Decision
from workbench.core.units import NS_PER_SECOND
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
    told = receipt(decision, symbol, snapshot=entry.payload["snapshot"], book=entry.payload["book"])
    assert told.market is not None
    assert told.position is not None
    return {
        "symbol": symbol,
        "system": entry.system,
        "session": entry.session,
        "at": iso_time(decision.known_at),
        "mode": str(entry.payload["mode"]),
        "digest": told.digest,
        "snapshot": _market(told.market),
        "models": _models(told.models),
        "horizons": _horizons(told.horizons),
        "choice": _choice(told),
        "position": {n: _number(getattr(told.position, n)) for n in ("shares", "weight", "nav")},
        "breaches": [_breach(b) for b in told.breaches],
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


def _market(market: Market) -> dict[str, Any]:
    told = {"halted": market.halted, "phase": market.phase, "features": _numbers(market.features)}
    return {**_numbers(market.known), **told}


def _models(lines: Iterable[ModelLine]) -> list[dict[str, Any]]:
    """Every model of every horizon: its forecast in basis points, None where it abstained."""
    return [{"model": m.model, "horizon": m.horizon, "forecast_bps": _number(m.forecast_bps)} for m in lines]


def _horizons(lines: Iterable[HorizonLine]) -> list[dict[str, Any]]:
    names = ("alpha_bps", "cost_bps", "net_bps", "p_peak", "p_valley", "weight")
    return [{"horizon": line.horizon, **{n: _number(getattr(line, n)) for n in names}} for line in lines]


def _choice(r: Receipt) -> dict[str, Any]:
    names = ("net_bps_a_day", "gross_bps_a_day", "gate", "desired_weight", "target_weight")
    return {"state": r.state, **{n: _number(getattr(r, n)) for n in names}, "tradable": r.tradable}


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


def _numbers(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: _number(value) for name, value in values.items()}


def _number(value: Any) -> float | None:
    number = float(value)
    return number if np.isfinite(number) else None
