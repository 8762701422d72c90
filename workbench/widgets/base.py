"""What every view is: one object, one piece of state, shown in a notebook cell and on a dashboard alike.

A view computes nothing of its own: its figures call `analysis` and the stage objects with the values of its parameters.
``view`` in a cell shows Panel widgets; ``view.widget()`` the same as real ipywidgets; both move the same parameters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import holoviews as hv
import ipywidgets
import panel as pn
import param

from workbench.core.errors import WorkbenchError
from workbench.widgets import html, style
from workbench.widgets.controls import control


class Text(pn.pane.HTML):
    """HTML that changes. Panel would name its style sheets anew with every change, and the page would fetch them."""

    def _update(self, ref: str, model: Any) -> None:
        properties = self._get_properties(model.document)
        model.update(**{name: value for name, value in properties.items() if name != "stylesheets"})


class StageView(pn.viewable.Viewer):
    """Base of all views.

    A subclass declares `title`, its parameters, `turns` (the names of those that a person turns, in order) and
    `body()`, which puts together panes made by :meth:`plot` and :meth:`text`. The figure methods are decorated with
    ``@param.depends("g_min", ...)`` and are called again when one of these parameters changes, and only then.
    """

    title: ClassVar[str] = ""
    turns: ClassVar[tuple[str, ...]] = ()

    problem = param.String("", precedence=-1, doc="What went wrong last, in words; empty when nothing did")

    def __init__(self, **params: Any) -> None:
        style.apply()
        super().__init__(**params)
        self._body: pn.viewable.Viewable | None = None
        self._told = Text("", sizing_mode="stretch_width")
        self.param.watch(self._tell, "problem")

    # ---- what a subclass gives --------------------------------------------------------------------------------

    def body(self) -> pn.viewable.Viewable:
        """The figures and tables, below the controls. Called once."""
        raise NotImplementedError

    def heading(self) -> str:
        """HTML above the controls: by default the title."""
        return html.card(self.title)

    # ---- what it builds with ----------------------------------------------------------------------------------

    def plot(
        self, figure: Callable[[], Any], label: str, *, height: int = 260, dynamic: bool = True
    ) -> pn.viewable.Viewable:
        """A pane of the HoloViews object that the bound method `figure` gives; `label` is read out by screen readers.

        `dynamic`: the plot is updated in place, which is fast but needs `figure` to always give the same kind of
        object with the same axes; otherwise it is drawn anew.
        """
        if dynamic:
            drawn = hv.DynamicMap(self._guarded_map(figure))
            for name in _depends_on(figure):  # else a second frame would begin with what the first one drew first
                self.param.watch(lambda _: drawn.data.clear(), name)
            shown = pn.pane.HoloViews(drawn, height=height, linked_axes=False, sizing_mode="stretch_width")
        else:
            shown = pn.panel(self._guarded(figure), height=height, linked_axes=False, sizing_mode="stretch_width",
                             defer_load=False, loading_indicator=False)  # fmt: skip
        heading = pn.pane.HTML(html.caption(label), sizing_mode="stretch_width", margin=(6, 10, 0, 10))
        return pn.Column(heading, shown, sizing_mode="stretch_width", margin=0)

    def text(self, figure: Callable[[], str]) -> pn.viewable.Viewable:
        """A pane of the HTML (see :mod:`workbench.widgets.html`) that the bound method `figure` gives."""
        shown = Text(figure_of(figure, self), sizing_mode="stretch_width")
        for name in _depends_on(figure):
            self.param.watch(lambda _: setattr(shown, "object", figure_of(figure, self)), name)
        return shown

    def row(self, *panes: pn.viewable.Viewable) -> pn.viewable.Viewable:
        """Panes side by side."""
        return pn.Row(*panes, sizing_mode="stretch_width")

    # ---- how it is shown --------------------------------------------------------------------------------------

    def controls(self) -> list[pn.viewable.Viewable]:
        """Panel widgets of the parameters in `turns`."""
        return [panel_control(self, name) for name in self.turns]

    def shown(self) -> pn.viewable.Viewable:
        """The body, made once: all frames show the same figures."""
        if self._body is None:
            self._body = self.body()
        return self._body

    def __panel__(self) -> pn.viewable.Viewable:
        turns = [pn.FlexBox(*self.controls(), gap="0 8px")] if self.turns else []
        return pn.Column(
            pn.pane.HTML(self.heading(), sizing_mode="stretch_width"), self._told, *turns, self.shown(),
            sizing_mode="stretch_width", max_width=1100,
        )  # fmt: skip

    def widget(self) -> ipywidgets.VBox:
        """The view as real ipywidgets, linked to the same parameters."""
        told = ipywidgets.HTML(self._told.object)
        self._told.param.watch(lambda event: setattr(told, "value", event.new), "object")
        turns = ipywidgets.Box([control(self, name) for name in self.turns], layout=_WRAPPED)
        return ipywidgets.VBox(
            [
                ipywidgets.HTML(self.heading()),
                told,
                turns,
                pn.ipywidget(self.shown()),
            ]
        )

    # ---- inside -----------------------------------------------------------------------------------------------

    def _tell(self, event: Any) -> None:
        self._told.object = html.card("", "", html.error(event.new)) if event.new else ""

    def _guarded(self, figure: Callable[[], Any]) -> Callable[[], Any]:
        """`figure`, whose errors become a message on the view; it depends on what `figure` depends on."""

        def call(*_: Any) -> Any:
            try:
                made = figure()
            except WorkbenchError as error:
                self.problem = str(error)
                return pn.pane.HTML(html.card("", "", html.error(str(error))))
            self.problem = ""
            return made

        return pn.bind(call, *(self.param[name] for name in _depends_on(figure)))

    def _guarded_map(self, figure: Callable[[], Any]) -> Callable[[], Any]:
        """As `_guarded`; a figure that fails keeps what it showed last."""
        last: list[Any] = []

        def call(*_: Any) -> Any:
            try:
                last[:] = [figure()]
                self.problem = ""
            except WorkbenchError as error:
                if not last:
                    raise
                self.problem = str(error)
            return last[0]

        return pn.bind(call, *(self.param[name] for name in _depends_on(figure)))


_WRAPPED = ipywidgets.Layout(display="flex", flex_flow="row wrap", width="100%")


def figure_of(figure: Callable[[], str], view: StageView) -> str:
    """The HTML of a text figure, or the message of its error."""
    try:
        return figure()
    except WorkbenchError as error:
        return html.card("", "", html.error(str(error), getattr(error, "__notes__", [])))


def panel_control(view: param.Parameterized, name: str, **options: Any) -> pn.viewable.Viewable:
    """The Panel widget of parameter `name`, with its help as a tooltip."""
    p = view.param[name]
    few = isinstance(p, param.Selector) and not isinstance(p, param.ListSelector) and len(p.objects) <= 4
    kind: Any = pn.widgets.RadioButtonGroup if few else None
    widget = kind.from_param(p, **options) if kind else pn.Param(view.param, parameters=[name], show_name=False)[0]
    if few:
        return pn.Column(pn.pane.HTML(html.caption(p.label)), widget, margin=(0, 10))
    return widget


def _depends_on(figure: Callable[[], Any]) -> Sequence[str]:
    """Names of the parameters in the figure's ``@param.depends``."""
    inner = figure.func if isinstance(figure, functools.partial) else figure
    return tuple(getattr(inner, "_dinfo", {}).get("dependencies", ()))
