"""The frame: who is refused sees no page being built, and a page that fails says why."""

from __future__ import annotations

import panel as pn
import pytest

from workbench.core.errors import DataError
from workbench.dash import frame
from workbench.dash.access import Person, Refusal
from workbench.dash.settings import DashSettings


@pytest.fixture
def shown(monkeypatch):
    """A function: HTML of the page for who is `admitted`, its body built by `page`."""

    def show(admitted, page) -> str:
        monkeypatch.setattr(frame, "admit", lambda _: admitted)
        monkeypatch.setattr(frame, "load", lambda _: page)
        main = frame.application("live", DashSettings())()._render_items["main"][0]
        return main.object

    return show


def test_nothing_is_built_for_who_is_refused(shown):
    built = []
    text = shown(Refusal("reason <b>", "do `this & that`"), lambda *told: built.append(told))
    assert built == []
    assert "reason &lt;b&gt;" in text
    assert "<code>this &amp; that</code>" in text


def test_a_page_is_built_for_the_person_who_looks(shown):
    person = Person("ann", "operator", "1")
    assert shown(person, lambda _, who: pn.pane.HTML(f"for {who.name}")) == "for ann"


def test_a_page_that_fails_says_why_and_how_to_help(shown):
    def fail(*_: object) -> None:
        error = DataError("runs/live is no folder; name another")
        error.add_note("and a note")
        raise error

    text = shown(Person("ann", "viewer"), fail)
    assert "runs/live is no folder; name another" in text
    assert "and a note" in text


def test_an_error_that_is_not_ours_is_told_to_the_log_alone(shown, caplog):
    def fail(*_: object) -> None:
        raise KeyError("secret detail")

    text = shown(Person("ann", "viewer"), fail)
    assert "This page failed; the server&#x27;s log says why." in text
    assert "secret detail" not in text
    assert any(record.exc_info and "secret detail" in str(record.exc_info[1]) for record in caplog.records)


def test_every_page_has_an_address_and_a_place():
    assert list(frame.PAGES) == ["live", "research", "execution"]
    assert frame.PAGES["live"] == "workbench.dash.live_page:page"
