"""The panels of the live page that belong to one decision: whatever is shown in them was decided at that moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import panel as pn

from workbench.config import Settings
from workbench.core.errors import WorkbenchError
from workbench.dash import live_texts
from workbench.dash.feed import JournalFeed
from workbench.dash.live_travel import Chaser
from workbench.dash.session_log import Decided
from workbench.engine.session_record import DecisionRecord, read_decision
from workbench.widgets import html
from workbench.widgets.alpha_map import AlphaMap, Shares
from workbench.widgets.holdings import Holdings
from workbench.widgets.hot import Told, caption, side_by_side, titled
from workbench.widgets.limits import LOOK as LIMIT_LOOK
from workbench.widgets.limits import Limit, book_limits, limits_html, systems_table
from workbench.widgets.receipt import ReceiptView

NOBODY = "choose a symbol"
PURPLE = "#6d4bb0"
TITLES = {
    "map": "Alpha{} by horizon and symbol · blue up, red down, hatched unknown · a click opens the receipt",
    "gates": "Gate{}: what it leaves of the alpha (×: nothing to gate, or unknown)",
    "weights": "Target against held weight{}, of NAV",
    "shares": "Horizon shares{}: whom the arbitration listens to",
    "limits": "Exposures{} against limits",
}
"""Titles of the figures, with room for whose they are."""
Asked = tuple[str, int, str]
"""Session, time and system of a decision."""


class DecisionPanels:
    """Heat map, gates, weights, shares, limits and the receipt of the decision that was shown last."""

    def __init__(self, feed: JournalFeed, later: Callable[[Callable[[], None]], None]) -> None:
        self.feed = feed
        self.decided: Decided | None = None
        self._session, self._live = "", True
        self._now: Mapping[str, Any] | None = None  # the system in the engine's last state
        self._settings = Settings()
        self._account: tuple[Limit, ...] = ()  # what the guards of the account count
        self._whose = ""  # " of" the system, where there are several
        self._limits_now: Mapping[str, tuple[Limit, ...]] = {}  # system -> its limits
        self.titles = {name: caption() for name in TITLES}
        self.map: AlphaMap | None = None
        self.holdings: Holdings | None = None
        self.receipt: ReceiptView | None = None
        self.shares = Shares()
        css = live_texts.LOOK
        self.about, self.idle, self.numbers, self.reading = (Told(css) for _ in range(4))
        self.limits = Told(css + LIMIT_LOOK)
        self.symbol = pn.widgets.Select(label="Receipt of", options=[NOBODY], value=NOBODY, width=170)
        self.table = pn.widgets.Toggle(label="Numbers as a table", margin=(24, 10, 0, 10), variant="outline")
        self._receipts: Chaser[Asked, DecisionRecord] = Chaser(self._load, self._open, later)
        self.symbol.param.watch(lambda _: self._choose(), "value")
        self.table.param.watch(lambda _: self._tell_numbers(), "value")
        wide: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
        self._figures, self._receipt_at = pn.Column(**wide), pn.Column(**wide)
        below = side_by_side(
            titled(self.titles["shares"], self.shares.plot), titled(self.titles["limits"], self.limits)
        )
        self._parts = (self.about, self.idle, self._figures, below)
        self.shown = pn.Column(**wide)  # empty until there is something to show: figures are not laid out unseen

    # ---- what the page tells ----------------------------------------------------------------------------------

    def show(self, decided: Decided, session: str, *, live: bool, several: bool = False) -> None:
        """Show a decision of `session`; `live`: the newest one, whose weights are held now; `several`: say whose."""
        before, self.decided = self.decided, decided
        self._session, self._live = session, live
        self._whose = f" of {decided.mark.system}" if several else ""
        if self.map is None or self.map.symbols != decided.decision.symbols:
            self._draw(decided.decision.symbols)
        assert self.map is not None
        assert self.holdings is not None
        d = decided.decision
        self.map.show(d, decided.snapshot)
        self.holdings.show(d, live_texts.held_weights(decided, self._now if live else None))
        self._share()
        self._tell_about()
        self._tell_titles()
        self.idle.tell(live_texts.idle(decided))
        self._tell_numbers()
        if not self.shown.objects:
            self.shown[:] = self._parts
        self._tell_limits()
        if before is None or before.mark != decided.mark:
            self._ask_receipt()

    def live_state(self, system: Mapping[str, Any], settings: Settings, account: tuple[Limit, ...],
                   limits: Mapping[str, tuple[Limit, ...]]) -> None:  # fmt: skip
        """What the system holds now, and the limits of all that are chosen; shown while nobody looks back."""
        self._now, self._settings, self._account, self._limits_now = system, settings, account, limits
        if self._live:
            self._tell_limits()
            self._tell_titles()
            if self.decided is not None and self.holdings is not None:
                self.holdings.hold(live_texts.held_weights(self.decided, system))

    def clear(self) -> None:
        """Nothing is known of a decision."""
        self.decided, self._live, self._now = None, True, None
        self._receipts.forget()
        self.symbol.value = NOBODY
        self.shown.clear()

    def close(self) -> None:
        """Want nothing more."""
        self._receipts.forget()

    # ---- figures ----------------------------------------------------------------------------------------------

    def _draw(self, symbols: tuple[str, ...]) -> None:
        """New figures, for other symbols."""
        self.map = AlphaMap(symbols)
        self.holdings = Holdings(symbols, self._tapped)
        self.map.param.watch(lambda e: self._tapped(e.obj.symbol), "clicks")
        self.map.param.watch(lambda _: self._tell_numbers(), "unit")
        self.symbol.options = [NOBODY, *symbols]
        unit = pn.widgets.RadioButtonGroup.from_param(self.map.param.unit, variant="outline", margin=(24, 10, 0, 10))
        self._figures[:] = [
            pn.FlexBox(unit, self.symbol, self.table, sizing_mode="stretch_width", gap="0 8px"),
            titled(self.titles["map"], self.map.plot), self.numbers, self._receipt_at,
            titled(self.titles["gates"], self.holdings.gates),
            titled(self.titles["weights"], self.holdings.weights),
        ]  # fmt: skip

    def _share(self) -> None:
        if self.decided is not None:
            d = self.decided.decision
            i = d.symbols.index(self.symbol.value) if self.symbol.value in d.symbols else None
            self.shares.show(d.choice.weights, i)

    def _tell_titles(self) -> None:
        """What each figure shows, and of which system where there are several."""
        for name, title in self.titles.items():
            every = name == "limits" and self._live and len(self._limits_now) > 1
            title.object = html.caption(TITLES[name].format(" of each system" if every else self._whose))

    def _tell_limits(self) -> None:
        """The limits of now, or where one looks back of the book as it was then."""
        d = self.decided
        if not self._live and d is not None:
            told = limits_html(book_limits(d.book, d.snapshot, self._settings))
        elif len(self._limits_now) > 1:
            told = systems_table(self._limits_now) + limits_html(self._account)
        else:
            known = [limit for of in self._limits_now.values() for limit in of]
            told = limits_html((*known, *self._account)) if known else ""
        self.limits.tell(told)

    def _tell_about(self) -> None:
        d = self.decided
        assert d is not None
        when = live_texts.iso_time(d.mark.known_at).replace("T", " ").removesuffix("Z")
        self.about.tell(live_texts.sub(
            f"{d.mark.system}, decided at {when} UTC in mode {d.mode} on {len(d.decision.symbols)} symbols "
            f"with {len(d.decision.forecasts.keys)} models; digest {d.decision.digest[:12]}"
        ))  # fmt: skip
        edge = ("0px", "transparent", "0px") if self._live else ("5px", PURPLE, "6px")  # what is left out would stay
        styles = dict(zip(("border-left", "padding-left"), (f"{edge[0]} solid {edge[1]}", edge[2])))
        if self.shown.styles != styles:
            self.shown.styles = styles

    def _tell_numbers(self) -> None:
        self.numbers.tell(self.map.numbers_html() if self.table.value and self.map is not None else "")

    # ---- the receipt ------------------------------------------------------------------------------------------

    def _tapped(self, symbol: str) -> None:
        """A click on a symbol opens its receipt; on the open one, closes it."""
        self.symbol.value = NOBODY if self.symbol.value == symbol else symbol

    def _choose(self) -> None:
        chosen = self.symbol.value
        if self.map is not None:
            self.map.symbol = "" if chosen == NOBODY else chosen
        self._share()
        if chosen == NOBODY:
            self._receipts.forget()
            self.receipt = None
            self._receipt_at.clear()
        elif self.receipt is not None:
            self.receipt.symbol = chosen
        else:
            self._ask_receipt()

    def _ask_receipt(self) -> None:
        """Have what followed the decision loaded, if a receipt is wanted."""
        if self.decided is not None and self.symbol.value != NOBODY:
            mark = self.decided.mark
            self._receipts.ask((self._session, mark.known_at, mark.system))

    def _load(self, asked: Asked) -> DecisionRecord:
        session, at, system = asked
        with self.feed.reading() as journal:
            return read_decision(journal, session, at, system)

    def _open(self, asked: Asked, found: DecisionRecord | WorkbenchError) -> None:
        """Show the receipt in place."""
        if isinstance(found, WorkbenchError):
            self.reading.tell(live_texts.failed("the receipt", found))
            self._receipt_at[:] = [self.reading]
            return
        told: dict[str, Any] = {
            "snapshot": found.snapshot, "book": found.book, "orders": found.orders, "fills": found.fills,
        }  # fmt: skip
        if self.receipt is not None and found.decision.symbols == tuple(self.receipt.param.symbol.objects):
            self.receipt.show(found.decision, **told)
            return
        self.receipt = ReceiptView(found.decision, symbol=self.symbol.value, **told)
        self._receipt_at[:] = [self.receipt.shown()]
