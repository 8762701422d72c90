"""The nine forecast horizons, in *trading* minutes. The only horizon list in the project."""

from __future__ import annotations

from dataclasses import dataclass

from workbench.core.errors import ConfigError, nearest_name
from workbench.core.units import BAR_MINUTES, SESSION_MINUTES


@dataclass(frozen=True, slots=True, order=True)
class Horizon:
    """A forecast horizon.

    ``order`` is its row in every (H, N) array; ``minutes`` are trading minutes, so that ``1d`` is 390 and an
    overnight gap adds none.

    >>> horizon("1d").minutes, horizon("1d").is_day, horizon("30m").bars
    (390, True, 6)
    """

    order: int
    label: str
    minutes: int

    @property
    def is_day(self) -> bool:
        """Whether the horizon is of one session or more: it learns from daily bars and may be held overnight."""
        return self.minutes >= SESSION_MINUTES

    @property
    def bars(self) -> int:
        """Length in decision bars of 5 minutes."""
        return self.minutes // BAR_MINUTES

    @property
    def days(self) -> int:
        """Length in whole sessions; 0 for an intraday horizon."""
        return self.minutes // SESSION_MINUTES

    def __str__(self) -> str:
        return self.label


_MINUTES = {"5m": 5, "10m": 10, "15m": 15, "30m": 30, "60m": 60, "120m": 120, "1d": 390, "5d": 1950, "20d": 7800}

HORIZONS: tuple[Horizon, ...] = tuple(Horizon(i, label, m) for i, (label, m) in enumerate(_MINUTES.items()))
INTRADAY_HORIZONS: tuple[Horizon, ...] = tuple(h for h in HORIZONS if not h.is_day)
DAY_HORIZONS: tuple[Horizon, ...] = tuple(h for h in HORIZONS if h.is_day)
N_HORIZONS = len(HORIZONS)


def horizon(label: str) -> Horizon:
    """The horizon named `label`; :class:`ConfigError` if there is none.

    >>> horizon("5m")
    Horizon(order=0, label='5m', minutes=5)
    """
    for h in HORIZONS:
        if h.label == label:
            return h
    known = ", ".join(_MINUTES)
    raise ConfigError(f"horizon {label!r} is unknown: choose from {known}.{nearest_name(label, _MINUTES)}")
