"""Which stages decide in which sessions, and the refusal of stages that knew too much."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from workbench.core.calendar import exchange_sessions, iso_date, iso_time
from workbench.core.errors import DataError, ProvenanceError
from workbench.core.types import Snapshot


class Tranche(Protocol):
    """Stages that decide from `first_session` to `last_session` (days since 1970, both included).

    `fitted_until` UTC ns: the last moment of which anything inside `stages` knew.
    """

    @property
    def first_session(self) -> int: ...

    @property
    def last_session(self) -> int: ...

    @property
    def stages(self) -> Any: ...

    @property
    def fitted_until(self) -> int: ...


def check_schedule(schedule: Sequence[Tranche], embargo_sessions: int) -> None:
    """:class:`DataError` unless tranches are in order and apart; :class:`ProvenanceError` unless each is clean.

    Clean: at least `embargo_sessions` whole exchange sessions lie between `fitted_until` and the first session.
    """
    if not schedule:
        raise DataError("the schedule is empty: no segment could be fitted; give more sessions or fewer segments")
    for before, after in pairwise(schedule):
        if after.first_session <= before.last_session:
            raise DataError(
                f"tranche from {iso_date(after.first_session)} starts before the one before it ends "
                f"({iso_date(before.last_session)}); sort them and cut them apart"
            )
    for tranche in schedule:
        _check_one(tranche, embargo_sessions)


def whole_sessions_between(fitted_until: int, first_session: int) -> int:
    """Exchange sessions that open at or after `fitted_until` and come before `first_session`."""
    every = exchange_sessions()
    return int(np.count_nonzero((every.open_ns >= fitted_until) & (every.date < first_session)))


def _check_one(tranche: Tranche, embargo_sessions: int) -> None:
    if tranche.last_session < tranche.first_session:
        first, last = iso_date(tranche.first_session), iso_date(tranche.last_session)
        raise DataError(f"a tranche ends ({last}) before it starts ({first})")
    apart = whole_sessions_between(tranche.fitted_until, tranche.first_session)
    if apart < embargo_sessions:
        raise ProvenanceError(
            f"stages fitted until {iso_time(tranche.fitted_until)} may not trade from "
            f"{iso_date(tranche.first_session)}: {apart} whole sessions lie between, the embargo is "
            f"{embargo_sessions}; start later or fit on less"
        )


class ScheduledStages:
    """The stages in force at a snapshot: those of the tranche that covers its session."""

    def __init__(self, schedule: Sequence[Tranche]) -> None:
        self._schedule = tuple(schedule)
        self._first = np.array([t.first_session for t in self._schedule])

    def __call__(self, snapshot: Snapshot) -> Any:
        return self.tranche(snapshot.session).stages

    def tranche(self, session: int) -> Tranche:
        """The tranche that covers `session`; :class:`DataError` if none does."""
        at = int(np.searchsorted(self._first, session, side="right")) - 1
        if at < 0 or session > self._schedule[at].last_session:
            raise DataError(f"no tranche of the schedule covers {iso_date(session)}")
        return self._schedule[at]

    def covers(self, sessions: np.ndarray) -> np.ndarray:
        """(T,) bool: whether some tranche covers each session number."""
        last = np.array([t.last_session for t in self._schedule])
        at = np.searchsorted(self._first, sessions, side="right") - 1
        return (at >= 0) & (sessions <= last[np.maximum(at, 0)])
