"""Writing to the journal, or to a fallback while the journal refuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from workbench.journal import Journal, JournalError


class Recorder:
    """`down`: the journal refused the last record. Without a `fallback` that refusal goes up to the caller."""

    def __init__(self, journal: Journal, fallback: Journal | None) -> None:
        self.journal, self.fallback = journal, fallback
        self.down = False

    def record(self, kind: str, now: int, payload: Mapping[str, Any], *, spare: bool = True) -> None:
        """Append one record; :class:`JournalError` if neither journal nor fallback takes it.

        The fallback is asked only for what may go on without the journal (`spare`).
        """
        try:
            self.journal.record(kind, now, payload)
            self.down = False
        except JournalError:
            self.down = True
            if self.fallback is None or not spare:
                raise
            self.fallback.record(kind, now, payload)
