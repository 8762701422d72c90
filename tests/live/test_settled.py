"""A restart reads what still matters: from a settlement on, books and orders are the same as from the beginning."""

from __future__ import annotations

import pytest
from rig import FROZEN, START, Rig, loud_bundle, trading_settings

from workbench.engine import recovery
from workbench.engine.recovery import restore
from workbench.gateway.simulated import SimulatedGateway


@pytest.mark.parametrize("age_ns", [recovery.SETTLED_NS, 0])
def test_a_restart_from_a_settlement_has_the_same_books(tmp_path, monkeypatch, age_ns):
    monkeypatch.setattr(recovery, "SETTLED_NS", age_ns)
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        rig = Rig(tmp_path, gateway, (trading_settings(loud_bundle(tmp_path / "bundle")),))
        sizes = []
        for _ in range(3):
            rig.open()
            sizes.append(len(restore(rig.host.journal, rig.host.fallback, ["main"]).entries))
            for _ in range(2):
                rig.bar()
            rig.host.stop("the test is over")
            assert rig.in_books == rig.at_gateway
            assert rig.at_gateway
            cash = gateway.brokerage.account_values()["TotalCashValue"]
            assert rig.host.desks[0].session.portfolio.cash == pytest.approx(cash, abs=0.01)
            rig.close()
    if age_ns:
        assert sizes[0] < sizes[1] < sizes[2]
    else:
        assert max(sizes) < 10  # the books at the settlement, and nothing of the sessions before
