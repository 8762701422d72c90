"""Figures that are fed: only what changed is sent, to every page that shows them."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest
from bokeh.document import Document
from bokeh.document.events import ColumnDataChangedEvent, ColumnsPatchedEvent, ColumnsStreamedEvent
from pyviz_comms import Comm

from workbench.core.errors import DataError
from workbench.widgets.hot import Columns, Line, Told, side_by_side, steps, titled


def events_of(source: Any) -> list[Any]:
    """What a page would be sent from now on."""
    sent: list[Any] = []
    document = Document()
    document.add_root(source)
    document.on_change(sent.append)
    return sent


def test_only_columns_that_changed_are_sent() -> None:
    columns = Columns(name=["a", "b"], x=np.array([1.0, np.nan]), y=np.array([3.0, 4.0]))
    source = columns.source()
    sent = events_of(source)
    assert columns.put(name=["a", "b"], x=np.array([1.0, np.nan]), y=np.array([3.0, 5.0])) == ("y",)
    (event,) = sent
    assert isinstance(event, ColumnsPatchedEvent)
    assert list(event.patches) == ["y"]
    assert source.data["y"].tolist() == [3.0, 5.0]
    assert columns.put(y=np.array([3.0, 5.0])) == ()
    assert len(sent) == 1


def test_rows_are_streamed_and_the_oldest_go() -> None:
    columns = Columns(keep=3, at=[1, 2], v=[10, 20])
    sources = [columns.source(), columns.source()]
    sent = events_of(sources[0])
    columns.stream(at=[3, 4], v=[30, 40])
    assert [type(e) for e in sent] == [ColumnsStreamedEvent]
    assert columns.data == {"at": [2, 3, 4], "v": [20, 30, 40]}
    assert [list(s.data["v"]) for s in sources] == [[20, 30, 40]] * 2
    assert list(columns.source().data["at"]) == [2, 3, 4]  # a page that opens later


def test_another_length_replaces_all_columns_at_once() -> None:
    columns = Columns(x=[1], y=[2])
    source = columns.source()
    sent = events_of(source)
    columns.put(x=[1, 2], y=[3, 4])
    assert dict(source.data) == {"x": [1, 2], "y": [3, 4]}
    assert len([e for e in sent if isinstance(e, ColumnDataChangedEvent) or getattr(e, "attr", "") == "data"]) == 1
    with pytest.raises(DataError, match=r"of another length than 2 replace all of x, y; given: \{'x': 1\}"):
        columns.put(x=[1])


def test_what_a_page_does_to_its_source_changes_no_other() -> None:
    columns = Columns(x=np.array([1.0, 2.0]))
    source = columns.source()
    source.data["x"][0] = 99.0
    assert columns.data["x"][0] == 1.0
    assert columns.source().data["x"][0] == 1.0


def test_sources_that_nobody_shows_are_forgotten() -> None:
    columns = Columns(x=[1])
    columns.source()
    gc.collect()
    assert len(columns._sources) == 0


def test_a_figure_is_drawn_anew_for_every_page_and_all_are_fed() -> None:
    columns = Columns(keep=10, at=[0.0, 1000.0], v=[1.0, 2.0])
    plot = steps(columns, [Line("v", "value", "#000000")], "USD")
    first, second = (plot.get_root(Document()).children[0] for _ in range(2))
    assert first is not second
    columns.stream(at=[2000.0], v=[3.0])
    for root in (first, second):
        (drawn,) = root.renderers
        assert list(drawn.data_source.data["v"]) == [1.0, 2.0, 3.0]
        assert root.background_fill_alpha == 0.0
        assert root.toolbar.logo is None


def test_in_a_notebook_changes_are_sent_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pushed: list[Any] = []
    monkeypatch.setattr("panel.io.notebook.push", lambda document, comm: pushed.append(document))
    columns = Columns(keep=10, at=[0.0], v=[1.0])
    plot, document = steps(columns, [Line("v", "value", "#000000")], "USD"), Document()
    plot.push()
    assert pushed == []
    plot.get_root(document, Comm())
    plot.push()
    assert pushed == [document]


def test_text_is_set_only_when_it_is_news() -> None:
    told = Told()
    seen: list[str] = []
    told.param.watch(lambda e: seen.append(e.new), "object")
    assert told.tell("<p>a</p>")
    assert not told.tell("<p>a</p>")
    assert told.tell("")
    assert seen == ['<div class="wb"><p>a</p></div>', ""]


def test_a_caption_is_a_heading_and_panes_wrap() -> None:
    told = Told()
    assert 'role="heading"' in titled("Gates & more", told)[0].object
    assert "Gates &amp; more" in titled("Gates & more", told)[0].object
    assert side_by_side(told, told).styles["flex-wrap"] == "wrap"
