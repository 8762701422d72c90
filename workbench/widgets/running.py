"""Long work in a notebook: a progress bar and a button that cancels, while the kernel stays free for other widgets."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import ipywidgets
from IPython.display import display

from workbench.progress import Cancelled, Report, shown_by

T = TypeVar("T")
REFRESH_S = 0.1


class Progress:
    """What a running piece of work shows: its title, a bar, the time, and Cancel.

    The work reports from its own thread; the widgets are touched by the kernel's loop alone, in `refresh`.
    """

    def __init__(self, what: str) -> None:
        self.cancelled = threading.Event()
        self._began = time.monotonic()
        self._now: tuple[str, int, int, str] = (what, 0, 0, "")
        self._done: list[str] = []
        self.bar = ipywidgets.IntProgress(0, max=1, layout={"width": "260px"})
        self.label = ipywidgets.Label(what)
        self.button = ipywidgets.Button(description="Cancel", icon="stop", tooltip="Stop; the same cell goes on later")
        self.button.on_click(lambda _: self.cancelled.set())
        self.log = ipywidgets.HTML("")
        self.widget = ipywidgets.VBox([ipywidgets.HBox([self.bar, self.button, self.label]), self.log])

    @contextmanager
    def listen(self, title: str) -> Iterator[Report]:
        """A :data:`~workbench.progress.Listener`."""
        began = time.monotonic()

        def report(done: int, total: int, text: str) -> None:
            if self.cancelled.is_set():
                raise Cancelled
            self._now = (title, done, total, text)

        report(0, 0, "")
        yield report
        self._done.append(f"{title}: {time.monotonic() - began:.1f} s")

    def refresh(self) -> None:
        """Show how things stand; called by the kernel's loop."""
        title, done, total, text = self._now
        self.bar.max, self.bar.value = max(total, 1), done
        self.label.value = (
            f"{title} {f'{done} of {total} ' if total else ''}{text}  {time.monotonic() - self._began:.0f} s"
        )
        shown = " · ".join(self._done)
        if self.log.value != shown:
            self.log.value = shown

    def end(self, how: str) -> None:
        """The last state: `how` it ended."""
        self.refresh()
        self.button.layout.display = "none"
        self.bar.value = self.bar.max
        self.bar.bar_style = "success" if how == "done" else "warning"
        self.label.value = f"{how} after {time.monotonic() - self._began:.1f} s"


async def run(work: Callable[..., T], *args: Any, **options: Any) -> T:
    """``await run(steps.train, job)``: the result of ``work(*args, **options)``, with progress, and Cancel beside it.

    The work runs in a thread of its own; what was finished before a cancel is kept wherever `work` keeps it, and the
    same call goes on from there. KeyboardInterrupt says that it was cancelled.
    """
    shown = Progress(work.__name__.replace("_", " "))
    display(shown.widget)

    def listened() -> T:
        with shown_by(shown.listen):
            return work(*args, **options)

    task = asyncio.get_running_loop().run_in_executor(None, listened)
    how = "stopped by an error"
    try:
        while not task.done():
            await asyncio.wait([task], timeout=REFRESH_S)
            shown.refresh()
        result = task.result()
        how = "done"
        return result
    except (Cancelled, KeyboardInterrupt, asyncio.CancelledError):
        shown.cancelled.set()
        how = "cancelled"
        raise KeyboardInterrupt("cancelled; run the cell again to go on where it stopped") from None
    finally:
        shown.end(how)
