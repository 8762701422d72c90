"""What the live page says in words and numbers: plain functions from the engine's state to HTML."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from workbench.core.calendar import iso_time
from workbench.dash.feed import Look
from workbench.dash.session_log import Decided, SessionLog
from workbench.journal import Mark
from workbench.widgets import html, live_tables
from workbench.widgets.live_path import Figures, total

LATE_S = 5.0
"""Seconds after which a journal that was not read is told of."""
STATE_LATE_S = 30.0
"""The same of the engine's state, at the least."""
LOOK = """
.wb .tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(98px, 1fr)); gap: 8px; margin: 4px 10px;
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


def banner(look: Look, log: SessionLog | None, status: Mapping[str, Any], now: int) -> str:
    """Whose money it is, and everything that is wrong with the engine, the journal or the page."""
    troubles = _journal(look, log, now)
    if log is None:
        return troubles
    return live_tables.banner(status, log.plan) + _old_state(log, status, now) + troubles


def waiting(look: Look, log: SessionLog | None, system: str) -> str:
    """What the page waits for, where it has nothing to show; empty where it has."""
    if log is None:
        return "" if look.problem or not look.version else html.note(
            "The journal is empty: no engine has written to it yet. This page shows the first session as soon as one "
            "starts: `workbench live --config live.toml`."
        )  # fmt: skip
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


def tiles(status: Mapping[str, Any], systems: Sequence[str], reports_a_minute: float) -> str:
    """Key figures of the chosen systems together, and of the account."""
    known = {name: live_tables.figures(s) for name, s in status.get("systems", {}).items()}
    nav, gross, net, profit, down = total(known, systems)
    age = live_tables.data_age_s(status)
    orders, cycles = status.get("open_orders"), status.get("cycles")
    colour = "good" if profit > 0 else "bad" if profit < 0 else ""
    return _tiles(
        {
            "NAV, USD": html.text(nav) if nav != nav else f"{nav:,.0f}",
            "P&L today, USD": html.mark(html.DASH if profit != profit else f"{profit:+,.0f}", colour),
            "drawdown": html.percent(down, 2),
            "gross": html.percent(gross),
            "net": html.percent(net),
            "open orders": None if orders is None or status.get("account") is None else len(orders),
            "orders / min": status.get("orders_last_minute"),
            "reports / min": html.text(reports_a_minute),
            "data age": html.DASH if age is None else f"{age / 60:.1f} min",
            "clock, UTC": (status.get("time") or html.DASH)[11:19] or html.DASH,
            "bars (missed)": None if cycles is None else f"{cycles:,} ({status.get('missed', 0):,})",
        }
    )


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
    return html.error(f"The engine lives, but what it last showed of itself is {_ago(since)} old: figures below are too.")


def _journal(look: Look, log: SessionLog | None, now: int) -> str:
    since = (now - look.read_at) / 1e9
    if look.problem:
        shown = "" if log is None else f" What is shown was read {_ago(since)} ago."
        first, *rest = look.problem.splitlines()
        return html.error(f"THE JOURNAL CANNOT BE READ: {first}.{shown}", rest)
    if not look.version:
        return html.note("Opening the journal.")
    if since > LATE_S:
        return html.error(f"The journal was last read {_ago(since)} ago: what is shown may be old.")
    return ""


def _ago(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min" if seconds < 7200 else "hours"


def _tiles(pairs: Mapping[str, Any]) -> str:
    cells = "".join(
        f'<div><dt>{escape(k)}</dt><dd class="{getattr(v, "style", "")}">{escape(html.text(v))}</dd></div>'
        for k, v in pairs.items()
    )
    return f'<dl class="tiles">{cells}</dl>'
