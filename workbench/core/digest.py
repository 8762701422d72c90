"""Content digests: the same values give the same name, on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np


def digest(*parts: Any) -> str:
    """Hex BLAKE2b-128 of arrays, numbers, strings, bytes, None, mappings and sequences of these.

    Arrays count by dtype, shape and bytes; NaN equals NaN only with the same bits.

    >>> digest(np.arange(3.0)) == digest(np.arange(3.0)), digest("a") == digest("b")
    (True, False)
    """
    h = hashlib.blake2b(digest_size=16)
    for part in parts:
        _feed(h, part)
    return h.hexdigest()


def _feed(h: Any, part: Any) -> None:
    if isinstance(part, np.ndarray):
        if part.dtype == object:
            raise TypeError("an array of objects has no digest; convert it to numbers or a list of strings")
        h.update(f"A{part.dtype.str}{part.shape}".encode())
        h.update(np.ascontiguousarray(part).tobytes() if part.size else b"")
    elif type(part) is str:  # by far the most frequent; the same bytes as the general case below
        h.update(f"V{encode_basestring_ascii(part)};".encode())
    elif isinstance(part, bytes):
        h.update(b"B%d:" % len(part))
        h.update(part)
    elif isinstance(part, Mapping):
        h.update(b"M%d:" % len(part))
        for key in sorted(part, key=str):
            _feed(h, str(key))
            _feed(h, part[key])
    elif isinstance(part, Sequence) and not isinstance(part, str):
        if part and type(part[0]) is not np.ndarray and (text := _as_json(part)) is not None:
            h.update(f"J{text};".encode())
            return
        h.update(b"S%d:" % len(part))
        for item in part:
            _feed(h, item)
    elif part is None or isinstance(part, (str, bool, int, float, np.generic)):
        value = part.item() if isinstance(part, np.generic) else part
        h.update(f"V{json.dumps(value)};".encode())
    else:
        raise TypeError(f"{type(part).__name__} has no digest; pass arrays, numbers, strings, mappings or sequences")


def _as_json(part: Sequence[Any]) -> str | None:
    """Nested sequences of plain values at C speed (symbols are hashed on every bar); None for anything else."""
    try:
        return json.dumps(part)
    except TypeError:
        return None
