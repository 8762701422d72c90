"""The frame around every dashboard: who looks is decided first, and only then is anything built.

``workbench dash`` and plain ``panel serve dashboards/*.py`` both serve what :func:`application` gives.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import panel as pn

from workbench.dash.access import LOCAL_VIEWER, Person, Refusal, admit
from workbench.dash.guard import built
from workbench.dash.look import Frame, middle
from workbench.dash.settings import DashSettings

Page = Callable[[DashSettings, Person], pn.viewable.Viewable]

PAGES = {name: f"workbench.dash.{name}_page:page" for name in ("live", "research", "execution")}
"""What stands below the frame at each address, imported when it is first asked for."""


def application(name: str, settings: DashSettings) -> Callable[[], Frame]:
    """What to serve as page `name`: called once for every session, it admits or refuses, and builds the page."""

    def open_page() -> Frame:
        person = admit(settings.secrets)
        if isinstance(person, Refusal):
            return _framed(name, middle("No access", person.reason, person.remedy), logout=person.logged_in)
        main = built(lambda: load(name)(settings, person), name)
        return _framed(name, main, person.name, person.role, person.name != LOCAL_VIEWER)

    return open_page


def load(name: str) -> Page:
    """The function that builds page `name`."""
    module, _, function = PAGES[name].partition(":")
    page: Page = getattr(import_module(module), function)
    return page


def _framed(name: str, main: pn.viewable.Viewable, who: str = "", role: str = "", logout: bool = False) -> Frame:
    """The page as a whole; nobody's name where nobody was admitted."""
    told = {"here": name, "pages": list(PAGES), "name": who, "role": role, "logout": logout}
    return Frame(main, f"{name.capitalize()} · workbench", **told)
