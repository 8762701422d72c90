"""The state of an engine as HTML: what `LiveView` and the card of a live system show. Plain functions of the status."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any

from workbench.core.calendar import iso_time
from workbench.engine.plan import EnginePlan
from workbench.engine.session_record import Happening
from workbench.widgets import html
from workbench.widgets.live_path import NAN, Figures

Status = Mapping[str, Any]
OVER = {
    "none": "No engine has run here yet. Start, or `workbench live`, starts one; it goes on when this page is closed.",
    "stopped": "The engine has been stopped: its orders are cancelled, its positions are kept. Start in a notebook, "
    "or `workbench live`, goes on from the journal.",
    "past": "This session is over: what is shown is how it ended. Commands are given from the newest session.",
}
DEAD = (
    "Its positions stay at the broker, its watchdog cancels its open orders. `workbench live` starts it again: it goes "
    "on from the journal."
)
BUSY = ("starting", "connecting", "reconciling", "warming up")
SLOW_BEATS = 3
STAGES = ("lag", "gather", "features", "decide", "send", "cycle", "reconcile")
MODE_STYLE = {"LIVE": "good", "DEGRADED": "bad", "OBSERVE": "bad", "EMERGENCY": "bad"}


LOUD = ("command", "refused", "mode", "failed", "missed")
"""Kinds of happenings that stand out."""


def banner(status: Status, plan: EnginePlan) -> str:
    """Whose money it is, and everything that makes the page other than a healthy engine's."""
    return money(status, plan) + troubles(status)


def troubles(status: Status) -> str:
    """Everything that makes the page other than a healthy engine's; empty for one."""
    return "".join(_troubles(status))


def figures(system: Mapping[str, Any]) -> Figures:
    """NAV, gross, net, P&L today and drawdown in the state of one system; NaN unknown."""
    nav, gross, net, profit, down = (
        NAN if system.get(key) is None else float(system[key])
        for key in ("nav", "gross", "net", "profit_today", "drawdown")
    )
    return nav, gross, net, profit, down


def state_facts(status: Status) -> str:
    """Phase, account, clock, age of the data and of the heartbeat."""
    age = data_age_s(status)
    return html.facts(
        {
            "phase": status["phase"],
            "account": f"{status.get('account') or html.DASH} ({status.get('kind') or 'unknown'})",
            "market clock (UTC)": _clock(status.get("time")),
            "last bar (UTC)": _clock(status.get("last_bar")),
            "data are": html.DASH if age is None else f"{age_text(age)} old",
            "heartbeat": html.DASH if status.get("age_s") is None else f"{age_text(status['age_s'])} ago",
            "connected": status.get("connected"),
            "reconciled": status.get("reconciled"),
            "decisions": status.get("cycles"),
            "missed bars": status.get("missed"),
        }
    )


def systems_table(status: Status, systems: Iterable[str]) -> str:
    """Mode, value and risk of each system."""
    columns = ["system", "mode", "NAV USD", "P&L today USD", "drawdown", "gross", "net", "cash USD", "bundle", "why"]
    rows = []
    for name in systems:
        s = status.get("systems", {}).get(name, {})
        mode, bundle = s.get("mode"), s.get("bundle")
        rows.append(
            [
                name,
                html.mark(mode, MODE_STYLE.get(mode, "dim")) if mode else None,
                _usd(s.get("nav")),
                _usd(s.get("profit_today"), sign=True),
                _percent(s.get("drawdown"), 2),
                _percent(s.get("gross")),
                _percent(s.get("net")),
                _usd(s.get("cash")),
                f"{bundle} (demo)" if s.get("demo_bundle") else bundle,
                s.get("reason"),
            ]
        )
    return html.table(columns, rows, caption="Systems", left=("mode", "why", "bundle"))


def positions_table(status: Status, systems: Iterable[str]) -> str:
    """Shares, weight now and weight wanted, of every symbol that has either."""
    rows = []
    for name in systems:
        s = status.get("systems", {}).get(name, {})
        shares, weights = s.get("positions", {}), s.get("weights", {})
        decision = s.get("last_decision") or {}
        target = decision.get("target", {})
        for symbol in [x for x in s.get("symbols", ()) if x in shares or x in target]:
            now = weights.get(symbol, None if symbol in shares else 0.0)
            wanted = target.get(symbol, 0.0) if decision else None
            apart = None if now is None or wanted is None else wanted - now
            rows.append([symbol, name, shares.get(symbol, 0), *(_percent(w, 2) for w in (now, wanted, apart))])
    if not rows:
        return _nothing("Positions", "nothing is held and nothing is wanted")
    columns = ["symbol", "system", "shares", "weight", "target weight", "to go"]
    return html.table(columns, rows, caption="Positions (weights in % of NAV)", left=("system",))


def orders_table(status: Status) -> str:
    """The open orders of the account."""
    orders = status.get("open_orders", ())
    if not orders:
        return _nothing("Open orders", "none")
    rows = [[o["symbol"], o["side"], o["quantity"], o["type"], o.get("limit"), o["ref"]] for o in orders]
    columns = ["symbol", "side", "shares", "type", "limit USD", "reference"]
    return html.table(columns, rows, caption="Open orders", left=("side", "type", "reference"))


def decisions_table(status: Status, systems: Iterable[str]) -> str:
    """The last decision of each system: when, what it breached and what the guards held back."""
    rows = []
    for name in systems:
        s = status.get("systems", {}).get(name, {})
        if decision := s.get("last_decision"):
            breaches = "; ".join(decision["breaches"]) or "none"
            held = "; ".join(s.get("held_back", ())) or "none"
            short = decision["digest"][:12]
            rows.append([name, _clock(decision["at"]), len(decision["target"]), breaches, held, short])
    if not rows:
        return _nothing("Last decision", "nothing has been decided yet")
    columns = ["system", "bar (UTC)", "names wanted", "breaches", "held back", "digest"]
    return html.table(columns, rows, caption="Last decision", left=("bar (UTC)", "breaches", "held back", "digest"))


def latency_table(latencies: Mapping[str, Mapping[str, Any]], stages: Iterable[str] = STAGES) -> str:
    """Milliseconds by stage; `lag` is in milliseconds of the market's clock, from a bar's end to its snapshot."""
    rows = [
        [stage, at["count"], *(_ms(at.get(f"{q}_s")) for q in ("p50", "p95", "p99", "max"))]
        for stage in stages
        if (at := latencies.get(stage))
    ]
    if not rows:
        return _nothing("Latencies", "nothing has been measured yet")
    return html.table(["stage", "times", "p50 ms", "p95 ms", "p99 ms", "max ms"], rows, caption="Latencies by stage")


def fills_table(fills: Iterable[Mapping[str, Any]], commissions: Mapping[str, float]) -> str:
    """Executions, as a session's tally has them; the order is theirs. `commissions`: execId -> USD."""
    rows = []
    for f in fills:
        mid, side = f.get("mid"), f["side"]
        known = mid is not None and mid == mid and mid > 0
        slip = side * (f["price"] / mid - 1) if mid is not None and known else NAN
        way = html.mark("buy", "good") if side > 0 else html.mark("sell", "bad")
        paid = commissions.get(str(f["exec_id"]).rsplit(".", 1)[0])
        rows.append([_clock(iso_time(f["time"])), f["symbol"], way, f["quantity"], f"{f['price']:,.4g}"
                     if f["price"] < 1 else f"{f['price']:,.2f}", html.bps(slip, 1),
                     None if paid is None else f"{paid:.2f}"])  # fmt: skip
    if not rows:
        return _nothing("Fills", "none in this session")
    columns = ["time (UTC)", "symbol", "side", "shares", "price USD", "against mid (bps)", "commission USD"]
    return html.table(columns, rows, caption="Fills, newest first", left=("symbol", "side"))


def happenings_table(happenings: Sequence[Happening], most: int = 40) -> str:
    """The newest first: modes, failures, commands with who and why, refused ones too; breaches, of which there can be
    many, in a table of their own. At most `most` of either."""
    kinds = [[h for h in reversed(happenings) if (h.kind == "breach") is breach][:most] for breach in (False, True)]
    others, breaches = ([[_clock(iso_time(h.at)), h.kind, h.system, h.text.removeprefix("why ")] for h in of]
                        for of in kinds)  # fmt: skip
    if not others and not breaches:
        return _nothing("Happenings", "no change of mode, no breach, no command, no missed bar")
    marked = [[at, html.mark(kind, "bad" if kind in LOUD else "dim"), *rest] for at, kind, *rest in others]
    left, columns = ("what", "system", "in words"), ["time (UTC)", "what", "system", "in words"]
    told = html.table(columns, marked, caption="Commands, modes and failures, newest first", left=left)
    if breaches:
        rows = [[at, system, text] for at, _, system, text in breaches]
        told += html.table([columns[0], *columns[2:]], rows, caption="Limits reached, newest first", left=left)
    return told


def data_age_s(status: Status) -> float | None:
    """Seconds of the market's clock since the end of the last bar; None where either is unknown.

    >>> data_age_s({"time": "2026-03-02T14:36:30Z", "last_bar": "2026-03-02T14:35:00Z"})
    90.0
    """
    now, bar = status.get("time"), status.get("last_bar")
    return (moment(now) - moment(bar)).total_seconds() if now and bar else None


def age_text(seconds: float) -> str:
    """An age in the unit that a person would use.

    >>> [age_text(s) for s in (0.4, 59, 222, 61_000, 700_000)]
    ['0 s', '59 s', '3.7 min', '17 h', '8 d']
    """
    if seconds < 60:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else _long(seconds / 3600)


def _long(hours: float) -> str:
    return f"{hours:.0f} h" if hours < 48 else f"{hours / 24:.0f} d"


def moment(text: str) -> datetime:
    """A UTC time as the engine writes it."""
    return datetime.fromisoformat(text).astimezone(UTC)


def money(status: Status, plan: EnginePlan) -> str:
    """Whose money it is."""
    kind, account, broker = status.get("kind"), status.get("account"), plan.first.broker
    wanted = plan.first.system.live_account
    if kind == "live" or (kind is None and wanted):
        acts = "" if status.get("phase") == "past" else " Every command on this page acts on it."
        return _red(f"REAL MONEY: account {account or wanted}.{acts}")
    if kind == "paper":
        return html.note(f"Paper account {account}: the broker's play money, real market.")
    if kind == "simulated" or (kind is None and not broker.host):
        return html.note("Simulated gateway: no broker, no money. Nothing here says anything about real profit.")
    return html.note(f"Broker at {broker.host}:{broker.port}; what kind of account it is shows once it is connected.")


def _troubles(status: Status) -> Iterable[str]:
    phase, age = status["phase"], status.get("age_s")
    if phase in OVER:
        yield html.note(OVER[phase])
    elif phase in BUSY and status["alive"]:
        yield html.note(f"The engine is {phase}; it trades from the next bar end after that.")
    elif phase == "dead":
        yield html.error(f"THE ENGINE IS DEAD, what is shown below is old: {status.get('error')}", [DEAD])
    elif phase == "failed":
        yield html.error(f"THE ENGINE HAS FAILED, what is shown below is old: {status.get('error')}")
    elif age is not None and age > SLOW_BEATS * status.get("heartbeat_s", 1.0):
        yield html.error(f"The last heartbeat is {age:.0f} s old: what is shown below may be old.")
    if phase == "trading" and status.get("connected") is False:
        yield html.error("Not connected to the broker; the engine tries again by itself.")
    if status["alive"]:
        yield from _modes(status)


def _modes(status: Status) -> Iterable[str]:
    """Systems that do not trade as they should; those with the same reason together."""
    together: dict[tuple[str, str], list[str]] = {}
    for name, s in status.get("systems", {}).items():
        if s.get("mode") not in (None, "LIVE"):
            together.setdefault((s["mode"], str(s.get("reason"))), []).append(name)
    for (mode, why), names in together.items():
        yield html.error(f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} in mode {mode}: {why}")


def _red(message: str) -> str:
    style = "background:#b32438;color:#fff;font-weight:700;padding:6px 10px;margin:6px 0;border-radius:3px"
    return f'<p role="alert" style="{style}">{escape(message)}</p>'


def _nothing(what: str, told: str) -> str:
    return f'<p class="sub">{escape(what)}: {escape(told)}.</p>'


def _clock(text: str | None) -> str | None:
    return text and text.replace("T", " ").removesuffix("Z")


def _usd(value: float | None, *, sign: bool = False) -> str | None:
    return None if value is None else f"{value:{'+' if sign else ''},.2f}"


def _percent(value: float | None, digits: int = 1) -> str | None:
    return None if value is None else html.percent(value, digits)


def _ms(seconds: float | None) -> str | None:
    return None if seconds is None else f"{1e3 * seconds:,.1f}" if seconds >= 1e-3 else f"{1e3 * seconds:.3f}"
