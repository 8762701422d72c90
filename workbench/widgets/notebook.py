"""What ``workbench.notebook()`` does to a kernel: rich displays, plots that need no internet, errors with a remedy."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from workbench.core.errors import ConfigError, WorkbenchError
from workbench.widgets import style
from workbench.widgets.registry import CARDS, lookup


def notebook() -> None:
    """Set up this kernel; call it once, in the first cell.

    Every domain object shows itself as a card, ``workbench.widgets.view(obj)`` as an interactive view; an error of ours
    is a message with its remedy instead of a traceback. All JavaScript comes from the installed packages.
    :class:`ConfigError` outside IPython.
    """
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        raise ConfigError("workbench.notebook() sets up a Jupyter kernel; in a script nothing is needed")
    import panel as pn
    from panel.io.notebook import load_notebook
    from panel.models.esm import ReactiveESM
    from panel.viewable import Viewable

    ReactiveESM.__javascript_raw__ = []  # of components that are not used here; it would be fetched from a CDN
    again = pn.extension._loaded
    pn.extension(inline=True)
    if again:  # the page may be new though the kernel is not: Panel alone would not load its JavaScript twice
        load_notebook(inline=True)
    if _inline_styles not in Viewable._preprocessing_hooks:
        Viewable._preprocessing_hooks.append(_inline_styles)
    style.apply()
    formatter = shell.display_formatter.formatters["text/html"]
    for name in CARDS:
        module, _, kind = name.partition(":")
        formatter.for_type_by_name(module, kind, card)
    if not os.environ.get("WORKBENCH_TRACEBACK"):
        WorkbenchError._render_traceback_ = _told  # type: ignore[attr-defined]  # IPython asks an error for its own


def _inline_styles(shown: Any, root: Any, changed: Any, old_models: Any) -> None:
    """A hook of Panel: style sheets travel with what is shown; left alone, some would be fetched from a CDN."""
    from bokeh.models import UIElement
    from panel.io.notebook import patch_inline_stylesheets

    for model in root.select({"type": UIElement}):
        patch_inline_stylesheets(model)


def card(obj: Any) -> str:
    """The HTML card of a domain object."""
    made: Callable[[Any], str] | None = lookup(CARDS, type(obj))
    assert made is not None, f"{type(obj).__name__} was registered without a card"
    return made(obj)


def _told(error: WorkbenchError) -> list[str]:
    """What stands in a cell instead of a traceback: what is wrong and what to do."""
    return [f"{type(error).__name__}: {error}", *(f"  {note}" for note in getattr(error, "__notes__", []))]
