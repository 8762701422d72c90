"""What the live page says in words and numbers: plain functions from the engine's state to HTML."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from workbench.core.calendar import exchange_sessions, iso_time
from workbench.core.horizon import HORIZONS
from workbench.core.types import State
from workbench.core.units import BPS, NS_PER_DAY, NS_PER_SECOND
from workbench.dash.feed import Look
from workbench.dash.session_log import Decided, SessionLog
from workbench.journal import Mark
from workbench.widgets import html, live_tables
from workbench.widgets.live_path import Figures, total

LATE_S = 5.0
"""Seconds after which a journal that was not read is told of."""
SHOWN_ALERTS = 3
STATE_LATE_S = 30.0
"""The same of the engine's state, at the least."""
TELLS = {
    "messages / min": "What the broker told the engine: states of orders, fills, quotes it asked for",
    "clock, UTC": "The clock of the market; a simulated gateway may run it faster than ours",
}
"""Tooltips of tiles."""
LOOK = """
.wb .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(112px, 1fr)); gap: 8px; margin: 4px 10px;
             padding: 0; }
.wb .tiles > div { border: 1px solid #8a909940; border-radius: 6px; padding: 5px 10px 6px; }
.wb .tiles dt { font-size: 11px; color: #767c85; font-weight: 400; white-space: nowrap; }
.wb .tiles dd { margin: 0; font-size: 17px; font-weight: 600; font-variant-numeric: tabular-nums;
               white-space: nowrap; }
.wb .past { background: #6d4bb0; color: #fff; font-weight: 650; padding: 8px 12px; margin: 6px 10px;
            border-radius: 4px; }
.wb .chips { display: flex; flex-wrap: wrap; gap: 6px 14px; margin: 4px 10px; }
.wb p.note, .wb p.error { margin: 6px 10px; }
.wb p.error { background: #d1495b1c; font-weight: 600; } .wb p.sub { margin: 4px 10px 8px; }
.wb .scroll { padding: 0 10px; } .wb td.t { white-space: normal; }
.wb td.t:last-child { min-width: 230px; }
"""
"""Style of these texts, for the panes that show them."""


class Rate:
    """Reports a minute, of a count that only grows.

    >>> rate = Rate(); rate.take(0, 10); rate.take(30_000_000_000, 40); round(rate.a_minute)
    60
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[int, int]] = deque(maxlen=20)

    def take(self, at: int, count: int | None) -> None:
        """The count at `at` (UTC ns); None is unknown."""
        if count is not None and (not self._seen or at > self._seen[-1][0]):
            self._seen.append((at, count))

    @property
    def a_minute(self) -> float:
        """Mean over the last counts; NaN before there are two."""
        if len(self._seen) < 2:
            return float("nan")
        (began, first), (ended, last) = self._seen[0], self._seen[-1]
        return (last - first) / (ended - began) * 60e9


def money(log: SessionLog | None, status: Mapping[str, Any]) -> str:
    """Whose money it is."""
    return "" if log is None or log.plan is None else live_tables.money(status, log.plan)


def banner(look: Look, log: SessionLog | None, status: Mapping[str, Any], now: int) -> str:
    """Everything that is wrong with the engine, the journal or the page, and whether the exchange is closed."""
    troubles = _journal(look, log, now) + _alerts(look, now)
    if log is None:
        return troubles
    closed = closed_until(status.get("time") or "") if status["alive"] and status["phase"] == "trading" else ""
    return live_tables.troubles(status) + _old_state(log, status, now) + troubles + closed


def _alerts(look: Look, now: int) -> str:
    """The newest alerts of the desk, of the last day."""
    fresh = [a for a in look.alerts if now - a.at < NS_PER_DAY][:SHOWN_ALERTS]
    return "".join(html.error(f"{iso_time(a.at)[:16].replace('T', ' ')} UTC, desk, {a.job}: {a.text}") for a in fresh)


@lru_cache(maxsize=16)
def closed_until(now: str) -> str:
    """A note while the exchange is closed at `now`, a UTC time of the market's clock (empty: unknown).

    >>> "until Monday 2 March 2026, 09:30 in New York (14:30 UTC)" in closed_until("2026-02-28T10:00:00Z")
    True
    >>> closed_until("2026-03-02T14:31:00Z")
    ''
    """
    if not now:
        return ""
    at, sessions = int(live_tables.moment(now).timestamp()) * NS_PER_SECOND, exchange_sessions()
    k = int(np.searchsorted(sessions.close_ns, at, side="right"))
    if k == len(sessions) or at >= sessions.open_ns[k]:
        return ""
    opens = datetime.fromtimestamp(int(sessions.open_ns[k]) // NS_PER_SECOND, UTC)
    there = opens.astimezone(ZoneInfo("America/New_York"))
    when = f"{there:%A} {there.day} {there:%B %Y, %H:%M} in New York ({opens:%H:%M} UTC)"
    return html.note(f"The exchange is closed until {when}: nothing is decided, and no bar arrives before that.")


def waiting(look: Look, log: SessionLog | None, system: str, over: bool) -> str:
    """What the page waits for, where it has nothing to show; empty where it has. `over`: nothing more will come."""
    if log is None:
        return "" if look.problem or not look.read_at else html.note(
            "The journal is empty: no engine has written to it yet. This page shows the first session as soon as one "
            "starts: `workbench live --config live.toml`."
        )  # fmt: skip
    if over and system not in log.latest:
        return html.note(f"Session {log.session} ended before {system or 'any system'} decided anything.")
    if log.plan is None or not log.state:
        return html.note(f"Session {log.session} has only begun: waiting for the engine to show its state.")
    if system not in log.latest:
        return html.note(
            f"{system} has decided nothing in this session yet. Its first decision comes at the end of the next bar, "
            "every 5 minutes of the market's clock while the exchange is open, after the warm-up."
        )
    return ""


def place(mark: Mark | None, shown: Mark | None, over: bool, alive: bool) -> str:
    """An unmistakable line where one looks back: at `mark`, once it is the decision that is `shown`."""
    if mark is None:
        return ""
    when = iso_time(mark.known_at)
    goes_on = "the session is over" if over else "live goes on" if alive else "this is not live"
    told = f"You look at {when[11:16]} UTC of {when[:10]}, at what {mark.system} decided then; {goes_on}."
    if mark != shown:
        told = f"Loading the decision of {when[11:16]} UTC of {when[:10]}; what is shown below is another one."
    return f'<p class="past" role="status">{escape(told)}</p>'


def tiles(status: Mapping[str, Any], systems: Sequence[str], reports_a_minute: float, fast: bool = False) -> str:
    """Key figures of the chosen systems together, and of the account; `fast`: the market's clock outruns ours."""
    known = {name: live_tables.figures(s) for name, s in status.get("systems", {}).items()}
    nav, gross, net, profit, down = total(known, systems)
    age = live_tables.data_age_s(status)
    orders, cycles = status.get("open_orders"), status.get("cycles")
    colour = "good" if profit > 0 else "bad" if profit < 0 else ""
    return _tiles(
        {
            "NAV, USD": html.text(nav) if nav != nav else f"{nav:,.0f}",
            f"P&L {_day(status)}, USD": html.mark(html.DASH if profit != profit else f"{profit:+,.0f}", colour),
            "drawdown": html.percent(down, 2),
            "gross": html.percent(gross),
            "net": html.percent(net),
            "open orders": None if orders is None or status.get("account") is None else len(orders),
            "orders / min": status.get("orders_last_minute"),
            "messages / min": html.text(reports_a_minute),
            "age, market time" if fast else "data age": html.DASH if age is None else live_tables.age_text(age),
            "clock, UTC": (status.get("time") or html.DASH)[11:19] or html.DASH,
            "bars (missed)": None if cycles is None else f"{cycles:,} ({status.get('missed', 0):,})",
        }
    )


def _day(status: Mapping[str, Any]) -> str:
    """The day that profit and loss are of: today, or until the first bar of another one the date of the last."""
    now, bar = (status.get("time") or "")[:10], (status.get("last_bar") or "")[:10]
    return "today" if now == bar or not bar else f"of {bar}"


def idle(d: Decided) -> str:
    """Why a decision holds and wants nothing, in a sentence; empty where it does either."""
    made = d.decision
    if np.nan_to_num(made.target.weights).any() or np.nan_to_num(d.book.weights).any():
        return ""
    if (made.choice.state == State.UNKNOWN).all():
        why = f"everything is unknown: {_lacking(d)}."
    elif (made.choice.state == State.FORECAST).any():
        count = int((made.choice.state == State.FORECAST).sum())
        why = f"{count} names have an edge after costs, but gate, sizing and limits leave no weight of it."
    else:
        why = f"no alpha earns the round trip that it would cost.{_best(d)}"
    return f'<p class="note idle" role="status">Nothing is held and nothing is wanted: {escape(why)}</p>'


def _lacking(d: Decided) -> str:
    """What is known of no symbol at all."""
    s, made = d.snapshot, d.decision
    lacks = {
        "no price": not (s.price > 0).any(), "no volatility yet": not (s.sigma_1d > 0).any(),
        "no forecast, for every model abstains": bool(made.forecasts.abstained.all()),
        "no cost": bool(np.isnan(made.costs.one_way).all()), "everything is halted": bool(s.halted.all()),
    }  # fmt: skip
    return ", ".join(what for what, lacking in lacks.items() if lacking) or (
        "no alpha over any horizon, as where the models abstain or every horizon reaches beyond the close"
    )


def _best(d: Decided) -> str:
    """The alpha that is nearest to its round trip."""
    alpha, trip = np.abs(d.decision.alphas.smoothed), 2 * d.decision.costs.one_way
    ratio = np.where(trip > 0, alpha / np.where(trip > 0, trip, 1.0), np.nan)
    if np.isnan(ratio).all():
        return ""
    h, i = np.unravel_index(int(np.nanargmax(ratio)), ratio.shape)
    far = f"{alpha[h, i] / BPS:.2f} bps against a round trip of {trip[h, i] / BPS:.2f} bps"
    return f" The nearest is {d.decision.symbols[i]} over {HORIZONS[h].label}: {far}."


def sub(told: str) -> str:
    """A line in small print."""
    return f'<p class="sub">{escape(told)}</p>'


def failed(what: str, error: Exception) -> str:
    """Why something could not be loaded."""
    return html.error(f"{what} cannot be shown: {error}", getattr(error, "__notes__", []))


def held_weights(d: Decided, system: Mapping[str, Any] | None) -> np.ndarray:
    """(N,) weights of the symbols of `d`: as the state of the system has them now, or (None) as the book was then.

    A symbol that the state holds no shares of has weight 0; one whose weight it does not know, NaN.
    """
    if system is None:
        return np.asarray(d.book.weights)
    weights, unknown = system.get("weights", {}), system.get("nav") is None
    told = [np.nan if unknown else weights.get(s, 0.0) for s in d.decision.symbols]
    return np.array([np.nan if w is None else w for w in told], np.float64)


def points(samples: Iterable[Any], latest: dict[str, Figures], systems: Sequence[str]) -> list[tuple[int, Figures]]:
    """(UTC ns, figures) of the systems together, a point for each time that the last of them told; `latest` is kept."""
    made = []
    for s in samples:
        latest[s.system] = (s.nav, s.gross, s.net, s.profit_today, s.drawdown)
        if s.system == systems[-1]:
            made.append((s.at, total(latest, systems)))
    return made


def _old_state(log: SessionLog, status: Mapping[str, Any], now: int) -> str:
    """A warning where signs of life come, but nothing else: the engine shows itself at every update interval."""
    if log.plan is None or not log.state or not status["alive"] or status["phase"] != "trading":
        return ""
    usual = min(s.system.update_interval for s in log.plan.systems)
    since = (now - log.state_at) / 1e9
    if since <= max(3 * usual, STATE_LATE_S):
        return ""
    return html.error(
        f"The engine lives, but last showed its state {live_tables.age_text(since)} ago: the figures below are as old."
    )


def _journal(look: Look, log: SessionLog | None, now: int) -> str:
    since = (now - look.read_at) / 1e9
    if look.problem:
        shown = "" if log is None else f" What is shown was read {live_tables.age_text(since)} ago."
        first, *rest = look.problem.splitlines()
        return html.error(f"THE JOURNAL CANNOT BE READ: {first}.{shown}", rest)
    if not look.read_at:
        return html.note("Opening the journal.")
    if since > LATE_S:
        return html.error(f"The journal was last read {live_tables.age_text(since)} ago: what is shown may be old.")
    return ""


def _tiles(pairs: Mapping[str, Any]) -> str:
    cells = "".join(
        f'<div title="{TELLS.get(k, "")}"><dt>{escape(k)}</dt>'
        f'<dd class="{getattr(v, "style", "")}">{escape(html.text(v))}</dd></div>'
        for k, v in pairs.items()
    )
    return f'<dl class="tiles">{cells}</dl>'
