"""The papermill engine "workbench": it stops cleanly, tells how far it is, and keeps what a stopped notebook had.

papermill's own engine leaves the kernel without a word when it is stopped. Here a stop interrupts the running cell,
waits for `grace_s` and then kills the kernel with what it started: the cells that ran are saved with their outputs
either way.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines

NAME = "workbench"
IOPUB_S = 300
"""Seconds that outputs may trail a cell: with nbclient's 4 s a cell that printed much fails after it has finished."""
START_S = 120


class Stopper:
    """Stops the kernel that runs, once; from any thread or signal handler.

    >>> stopper = Stopper(); stopper.stop("asked for"); stopper.stop("again"); stopper.why
    'asked for'
    """

    def __init__(self, grace_s: float = 10.0) -> None:
        self.why, self.grace_s = "", grace_s
        self._kernel = 0  # pid
        self._lock = threading.RLock()

    def runs(self, kernel: int) -> None:
        """The kernel that a stop is for from now on; 0: none."""
        with self._lock:
            self._kernel = kernel
            if kernel and self.why:
                self._interrupt(kernel)

    def stop(self, why: str) -> None:
        """Interrupt the cell that runs; its kernel is killed if it has not ended after `grace_s`."""
        with self._lock:
            if self.why:
                return
            self.why = why
            if self._kernel:
                self._interrupt(self._kernel)

    def _interrupt(self, kernel: int) -> None:
        _send(kernel, signal.SIGINT)
        killer = threading.Timer(self.grace_s, self._kill, (kernel,))
        killer.daemon = True
        killer.start()

    def _kill(self, kernel: int) -> None:
        with self._lock:
            if self._kernel == kernel:
                _send_all(kernel, signal.SIGKILL)


class NotebookEngine(NBClientEngine):
    """Registered with papermill under NAME."""

    @classmethod
    def execute_managed_notebook(
        cls, nb_man: Any, kernel_name: str, *, stopper: Stopper, told: Callable[[int, int], None], **options: Any
    ) -> Any:
        """Run the cells; `told(done, of)` before each code cell and at the end."""
        kept = ("log_output", "stdout_file", "stderr_file")
        client = _Client(
            nb_man, stopper, told, kernel_name=kernel_name, startup_timeout=START_S, timeout=None,
            iopub_timeout=IOPUB_S, **{k: options[k] for k in kept if k in options},
        )  # fmt: skip
        return client.execute()


class _Client(PapermillNotebookClient):
    """Asks before each cell whether it is to stop, and lets the stopper know its kernel."""

    def __init__(self, nb_man: Any, stopper: Stopper, told: Callable[[int, int], None], **options: Any) -> None:
        super().__init__(nb_man, **options)
        self._stopper, self._told = stopper, told

    def papermill_execute_cells(self) -> None:
        assert self.km is not None
        self._stopper.runs(self.km.provisioner.pid)
        cells = [i for i, c in enumerate(self.nb.cells) if c.cell_type == "code"]
        try:
            for number, index in enumerate(cells):
                self._told(number, len(cells))
                if not self._run_cell(index):
                    return
            self._told(len(cells), len(cells))
        finally:
            self._stopper.runs(0)

    def _run_cell(self, index: int) -> bool:
        """Whether to go on after the cell; a failed one keeps its traceback, a dead kernel what had come."""
        cell = self.nb.cells[index]
        if self._stopper.why:
            return False
        self.nb_man.cell_start(cell, index)
        try:
            self.execute_cell(cell, index)
        except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
            self.nb_man.cell_exception(cell, cell_index=index, exception=error)
            if isinstance(error, DeadKernelError):
                raise
            return False
        finally:
            self.nb_man.cell_complete(cell, cell_index=index)
        return True


def register() -> None:
    """Let papermill know the engine."""
    papermill_engines.register(NAME, NotebookEngine)


def _send_all(pid: int, what: signal.Signals) -> None:
    """To the process and what it started, which shares its group; an engine has a session of its own."""
    with contextlib.suppress(ProcessLookupError):
        if os.getpgid(pid) == pid:
            os.killpg(pid, what)
        else:
            os.kill(pid, what)


def _send(pid: int, what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, what)
