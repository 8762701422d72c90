"""An engine that runs over the close into the next session: new daily bars, the same bits, nothing traded at night."""

from __future__ import annotations

import numpy as np
from rig import FROZEN, Rig, loud_bundle, trading_settings

from workbench.engine.verify import verify_session
from workbench.gateway.simulated import SimulatedGateway


def test_daily_bars_are_loaded_before_the_first_bar_of_a_session(tmp_path):
    with SimulatedGateway(
        start="2026-03-06T15:43", speed=FROZEN, seed=3
    ) as gateway:  # a Friday; clocks change on Sunday
        rig = Rig(tmp_path, gateway, (trading_settings(loud_bundle(tmp_path / "bundle")),))
        rig.open()
        for _ in range(8):
            rig.bar()
        assert rig.in_books == rig.at_gateway
        journal = rig.host.journal
        daily = [e.payload["bars"] for e in journal.read("daily")]
        assert len(daily) == 1
        assert np.isfinite(daily[0].close[-1]).all()
        days = [str(np.datetime64(int(e.payload["decision"].known_at), "ns"))[:16] for e in journal.read("decision")]
        assert days[3:5] == ["2026-03-06T21:00", "2026-03-09T13:35"]
        (compared,) = [e.payload for e in journal.read("bars_compared")]
        assert (compared["session"], compared["bars"], compared["late"]) == ("2026-03-06", 4 * 3, 0)
        assert (compared["different"], compared["gone"], compared["examples"]) == (0, 0, ())
        sent = [e.known_at for e in journal.read("orders")]
        assert not any("2026-03-06T21:00" <= str(np.datetime64(t, "ns"))[:16] < "2026-03-09T13:35" for t in sent)
        verdict = verify_session(journal, "s1")
        assert (verdict.stages, verdict.forecasts) == ("equal", "equal"), verdict
        rig.close()
