"""Any bytes and any request, from a client that has introduced itself: answered or refused, and the market goes on."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.gateway.wire.frames import frame

# a session that has been introduced, then sends whatever hypothesis thinks of
FIELD = st.one_of(
    st.text(max_size=8).filter(lambda s: "\0" not in s),
    st.sampled_from(["", "0", "1", "-1", "2147483647", "1e308", "nan", "AAPL", "STK", "SMART", "USD", "BUY", "LMT"]),
    st.integers(-5, 10**12).map(str),
)
MESSAGE = st.tuples(st.integers(-1, 110).map(str), st.lists(FIELD, max_size=30)).map(lambda m: frame(m[0], *m[1]))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(messages=st.lists(st.one_of(MESSAGE, st.binary(min_size=1, max_size=60)), min_size=1, max_size=5))
def test_random_bytes_and_messages_never_end_the_server(gateway, connect, wait_for, messages):
    peer, other = connect(gateway.port, 700), connect(gateway.port, 701)
    peer.socket.sendall(b"".join(messages))
    assert other.alive()
    peer.close()
    other.close()
    wait_for(lambda: not {700, 701} & set(gateway.hub.clients))


NUMBER = st.sampled_from(["0", "1", "-1", "7", "20000", "999999999999", "2147483647"])
WORD = st.sampled_from(["", "AAPL", "aapl", "TRADES", "SCHEDULE", "BID", "1 min", "1 week", "1 month", "1 day",
                        "5 secs", "8 hours", "2 D", "60 S", "1 Y", "0 D", "99999 S", "20260227 16:00:00",
                        "20260227-16:00:00", "20260230", "Last", "BidAsk", "LMT", "MOC", "all"])  # fmt: skip
FLAG = st.sampled_from(["0", "1"])
STOCK = st.tuples(
    st.sampled_from(["0", "7"]), st.sampled_from(["AAPL", "", "x", "é", "A" * 40]), st.sampled_from(["STK", "OPT", ""]),
    st.just(""), st.just("0"), st.just(""), st.just(""), st.sampled_from(["SMART", "NYSE", "MARS"]), st.just(""),
    st.sampled_from(["USD", "EUR"]), st.just(""), st.just(""),
)  # fmt: skip
GROWING = ("AAPL", "STK", "", "0", "", "", "SMART", "", "USD", "", "")
FORMS = [  # of the documented requests: what is said literally, and what may be anything
    (1, "11", NUMBER, STOCK, "0", WORD, FLAG, "0", ""),
    (97, NUMBER, STOCK, WORD, NUMBER, FLAG),
    (20, NUMBER, STOCK, FLAG, WORD, WORD, WORD, FLAG, WORD, NUMBER, FLAG, ""),
    (20, NUMBER, ("0", *GROWING), "0", "", WORD, st.sampled_from(["2 D", "60 S"]), "1", "TRADES", "1", "1", ""),
    (50, "3", NUMBER, STOCK, NUMBER, WORD, FLAG, ""),
    (87, NUMBER, STOCK, FLAG, FLAG, WORD, NUMBER),
    (96, NUMBER, STOCK, FLAG, WORD, WORD, NUMBER, WORD, FLAG, FLAG, ""),
    (7, "3", NUMBER, NUMBER, WORD, WORD, WORD, WORD, WORD, WORD),
    (6, "2", FLAG, WORD),
    (62, "1", NUMBER, WORD, WORD),
    (76, "1", NUMBER, WORD, WORD, FLAG),
    (92, NUMBER, WORD, WORD),
    (94, NUMBER, WORD, WORD, NUMBER),
    (91, NUMBER),
    (81, NUMBER, WORD),
    (59, "1", NUMBER),
    (4, "1", NUMBER, WORD),
    (2, "2", NUMBER),
    (9, "8", NUMBER, STOCK, FLAG, WORD, WORD, WORD),
]


def _flat(parts: tuple) -> bytes:
    fields: list[str] = []
    for part in parts:
        fields.extend(part if isinstance(part, tuple) else [part])
    return frame(*fields)


REQUEST = st.one_of(
    [st.tuples(*(p if isinstance(p, st.SearchStrategy) else st.just(p) for p in form)).map(_flat) for form in FORMS]
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(REQUEST, min_size=1, max_size=6))
def test_well_formed_requests_with_odd_values_are_answered_and_the_market_goes_on(
    gateway, connect, wait_for, caplog, requests
):
    peer = connect(gateway.port, 800)
    peer.socket.sendall(b"".join(requests))
    assert peer.alive()
    before = gateway.clock.now()
    wait_for(lambda: gateway.clock.now() >= before + 1_000_000_000)
    assert peer.alive()
    peer.close()
    wait_for(lambda: 800 not in gateway.hub.clients)
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []
