"""Frames and the handshake: literal bytes, any cutting of the stream, and everything that is refused."""

from __future__ import annotations

import math
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.gateway.orders import Status
from workbench.gateway.wire.frames import (
    UNSET_DOUBLE,
    FrameError,
    Frames,
    Handshake,
    Hello,
    frame,
    handshake_answer,
    number,
)

MESSAGES = st.lists(
    st.lists(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])), min_size=1), max_size=5
)


def test_a_frame_byte_for_byte() -> None:
    assert frame(9, 1, 42) == b"\x00\x00\x00\x079\x001\x0042\x00"
    assert frame("é", None, "") == b"\x00\x00\x00\x05\xc3\xa9\x00\x00\x00"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ("", ""),
        (True, "1"),
        (False, "0"),
        (-7, "-7"),
        (150.0, "150.0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-7, "0.0000001"),
        (-2.5e22, "-25000000000000000000000"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (sys.float_info.max, "1.7976931348623157E308"),
        (np.float64(1.5), "1.5"),
        (np.int64(3), "3"),
        (np.float32(0.5), "0.5"),
        (Status.FILLED, "filled"),
    ],
)
def test_how_a_value_is_spelled(value, text) -> None:
    assert Frames().feed(frame(value)) == [(text,)]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_and_has_no_exponent(value) -> None:
    assert float(number(value)) == value
    assert "e" not in number(value).lower() or number(value) == UNSET_DOUBLE


@pytest.mark.parametrize(
    ("value", "says"),
    [(math.nan, "NaN cannot be sent"), ("a\0b", "cannot hold a NUL"), ([1], "of type list"), (1j, "of type complex")],
)
def test_what_no_field_can_hold(value, says) -> None:
    with pytest.raises(FrameError, match=says):
        frame(1, value)


@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 400)))
def test_however_the_stream_is_cut_the_messages_are_the_same(messages, cuts) -> None:
    stream = b"".join(frame(*fields) for fields in messages)
    frames, got, start = Frames(), [], 0
    for cut in [*sorted(cuts), len(stream)]:
        got += frames.feed(stream[start : max(start, cut)])
        start = max(start, cut)
    assert got == [tuple(fields) for fields in messages]
    assert frames.held == 0


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\0\0\0\0", "frame of 0 bytes: a length must be within 1 .. 64"),
        (struct.pack(">I", 65), "frame of 65 bytes: a length must be within 1 .. 64"),
        (b"GET / HTTP/1.1\r\n", "frame of 1195725856 bytes"),
        (b"\0\0\0\x0249", "ends in b'49': every field must be ended by a NUL"),
        (b"\0\0\0\x03\xff\xfe\0", "invalid start byte at byte 0; send UTF-8"),
    ],
)
def test_what_is_refused_keeps_what_came_before_it_and_ends_the_stream(data, says) -> None:
    frames = Frames(limit=64)
    with pytest.raises(FrameError) as raised:
        frames.feed(frame(49, 1) + data)
    assert says in str(raised.value)
    assert raised.value.complete == (("49", "1"),)
    assert frames.held == 0
    with pytest.raises(FrameError):
        frames.feed(frame(49, 1))


def test_a_frame_of_the_largest_size_passes_and_one_byte_more_does_not() -> None:
    assert Frames(limit=64).feed(frame("x" * 63)) == [("x" * 63,)]
    with pytest.raises(FrameError):
        Frames(limit=64).feed(frame("x" * 64))


def test_memory_stays_within_one_frame_while_megabytes_drip_in() -> None:
    data = frame("x" * 1000) * 20
    frames = Frames(limit=1 << 12)
    tracemalloc.start()
    try:
        for _ in range(50):
            for k in range(0, len(data), 37):
                frames.feed(data[k : k + 37])
        assert frames.held <= 4 + (1 << 12)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_random_bytes_give_messages_or_a_frame_error(chunks) -> None:
    frames = Frames(limit=64)
    for chunk in chunks:
        try:
            frames.feed(chunk)
        except FrameError:
            assert frames.held == 0
            return
        assert frames.held <= 68


def hello(offer: bytes) -> bytes:
    return b"API\0" + struct.pack(">I", len(offer)) + offer


@pytest.mark.parametrize(
    ("offer", "wanted", "version"),
    [
        (b"v157..176", Hello(157, 176), 176),
        (b"v157..178", Hello(157, 178), 176),
        (b"v157..176 +PACEAPI", Hello(157, 176, "+PACEAPI"), 176),
        (b"v176", Hello(176, 176), 176),
    ],
)
def test_the_version_is_the_lower_of_both_however_the_offer_is_cut(offer, wanted, version) -> None:
    for cut in range(8 + len(offer)):
        handshake = Handshake()
        assert handshake.feed(hello(offer)[:cut]) is None
        assert handshake.feed(hello(offer)[cut:] + b"rest") == wanted
        assert handshake.rest == b"rest"
    assert wanted.version == version
    assert handshake_answer(wanted, "20260102 14:30:00 UTC") == b"\0\0\0\x1a176\x0020260102 14:30:00 UTC\0"


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"GET / HTTP/1.1", "begins with b'GET / HT'"),
        (b"A\0", "begins with b'A\\x00'"),
        (hello(b""), "handshake of 0 bytes"),
        (b"API\0\x00\x00\x04\x01", "handshake of 1025 bytes"),
        (hello(b"v176..x"), "a client offers versions as v157..176"),
        (hello(b"v100..175"), "client speaks versions 100 .. 175, this gateway 176 only"),
        (hello(b"v177..200"), "client speaks versions 177 .. 200, this gateway 176 only"),
    ],
)
def test_a_handshake_that_is_refused(data, says) -> None:
    with pytest.raises(FrameError) as raised:
        Handshake().feed(data)
    assert says in str(raised.value)


@given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from([b"API\0", b"\0\0\0\x09", b"v157..176"]))))
def test_random_bytes_give_an_offer_or_a_frame_error(chunks) -> None:
    handshake = Handshake()
    for chunk in chunks:
        try:
            if handshake.feed(chunk):
                return
        except FrameError:
            return
