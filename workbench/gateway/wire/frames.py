"""Frames of the TWS API, and the handshake before them.

A frame is a big-endian uint32 length and so many bytes of UTF-8 fields, each ended by a NUL. A session begins with
``API\\0``, a length, and the client's range of versions (``v157..176``); the server answers a frame (version, time).
"""

from __future__ import annotations

import math
import numbers
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from struct import Struct
from types import NoneType
from typing import Any

from workbench.core.errors import WorkbenchError

SERVER_VERSION = 176
"""The one layout that is spoken, and the highest version that is announced."""
FRAME_LIMIT = 1 << 20
"""Bytes that a client's frame may hold."""
HELLO_LIMIT = 1024
"""Bytes that a client's range of versions and options may hold."""

UNSET_DOUBLE = "1.7976931348623157E308"
"""How TWS spells a number that it does not know, where it does not leave the field empty."""

_MAGIC = b"API\0"
_RANGE = re.compile(r"v([0-9]{1,6})(?:\.\.([0-9]{1,6}))?(?: (.*))?", re.DOTALL)
_length = Struct(">I")


class FrameError(WorkbenchError):
    """Bytes that are no frame, or a value that cannot be put into one; the connection cannot be read any further.

    `complete` are the messages that the same call had read before it.
    """

    def __init__(self, message: str, complete: tuple[tuple[str, ...], ...] = ()) -> None:
        super().__init__(message)
        self.complete = complete


class VersionError(FrameError):
    """A client that speaks the protocol, but not the version that is spoken here; `hello` is what it offers."""

    def __init__(self, hello: Hello) -> None:
        super().__init__(
            f"client speaks versions {hello.minimum} .. {hello.maximum}, this gateway {SERVER_VERSION} only: "
            f"use ib_insync 0.9.86 or ib_async 2.1.0"
        )
        self.hello = hello


class Frames:
    """Takes bytes as they arrive, gives complete messages; holds at most one unfinished frame of `limit` bytes.

    >>> frames = Frames()
    >>> frames.feed(frame(49, 1)[:5])
    []
    >>> frames.feed(frame(49, 1)[5:])
    [('49', '1')]
    """

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._broken = ""

    @property
    def held(self) -> int:
        """Bytes of the unfinished frame."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[tuple[str, ...]]:
        """Messages that `data` completes, each a tuple of its fields; :class:`FrameError` names what is wrong."""
        if self._broken:
            raise FrameError(self._broken)
        buffer, start = self._buffer, 0
        buffer += data
        messages: list[tuple[str, ...]] = []
        try:
            while (end := self._end(start)) <= len(buffer):
                messages.append(_split(buffer[start + 4 : end]))
                start = end
        except FrameError as error:
            buffer.clear()
            self._broken = str(error)
            raise FrameError(self._broken, tuple(messages)) from None
        del buffer[:start]
        return messages

    def _end(self, start: int) -> int:
        if len(self._buffer) < start + 4:
            return start + 4
        length: int = _length.unpack_from(self._buffer, start)[0]
        if not 0 < length <= self._limit:
            raise FrameError(f"frame of {length} bytes: a length must be within 1 .. {self._limit}")
        return start + 4 + length


def _split(body: bytearray) -> tuple[str, ...]:
    if body[-1] != 0:
        raise FrameError(f"frame of {len(body)} bytes ends in {bytes(body[-8:])!r}: every field must be ended by a NUL")
    try:
        return tuple(str(body[:-1], "utf-8").split("\0"))
    except UnicodeDecodeError as error:
        raise FrameError(f"frame of {len(body)} bytes: {error.reason} at byte {error.start}; send UTF-8") from None


def frame(*fields: Any) -> bytes:
    """One frame: None and "" are empty, True 1, False 0, numbers as :func:`number` writes them, text as it is.

    >>> frame(4, 2, -1, None, True, 150.25)[4:]
    b'4\\x002\\x00-1\\x00\\x001\\x00150.25\\x00'
    """
    texts = [_WRITERS.get(type(field), _other)(field) for field in fields]
    texts.append("")
    body = "\0".join(texts).encode()
    if body.count(0) != len(fields):
        bad = next((text for text in texts if "\0" in text), "")
        raise FrameError(f"field {bad[:60]!r} of a frame of {len(fields)} fields: a field cannot hold a NUL")
    return _length.pack(len(body)) + body


def number(value: float) -> str:
    """The shortest text that reads back as the same float, without an exponent; infinity as ``Infinity``.

    >>> number(150.0), number(1e-05), number(1e16), number(sys.float_info.max)
    ('150.0', '0.00001', '10000000000000000', '1.7976931348623157E308')
    """
    text = float.__repr__(value)
    return _unusual(value, text) if "e" in text or "n" in text else text


def _unusual(value: float, text: str) -> str:
    if math.isnan(value):
        raise FrameError("NaN cannot be sent: send None for an empty field or UNSET_DOUBLE for an unknown number")
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return UNSET_DOUBLE if value == sys.float_info.max else format(Decimal(text), "f")


def _other(value: Any) -> str:
    """Subclasses and NumPy's scalars."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        return number(float(value))
    raise FrameError(f"{value!r} of type {type(value).__name__} cannot be sent: use None, str, bool, int or float")


_WRITERS: dict[type, Callable[[Any], str]] = {
    str: str,
    int: int.__repr__,
    float: number,
    bool: lambda value: "1" if value else "0",
    NoneType: lambda _: "",
}


@dataclass(frozen=True, slots=True)
class Hello:
    """What a client offers: its lowest and highest version, and its connect options (``+PACEAPI``)."""

    minimum: int
    maximum: int
    options: str = ""

    @property
    def version(self) -> int:
        """The version to announce: the lower of the client's highest and ours."""
        return min(self.maximum, SERVER_VERSION)


class Handshake:
    """Takes a session's first bytes until they are a :class:`Hello`; what came after it is `rest`, for Frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.rest = b""

    def feed(self, data: bytes) -> Hello | None:
        """The client's offer once it is complete; :class:`FrameError` for another protocol, :class:`VersionError`."""
        buffer = self._buffer
        buffer += data
        if bytes(buffer[:4]) != _MAGIC[: len(buffer)]:
            raise FrameError(f"session begins with {bytes(buffer[:8])!r}: a TWS API client begins with {_MAGIC!r}")
        if len(buffer) < 8:
            return None
        (length,) = _length.unpack_from(buffer, 4)
        if not 0 < length <= HELLO_LIMIT:
            raise FrameError(f"handshake of {length} bytes: a length must be within 1 .. {HELLO_LIMIT}")
        if len(buffer) < 8 + length:
            return None
        self.rest = bytes(buffer[8 + length :])
        return _hello(bytes(buffer[8 : 8 + length]))


def _hello(offer: bytes) -> Hello:
    match = _RANGE.fullmatch(offer.decode("utf-8", "replace"))
    if match is None:
        raise FrameError(f"handshake offers {offer[:60]!r}: a client offers versions as v157..176")
    low, high, options = match.groups()
    hello = Hello(int(low), int(high or low), options or "")
    if not hello.minimum <= SERVER_VERSION <= hello.maximum:
        raise VersionError(hello)
    return hello


def handshake_answer(hello: Hello, connected_at: str) -> bytes:
    """The server's answer; `connected_at` as ``20260102 09:30:00 EST``."""
    return frame(hello.version, connected_at)
