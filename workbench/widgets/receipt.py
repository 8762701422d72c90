"""The receipt of one symbol in one decision: from model outputs to blend, cost, arbitration, gate, size and fill."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import holoviews as hv
import numpy as np
import panel as pn
import param

from workbench.analysis.receipt import Receipt, receipt
from workbench.core.calendar import iso_time
from workbench.core.errors import ConfigError, nearest_name
from workbench.core.types import Book, Breach, Decision, Fill, OrderIntent, Snapshot, State
from workbench.core.units import BPS
from workbench.widgets import html, style
from workbench.widgets.alpha_map import IN_WORDS
from workbench.widgets.base import StageView

PERCENT = 100.0
TOP = 8
"""Largest targets that a decision's card names."""
FAMILY_COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.RED, style.GREY)


def card(decision: Decision) -> str:
    """What was decided, on how many names, and what was breached."""
    d, weights = decision, decision.target.weights
    states = [State(s).name for s in d.choice.state.tolist()]
    facts = {
        "forecasts": states.count("FORECAST"), "no edge": states.count("NO_EDGE"), "unknown": states.count("UNKNOWN"),
        "models": len(d.forecasts.keys), "abstained": html.percent(float(d.forecasts.abstained.mean()), 0),
        "gross": html.percent(float(np.nansum(np.abs(weights)))), "net": html.percent(float(np.nansum(weights))),
    }  # fmt: skip
    order = np.argsort(-np.abs(np.nan_to_num(weights)), kind="stable")[:TOP]
    rows = [
        (
            d.symbols[i],
            _side(float(weights[i])),
            html.bps(d.choice.gross[i], 1),
            d.gate[i],
            html.percent(d.desired[i], 2),
        )
        for i in order
        if weights[i] != 0
    ]
    columns = ("symbol", "target", "gross, bps a day", "gate", "desired")
    named = html.table(columns, rows, caption="largest targets") if rows else html.note("every target is zero")
    digests = {"decision": d.digest[:16], "artifacts": d.artifacts_digest[:16], "snapshot": d.snapshot_digest[:16]}
    return html.card(
        f"Decision on {len(d.symbols)} symbols", f"{iso_time(d.known_at)} · target weights of NAV",
        html.facts(facts), named, _breaches(d.breaches), html.facts(digests),
    )  # fmt: skip


class ReceiptView(StageView):
    """One symbol of `decision`. `snapshot`, `book`, `orders` and `fills` fill in what the decision alone cannot say.

    ``show`` turns to another decision.
    """

    title: ClassVar[str] = "Decision receipt"
    turns: ClassVar[tuple[str, ...]] = ("symbol",)

    symbol = param.Selector(label="symbol", doc="Whose receipt")
    turned = param.Integer(0, precedence=-1, doc="How often another decision was shown")

    def __init__(
        self,
        decision: Decision,
        *,
        snapshot: Snapshot | None = None,
        book: Book | None = None,
        orders: Sequence[OrderIntent] = (),
        fills: Sequence[Fill] = (),
        symbol: str | None = None,
        **params: Any,
    ) -> None:
        if symbol is not None and symbol not in decision.symbols:
            hint = nearest_name(symbol, decision.symbols)
            raise ConfigError(f"nothing was decided on {symbol!r}.{hint} It has {len(decision.symbols)} symbols")
        self._moment = (decision, snapshot, book, tuple(orders), tuple(fills))
        super().__init__(**params)
        self.param.symbol.objects = list(decision.symbols)
        self.symbol = symbol or telling(decision, orders)

    def show(
        self,
        decision: Decision,
        *,
        snapshot: Snapshot | None = None,
        book: Book | None = None,
        orders: Sequence[OrderIntent] = (),
        fills: Sequence[Fill] = (),
    ) -> None:
        """Show another decision on the same symbols."""
        self._moment = (decision, snapshot, book, tuple(orders), tuple(fills))
        self.turned += 1

    @property
    def receipt(self) -> Receipt:
        """What is shown, as numbers."""
        decision, snapshot, book, orders, fills = self._moment
        return receipt(decision, self.symbol, snapshot=snapshot, book=book, orders=orders, fills=fills)

    def heading(self) -> str:
        return html.card(
            self.title, "one symbol, one bar: what was known, said, charged, gated, sized, ordered, filled"
        )

    def body(self) -> pn.viewable.Viewable:
        return pn.Column(
            self.text(self.summary),
            self.row(
                self.plot(self.models, "1 · Models and their blend, in sigma of each horizon", height=250),
                self.plot(self.edge, "2 · Alpha in round trips of its cost: beyond ±1 a new position is admitted",
                          height=250),
            ),
            self.row(
                self.plot(self.rate, "3 · The daily rate: chosen horizons, then the gate", height=250, dynamic=False),
                self.plot(self.weights, "4 · The weight: held, desired, decided, ordered, filled", height=250),
            ),
            self.text(self.tables),
            sizing_mode="stretch_width",
        )  # fmt: skip

    # ---- figures ----------------------------------------------------------------------------------------------

    @param.depends("symbol", "turned")
    def summary(self) -> str:
        """State, market and verdict in one line."""
        r = self.receipt
        market = r.market.known if r.market else {}
        facts: dict[str, Any] = {
            "bar": iso_time(r.known_at),
            "state": f"{IN_WORDS[r.state]} ({r.state})",
            "price": market.get("price"),
            "spread, bps": market.get("spread", float("nan")) / BPS,
            "sigma of a day": html.percent(market.get("sigma_1d", float("nan")), 2),
            "phase": r.market.phase if r.market else None,
            "gross, bps a day": r.gross_bps_a_day,
            "net, bps a day": r.net_bps_a_day,
            "gate": r.gate,
            "z": r.z,
            "target": _side(r.target_weight),
            "orders": len(r.orders),
            "fills": len(r.fills),
        }
        told = "" if r.market and r.position else html.note(
            "The market, sigmas, z and the steps from the position are not told: this decision came without its "
            "snapshot and book (a Recall has both)."
        )  # fmt: skip
        return html.card(r.symbol, f"digest {r.digest[:16]}", html.facts(facts), told, _breaches(r.breaches))

    @param.depends("symbol", "turned")
    def models(self) -> hv.Overlay:
        """Forecast of every model over the sigma of its horizon, and what the blend made of them."""
        r = self.receipt
        sigma = {h.horizon: h.sigma_bps for h in r.horizons}
        labels = [h for h in sigma if any(m.horizon == h for m in r.models)] or list(sigma)
        families = list(dict.fromkeys(m.model for m in r.models))
        short, place = dict(zip(families, _short(families))), len(families)
        data = [
            (labels.index(m.horizon) + 0.12 * (families.index(m.model) - (place - 1) / 2),
             m.forecast_bps / sigma[m.horizon], short[m.model], m.horizon, m.forecast_bps)
            for m in r.models
        ]  # fmt: skip
        points = hv.Points(data, ["x", "forecast"], ["model", "horizon", "bps"]).opts(
            color="model", cmap=dict(zip(short.values(), FAMILY_COLOURS * 4)), size=7, tools=["hover"]
        )
        lines = [h for h in r.horizons if h.horizon in labels]
        mixed = ([labels.index(h.horizon) for h in lines], [h.alpha_bps / h.sigma_bps for h in lines],
                [h.horizon for h in lines], [h.alpha_bps for h in lines])  # fmt: skip
        blend = hv.Points(mixed, ["x", "forecast"], ["horizon", "bps"], label="blend")
        blend = blend.opts(color=style.INK, marker="diamond", size=12, tools=["hover"])
        return (hv.HLine(0) * points * blend).opts(
            xticks=list(enumerate(labels)), xlim=(-0.6, len(labels) - 0.4), xlabel="horizon", legend_position="top",
            ylabel="sigma of the horizon", framewise=True, toolbar=None,
        )  # fmt: skip

    @param.depends("symbol", "turned")
    def edge(self) -> hv.Overlay:
        """Alpha over twice the one-way cost of every horizon; full colour where the arbitration listened."""
        r = self.receipt
        edge, weight = r.edge, {h.horizon: h.weight for h in r.horizons}
        heard = ["listened to" if weight[h] > 0 else "not" for h in edge]
        bars = hv.Bars((list(edge), list(edge.values()), heard, list(weight.values())), "horizon",
                       ["edge", "heard", "weight"]).opts(
            color="heard", cmap={"listened to": style.BLUE, "not": style.GREY + "60"}, tools=["hover"], framewise=True
        )  # fmt: skip
        lines = [
            hv.Curve([(h, y) for h in edge], "horizon", "edge").opts(
                line_dash="dashed", color=style.ORANGE, line_width=1, framewise=True
            )
            for y in (-1, 1)
        ]
        return (bars * lines[0] * lines[1] * hv.HLine(0)).opts(
            ylabel="alpha / round trip", xlabel="horizon (blue: listened to)", framewise=True, show_legend=False,
            padding=(0.05, 0.15), toolbar=None,
        )  # fmt: skip

    @param.depends("symbol", "turned")
    def rate(self) -> hv.Overlay:
        """Waterfall of the gross daily rate and of what the gate leaves of it."""
        r = self.receipt
        steps = (*r.rate_steps, ("sized", None))
        names = [name for name, _ in steps]
        level, boxes = 0.0, []
        for name, change in steps:
            before, level = (0.0, level) if change is None else (level, level + change)
            colour = style.INK if change is None else style.ORANGE if name == "gate" else _colour(level - before)
            boxes.append((before, level, f"{level - before:+.1f}", colour))
        return _boxes(names, boxes).opts(ylabel="bps a day")

    @param.depends("symbol", "turned")
    def weights(self) -> hv.Overlay:
        """Weight after each step from what was held to what was filled."""
        steps, colours = self.receipt.weight_steps, (style.GREY, style.ORANGE, style.BLUE, style.PURPLE, style.GREEN)
        told = [(0.0, PERCENT * v, f"{PERCENT * v:+.2f}" if v == v else html.DASH) for _, v in steps]
        boxes = [(*box, colour) for box, colour in zip(told, colours, strict=True)]
        return _boxes([name for name, _ in steps], boxes).opts(ylabel="weight (% of NAV)")

    @param.depends("symbol", "turned")
    def tables(self) -> str:
        """Every number of the receipt."""
        r = self.receipt
        return html.card("", "", _horizons(r), _models(r), html.facts(_costs(r)), _orders(r), _features(r))


def telling(decision: Decision, orders: Sequence[OrderIntent] = ()) -> str:
    """The symbol with most to tell: the largest of those that were ordered, else the largest target."""
    size = np.abs(np.nan_to_num(decision.target.weights))
    if orders:
        ordered = {o.symbol for o in orders}
        size = np.where([s in ordered for s in decision.symbols], 1.0 + size, size)
    return decision.symbols[int(np.argmax(size))]


def _horizons(r: Receipt) -> str:
    columns = ("horizon", "sigma", "raw alpha", "alpha", "cost, one way", "net", "alpha / round trip", "p_peak",
               "p_valley", "weight", "gives, bps a day")  # fmt: skip
    rows = [
        (h.horizon, h.sigma_bps, h.raw_bps, h.alpha_bps, h.cost_bps, h.net_bps + 0.0, r.edge[h.horizon], h.p_peak,
         h.p_valley, html.percent(h.weight, 0) if h.weight else "", h.share_bps_a_day if h.weight else "")
        for h in r.horizons
    ]  # fmt: skip
    return html.table(columns, rows, caption="blend, cost and arbitration by horizon, basis points over the horizon")


def _models(r: Receipt) -> str:
    """Models by row, horizons by column, forecasts in basis points."""
    labels = [h.horizon for h in r.horizons if any(m.horizon == h.horizon for m in r.models)]
    if not labels:
        return ""
    said = {(m.model, m.horizon): m.forecast_bps for m in r.models}
    names = dict.fromkeys(m.model for m in r.models)
    rows = [(name, *(said.get((name, h), float("nan")) for h in labels)) for name in names]
    return html.table(("model", *labels), rows, caption="forecast of each model, basis points over the horizon")


def _costs(r: Receipt) -> dict[str, Any]:
    parts = {f"{name}, bps": value for name, value in r.costs_bps.items()}
    return {"one-way cost": sum(r.costs_bps.values()), **parts, "slippage of the fills, bps": r.slippage_bps}


def _orders(r: Receipt) -> str:
    if not r.orders:
        return html.note("No order was sent on this symbol.")
    rows: list[tuple[Any, ...]] = [
        ("order", o.order_ref, _way(o.side), o.quantity, o.order_type, o.limit_price, o.arrival_mid, o.decided_at)
        for o in r.orders
    ]
    rows += [
        ("fill", f.order_ref, _way(f.side), f.quantity, f"commission {f.commission:.2f}", f.price, f.mid, f.time)
        for f in r.fills
    ]
    rows = [(*row[:-1], iso_time(row[-1])) for row in rows]
    columns = ("", "reference", "side", "shares", "how", "price or limit", "mid", "time")
    return html.table(columns, rows, caption="orders and fills", left=("reference", "side", "how", "time"))


def _features(r: Receipt) -> str:
    if r.market is None:
        return ""
    known = {**r.market.features, **{f"daily {k}": v for k, v in r.market.daily.items()}}
    rows = [(name, value) for name, value in known.items()]
    return f"<details><summary>{len(rows)} features</summary>{html.table(('feature', 'value'), rows)}</details>"


def _breaches(breaches: Sequence[Breach]) -> str:
    if not breaches:
        return ""
    rows = [(b.rule, b.symbol or "the book", b.value, b.bound, b.action.replace("_", " ")) for b in breaches]
    return html.table(("breach", "where", "value", "bound", "action"), rows, left=("where", "action"))


def _side(weight: float) -> html.mark:
    """A weight in percent, green for long and red for short."""
    return html.mark(html.percent(weight, 2), "good" if weight > 0 else "bad" if weight < 0 else "dim")


def _way(side: int) -> html.mark:
    return html.mark("buy", "good") if side > 0 else html.mark("sell", "bad")


def _boxes(names: Sequence[str], boxes: Sequence[tuple[float, float, str, str]]) -> hv.Overlay:
    """Bars from one level to another with their text at the end; `boxes`: from, to, text, colour. NaN is not drawn."""
    drawn = [(k - 0.36, low, k + 0.36, high, name, high - low, colour)
             for k, (name, (low, high, _, colour)) in enumerate(zip(names, boxes, strict=True))]  # fmt: skip
    layers: list[Any] = [hv.HLine(0)]
    bars = hv.Rectangles(drawn, ["x0", "y0", "x1", "y1"], ["step", "change", "colour"])
    layers.append(bars.opts(color="colour", line_alpha=0, alpha=0.9, tools=["hover"], framewise=True))
    for up, baseline in ((True, "bottom"), (False, "top")):
        ends = [(k, 0.0 if b[1] != b[1] else b[1], b[2]) for k, b in enumerate(boxes) if (not b[1] < b[0]) is up]
        layers.append(
            hv.Labels(ends, ["x", "y"], "text").opts(
                text_color=style.INK, text_font_size="10px", text_baseline=baseline, framewise=True
            )
        )
    return hv.Overlay(layers).opts(
        xticks=list(enumerate(names)), xlim=(-0.7, len(names) - 0.3), xlabel="", responsive=True, height=250,
        padding=(0, 0.18), show_legend=False, framewise=True, toolbar=None,
    )  # fmt: skip


def _short(models: list[str]) -> list[str]:
    """Names of models without their strategy, where all have the same."""
    same = len({name.partition("/")[2] for name in models}) == 1
    return [name.partition("/")[0] for name in models] if same else models


def _colour(change: float) -> str:
    return style.LONG if change >= 0 else style.SHORT
