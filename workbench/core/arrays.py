"""Arrays of the house: C-contiguous float64, read-only once they belong to a message."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


def readonly(array: Any, dtype: Any = np.float64) -> NDArray[Any]:
    """A C-contiguous, read-only view (or copy where needed) of `array`; the caller's own array stays writable.

    >>> a = readonly([1, 2]); a.dtype, a.flags.writeable
    (dtype('float64'), False)
    """
    out = np.ascontiguousarray(array, dtype=dtype).view()
    out.flags.writeable = False
    return out


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """ValueError that names `name`, its shape and the shape it must have; -1 matches any length."""
    if array.ndim != len(shape) or any(want not in (-1, got) for got, want in zip(array.shape, shape)):
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
