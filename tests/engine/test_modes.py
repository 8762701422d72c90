"""Modes: what a person may ask for in each of them, and what waits for the open."""

from __future__ import annotations

import pytest

from workbench.core.errors import ConfigError
from workbench.core.types import Breach, Phase
from workbench.engine.modes import COMMANDS, Mode, after_breaches, after_command, waiting

LIVE, DEGRADED, OBSERVE, EMERGENCY = Mode.LIVE, Mode.DEGRADED, Mode.OBSERVE, Mode.EMERGENCY


@pytest.mark.parametrize(
    ("command", "modes", "cancels"),
    [  # the modes after the command in LIVE, DEGRADED, OBSERVE, EMERGENCY; None: refused
        ("observe", (OBSERVE, OBSERVE, OBSERVE, OBSERVE), False),
        ("halt", (OBSERVE, OBSERVE, OBSERVE, OBSERVE), True),
        ("flatten", (EMERGENCY, EMERGENCY, EMERGENCY, EMERGENCY), True),
        ("resume", (None, None, LIVE, LIVE), False),
    ],
)
def test_every_command_in_every_mode(command, modes, cancels) -> None:
    for now, then in zip((LIVE, DEGRADED, OBSERVE, EMERGENCY), modes):
        change = after_command(now, command)
        assert change.refused == (then is None)
        assert change.mode is (now if then is None else then)
        assert change.cancel_all == (cancels and then is not None)
        assert change.reason.startswith(f"{command} refused: " if then is None else f"{command} was asked")


def test_what_makes_a_system_safer_is_never_refused() -> None:
    for command in set(COMMANDS) - {"resume"}:
        assert not any(after_command(now, command).refused for now in Mode)


def test_unknown_commands_are_named() -> None:
    with pytest.raises(ConfigError, match="command 'flaten' is unknown: choose from flatten, halt, observe, resume"):
        after_command(LIVE, "flaten")


def test_breaches_that_stop_take_orders_back() -> None:
    def change(action):
        return after_breaches(LIVE, [Breach("max_drawdown", "", 0.25, 0.2, action)])

    assert [change(a).cancel_all for a in ("reduce_only", "halt", "flatten")] == [False, True, True]
    assert change("flatten").reason == "max_drawdown 0.25 passed its bound 0.2"
    assert not after_breaches(OBSERVE, []).cancel_all


def test_flattening_outside_the_session_waits_and_says_so() -> None:
    assert waiting(EMERGENCY, Phase.CLOSED) == "the exchange is closed: flattening is queued for the next open"
    assert waiting(LIVE, Phase.CLOSED) == "the exchange is closed: orders wait for the next open"
    assert waiting(OBSERVE, Phase.CLOSED) == waiting(EMERGENCY, Phase.OPEN) == waiting(LIVE, Phase.CLOSING) == ""
