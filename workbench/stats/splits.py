"""Purged, embargoed walk-forward segments, weights of overlapping labels, thinning of rows: pure functions.

One expanding pass. The sessions after `initial_fraction` are cut into K contiguous segments; a model that predicts
segment k is fitted only on labels that matured *strictly before* the segment's cutoff::

    cutoff_k = open of session (known_k - embargo_sessions)

with known_k the session in which the segment's first row becomes known: the segment's first session for intraday rows,
the session before it for day rows (their features are known at the close of the session before). The purge of one
label length is part of it: a label counts by when it matured, not by when it began.

Sources: M. Lopez de Prado, *Advances in Financial Machine Learning* (2018), sections 4.4 (average uniqueness) and 7.4
(purging and embargo).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, IntArray
from workbench.core.calendar import Sessions
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_DAY

EARLY_SEGMENTS = (4, 6)
"""Least and most day segments over the daily history before the first intraday segment; between: one less than K."""

MIN_EARLY_SESSIONS = 20
"""An early day segment shorter than this is not worth a refit."""

MIN_LEAD_SESSIONS = 3
"""So is a part before the first segment shorter than this."""


@dataclass(frozen=True, slots=True)
class Segment:
    """Sessions `first` to `last` (days since 1970, both included), predicted by models that know labels < `cutoff_ns`.

    `number` is 1..K for the intraday segments; the day axis adds earlier ones numbered 0, -1, ..., so that equal
    numbers mean the same sessions on both axes.
    """

    number: int
    first: int
    last: int
    cutoff_ns: int

    def holds(self, session: IntArray) -> BoolArray:
        """Which of `session` (R,) lie in the segment."""
        return (session >= self.first) & (session <= self.last)


def embargo_ns(embargo_sessions: int) -> int:
    """The embargo as a length of time: whole days, which every cutoff of this module keeps.

    >>> embargo_ns(1)
    86400000000000
    """
    return embargo_sessions * NS_PER_DAY


def walk_forward(
    sessions: Sessions, segments: int, initial_fraction: float, embargo_sessions: int
) -> tuple[Segment, ...]:
    """The intraday segments 1..K over `sessions`; :class:`DataError` when there are too few sessions for K.

    >>> from workbench.core.calendar import sessions_between
    >>> [s.number for s in walk_forward(sessions_between("2025-01-02", "2025-03-31"), 3, 0.4, 1)]
    [1, 2, 3]
    """
    count = len(sessions)
    start = max(int(np.ceil(initial_fraction * count)), 1 + embargo_sessions)
    if count - start < segments:
        raise DataError(
            f"{count} sessions of bars leave {max(count - start, 0)} after the initial {start}, too few for {segments} "
            f"walk-forward segments; bring more sessions or lower training.segments or training.initial_fraction"
        )
    return _cut(sessions, start, count, segments, 1, embargo_sessions, known_before=0)


def day_walk_forward(
    sessions: Sessions, intraday: tuple[Segment, ...], initial_fraction: float, embargo_sessions: int
) -> tuple[Segment, ...]:
    """Segments of the day axis: the boundaries of `intraday`, and 4 to 6 earlier ones over the daily history before.

    `sessions` are those of the daily bars. A history too short for an earlier segment of 20 sessions gets none. A
    segment for which no session is old enough to have been learned from is left out.
    """
    lead = int(np.searchsorted(sessions.date, intraday[0].first))
    start = max(int(np.ceil(initial_fraction * len(sessions))), 2 + embargo_sessions)
    count = min(int(np.clip(len(intraday) - 1, *EARLY_SEGMENTS)), max(lead - start, 0) // MIN_EARLY_SESSIONS)
    early = _cut(sessions, start, lead, count, 1 - count, embargo_sessions, known_before=1) if count else ()
    late = []
    for segment in intraday:
        known = int(np.searchsorted(sessions.date, segment.first)) - 1
        if known >= embargo_sessions:
            cutoff = int(sessions.open_ns[known - embargo_sessions])
            late.append(Segment(segment.number, segment.first, segment.last, cutoff))
    return (*early, *late)


def lead_in(
    sessions: Sessions, first: Segment, count: int, embargo_sessions: int, *, is_day: bool
) -> tuple[Segment, ...]:
    """At most `count` parts over the second half of the sessions before segment `first`, numbered down from it.

    They are predicted like segments, by models that learned from what came before; none where they would be shorter
    than MIN_LEAD_SESSIONS.
    """
    stop = int(np.searchsorted(sessions.date, first.first))
    start = max((stop + 1) // 2, 2 + embargo_sessions)
    count = min(count, max(stop - start, 0) // MIN_LEAD_SESSIONS)
    known_before = 1 if is_day else 0
    return _cut(sessions, start, stop, count, first.number - count, embargo_sessions, known_before) if count else ()


def _cut(
    sessions: Sessions, start: int, stop: int, count: int, first_number: int, embargo_sessions: int, known_before: int
) -> tuple[Segment, ...]:
    bounds = np.linspace(start, stop, count + 1).astype(int)
    return tuple(
        Segment(
            number=first_number + i,
            first=int(sessions.date[a]),
            last=int(sessions.date[b - 1]),
            cutoff_ns=int(sessions.open_ns[a - known_before - embargo_sessions]),
        )
        for i, (a, b) in enumerate(pairwise(bounds))
    )


def average_uniqueness(exists: BoolArray, bars: int) -> FloatArray:
    """(T, N) weights of labels that each span the `bars` rows after their own; 0 where `exists` (T, N) is False.

    With c_s the number of labels of the symbol that span row s, the weight of label t is the mean of 1/c_s over its
    rows t+1..t+bars. A label of one bar overlaps nothing:

    >>> average_uniqueness(np.ones((3, 1), bool), 1).ravel().tolist()
    [1.0, 1.0, 1.0]
    >>> average_uniqueness(np.ones((3, 1), bool), 2).ravel().tolist()
    [0.75, 0.5, 0.75]
    """
    t, n = exists.shape
    started = np.zeros((t + 1, n), np.int64)
    np.cumsum(exists, axis=0, out=started[1:])
    rows = np.arange(t + bars)
    spanning = started[np.minimum(rows, t)] - started[np.clip(rows - bars, 0, t)]  # labels that span each row
    share = np.divide(1.0, spanning, out=np.zeros(spanning.shape), where=spanning > 0)
    total = np.zeros((t, n))
    for step in range(1, bars + 1):  # the rows spanned, one offset at a time: no cancellation
        total += share[step : step + t]
    return np.where(exists, total / bars, 0.0)


def thin(rows: int, cap: int) -> IntArray:
    """Indices of at most `cap` of `rows` time-ordered rows: one from each of `cap` equal strata, the last row kept.

    The place within a stratum follows the golden-ratio sequence, so that a regular step cannot resonate with the
    number of symbols and leave some of them out. Deterministic.

    >>> thin(4, 10).tolist(), thin(1000, 4).tolist()
    ([0, 1, 2, 3], [0, 404, 559, 999])
    """
    if rows <= cap:
        return np.arange(rows)
    bounds = np.arange(cap + 1) * rows // cap
    golden = (np.arange(cap) * 0.6180339887498949) % 1.0
    picked = bounds[:-1] + (golden * np.diff(bounds)).astype(np.int64)
    picked[-1] = rows - 1
    return picked
