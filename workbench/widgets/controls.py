"""Real ipywidgets for the parameters of a view, linked both ways: the view holds the state, the widget shows it."""

from __future__ import annotations

from typing import Any

import ipywidgets
import param

STYLE = {"description_width": "initial"}
WIDE = {"width": "330px"}
FEW = 4
"""Up to so many choices are shown as buttons side by side; more as a list that drops down."""


def control(view: param.Parameterized, name: str) -> ipywidgets.Widget:
    """The ipywidget of parameter `name` of `view`; moving either moves the other.

    Its label is the parameter's label and its tooltip the parameter's help. TypeError names a kind of parameter that
    has no widget.
    """
    p = view.param[name]
    widget = _make(p, getattr(view, name), view, name)
    if not isinstance(p, param.Event):
        _link(view, name, widget)
    widget.disabled = bool(p.constant)
    view.param.watch(lambda event: setattr(widget, "disabled", bool(event.new)), name, what="constant")
    view.param.watch(lambda event: setattr(widget, "description", event.new), name, what="label")
    return widget


def _make(p: param.Parameter, value: Any, view: param.Parameterized, name: str) -> ipywidgets.Widget:
    told: dict[str, Any] = {"description": p.label, "tooltip": p.doc or p.label, "style": STYLE, "layout": WIDE}
    if isinstance(p, param.Event):
        button = ipywidgets.Button(description=p.label, tooltip=p.doc or p.label)
        button.on_click(lambda _: view.param.trigger(name))
        return button
    if isinstance(p, param.Boolean):
        return ipywidgets.Checkbox(value, indent=False, description=p.label, tooltip=p.doc or p.label)
    if isinstance(p, (param.ListSelector)):
        return ipywidgets.SelectMultiple(options=list(p.objects), value=tuple(value), rows=6, **told)
    if isinstance(p, param.Selector):
        options = list(p.names.items()) if p.names else [(str(o), o) for o in p.objects]
        if len(p.objects) > FEW:
            return ipywidgets.Dropdown(options=options, value=value, **told)
        narrow = {**STYLE, "button_width": "auto"}
        return ipywidgets.ToggleButtons(options=options, value=value, description=p.label, tooltip=p.doc, style=narrow)
    if isinstance(p, param.Integer):
        low, high = p.get_soft_bounds()
        return ipywidgets.IntSlider(value, min=low, max=high, step=int(p.step or 1), continuous_update=True, **told)
    if isinstance(p, param.Number):
        low, high = p.get_soft_bounds()
        step = p.step or (high - low) / 100
        return ipywidgets.FloatSlider(
            value, min=low, max=high, step=step, continuous_update=True, readout_format=".3g", **told
        )
    if isinstance(p, param.String):
        return ipywidgets.Text(value, continuous_update=False, **told)
    raise TypeError(f"parameter {name!r} of {type(view).__name__} is a {type(p).__name__}, which has no ipywidget")


def _link(view: param.Parameterized, name: str, widget: ipywidgets.Widget) -> None:
    """Two-way; a value that is already there is not set again, so that no loop arises."""

    def to_view(change: dict[str, Any]) -> None:
        value = list(change["new"]) if isinstance(change["new"], tuple) else change["new"]
        if getattr(view, name) != value:
            setattr(view, name, value)

    def to_widget(event: Any) -> None:
        value = tuple(event.new) if isinstance(event.new, list) else event.new
        if widget.value != value:
            widget.value = value

    def objects(event: Any) -> None:
        widget.options = list(view.param[name].names.items()) or [(str(o), o) for o in view.param[name].objects]

    widget.observe(to_view, "value")
    view.param.watch(to_widget, name)
    if isinstance(view.param[name], param.Selector):
        view.param.watch(objects, name, what="objects")
