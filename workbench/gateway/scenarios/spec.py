"""What a scenario file may say: triggers, actions and their parameters, checked strictly when it is read.

A file is TOML, data only: `name`, `about` (what really happens at IBKR, and where it was seen), `expect` (what a
correct client must end with), and ``[[event]]`` tables: a trigger (`at` or `on`), an `action` and its parameters. All
times are simulated seconds.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from workbench.core.errors import ConfigError, nearest_name
from workbench.gateway.scenarios.actions import ACTIONS

TRIGGERS: dict[str, str] = {
    "connect": "a client has introduced itself",
    "disconnect": "a client has gone",
    "order_received": "a new order has been read, and not been looked at yet",
    "modify_received": "an open order's number has been read again",
    "cancel_received": "a request to cancel has been read",
    "order_accepted": "an order is told as Submitted, or as held for its trigger, for the first time",
    "fill": "a client was told an execution",
    "order_cancelled": "a client was told that an order is cancelled",
    "history_request": "historical bars were asked for",
    "market_data_request": "quotes, ticks or five-second bars were asked for",
    "executions_request": "the day's executions were asked for",
}
HEAD = ("name", "about", "expect")
PLAIN = ("at", "on", "nth", "symbol", "after", "action")


@dataclass(frozen=True, slots=True)
class Event:
    """One fault: `action` with `params`, `after` seconds from the trigger.

    The trigger is `at` (seconds after the gateway's start; -1: none) or the `nth` (0: every) time of `on`. `symbol`:
    only triggers of that symbol count, and an action about a symbol is about that one.
    """

    action: str
    at: float = -1.0
    on: str = ""
    nth: int = 1
    symbol: str = ""
    after: float = 0.0
    params: Mapping[str, Any] = field(default_factory=dict)


class Scenario(NamedTuple):
    """A named list of events, with what really happens and what a correct client must end with."""

    name: str
    about: str
    expect: str
    events: tuple[Event, ...]


def read(path: Path) -> Scenario:
    """The scenario of a TOML file; ConfigError names the file and what is wrong in it."""
    try:
        data = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"scenario file {path} does not exist") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"scenario file {path.name} is no TOML: {error}") from None
    return parse(data, path.name)


def parse(data: Mapping[str, Any], source: str) -> Scenario:
    """The scenario that `data` describes; `source` is named in errors."""
    _known(data, (*HEAD, "event"), source)
    for key in HEAD:
        if not isinstance(data.get(key), str) or not data[key].strip():
            raise ConfigError(f"{source}: {key!r} is missing or empty; write it as text")
    raw = data.get("event")
    if not isinstance(raw, list) or not raw:
        raise ConfigError(f"{source}: a scenario needs at least one [[event]]")
    events = tuple(_event(entry, f"{source}, event {i}") for i, entry in enumerate(raw, 1))
    return Scenario(data["name"], data["about"].strip(), data["expect"].strip(), events)


def _event(entry: Mapping[str, Any], source: str) -> Event:
    action = entry.get("action")
    if action not in ACTIONS:
        hint = nearest_name(str(action), ACTIONS)
        raise ConfigError(f"{source}: action {action!r} is unknown.{hint} Use one of {', '.join(sorted(ACTIONS))}")
    wanted = ACTIONS[action].params
    _known(entry, (*PLAIN, *wanted), source)
    params = {name: wanted[name].check(entry.get(name), f"{source}: {action}.{name}") for name in wanted}
    return Event(
        action,
        at=_number(entry, "at", -1.0, source),
        on=_trigger(entry, source),
        nth=int(_number(entry, "nth", 1, source)),
        symbol=_symbol(entry, source),
        after=_number(entry, "after", 0.0, source),
        params=params,
    )


def _trigger(entry: Mapping[str, Any], source: str) -> str:
    if ("at" in entry) == ("on" in entry):
        raise ConfigError(f"{source}: give either 'at' (seconds after the start) or 'on' (a trigger), not both or none")
    on = entry.get("on", "")
    if on and on not in TRIGGERS:
        raise ConfigError(f"{source}: trigger {on!r} is unknown.{nearest_name(str(on), TRIGGERS)}")
    if "at" in entry and "nth" in entry:
        raise ConfigError(f"{source}: 'nth' counts triggers; a time happens once")
    return str(on)


def _known(entry: Mapping[str, Any], keys: tuple[str, ...], source: str) -> None:
    for key in entry:
        if key not in keys:
            raise ConfigError(f"{source}: key {key!r} is unknown.{nearest_name(key, keys)}")


def _number(entry: Mapping[str, Any], key: str, default: float, source: str) -> float:
    value = entry.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or (key in entry and value < 0):
        raise ConfigError(f"{source}: {key} = {value!r} must be a number of at least 0")
    return float(value)


def _symbol(entry: Mapping[str, Any], source: str) -> str:
    value = entry.get("symbol", "")
    if not isinstance(value, str):
        raise ConfigError(f"{source}: symbol = {value!r} must be text")
    if value and "at" in entry and not ACTIONS[entry["action"]].of_symbol:
        raise ConfigError(f"{source}: {entry['action']} at a time is about no symbol; leave 'symbol' out")
    return value
