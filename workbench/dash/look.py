"""How every page of the dashboards looks: one set of colours in light and dark, for our HTML and Panel's widgets alike.

The colours are CSS variables of the page, which reach into the widgets' shadow roots, so that the theme changes without
asking the server. Everything comes from this package; nothing is fetched from elsewhere.
"""

from __future__ import annotations

import re
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import panel as pn
import param
from panel.theme.base import Design, Inherit
from panel.viewable import Viewable

ASSETS = Path(__file__).parent / "assets"
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="8" fill="#2569b0"/>'
    '<path d="M6 21.5l5.2-7 4.6 4.5L25.5 8" fill="none" stroke="#fff" stroke-width="3" stroke-linecap="round"'
    ' stroke-linejoin="round"/><path d="M7 26h18" stroke="#fff" stroke-width="2.2" stroke-linecap="round"/></svg>'
)


class Look(Design):
    """Panel's widgets in the colours of the page."""

    modifiers: ClassVar[dict[type, dict[str, Any]]] = {Viewable: {"stylesheets": [Inherit, "assets/widgets.css"]}}


class Frame(pn.Template):
    """A page: the bar on top, and below it `main`; `name` is empty where nobody was admitted."""

    heading = param.String("", constant=True, doc="What stands in the tab of the browser")

    def __init__(self, main: Any, heading: str, **told: Any) -> None:
        forget_networks()
        super().__init__(asset("frame.html"), items={"main": main}, design=Look, heading=heading)
        told |= {"icon": icon(), "css": asset("page.css"), "theme_js": asset("theme.js"), "parts": parts()}
        told |= {"reload_js": asset("reload.js"), "apple_icon": "", "app_favicon": ""}
        for key, value in told.items():
            self.add_variable(key, value)

    def server_doc(self, doc: Any = None, title: str | None = None, location: Any = True) -> Any:
        """As Panel's, with a title of our own."""
        return super().server_doc(doc, self.heading, location)


def login_page(message: str, after: str, link: bool = False, *, calm: bool = False) -> str:
    """The HTML of the login: `message` above the fields, `after` where it leads; `link`: say that there is one."""
    page = pn.io.resources._env.from_string(asset("login.html"))
    told = {"message": message, "after": after, "link": link, "calm": calm, "icon": icon(), "css": asset("page.css")}
    return page.render(parts=parts(), theme_js=asset("theme.js"), **told)


def middle(title: str, reason: str, remedy: str) -> pn.pane.HTML:
    """One card in the middle of the page; what stands in backticks is set as code."""
    shown = re.sub("`([^`]+)`", r"<code>\1</code>", escape(remedy))
    body = f'<p class="reason">{escape(reason)}</p><p class="remedy">{shown}</p>'
    card = f'<section class="wb-card wide" role="alert"><h1>{escape(title)}</h1>{body}</section>'
    whole = f'<div class="wb-middle">{card}</div>'
    return pn.pane.HTML(whole, stylesheets=[asset("page.css")], sizing_mode="stretch_width", margin=0)


@cache
def asset(name: str) -> str:
    """The text of a file of this package."""
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def parts() -> Any:
    """The macros that the pages share."""
    return pn.io.resources._env.from_string(asset("parts.html"))


def icon() -> str:
    """The picture in the browser's tab."""
    return f"data:image/svg+xml,{quote(_ICON)}"


@cache
def forget_networks() -> None:
    """Panel asks a content network for a component that no page of ours has."""
    from panel.models.esm import ReactiveESM

    ReactiveESM.__javascript_raw__ = []
