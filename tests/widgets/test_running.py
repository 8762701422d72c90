"""Long work in a notebook: it reports, it can be cancelled, and its errors come through."""

from __future__ import annotations

import asyncio
import threading

import pytest

from workbench.core.errors import DataError
from workbench.progress import progress
from workbench.widgets import running


@pytest.fixture
def shown(monkeypatch):
    """Every progress that is displayed."""
    out: list[running.Progress] = []

    class Kept(running.Progress):
        def __init__(self, what):
            super().__init__(what)
            out.append(self)

    monkeypatch.setattr(running, "Progress", Kept)
    monkeypatch.setattr(running, "display", lambda widget: None)
    return out


def counting(n: int, wait: threading.Event | None = None) -> int:
    with progress("counting") as report:
        for i in range(n):
            report(i + 1, n, "things")
            if wait is not None:
                wait.wait(0.05)
    return n


def test_the_result_comes_back_and_the_bar_is_full(shown):
    assert asyncio.run(running.run(counting, 4)) == 4
    (bar,) = shown
    assert (bar.bar.value, bar.bar.max, bar.bar.bar_style) == (4, 4, "success")
    assert bar.label.value.startswith("done after")
    assert "counting" in bar.log.value


def test_cancel_stops_the_work_and_says_so(shown):
    never = threading.Event()

    async def press() -> None:
        while not shown or shown[0]._now[1] < 2:
            await asyncio.sleep(0.01)
        shown[0].button.click()

    async def both() -> None:
        pressing = asyncio.ensure_future(press())
        try:
            await running.run(counting, 1_000_000, never)
        finally:
            await pressing

    with pytest.raises(KeyboardInterrupt, match="run the cell again"):
        asyncio.run(both())
    assert shown[0].label.value.startswith("cancelled after")
    assert shown[0]._now[1] < 1_000_000


def test_an_error_comes_through(shown):
    def bad() -> None:
        raise DataError("no bars; import some")

    with pytest.raises(DataError, match="import some"):
        asyncio.run(running.run(bad))
    assert shown[0].bar.bar_style == "warning"


def test_progress_outside_a_notebook_is_printed_if_it_was_long(capsys, monkeypatch):
    assert counting(2) == 2
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("workbench.progress.LONG_S", 0.0)
    assert counting(2) == 2
    assert "counting:" in capsys.readouterr().err
