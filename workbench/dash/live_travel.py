"""Looking back: which decision of a session is looked at, and loading it without ever blocking the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import panel as pn
import param

from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.journal import Mark
from workbench.widgets.hot import Told

K = TypeVar("K")
V = TypeVar("V")


class Chaser(Generic[K, V]):
    """Loads what was asked for last, in a thread, one at a time: `show` is never told of what is no longer wanted.

    `load` runs in a thread; `show` gets the key and what was loaded, or its error, on the event loop by `later`.
    """

    def __init__(self, load: Callable[[K], V], show: Callable[[K, V | WorkbenchError], None],
                 later: Callable[[Callable[[], None]], None]) -> None:  # fmt: skip
        self._load, self._show, self._later = load, show, later
        self._wanted: list[K] = []  # at most one
        self._asked = 0  # rises with every change of mind
        self._task: asyncio.Task[None] | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being loaded."""
        return self._task is not None and not self._task.done()

    def ask(self, key: K) -> None:
        """Want `key`, and nothing else any more."""
        self._wanted, self._asked = [key], self._asked + 1
        if not self.busy:
            self._task = asyncio.get_running_loop().create_task(self._chase())

    def forget(self) -> None:
        """Want nothing: what is under way is not shown."""
        self._wanted, self._asked = [], self._asked + 1

    async def _chase(self) -> None:
        while self._wanted:
            key, asked = self._wanted.pop(), self._asked
            try:
                found: V | WorkbenchError = await asyncio.to_thread(self._load, key)
            except WorkbenchError as error:
                found = error
            self._later(lambda key=key, found=found, asked=asked: self._arrived(key, found, asked))  # type: ignore[misc]

    def _arrived(self, key: K, found: V | WorkbenchError, asked: int) -> None:
        if asked == self._asked:
            self._show(key, found)


class Travel(pn.viewable.Viewer):
    """A slider over decisions. `place` is the one looked at; while `live` it is the last, and moves with it.

    `over`: another session trades, so there is nothing to follow; `alive`: whether an engine gives signs of life.
    """

    live = param.Boolean(True, doc="Follow the newest decision")
    place = param.Integer(-1, doc="Index of the decision that is looked at; -1: there is none")
    over = param.Boolean(False, doc="Whether the session is over")
    alive = param.Boolean(True, doc="Whether the newest decision is one of an engine that lives")

    def __init__(self) -> None:
        super().__init__()
        self.marks: Sequence[Mark] = ()
        self._moving = False
        self._back = pn.widgets.Button(label="◀ Earlier", width=86, margin=(5, 3), description="The decision before")
        self._next = pn.widgets.Button(label="Later ▶", width=86, margin=(5, 3), description="The decision after")
        self._slider = pn.widgets.IntSlider(label="", start=0, end=1, value=0, sizing_mode="stretch_width",
                                            show_value=False, margin=(0, 14))  # fmt: skip
        self._label = Told(margin=(0, 14))
        self._switch = pn.widgets.Toggle(label="● Live", value=True, width=96, margin=(5, 3), color="success",
                                         variant="outline")  # fmt: skip
        self._back.on_click(lambda _: self.go(self.place - 1))
        self._next.on_click(lambda _: self.go(self.place + 1))
        self._slider.param.watch(lambda e: None if self._moving else self.go(e.new), "value")
        self._switch.param.watch(lambda e: None if self._moving else self.follow(e.new), "value")
        self.param.watch(lambda *_: self._reflect(), ["live", "place", "over", "alive"])
        self._reflect()

    @property
    def mark(self) -> Mark | None:
        """Where the decision that is looked at stands in the journal."""
        return self.marks[self.place] if 0 <= self.place < len(self.marks) else None

    def offer(self, marks: Sequence[Mark], over: bool) -> None:
        """These are the decisions, oldest first; the one that is looked at stays, unless it is gone or `live`."""
        looked = self.mark
        self.marks, last = marks, len(marks) - 1
        place = next((k for k, m in enumerate(marks) if looked and m.number >= looked.number), last)
        live = self.live and not over
        self.param.update(over=over, live=live, place=last if live or looked is None else place)
        self._reflect()

    def go(self, place: int) -> None:
        """Look at the decision of index `place`, and stay there."""
        if self.marks:
            self.param.update(live=False, place=min(max(place, 0), len(self.marks) - 1))

    def follow(self, live: bool) -> None:
        """Follow the newest decision, or stay where one is."""
        if live and not self.over:
            self.param.update(live=True, place=len(self.marks) - 1)
        else:
            self.live = False

    def start_over(self) -> None:
        """Another session: look at its newest decision, and follow it if it still trades."""
        self.marks = ()
        self.param.update(place=-1, over=False, live=True)

    def _reflect(self) -> None:
        """Show on the widgets what is looked at."""
        last = len(self.marks) - 1
        self._moving = True
        try:
            label = f"Decision {self.place + 1} of {last + 1}" if last >= 0 else "No decision yet"
            mark = self.mark
            when = "" if mark is None else f" · {iso_time(mark.known_at).replace('T', ' ').removesuffix('Z')} UTC"
            _change(self._slider, end=max(last, 1), value=max(self.place, 0), disabled=last < 1)
            self._label.tell(label + when)
            _change(self._back, disabled=self.place <= 0)
            _change(self._next, disabled=self.place >= last)
            follow = ("● Live", "Go live") if self.alive else ("Newest", "To newest")
            name = "Over" if self.over else follow[0] if self.live else follow[1]
            _change(self._switch, value=self.live, label=name, disabled=self.over)
        finally:
            self._moving = False

    def __panel__(self) -> pn.viewable.Viewable:
        slider = pn.Column(self._label, self._slider, sizing_mode="stretch_width", margin=0)
        return pn.Row(self._back, slider, self._next, self._switch, sizing_mode="stretch_width", margin=0)


def _change(widget: Any, **values: Any) -> None:
    """Set what differs, at once."""
    news = {name: v for name, v in values.items() if getattr(widget, name) != v}
    if news:
        widget.param.update(**news)
