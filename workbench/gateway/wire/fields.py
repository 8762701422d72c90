"""The fields of one message, read in order and by type. Unset is None: an empty field, or TWS's largest number."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import MISSING
from dataclasses import fields as dataclass_fields
from typing import Any, NamedTuple

from workbench.core.errors import WorkbenchError

UNSET_INT = 2**31 - 1
INFINITE = "Infinite"
"""How clients spell infinity."""

_INT = re.compile(r"[+-]?[0-9]{1,18}").fullmatch
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?").fullmatch
_BOOLS = {"": None, "0": False, "1": True}
_REQUIRED = object()


class MalformedRequest(WorkbenchError):
    """A client's message that cannot be read: which field at which position (0 = the id) holds which value, and why.

    `request_id` is the request's or order's id where it could be read, else -1.
    """

    def __init__(self, message_id: int, request_id: int, field: str, position: int, value: str, why: str) -> None:
        shown = value if len(value) <= 60 else value[:57] + "..."
        super().__init__(f"message {message_id}: field {position} ({field}) {shown!r} {why}")
        self.message_id = message_id
        self.request_id = request_id
        self.field = field
        self.position = position
        self.value = value


class Reader:
    """Walks over `fields` from position `at`. Every method takes the field's name, for the error."""

    __slots__ = ("_at", "_fields", "message_id", "request_id")

    def __init__(self, fields: tuple[str, ...], message_id: int, request_id: int, at: int = 1) -> None:
        self._fields = fields
        self._at = at
        self.message_id = message_id
        self.request_id = request_id

    def text(self, name: str) -> str:
        """The field as it is."""
        if self._at >= len(self._fields):
            self._at += 1
            raise self.refuse(name, "", f"is missing: the message ends after {len(self._fields)} fields")
        self._at += 1
        return self._fields[self._at - 1]

    def int_(self, name: str) -> int | None:
        """A whole number of at most 18 digits."""
        text = self.text(name)
        if text == "":
            return None
        if _INT(text) is None:
            raise self.refuse(name, text, "must be a whole number of at most 18 digits")
        value = int(text)
        return None if value == UNSET_INT else value

    def float_(self, name: str) -> float | None:
        """A finite number."""
        text = self.text(name)
        if text == "":
            return None
        if len(text) > 400 or _FLOAT(text) is None or abs(value := float(text)) == float("inf"):
            raise self.refuse(name, text, "must be a finite number")
        return None if value == sys.float_info.max else value

    def offset(self, name: str) -> float | None:
        """A number that a client may also set to infinity."""
        if self._fields[self._at : self._at + 1] == (INFINITE,):
            self._at += 1
            return float("inf")
        return self.float_(name)

    def bool_(self, name: str) -> bool | None:
        """0 or 1."""
        text = self.text(name)
        if text not in _BOOLS:
            raise self.refuse(name, text, "must be 0 or 1")
        return _BOOLS[text]

    def count(self, name: str) -> int:
        """How many entries follow: a whole number from 0 on; empty is 0."""
        value = self.int_(name) or 0
        if value < 0:
            raise self.refuse(name, str(value), "must be 0 or more")
        return value

    def end(self) -> None:
        """Nothing may be left."""
        if self._at < len(self._fields):
            left, self._at = len(self._fields) - self._at, self._at + 1
            raise self.refuse("end", self._fields[self._at - 1], f"must be the message's end: {left} fields are left")

    def refuse(self, name: str, value: str, why: str) -> MalformedRequest:
        """The error about the field that was read last."""
        return MalformedRequest(self.message_id, self.request_id, name, self._at - 1, value, why)


class Step(NamedTuple):
    """How one attribute of a dataclass is read."""

    attribute: str
    name: str
    read: Callable[[Reader, str], Any]
    default: Any


_READERS: dict[str, Callable[[Reader, str], Any]] = {
    "int": Reader.int_,
    "int | None": Reader.int_,
    "float": Reader.float_,
    "float | None": Reader.float_,
    "bool": Reader.bool_,
    "str": Reader.text,
}


def camel(name: str) -> str:
    """An attribute's name as IBKR spells it.

    >>> camel("lmt_price"), camel("rule80_a")
    ('lmtPrice', 'rule80A')
    """
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def steps(cls: type, names: str) -> tuple[Step, ...]:
    """The attributes `names` (apart by blanks) of a dataclass, in the order in which the wire has them."""
    known = {field.name: field for field in dataclass_fields(cls)}
    chosen = [known[name] for name in names.split()]
    return tuple(
        Step(f.name, camel(f.name), _READERS[str(f.type)], _REQUIRED if f.default is MISSING else f.default)
        for f in chosen
    )


def read_steps(reader: Reader, wanted: tuple[Step, ...]) -> dict[str, Any]:
    """Attribute -> value; an unset one gets the dataclass's default, and is refused where it has none."""
    values = {}
    for attribute, name, read, default in wanted:
        value = read(reader, name)
        if value is None:
            if default is _REQUIRED:
                raise reader.refuse(name, "", "must be set")
            value = default
        values[attribute] = value
    return values
