"""What an engine shows of itself: the state file that the heart writes, and how clients read it."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.core.calendar import iso_time
from workbench.engine.heart import STATE
from workbench.engine.plan import EnginePlan

if TYPE_CHECKING:
    from workbench.engine.desk import Desk
    from workbench.engine.host import EngineHost

DEAD_AFTER_S, DEAD_AFTER_BEATS = 5.0, 3
"""Real seconds, and heartbeats, that must both be missing before a reader takes an engine for dead."""


def engine_view(host: EngineHost | None, plan: EnginePlan, session: str, phase: str, error: str) -> dict[str, Any]:
    """The state of the engine in plain types; None where unknown."""
    view: dict[str, Any] = {
        "phase": phase,
        "error": error,
        "session": session,
        "plan": plan.digest,
        "heartbeat_s": plan.first.live.heartbeat_s,
        "systems": {s.system.name: {"symbols": list(s.system.symbols)} for s in plan.systems},
    }
    if host is None:
        return view
    view |= {
        "account": host.account_id,
        "kind": str(host.kind),
        "time": iso_time(host.clock.now()) if host.account_id else None,
        "connected": bool(host.connection.connected),
        "reconciled": host.account.reconciled,
        "reports": host.account.taken,
        "orders_last_minute": host.around.orders_last_minute(),
        "cycles": host.tally.cycles,
        "missed": host.tally.missed,
        "last_bar": iso_time(host.tally.last_bar) if host.tally.last_bar else None,
        "open_orders": [_order(o) for o in host.account.working()],
        "outside": dict(host.account.outside_positions),
        "metrics": _plain(host.metrics.summary()),
        "systems": {desk.system.name: system_view(desk) for desk in host.desks},
    }
    return view


def system_view(desk: Desk) -> dict[str, Any]:
    """One system's book and last decision."""
    session = desk.session
    p, decision = session.portfolio, session.decision
    positions = {s: int(q) for s, q in zip(p.symbols, p.shares) if q}
    weights = p.weights if p.nav > 0 else np.full(len(p.symbols), np.nan)
    return _plain_dict(
        {
            "symbols": list(p.symbols),
            "mode": str(session.mode),
            "reason": session.mode_reason,
            "demo_bundle": desk.system.demo,
            "bundle": desk.system.bundle.id,
            "positions": positions,
            "weights": {s: float(w) for s, w in zip(p.symbols, weights) if w},
            "nav": p.nav,
            "cash": p.cash,
            "gross": float(np.abs(weights).sum()),
            "net": float(np.dot(weights, desk.system.universe.leverage)),
            "profit_today": p.nav - p.day_start_nav,
            "drawdown": 1 - p.nav / p.peak_nav if p.peak_nav > 0 else math.nan,
            "last_decision": None if decision is None else _decision(decision),
            "held_back": [f"{h.symbol}: {h.quantity} shares, {h.reason}" for h in session.held],
        }
    )


def read_status(folder: Path) -> dict[str, Any]:
    """The state of the engine of `folder`, with ``alive`` and the age of the last heartbeat in seconds.

    ``phase`` is "none" where no engine ever ran there, and "dead" where one stopped without saying so.
    """
    try:
        state: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"phase": "none", "alive": False, "age_s": None, "error": f"no engine has run in {folder}"}
    age = (time.time_ns() - state["heartbeat"]) / 1e9
    over = state["phase"] in ("stopped", "failed")
    alive = not over and age < max(DEAD_AFTER_S, DEAD_AFTER_BEATS * state.get("heartbeat_s", 0.0))
    if not alive and not over:
        state["phase"] = "dead"
        state["error"] = f"no heartbeat for {age:.0f} s; the watchdog cancels its orders, start it again to go on"
    return {**state, "alive": alive, "age_s": round(age, 1)}


def _order(order: Any) -> dict[str, Any]:
    side = "buy" if order.side > 0 else "sell"
    return _plain_dict({"ref": order.order_ref, "symbol": order.symbol, "side": side, "quantity": order.quantity,
                   "type": order.order_type, "limit": order.limit_price})  # fmt: skip


def _decision(decision: Any) -> dict[str, Any]:
    target = {s: float(w) for s, w in zip(decision.symbols, decision.target.weights) if w}
    breaches = [f"{b.rule}{f' {b.symbol}' if b.symbol else ''}: {b.value:.6g} against {b.bound:.6g}, {b.action}"
                for b in decision.breaches]  # fmt: skip
    return {"at": iso_time(decision.known_at), "digest": decision.digest, "target": target, "breaches": breaches}


def _plain_dict(value: dict[str, Any]) -> dict[str, Any]:
    return {str(k): _plain(v) for k, v in value.items()}


def _plain(value: Any) -> Any:
    """JSON types; a number that is not finite is None."""
    if isinstance(value, dict):
        return _plain_dict(value)
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value
