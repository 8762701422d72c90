"""What a session is allowed to do. Every transition has a reason and is journaled by the session."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from workbench.core.types import Breach


class Mode(StrEnum):
    """From the least to the most drastic: LIVE, DEGRADED, OBSERVE, EMERGENCY."""

    LIVE = "LIVE"
    DEGRADED = "DEGRADED"
    """Only orders that shrink a position."""
    OBSERVE = "OBSERVE"
    """Decides and journals, sends nothing; open orders are cancelled."""
    EMERGENCY = "EMERGENCY"
    """Cancels everything and flattens; outside the session the flattening waits for the open."""


SENDING = frozenset({Mode.LIVE, Mode.DEGRADED, Mode.EMERGENCY})
STICKY = frozenset({Mode.OBSERVE, Mode.EMERGENCY})
"""Modes that only a person ends."""

# what a breach of the whole book asks for -> mode; other actions ("freeze", "scale") change no mode
ACTION_MODE: dict[str, Mode] = {"reduce_only": Mode.DEGRADED, "halt": Mode.OBSERVE, "flatten": Mode.EMERGENCY}
_SEVERITY = tuple(Mode)


@dataclass(frozen=True, slots=True)
class Transition:
    """The mode to be in from now on, and why."""

    mode: Mode
    reason: str


def after_breaches(now: Mode, breaches: Iterable[Breach]) -> Transition:
    """The mode after a decision with `breaches`: that of the worst breach of the whole book (`symbol` empty).

    Without one, DEGRADED returns to LIVE; OBSERVE and EMERGENCY stay until a person ends them, whatever happens: who
    only watches must never start to trade by itself.

    >>> after_breaches(Mode.LIVE, [Breach("drawdown", "", 0.25, 0.2, "reduce_only")]).mode
    <Mode.DEGRADED: 'DEGRADED'>
    >>> after_breaches(Mode.DEGRADED, []).mode
    <Mode.LIVE: 'LIVE'>
    """
    if now in STICKY:
        return Transition(now, "stays until a person ends it")
    whole = [b for b in breaches if not b.symbol and b.action in ACTION_MODE]
    worst = max(whole, key=lambda b: _SEVERITY.index(ACTION_MODE[b.action]), default=None)
    wanted = Mode.LIVE if worst is None else ACTION_MODE[worst.action]
    if worst is None:
        return Transition(wanted, "no limit of the book is breached")
    return Transition(wanted, f"{worst.rule} {worst.value:.6g} passed its bound {worst.bound:.6g}")
