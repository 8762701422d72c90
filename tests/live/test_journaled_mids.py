"""What the journal keeps for the analysis of costs: the quote as an order leaves, and the mid as a fill is heard of."""

from __future__ import annotations

from math import isnan

import numpy as np
from rig import FROZEN, START, Rig, loud_bundle, trading_settings

from workbench.core.units import NS_PER_SECOND
from workbench.engine.agenda import next_bar_end
from workbench.engine.session_record import read_session
from workbench.engine.verify import verify_session
from workbench.execution.account_broker import HEARD_NS
from workbench.gateway.simulated import SimulatedGateway

BARS = 4


def quoted(rig):
    """symbol -> (bid, ask) as the connection has them."""
    quotes = rig.host.connection.quotes()
    return {symbol: (q.bid, q.ask) for symbol, q in quotes.items()}


def entries(rig, kind):
    return list(rig.host.journal.read(kind, session=rig.host.journal.session))


def test_quotes_at_sending_and_mids_at_fills_are_those_of_the_moment(tmp_path):
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, (trading_settings(loud_bundle(tmp_path / "bundle")),))
        rig.open()
        orders = fills = 0
        for _ in range(BARS):
            rig.move_to(next_bar_end(rig.clock.now()))
            before = quoted(rig)
            while rig.host.turn():
                pass
            rig.hear()
            after = quoted(rig)  # the clock stood: only our own fills can have moved them
            for entry in entries(rig, "orders")[orders:]:
                orders += 1
                for sent in entry.payload["orders"]:
                    assert tuple(sent["quote_at_sending"]) == before[sent["order"]["symbol"]]
            now = [e.payload["fill"] for e in entries(rig, "fill") if e.payload["fill"]["time"] == rig.clock.now()]
            for fill in now:
                fills += 1
                assert fill["mid"] in (sum(before[fill["symbol"]]) / 2, sum(after[fill["symbol"]]) / 2)
        assert (orders, fills > 0) == (BARS, True)
        session = rig.host.journal.session
        record = read_session(rig.host.journal, session)
        assert np.isfinite(record.sent.arrival_mid).all()
        assert np.isfinite(record.fills.mid).sum() == fills
        np.testing.assert_array_less(0.0, record.sent.spread)
        assert verify_session(rig.host.journal, session).stages == "equal"
        rig.close()


def test_a_stale_quote_and_a_fill_that_is_told_late_have_no_mid(tmp_path):
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        settings = trading_settings(loud_bundle(tmp_path / "bundle")).change(
            guards={"max_quote_age_s": 900.0}, execution={"policy": "mid_step"}
        )
        rig = Rig(tmp_path, gateway, (settings,))
        rig.open()
        quotes = rig.host.connection.quotes
        rig.move_to(next_bar_end(rig.clock.now()))
        now = rig.clock.now()
        assert not isnan(rig.host._market(now)("AAA")[0])
        assert isnan(rig.host._market(quotes()["AAA"].time + 901 * NS_PER_SECOND)("AAA")[0])
        while rig.host.turn():
            pass
        rig.move_to(rig.clock.now() + 2 * HEARD_NS, hear=False)
        rig.hear()
        late = [e for e in entries(rig, "fill") if e.known_at - e.payload["fill"]["time"] > HEARD_NS]
        assert late
        assert all(e.payload["fill"]["mid"] is None for e in late)
        rig.close()
