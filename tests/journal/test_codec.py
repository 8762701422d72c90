"""Payloads come back bit for bit, whatever numbers are in them, and only listed types go in or out."""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from workbench.core import types as core
from workbench.core.horizon import N_HORIZONS
from workbench.journal import CORE_TYPES, Codec, JournalError

CODEC = Codec()


def same(a: object, b: object) -> bool:
    """Equal in type and bits, written without the codec's help."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and a.tobytes() == b.tobytes()
    if isinstance(a, np.generic):
        return a.dtype == b.dtype and a.tobytes() == b.tobytes()
    if isinstance(a, float):
        return struct.pack(">d", a) == struct.pack(">d", b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a.items(), b.items()))
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    return a == b


def back(payload: dict) -> dict:
    return CODEC.decode(CODEC.encode(payload))


scalars = (
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(width=64) | st.text() | st.binary(max_size=20)
)
dtypes = st.sampled_from(
    ["<f8", ">f8", "<f4", "<f2", "|b1", "<i8", ">i4", "|u1", "<c16", "<M8[ns]", "<m8[s]", "<U3", "|S2"]
)
arrays = dtypes.flatmap(
    lambda d: hnp.arrays(np.dtype(d), hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
)
keys = st.text() | st.integers() | st.tuples(st.integers(), st.text()) | st.just("~")
values = st.recursive(
    scalars | arrays,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
    max_leaves=12,
)


@given(st.dictionaries(st.text() | st.just("~"), values))
def test_every_value_comes_back_bit_for_bit(payload) -> None:
    assert same(back(payload), payload)


@given(st.integers(0, 2**64 - 1))
def test_every_float_survives_with_its_bits_alone_and_in_arrays(bits) -> None:
    value = struct.unpack(">d", struct.pack(">Q", bits))[0]
    payload = {"x": value, "a": np.array([bits], np.uint64).view(np.float64), "n": np.float64(value)}
    assert same(back(payload), payload)


def test_layouts_come_back_contiguous_and_read_only() -> None:
    table = np.arange(12.0).reshape(3, 4)
    for array in (table.T, table[::2, ::-1], np.asfortranarray(table), np.array(5.0), np.empty((0, 3))):
        found = back({"a": array})["a"]
        assert (found.shape, found.flags.c_contiguous, found.flags.writeable) == (array.shape, True, False)
        assert found.tolist() == array.tolist()


def test_text_is_ascii_json_and_long_text_is_compressed() -> None:
    assert CODEC.encode({"ü": "\ud800", "n": 1.5}) == b'{"\\u00fc":"\\ud800","n":1.5}'
    long = CODEC.encode({"x": ["a" * 100] * 100})
    assert len(long) < 1000
    assert json.loads(zlib.decompress(long)) == {"x": ["a" * 100] * 100}
    assert back({"m": MappingProxyType({"a": 1})}) == {"m": {"a": 1}}


def decision(rng: np.random.Generator, n: int, models: int) -> core.Decision:
    def noise(*shape: int) -> np.ndarray:
        x = rng.normal(size=shape)
        x[rng.random(shape) < 0.2] = np.nan
        return x

    keys = tuple(core.ModelKey(f"family{i}", "single_task", "5m") for i in range(models))
    carry = core.Carry(noise(N_HORIZONS, n), noise(n), noise(n), rng.integers(0, 5, n), 7, noise(n))
    return core.Decision(
        known_at=1_700_000_000_000_000_000,
        symbols=tuple(f"S{i}" for i in range(n)),
        forecasts=core.Forecasts(keys, noise(models, n), noise(N_HORIZONS, n), noise(N_HORIZONS, n)),
        alphas=core.Alphas(noise(N_HORIZONS, n), noise(N_HORIZONS, n)),
        costs=core.Costs(noise(N_HORIZONS, n), noise(n), noise(n), noise(n), noise(n)),
        choice=core.Choice(noise(n), noise(n), noise(N_HORIZONS, n), rng.integers(0, 3, n), noise(n)),
        gate=noise(n),
        desired=noise(n),
        target=core.Target(noise(n), rng.random(n) < 0.5),
        carry=carry,
        breaches=(
            core.Breach("cap", "S0", np.float64(0.1), 0.05, "scale"),
            core.Breach("x", "", -0.0, math.inf, "halt"),
        ),
        config_digest="c",
        artifacts_digest="a",
        snapshot_digest="s",
    )


@pytest.mark.parametrize(("n", "models"), [(0, 0), (1, 1), (50, 40)])
def test_a_decision_comes_back_with_its_digest(n, models) -> None:
    made = decision(np.random.default_rng(n), n, models)
    found = back({"decision": made})["decision"]
    assert found.digest == made.digest
    assert same(found, made)


def test_messages_keep_their_types_all_the_way_down() -> None:
    intent = core.OrderIntent("r", "AAA", 1, 10, "MKT", float("nan"), "DAY", 5, 10.0)
    book = dataclasses.replace(core.Book.flat(("AAA",), 1e6), open_orders=(intent,))
    payload = {
        "book": book, "event": core.MarketEvent("bar", "AAA", 5, {"close": math.nan, "v": 3}),
        "key": core.ModelKey("a", "b", "5m"), "state": core.State.NO_EDGE, "phase": [core.Phase.OPEN],
        "features": core.Features(("x", "y"), np.ones((2, 2)), np.zeros((2, 0, 2))),
    }  # fmt: skip
    assert same(back(payload), payload)


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Held:
    colour: Colour
    size: int = 3


class Point(NamedTuple):
    x: float


@dataclass
class Loose:
    x: int


def test_only_listed_types_go_in() -> None:
    codec = CODEC.extended(Colour, Held, Point)
    payload = {"a": [Held(Colour.RED)], "p": Point(1.0)}
    data = codec.encode(payload)
    assert same(codec.decode(data), payload)
    for value, name in (
        (Held(Colour.RED), "Held"),
        (Colour.RED, "Colour"),
        (Point(1.0), "Point"),
        ({1}, "set"),
        (1j, "complex"),
    ):
        with pytest.raises(JournalError, match=rf"payload\.a\[1\] is a {name}, .* add the type to the journal's Codec"):
            CODEC.encode({"a": [1, value]})
    with pytest.raises(JournalError, match="array of object"):
        CODEC.encode({"a": np.array([None])})
    with pytest.raises(JournalError, match="must be a mapping"):
        CODEC.encode([1])
    with pytest.raises(JournalError, match=r"holds a Colour, which this codec does not know; open the journal with"):
        CODEC.decode(data)


def test_a_field_that_came_later_takes_its_default() -> None:
    codec = Codec((Colour, Held))
    assert codec.decode(b'{"a":{"~":"o","t":"Held","v":{"colour":"red"}}}') == {"a": Held("red", 3)}
    with pytest.raises(JournalError, match="unexpected keyword argument 'weight'"):
        codec.decode(b'{"a":{"~":"o","t":"Held","v":{"colour":"red","weight":1}}}')


def test_only_types_that_can_be_rebuilt_can_be_listed() -> None:
    with pytest.raises(JournalError, match="Loose cannot be journaled"):
        Codec((Loose,))
    with pytest.raises(JournalError, match="two types of the journal are called Phase"):
        CODEC.extended(Enum("Phase", "A"))
    assert CODEC.extended(core.Phase).encode({"p": core.Phase.OPEN}) == CODEC.encode({"p": core.Phase.OPEN})
    assert core.Decision in CORE_TYPES


def test_damage_is_an_error_wherever_it_is() -> None:
    data = CODEC.encode({"a": np.arange(100.0), "t": (1, 2), "m": core.Fill("e", "r", "A", 1, 1, 1.0, 0.0, 1)})
    for i in range(0, len(data), 7):
        damaged = data[:i]
        with pytest.raises(JournalError, match=r"damaged|does not know"):
            CODEC.decode(damaged)
    array = json.loads(CODEC.encode({"a": np.arange(3)}))["a"]
    for wrong in ({"s": [4]}, {"s": [2]}, {"d": "|O"}, {"d": "nonsense"}, {"v": "AAAA"}, {"s": [-1]}, {"~": "q"}):
        with pytest.raises(JournalError, match="damaged"):
            CODEC.decode(json.dumps({"a": {**array, **wrong}}).encode())


@given(st.binary(max_size=60))
def test_any_bytes_are_a_payload_or_an_error(data) -> None:
    with suppress(JournalError):
        assert isinstance(CODEC.decode(data), dict)
