"""Stage 10 of one bar: from target weights to orders, rule by rule, and what netting makes of several systems."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import panel as pn
import param

from workbench.config import ExecutionSettings
from workbench.core.calendar import iso_time
from workbench.core.types import OrderIntent
from workbench.execution.netting import Netted, Wish, net
from workbench.execution.planning import OrderPlan
from workbench.widgets import html, style
from workbench.widgets.base import StageView

POLICIES = ("market", "marketable_limit", "mid_step", "adaptive", "twap")
KNOBS = ("policy", "max_participation", "min_notional", "day_auction")
THOUSAND = 1e3


def card(plan: OrderPlan) -> str:
    """The orders of the plan, and what it does with every symbol."""
    return html.card(
        f"OrderPlan · {len(plan.intents)} orders of {plan.system}", iso_time(plan.snapshot.known_at),
        html.facts(_facts(plan)), _table(plan),
    )  # fmt: skip


class OrderPlanView(StageView):
    """The plan of one bar, made again with every change of a setting.

    `others`: plans of other systems for the same bar, to see what netting makes of all of them.
    """

    title: ClassVar[str] = "Order plan of one bar"
    turns: ClassVar[tuple[str, ...]] = (*KNOBS, "reset")

    policy = param.Selector(objects=list(POLICIES), label="policy", doc="How an order is priced when it leaves")
    max_participation = param.Number(
        0.05, bounds=(0.0005, 1), step=0.0005, label="max_participation", doc="Part of the next bar's expected volume"
    )
    min_notional = param.Number(200.0, bounds=(0, 20_000), step=50, label="min_notional USD", doc="Smallest order")
    day_auction = param.Boolean(False, label="day weight in the closing auction", doc="MOC for day horizons")
    reset = param.Event(label="Reset", doc="The settings of the plan")

    def __init__(self, plan: OrderPlan, *, others: Sequence[OrderPlan] = (), **params: Any) -> None:
        self.given, self.others = plan, tuple(others)
        self._own = {name: getattr(plan.settings, name) for name in KNOBS}
        high = self.param.min_notional.bounds[1]
        self.param.min_notional.bounds = (0, max(high, plan.settings.min_notional))
        self._planned = lru_cache(8)(plan.under)
        super().__init__(**{**self._own, **params})
        self.param.watch(lambda _: self.param.update(**self._own), "reset")

    @property
    def plan(self) -> OrderPlan:
        """The plan with the settings of now."""
        settings: ExecutionSettings = self.given.settings.model_copy(update={k: getattr(self, k) for k in KNOBS})
        return self._planned(settings)

    def heading(self) -> str:
        return html.card(f"{self.title} · {iso_time(self.given.snapshot.known_at)}", f"system {self.given.system}")

    def body(self) -> pn.viewable.Viewable:
        parts = [
            self.text(self.steps),
            self.plot(self.trades, "What is missing to the target, and what is sent now"),
        ]
        if self.others:
            parts.append(self.text(self.netting))
        return pn.Column(*parts, sizing_mode="stretch_width")

    @param.depends(*KNOBS)
    def steps(self) -> str:
        """Every symbol through every rule."""
        plan = self.plan
        return html.card("", "", html.facts(_facts(plan)), _table(plan))

    @param.depends(*KNOBS)
    def trades(self) -> hv.Overlay:
        """Signed USD to the exact target, after rounding, and sent, by symbol."""
        plan = self.plan
        value = plan.price / THOUSAND
        asked = np.where(plan.able, np.round(plan.exact - plan.held, 6), np.nan) * value
        sent = plan.side * plan.quantity * value
        bars = hv.Bars((plan.symbols, np.nan_to_num(sent), np.where(plan.on_close, "closing auction", "now")),
                       "name", ["sent", "when"]).opts(
            color="when", cmap={"now": style.BLUE, "closing auction": style.PURPLE}, tools=["hover"], xrotation=60,
            framewise=True, show_legend=False,
        )  # fmt: skip
        marks = hv.Scatter((plan.symbols, asked), "name", "to the target", label="to the exact target").opts(
            color=style.ORANGE, marker="dash", size=20, line_width=2, tools=["hover"], framewise=True
        )
        return (bars * marks * hv.HLine(0)).opts(
            xlabel="", ylabel="thousand USD; dash: to the exact target", framewise=True, show_legend=False
        )

    @param.depends(*KNOBS)
    def netting(self) -> str:
        """One order per symbol for the account: what meets inside, what goes out, what waits."""
        plans = (self.plan, *self.others)
        netted = net([wish for plan in plans for wish in _wishes(plan)])
        names = ", ".join(plan.system for plan in plans)
        return html.card(
            f"Netting of {names}", "buys and sells of one symbol meet inside the account first, at the mid",
            html.table(("name", "wanted", "crossed inside", "sent", "order", "shares"), _net_rows(plans, netted),
                       left=("wanted", "order", "shares")),
            *(html.note(f"{w.system} {_signed(w.intent)} {w.intent.symbol}: {why}") for w, why in netted.held),
        )  # fmt: skip


def _facts(plan: OrderPlan) -> dict[str, Any]:
    value = np.where(plan.able, plan.price, 0.0)
    missing, sent = float(np.nansum(plan.missing * value)), float(np.nansum(plan.quantity * value))
    return {
        "orders": len(plan.intents),
        "NAV": f"{plan.book.nav:,.0f} USD",
        "to trade, in whole lots": f"{missing:,.0f} USD",
        "sent now": f"{sent:,.0f} USD",
        "of NAV": html.percent(sent / plan.book.nav, 2),
        "policy": plan.settings.policy,
        "minutes to the close": plan.snapshot.minutes_to_close,
    }


def _table(plan: OrderPlan) -> str:
    columns = ("name", "target %", "price", "exact", "held", "pending", "in lots", "to trade", "allowed", "after cap",
               "after minimum", "for auction", "order", "limit", "what decided")  # fmt: skip
    orders = {intent.symbol: intent for intent in plan.intents}
    rows = []
    for i, name in enumerate(plan.symbols):
        order = orders.get(name)
        able = bool(plan.able[i])
        step = plan.side[i] * plan.missing[i]
        rows.append((
            name, _digits(100 * plan.target.weights[i]), _digits(plan.price[i]),
            _digits(plan.exact[i]) if able else html.DASH,
            _shares(plan.book.positions[i]), _shares(plan.pending[i]), _shares(plan.wanted[i]), _shares(step),
            _shares(plan.allowed[i]), _shares(plan.cut[i]), _shares(plan.kept[i]), _shares(plan.auction[i]),
            html.mark(f"{_signed(order)} {order.order_type}", "good" if order.side > 0 else "bad") if order else "none",
            _digits(order.limit_price) if order else html.DASH, ", ".join(plan.why(i)),
        ))  # fmt: skip
    return html.table(columns, rows, left=("order", "what decided"), caption="shares; signed up to the trade")


def _net_rows(plans: Sequence[OrderPlan], netted: Netted) -> list[tuple[Any, ...]]:
    wanted: dict[str, list[str]] = {}
    for plan in plans:
        for intent in plan.intents:
            wanted.setdefault(intent.symbol, []).append(f"{plan.system} {_signed(intent)}")
    crossed = {c.symbol: sum(s.quantity for s in c.shares if s.intent.side > 0) for c in netted.crosses}
    orders = {order.symbol: order for order in netted.orders}
    return [
        (
            name,
            ", ".join(wishes),
            crossed.get(name, 0),
            orders[name].side * orders[name].quantity if name in orders else 0,
            f"{orders[name].order_type} {_limit(orders[name].limit_price)}" if name in orders else html.DASH,
            ", ".join(f"{s.system} {s.quantity}" for s in orders[name].shares) if name in orders else html.DASH,
        )
        for name, wishes in wanted.items()
    ]


def _wishes(plan: OrderPlan) -> list[Wish]:
    adaptive = plan.settings.policy == "adaptive"
    way = ("Adaptive", plan.settings.priority) if adaptive else ("", "")
    return [Wish(plan.system, intent, *way) for intent in plan.intents]


def _signed(intent: OrderIntent) -> str:
    return f"{intent.side * intent.quantity:+,d}"


def _shares(value: float) -> str:
    """Whole shares; unbounded as such, unknown as a dash."""
    if np.isnan(value):
        return html.DASH
    return "any" if np.isinf(value) else f"{value:,.0f}"


def _digits(value: float) -> str:
    return html.DASH if np.isnan(value) else f"{value:,.2f}"


def _limit(value: float) -> str:
    return "" if np.isnan(value) else f"{value:,.2f}"
