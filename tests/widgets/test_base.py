"""The base of all views: one state behind Panel widgets and ipywidgets, figures that follow it, errors as messages."""

from __future__ import annotations

import holoviews as hv
import ipywidgets
import panel as pn
import param
import pytest
from bokeh.models import ColumnDataSource

from workbench.core.errors import DataError
from workbench.widgets import html
from workbench.widgets.base import StageView


class Example(StageView):
    title = "Example"
    turns = ("slope", "steps", "side", "horizon", "on", "kept", "word", "reset")

    slope = param.Number(0.5, bounds=(0, 2), label="slope", doc="steepness of the line")
    steps = param.Integer(3, bounds=(2, 9), label="steps")
    side = param.Selector(objects=["long", "short"], default="long", label="side")
    horizon = param.Selector(objects=["5m", "10m", "15m", "30m", "60m"], default="5m", label="horizon")
    on = param.Boolean(True, label="on")
    kept = param.ListSelector(objects=["a", "b", "c"], default=["a", "b"], label="models kept")
    word = param.String("x", label="word")
    reset = param.Event(label="Reset", doc="back to the start")

    def __init__(self, **params):
        super().__init__(**params)
        self.drawn = 0

    @param.depends("slope", "steps")
    def line(self):
        self.drawn += 1
        if self.slope > 1.5:
            raise DataError(f"slope {self.slope} is above 1.5; turn it down")
        return hv.Curve([(x, self.slope * x) for x in range(self.steps)], "x", "y")

    @param.depends("side")
    def told(self):
        return html.card("side", self.side)

    @param.depends("reset", watch=True)
    def _back(self):
        self.slope = 0.5

    def body(self):
        return pn.Column(self.plot(self.line, "a line"), self.text(self.told))


@pytest.fixture
def example():
    return Example()


def turned(view: Example) -> dict[str, ipywidgets.Widget]:
    return dict(zip(view.turns, view.widget().children[2].children, strict=True))


def test_the_widget_is_made_of_real_ipywidgets(example):
    kinds = {name: type(widget).__name__ for name, widget in turned(example).items()}
    assert kinds == {
        "slope": "FloatSlider", "steps": "IntSlider", "side": "ToggleButtons", "horizon": "Dropdown",
        "on": "Checkbox", "kept": "SelectMultiple", "word": "Text", "reset": "Button",
    }  # fmt: skip


def test_a_slider_moves_the_state_and_the_state_moves_the_slider(example):
    widgets = turned(example)
    widgets["slope"].value = 1.25
    assert example.slope == 1.25
    example.slope = 0.75
    assert widgets["slope"].value == 0.75
    widgets["kept"].value = ("c",)
    assert example.kept == ["c"]
    example.side = "short"
    assert widgets["side"].value == "short"


def test_a_button_triggers_its_event(example):
    widgets = turned(example)
    example.slope = 1.25
    widgets["reset"].click()
    assert example.slope == 0.5
    assert widgets["slope"].value == 0.5


def test_labels_and_help_reach_the_widgets(example):
    slider = turned(example)["slope"]
    assert (slider.description, slider.tooltip) == ("slope", "steepness of the line")
    assert (slider.min, slider.max) == (0, 2)


def test_two_widgets_of_one_view_move_together(example):
    first, second = turned(example), turned(example)
    first["steps"].value = 7
    assert second["steps"].value == 7


def test_a_figure_is_drawn_again_only_when_what_it_depends_on_changes(example):
    shown = example.__panel__()
    shown.get_root()
    before = example.drawn
    example.side = "short"
    assert example.drawn == before
    example.slope = 0.25
    assert example.drawn == before + 1


def test_an_error_is_told_and_the_last_figure_stays(example):
    shown = example.__panel__()
    shown.get_root()
    example.slope = 1.75
    assert example.problem == "slope 1.75 is above 1.5; turn it down"
    assert "turn it down" in example._told.object
    example.slope = 1.0
    assert example.problem == ""
    assert "turn it down" not in example._told.object


def test_text_follows_the_state(example):
    shown = example.__panel__()
    texts = [p.object for p in shown.select(pn.pane.HTML)]
    assert any("long" in t for t in texts)
    example.side = "short"
    texts = [p.object for p in shown.select(pn.pane.HTML)]
    assert any("short" in t for t in texts)


def test_new_choices_reach_the_widget(example):
    widgets = turned(example)
    example.param["horizon"].objects = ["1d", "5d", "20d", "5m", "10m"]
    assert [value for _, value in widgets["horizon"].options] == ["1d", "5d", "20d", "5m", "10m"]


def test_a_parameter_without_a_widget_is_refused():
    class Odd(StageView):
        turns = ("thing",)
        thing = param.Parameter()

        def body(self):
            return pn.Column()

    with pytest.raises(TypeError, match="'thing' of Odd is a Parameter"):
        Odd().widget()


def test_a_second_frame_begins_with_what_is_true_now():
    class Two(Example):
        @param.depends("slope")
        def line(self):
            return hv.Curve([(0, 0), (1, self.slope)]) * hv.Curve([(0, 1), (1, 1)])

    view = Two()
    shown = view.plot(view.line, "two lines")
    shown.get_root()
    view.slope = 2.0
    ends = [s.data["y"][-1] for s in shown.get_root().select({"type": ColumnDataSource}) if "y" in s.data]
    assert 2.0 in ends
