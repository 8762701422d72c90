"""Conditions of an order: it is sent to the exchange (or cancelled) once they hold. `conjunction`: "a" and, "o" or."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from operator import attrgetter

from workbench.gateway.wire.fields import Reader, read_steps, steps


@dataclass(frozen=True, slots=True)
class PriceCondition:
    """Type 1: the price of an instrument is at least (`is_more`) or at most `price`."""

    conjunction: str = "a"
    is_more: bool = True
    price: float = 0.0
    con_id: int = 0
    exchange: str = ""
    trigger_method: int = 0


@dataclass(frozen=True, slots=True)
class TimeCondition:
    """Type 3: it is later than (`is_more`) or earlier than `time`."""

    conjunction: str = "a"
    is_more: bool = True
    time: str = ""


@dataclass(frozen=True, slots=True)
class MarginCondition:
    """Type 4: the account's margin cushion, in per cent."""

    conjunction: str = "a"
    is_more: bool = True
    percent: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionCondition:
    """Type 5: an instrument traded in the account."""

    conjunction: str = "a"
    sec_type: str = ""
    exchange: str = ""
    symbol: str = ""


@dataclass(frozen=True, slots=True)
class VolumeCondition:
    """Type 6: the day's volume of an instrument, in shares."""

    conjunction: str = "a"
    is_more: bool = True
    volume: int = 0
    con_id: int = 0
    exchange: str = ""


@dataclass(frozen=True, slots=True)
class PercentChangeCondition:
    """Type 7: the day's change of an instrument, in per cent."""

    conjunction: str = "a"
    is_more: bool = True
    change_percent: float = 0.0
    con_id: int = 0
    exchange: str = ""


Condition = (
    PriceCondition | TimeCondition | MarginCondition | ExecutionCondition | VolumeCondition | PercentChangeCondition
)

# type on the wire -> class
CONDITIONS: dict[int, type[Condition]] = {
    1: PriceCondition,
    3: TimeCondition,
    4: MarginCondition,
    5: ExecutionCondition,
    6: VolumeCondition,
    7: PercentChangeCondition,
}
_TYPES = {cls: kind for kind, cls in CONDITIONS.items()}
_NAMES = {cls: [f.name for f in dataclass_fields(cls)] for cls in _TYPES}
_STEPS = {cls: steps(cls, " ".join(names)) for cls, names in _NAMES.items()}
_FIELDS = {cls: attrgetter(*names) for cls, names in _NAMES.items()}


def read_conditions(reader: Reader) -> tuple[Condition, ...]:
    """A count and the conditions; the two flags behind them belong to the order."""
    return tuple(_read(reader) for _ in range(reader.count("conditions")))


def _read(reader: Reader) -> Condition:
    kind = reader.int_("conditionType") or 0
    cls = CONDITIONS.get(kind)
    if cls is None:
        raise reader.refuse("conditionType", str(kind), f"must be one of {', '.join(map(str, CONDITIONS))}")
    return cls(**read_steps(reader, _STEPS[cls]))


def condition_fields(condition: Condition) -> tuple[object, ...]:
    """The type and its fields."""
    cls = type(condition)
    return (_TYPES[cls], *_FIELDS[cls](condition))
