"""Progress of long work, on standard error: a bar in a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

Report = Callable[[int, int, str], None]
"""`report(done, total, text)`: what every long function calls as it goes."""

Listener = Callable[[str], AbstractContextManager[Report]]
"""Shows one titled piece of work somewhere else than on standard error."""

LONG_S = 2.0
"""Work that took less is not worth a line."""
QUIET_SECONDS = 5.0

_listener: ContextVar[Listener | None] = ContextVar("progress listener", default=None)


class Cancelled(BaseException):
    """Work was cancelled by a person; raised out of a report, like KeyboardInterrupt, and caught by nobody below."""


@contextmanager
def shown_by(listener: Listener) -> Iterator[None]:
    """Show the progress of everything inside by `listener`; a notebook does this."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """A check that raises KeyboardInterrupt if Ctrl-C was pressed inside, also where a library has swallowed it.

    An exception inside a callback that C code makes is printed and lost. In other threads than the main one the check
    does nothing: signals do not reach them.
    """
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield lambda: None
        return

    def note(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        before(number, frame)

    def check() -> None:
        if pressed:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def progress(title: str) -> Iterator[Report]:
    """A reporter for one piece of work named `title`; says at the end how long it took, if it was long.

    >>> with progress("counting") as report:
    ...     report(1, 2, "one")
    """
    if (listener := _listener.get()) is not None:
        with listener(title) as report:
            yield report
        return
    start = time.monotonic()
    with _bar(title) if sys.stderr.isatty() else _lines(title) as report:
        yield report
    if (took := time.monotonic() - start) >= LONG_S:
        print(f"  {title}: {took:.1f} s", file=sys.stderr, flush=True)


@contextmanager
def _bar(title: str) -> Iterator[Report]:
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, text="")
        yield lambda done, total, text: bar.update(task, completed=done, total=total, text=text)


@contextmanager
def _lines(title: str) -> Iterator[Report]:
    last = time.monotonic()

    def report(done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= QUIET_SECONDS:
            last = time.monotonic()
            print(f"  {title}: {done} of {total} {text}", file=sys.stderr, flush=True)

    yield report
