"""Payloads as bytes and back, exactly and without pickle: JSON in which every other type carries a tag.

A tagged value is an object whose first key is ``~``: ``t`` tuple, ``f`` a float that JSON cannot hold (bits in hex),
``b`` bytes, ``a`` array (dtype, shape, zlib-compressed little-endian bytes), ``n`` NumPy scalar, ``d`` mapping with
keys that are not plain strings, ``e`` enum, ``o`` message. Text above 1 KiB is compressed as a whole.
"""

from __future__ import annotations

import base64
import json
import math
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import numpy as np

from workbench.core import types as core
from workbench.core.horizon import Horizon
from workbench.journal.records import JournalError

CORE_TYPES: tuple[type, ...] = (
    core.MarketEvent, core.Features, core.Snapshot, core.Forecasts, core.Alphas, core.Costs, core.Choice, core.Target,
    core.Carry, core.OrderIntent, core.Fill, core.Book, core.Breach, core.Decision, core.ModelKey, core.State,
    core.Phase, Horizon,
)  # fmt: skip
"""The messages, keys and enums of the core."""

_TAG = "~"
_COMPRESS_ABOVE = 1024
_ARRAY_KINDS = "biufcmMSU"


class Codec:
    """Writes and reads plain values, arrays and the listed `types`: frozen dataclasses, named tuples and enums.

    ``decode(encode(x))`` equals `x` bit for bit, with three liberties: a mapping comes back as a dict, an array
    C-contiguous and read-only, and a strided array without its strides. Other types are a :class:`JournalError`.

    >>> Codec().decode(Codec().encode({"a": (1, float("inf"))}))
    {'a': (1, inf)}
    """

    def __init__(self, types: Iterable[type] = CORE_TYPES) -> None:
        self._types: dict[str, type] = {}  # class name -> class
        for cls in types:
            _check_type(cls)
            if self._types.setdefault(cls.__name__, cls) is not cls:
                raise JournalError(f"two types of the journal are called {cls.__name__}; rename one")

    def extended(self, *types: type) -> Codec:
        """This codec with more `types`."""
        return Codec((*self._types.values(), *types))

    def encode(self, payload: Mapping[str, Any]) -> bytes:
        """The bytes of `payload`, a mapping with string keys."""
        text = json.dumps(self.to_json(payload), allow_nan=False, separators=(",", ":")).encode("ascii")
        return zlib.compress(text, 1) if len(text) > _COMPRESS_ABOVE else text

    def to_json(self, payload: Mapping[str, Any]) -> dict[str, Any]:
        """`payload` as JSON types with tags: what :meth:`encode` writes."""
        if not isinstance(payload, Mapping):
            raise JournalError(f"a payload must be a mapping of names to values, not a {type(payload).__name__}")
        return dict(self._out(payload, "payload"))

    def decode(self, data: bytes) -> dict[str, Any]:
        """The payload that :meth:`encode` wrote; :class:`JournalError` if it is damaged or of an unknown type."""
        try:
            text = data if data[:1] == b"{" else zlib.decompress(data)
            return self.from_json(json.loads(text))
        except (zlib.error, ValueError) as error:
            raise JournalError(f"a payload of {len(data)} bytes is damaged: {error}") from error

    def from_json(self, content: dict[str, Any]) -> dict[str, Any]:
        """The payload that :meth:`to_json` gave."""
        try:
            return dict(self._in(content))
        except (zlib.error, ValueError, KeyError, TypeError, IndexError, struct.error) as error:
            raise JournalError(f"a payload is damaged ({type(error).__name__}: {error})") from error

    # ---- writing ----------------------------------------------------------------------------------------------

    def _out(self, value: Any, where: str) -> Any:
        kind = type(value)
        if value is None or kind in (str, bool, int):
            return value
        if kind is float:
            return value if math.isfinite(value) else {_TAG: "f", "x": struct.pack(">d", value).hex()}
        if kind is list:
            return [self._out(v, f"{where}[{i}]") for i, v in enumerate(value)]
        if kind is tuple:
            return {_TAG: "t", "v": [self._out(v, f"{where}[{i}]") for i, v in enumerate(value)]}
        if self._types.get(kind.__name__) is kind:
            return self._out_known(value, where)
        if isinstance(value, np.ndarray):
            return _out_array(value, "a", where)
        if isinstance(value, np.generic):
            return _out_array(np.asarray(value), "n", where)
        if isinstance(value, Mapping):
            return self._out_mapping(value, where)
        if kind is bytes:
            return {_TAG: "b", "v": base64.b64encode(value).decode()}
        raise JournalError(
            f"{where} is a {kind.__name__}, which this journal cannot keep; record plain values, or add the type to "
            "the journal's Codec(types=...)"
        )

    def _out_known(self, value: Any, where: str) -> dict[str, Any]:
        kind = type(value)
        name, at = kind.__name__, f"{where}.{kind.__name__}"
        if isinstance(value, Enum):
            return {_TAG: "e", "t": name, "v": self._out(value.value, at)}
        if isinstance(value, tuple):
            return {_TAG: "o", "t": name, "v": {n: self._out(v, f"{at}.{n}") for n, v in zip(kind._fields, value)}}
        return {
            _TAG: "o",
            "t": name,
            "v": {f.name: self._out(getattr(value, f.name), f"{at}.{f.name}") for f in fields(value)},
        }

    def _out_mapping(self, value: Mapping[Any, Any], where: str) -> dict[str, Any]:
        if all(type(k) is str for k in value) and _TAG not in value:
            return {k: self._out(v, f"{where}.{k}") for k, v in value.items()}
        pairs = [[self._out(k, f"a key of {where}"), self._out(v, f"{where}[{k!r}]")] for k, v in value.items()]
        return {_TAG: "d", "v": pairs}

    # ---- reading ----------------------------------------------------------------------------------------------

    def _in(self, value: Any) -> Any:
        if type(value) is list:
            return [self._in(v) for v in value]
        if type(value) is not dict:
            return value
        if _TAG not in value:
            return {k: self._in(v) for k, v in value.items()}
        return self._in_tagged(value[_TAG], value)

    def _in_tagged(self, tag: str, value: dict[str, Any]) -> Any:
        if tag == "t":
            return tuple(self._in(v) for v in value["v"])
        if tag == "f":
            return struct.unpack(">d", bytes.fromhex(value["x"]))[0]
        if tag == "b":
            return base64.b64decode(value["v"], validate=True)
        if tag in ("a", "n"):
            array = _in_array(value)
            return array if tag == "a" else array[()]
        if tag == "d":
            return {self._in(k): self._in(v) for k, v in value["v"]}
        if tag in ("e", "o"):
            return self._in_known(value["t"], self._in(value["v"]))
        raise ValueError(f"tag {tag!r} is unknown")

    def _in_known(self, name: str, content: Any) -> Any:
        if name not in self._types:
            raise JournalError(
                f"a payload holds a {name}, which this codec does not know; open the journal with a "
                "Codec(types=...) that lists it, or with the version of the workbench that wrote it"
            )
        cls = self._types[name]
        return cls(content) if issubclass(cls, Enum) else cls(**content)


def _check_type(cls: type) -> None:
    """Only types that can be rebuilt from their fields."""
    if issubclass(cls, Enum) or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
        return
    if is_dataclass(cls) and _is_frozen(cls) and all(f.init for f in fields(cls)):
        return
    raise JournalError(f"{cls.__name__} cannot be journaled: only enums, named tuples and frozen dataclasses can")


def _is_frozen(cls: Any) -> bool:
    return bool(cls.__dataclass_params__.frozen)


def _out_array(array: np.ndarray, tag: str, where: str) -> dict[str, Any]:
    if array.dtype.kind not in _ARRAY_KINDS:
        raise JournalError(f"{where} is an array of {array.dtype}, which cannot be journaled; use numbers or strings")
    little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    data = base64.b64encode(zlib.compress(little.tobytes(), 1)).decode()
    return {_TAG: tag, "d": array.dtype.str, "s": list(array.shape), "v": data}


def _in_array(value: dict[str, Any]) -> np.ndarray:
    dtype, shape = np.dtype(value["d"]), tuple(value["s"])
    if dtype.kind not in _ARRAY_KINDS:
        raise ValueError(f"an array of {dtype}")
    size = math.prod(shape) * dtype.itemsize
    unpacked = zlib.decompressobj()
    data = unpacked.decompress(base64.b64decode(value["v"], validate=True), size + 1)
    if len(data) != size or not unpacked.eof:
        raise ValueError(f"an array of {size} bytes has {len(data)}")
    array = np.frombuffer(data, dtype.newbyteorder("<")).reshape(shape).astype(dtype, copy=False)
    array.setflags(write=False)
    return array
