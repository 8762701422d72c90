"""How near a system is to its limits: each figure beside its bound, as a bar; a breach is red, and says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from workbench.config import Settings
from workbench.core.types import Book, Snapshot
from workbench.widgets import html

NEAR = 0.8
"""Share of a limit from which on the bar warns."""
LOOK = """
.wb .limits { display: grid; grid-template-columns: max-content 1fr max-content max-content; gap: 7px 12px;
              align-items: center; font-variant-numeric: tabular-nums; max-width: 640px; padding: 4px 10px; }
.wb .limits .bar { height: 12px; background: #8a909930; border-radius: 2px; position: relative; overflow: hidden;
                   border-right: 2px solid #7b818a; min-width: 60px; }
.wb .limits .bar i { position: absolute; inset: 0 auto 0 0; background: #3b82c4; display: block; }
.wb .limits .near i { background: #d9822b; } .wb .limits .over i { background: #d1495b; }
.wb .limits .unknown { background: repeating-linear-gradient(45deg, #8a909930 0 4px, transparent 4px 8px); }
.wb .limits .num { text-align: right; } .wb .limits .over { font-weight: 650; }
"""
"""Style of the bars, for the pane that shows them."""


@dataclass(frozen=True, slots=True)
class Limit:
    """`value` against `bound` (NaN unknown), in a unit of its own: fractions are `percent`."""

    label: str
    value: float
    bound: float
    percent: bool = True

    @property
    def used(self) -> float:
        """value / bound; NaN where the value is unknown; infinite for anything against a bound of 0."""
        if self.bound > 0 or self.value != self.value:
            return self.value / self.bound if self.bound > 0 else float("nan")
        return float("inf") if self.value > 0 else 0.0

    @property
    def verdict(self) -> str:
        """unknown, over, near or well."""
        used = self.used
        return "unknown" if used != used else "over" if used > 1 + 1e-9 else "near" if used >= NEAR - 1e-9 else "well"


def book_limits(book: Book, snapshot: Snapshot, settings: Settings) -> tuple[Limit, ...]:
    """The limits of a system as its book was when it decided."""
    nav, w = book.nav, book.weights
    drawdown = 1 - nav / book.peak_nav if book.peak_nav > 0 else float("nan")
    lost = _lost(nav - book.day_start_nav, nav)
    return _limits(settings, float(np.abs(w).sum()), float(w @ snapshot.leverage), float(np.abs(w).max(initial=0.0)),
                   drawdown, lost)  # fmt: skip


def system_limits(state: Mapping[str, Any], settings: Settings) -> tuple[Limit, ...]:
    """The limits of a system as its engine last showed it (an item of ``systems`` in the engine's state)."""
    weights = [_known(w) for w in state.get("weights", {}).values()]
    largest = float(np.abs(weights).max()) if weights else 0.0 if state.get("nav") is not None else float("nan")
    lost = _lost(_known(state.get("profit_today")), _known(state.get("nav")))
    gross, net, drawdown = (_known(state.get(key)) for key in ("gross", "net", "drawdown"))
    return _limits(settings, gross, net, largest, drawdown, lost)


def account_limits(state: Mapping[str, Any], settings: Settings) -> tuple[Limit, ...]:
    """What the guards of the account count."""
    orders = state.get("open_orders")
    count = float("nan") if orders is None or state.get("account") is None else float(len(orders))
    sent = _known(state.get("orders_last_minute"))
    return (
        Limit("open orders of the account", count, settings.guards.max_open_orders, False),
        Limit("orders in the last minute", sent, settings.guards.max_orders_per_minute, False),
    )


def limits_html(limits: tuple[Limit, ...]) -> str:
    """The bars; each also in words, so that colour is not the only sign."""
    return f'<div class="limits" role="list">{"".join(_row(limit) for limit in limits)}</div>'


def systems_table(limits: Mapping[str, tuple[Limit, ...]]) -> str:
    """A system a row, its limits by column."""
    columns = list(dict.fromkeys(limit.label for of in limits.values() for limit in of))
    rows = [[name, *(_cell(limit) for limit in of)] for name, of in limits.items()]
    return html.table(["system", *(label.partition(",")[0] for label in columns)], rows)


def _cell(limit: Limit) -> html.mark:
    """A figure and its bound; what is over says so, and what is near."""
    verdict = limit.verdict
    word = {"over": " OVER", "near": " near"}.get(verdict, "")
    style = {"over": "bad", "unknown": "dim"}.get(verdict, "")
    value = _told(limit, limit.value).removesuffix(" %")
    bound = f"{100 * limit.bound:g} %" if limit.percent else f"{limit.bound:g}"
    return html.mark(f"{value} of {bound}{word}", style)


def _limits(
    settings: Settings, gross: float, net: float, largest: float, drawdown: float, lost: float
) -> tuple[Limit, ...]:
    sizing, validation = settings.sizing, settings.validation
    return (
        Limit("gross", gross, sizing.target_gross),
        Limit("net, delta-weighted", abs(net), sizing.max_net),
        Limit("largest weight", largest, sizing.max_weight),
        Limit("drawdown", drawdown, validation.max_drawdown),
        Limit("loss today", lost, validation.max_daily_loss),
    )


def _lost(profit: float, nav: float) -> float:
    """Loss of the day as a fraction of the value it began with; 0 in profit."""
    start = nav - profit
    return float("nan") if not start > 0 else max(0.0, -profit) / start


def _known(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _row(limit: Limit) -> str:
    verdict, used = limit.verdict, limit.used
    width = 0.0 if used != used else min(max(used, 0.0), 1.0) * 100
    value, bound = (_told(limit, x) for x in (limit.value, limit.bound))
    word = {"over": "OVER", "near": "near", "unknown": "unknown", "well": f"{100 * used:.0f} %"}[verdict]
    return (
        f'<span role="listitem">{escape(limit.label)}</span>'
        f'<span class="bar {verdict}" role="img" aria-label="{escape(limit.label)}: {value} of {bound}, {word}">'
        f'<i style="width:{width:.1f}%"></i></span>'
        f'<span class="num">{value} <span class="dim">of {bound}</span></span>'
        f'<span class="{"bad over" if verdict == "over" else "dim"}">{word}</span>'
    )


def _told(limit: Limit, value: float) -> str:
    return html.percent(value, 2) if limit.percent else html.text(float(value))
