"""What a session is allowed to do. Every transition has a reason and is journaled by the session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from workbench.core.errors import ConfigError, nearest_name
from workbench.core.types import Breach, Phase


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
    """The mode to be in from now on, and why.

    `cancel_all`: every open order is taken back at once, not only at the next step; `refused`: what was asked for is
    not done, `reason` says why.
    """

    mode: Mode
    reason: str
    cancel_all: bool = False
    refused: bool = False


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
    why = f"{worst.rule} {worst.value:.6g} passed its bound {worst.bound:.6g}"
    return Transition(wanted, why, cancel_all=wanted in STICKY)


@dataclass(frozen=True, slots=True)
class Command:
    """What a person asks for: the mode it leads to, and where it is not granted: mode -> why."""

    mode: Mode
    cancel_all: bool = False
    refused: Mapping[Mode, str] = field(default_factory=dict)


# name of a command -> what it does; what makes a system safer is granted in every mode, and twice
COMMANDS: dict[str, Command] = {
    "observe": Command(Mode.OBSERVE),
    "halt": Command(Mode.OBSERVE, cancel_all=True),
    "flatten": Command(Mode.EMERGENCY, cancel_all=True),
    "resume": Command(
        Mode.LIVE,
        refused={
            Mode.LIVE: "the system trades already",
            Mode.DEGRADED: "DEGRADED ends by itself once no limit of the book is breached",
        },
    ),
}


def after_command(now: Mode, command: str) -> Transition:
    """The mode after a person asked for `command`; :class:`ConfigError` if there is no such command.

    >>> after_command(Mode.LIVE, "halt")
    Transition(mode=<Mode.OBSERVE: 'OBSERVE'>, reason='halt was asked for', cancel_all=True, refused=False)
    >>> after_command(Mode.DEGRADED, "resume").reason
    'resume refused: DEGRADED ends by itself once no limit of the book is breached'
    """
    if command not in COMMANDS:
        known = ", ".join(sorted(COMMANDS))
        raise ConfigError(f"command {command!r} is unknown: choose from {known}.{nearest_name(command, COMMANDS)}")
    asked = COMMANDS[command]
    if now in asked.refused:
        return Transition(now, f"{command} refused: {asked.refused[now]}", refused=True)
    return Transition(asked.mode, f"{command} was asked for", cancel_all=asked.cancel_all)


def waiting(now: Mode, phase: Phase) -> str:
    """What a sending mode waits for; empty where it acts at once.

    >>> waiting(Mode.EMERGENCY, Phase.CLOSED)
    'the exchange is closed: flattening is queued for the next open'
    """
    if phase is not Phase.CLOSED or now not in SENDING:
        return ""
    what = "flattening is queued for the next open" if now is Mode.EMERGENCY else "orders wait for the next open"
    return f"the exchange is closed: {what}"
