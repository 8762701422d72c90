"""History from the broker into the store: in parts that the gateway answers, each stored before the next is asked for.

Limits of the gateway that matter for bars of a minute and longer: 50 requests at once (the connection keeps to 45), and
its word for it when it is asked too fast (162, pacing): then everything waits. Bars of 30 seconds and less, which have
limits of their own, are not offered.
"""

from __future__ import annotations

import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from workbench.core.calendar import exchange_sessions
from workbench.core.errors import DataError
from workbench.core.units import NS_PER_DAY, NS_PER_MINUTE, SESSION_MINUTES
from workbench.data.quality import check
from workbench.data.rows import replace_file
from workbench.data.store import FOLDERS, Store
from workbench.execution.ibkr.bars import BarRow
from workbench.execution.ibkr.codes import is_no_data, is_pacing
from workbench.execution.ibkr.errors import BrokerError, BrokerTimeout, NotConnected, RequestRefused

PART = {1: 5, 5: 21, 390: 252}
"""Minutes of a bar -> sessions asked for in one request."""

SETTLED_NS = 30 * NS_PER_MINUTE
"""A session is asked for when it has been over for so long: late prints are in."""

PACING_WAITS_S = (15.0, 30.0, 60.0, 120.0, 300.0, 300.0)
"""Waits, in turn, when the gateway says that it is asked too fast: it counts over ten minutes."""

RECONNECT_S = 120.0
_DURATION = re.compile(r"(\d+) ?([DWMY])")
_DAYS = {"D": 1, "W": 7, "M": 30.4375, "Y": 365.25}

Progress = Callable[[int, int, str], None]


class HistorySource(Protocol):
    """What gives bars."""

    @property
    def connected(self) -> bool:
        """Whether it can be asked."""
        ...

    def ask_bars(
        self, symbols: Sequence[str], interval_minutes: int, end: int, count: int
    ) -> tuple[dict[str, list[BarRow]], dict[str, BrokerError]]:
        """Bars, and errors, by symbol."""
        ...


@dataclass(slots=True)
class Downloaded:
    """What a download brought. `no_data`: symbol -> sessions of which the broker has nothing; `failed`: symbol -> why;
    `bad`: reason -> bars that cannot be right, which were not stored."""

    bars: int = 0
    sessions: int = 0
    known_before: int = 0
    no_data: Counter[str] = field(default_factory=Counter)
    failed: dict[str, str] = field(default_factory=dict)
    bad: Counter[str] = field(default_factory=Counter)


def calendar_days(duration: str) -> float:
    """Calendar days of a duration in IB's words; DataError if it is none.

    >>> calendar_days("6M"), calendar_days("2 W")
    (182.625, 14.0)
    """
    found = _DURATION.fullmatch(duration.strip().upper())
    if found is None or int(found[1]) == 0:
        raise DataError(f"duration {duration!r} is not like 10D, 2W, 6M or 1Y")
    return int(found[1]) * float(_DAYS[found[2]])


class Download:
    """Bars of `interval` minutes from `source` into `store`, under the name `origin`.

    What was asked for is noted in ``imports/ibkr_<interval>.json`` of the store when its bars are stored: an
    interrupted download goes on where it was, a later one asks for what is new. `sleep` waits (seconds).
    """

    def __init__(
        self, source: HistorySource, store: Store, interval: int, origin: str, *,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:  # fmt: skip
        if interval not in FOLDERS:
            raise DataError(f"--interval {interval}: bars of {', '.join(map(str, FOLDERS))} minutes can be stored")
        self.source, self.store, self.interval, self.origin, self.sleep = source, store, interval, origin, sleep
        self.record = store.root / "imports" / f"ibkr_{interval}.json"
        self.asked = _read_record(self.record)  # symbol -> sessions that were asked for
        self.outcome = Downloaded()

    def run(self, symbols: Sequence[str], duration: str, now: int, progress: Progress | None = None) -> Downloaded:
        """Ask for `duration` before `now` (UTC ns); only for sessions that are over and were not asked for yet."""
        self.store.origins_with(self.origin)  # refuses to mix with the embedded market before any work
        parts = list(self._parts(now - int(calendar_days(duration) * NS_PER_DAY), now))
        if not parts:
            raise DataError(f"no session of the exchange was over in the last {duration}; ask for more")
        for number, sessions in enumerate(parts):
            for (first, last), names in self._missing(symbols, sessions).items():
                if progress:
                    progress(number, len(parts), f"{len(names)} symbols, {last - first + 1} sessions")
                self._fetch(names, first, last)
        if progress:
            progress(len(parts), len(parts), "done")
        return self.outcome

    def _parts(self, first_ns: int, now: int) -> Iterator[range]:
        """Ranges of session numbers, cut at the same places whenever it is asked."""
        every, size = exchange_sessions(), PART[self.interval]
        first = int(np.searchsorted(every.open_ns, first_ns))
        stop = int(np.searchsorted(every.close_ns, now - SETTLED_NS, side="right"))
        for start in range(first // size * size, stop, size):
            yield range(max(start, first), min(start + size, stop))

    def _missing(self, symbols: Sequence[str], sessions: range) -> dict[tuple[int, int], list[str]]:
        """(first, last) session -> symbols that lack them."""
        found: dict[tuple[int, int], list[str]] = defaultdict(list)
        for symbol in dict.fromkeys(symbols):
            lacking = [s for s in sessions if s not in self.asked.get(symbol, ())]
            self.outcome.known_before += len(sessions) - len(lacking)
            if lacking and symbol not in self.outcome.failed:
                found[lacking[0], lacking[-1]].append(symbol)
        return found

    def _fetch(self, symbols: list[str], first: int, last: int) -> None:
        """One part, again after every pause that the gateway wants."""
        left = symbols
        for wait in (*PACING_WAITS_S, 0.0):
            found, errors = self.source.ask_bars(left, self.interval, *self._request(first, last))
            self._store(found, first, last)
            left = [s for s, error in errors.items() if self._again(s, error, first, last)]
            if not left:
                return
            self._wait(wait, any(isinstance(errors[s], NotConnected) for s in left))
        for symbol in left:
            self.outcome.failed[symbol] = str(errors[symbol])

    def _request(self, first: int, last: int) -> tuple[int, int]:
        """End, and number of bars, of sessions `first` to `last`."""
        every = exchange_sessions()
        minutes = (every.close_ns[first : last + 1] - every.open_ns[first : last + 1]) // NS_PER_MINUTE
        daily = self.interval == SESSION_MINUTES
        return int(every.close_ns[last]), last - first + 1 if daily else int(minutes.sum()) // self.interval

    def _again(self, symbol: str, error: BrokerError, first: int, last: int) -> bool:
        """Whether to ask once more; what is final is noted."""
        if isinstance(error, RequestRefused):
            if is_pacing(error.code, error.text):
                return True
            if is_no_data(error.code, error.text):
                self.outcome.no_data[symbol] += last - first + 1
                self._note([symbol], first, last)
                return False
        elif isinstance(error, NotConnected | BrokerTimeout):
            return True
        self.outcome.failed[symbol] = str(error)
        return False

    def _wait(self, seconds: float, disconnected: bool) -> None:
        if not disconnected:
            self.sleep(seconds)
            return
        for _ in range(int(RECONNECT_S)):
            if self.source.connected:
                return
            self.sleep(1.0)
        raise NotConnected(f"no connection for {RECONNECT_S:.0f} s; run it again: it goes on where it stopped")

    def _store(self, found: dict[str, list[BarRow]], first: int, last: int) -> None:
        """Bars first, then the note that they are there."""
        if not found:
            return
        rows = [(symbol, bar) for symbol, bars in found.items() for bar in bars]
        frame = pd.DataFrame({"symbol": [s for s, _ in rows], "ts": np.array([b.ts for _, b in rows], np.int64)})
        for name in ("open", "high", "low", "close", "volume"):
            frame[name] = np.array([getattr(b, name) for _, b in rows], float)
        checked = check(frame.assign(file=self.origin, row=np.arange(len(frame))), self.interval)
        self.outcome.bad.update(map(str, checked.quarantined["reason"]))
        clean = checked.clean.drop(columns=["file", "row"])
        if len(clean):
            self.store.write_rows(clean.assign(symbol=pd.Categorical(clean["symbol"])), self.interval, self.origin)
        self.outcome.bars += len(clean)
        self.outcome.sessions += len(found) * (last - first + 1)
        self._note(list(found), first, last)

    def _note(self, symbols: list[str], first: int, last: int) -> None:
        for symbol in symbols:
            self.asked.setdefault(symbol, set()).update(range(first, last + 1))
        told = {symbol: _ranges(sorted(sessions)) for symbol, sessions in sorted(self.asked.items())}
        self.record.parent.mkdir(parents=True, exist_ok=True)
        replace_file(self.record, json.dumps(told).encode())


def _ranges(numbers: list[int]) -> list[list[int]]:
    """Runs of consecutive numbers.

    >>> _ranges([1, 2, 3, 7])
    [[1, 3], [7, 7]]
    """
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return runs


def _read_record(path: Path) -> dict[str, set[int]]:
    if not path.is_file():
        return {}
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return {symbol: {n for a, b in runs for n in range(a, b + 1)} for symbol, runs in told.items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is damaged ({error}); delete it, and everything is asked for again") from None
