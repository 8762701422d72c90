"""The outermost boundary of a page: whatever goes wrong in it is told in a line, and at length only to the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import panel as pn

from workbench.core.errors import WorkbenchError
from workbench.logs import logger
from workbench.widgets import html

FAILED = "This page failed; the server's log says why."


def built(build: Callable[[], pn.viewable.Viewable], name: str) -> pn.viewable.Viewable:
    """What `build` gives, or a card in its place: why, where the error is ours, and otherwise that the log says so."""
    try:
        return build()
    except WorkbenchError as error:
        told = html.error(str(error), getattr(error, "__notes__", []))
    except Exception:  # noqa: BLE001 -- the outermost boundary of a page: Panel would show the traceback to who looks
        logger("dash").exception("page cannot be built", page=name)
        told = html.error(FAILED)
    return pn.pane.HTML(html.card("This page cannot be shown", "", told), sizing_mode="stretch_width")


def guarded(refresh: Callable[[], None], tell: Callable[[str], Any]) -> Callable[[], None]:
    """`refresh` for every second: while it fails `tell` gets a line for the page, and the log each new error once."""
    last = [""]

    def call() -> None:
        try:
            refresh()
        except Exception as error:  # noqa: BLE001 -- the outermost boundary of a page; the next second may be better
            if last[0] != repr(error):
                logger("dash").exception("page cannot be refreshed")
                tell(html.error(FAILED))
            last[0] = repr(error)
        else:
            if last[0]:
                tell("")
            last[0] = ""

    return call
