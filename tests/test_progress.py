"""Progress and Ctrl-C: an interrupt that a library swallows is not lost."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

import pytest

from workbench.progress import interruptible


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    threading.Event().wait(0.2)


def test_an_interrupt_that_was_swallowed_is_raised_at_the_next_check():
    before = signal.getsignal(signal.SIGINT)
    with interruptible() as check:
        check()
        with contextlib.suppress(KeyboardInterrupt):  # as a callback made by C code does
            press()
        with pytest.raises(KeyboardInterrupt):
            check()
    assert signal.getsignal(signal.SIGINT) is before


def test_an_interrupt_comes_through_at_once_where_nothing_swallows_it():
    with pytest.raises(KeyboardInterrupt), interruptible():
        press()


def test_beside_the_main_thread_it_does_nothing():
    told = []

    def work() -> None:
        with interruptible() as check:
            check()
            told.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == [True]
