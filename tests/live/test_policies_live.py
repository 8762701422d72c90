"""Orders between bars at the gateway: limits that step from the mid to the touch, and slices that leave one by one."""

from __future__ import annotations

from itertools import pairwise

import pytest
from rig import FROZEN, START, Rig, loud_bundle, trading_settings

from workbench.core.units import NS_PER_SECOND
from workbench.engine.agenda import next_bar_end
from workbench.engine.verify import verify_session
from workbench.gateway.simulated import SimulatedGateway


def session(tmp_path, policy, bars, **execution):
    """The journal of `bars` bars under `policy`, with the engine looking every 20 seconds in between."""
    with SimulatedGateway(start=START, speed=FROZEN, seed=3) as gateway:
        settings = trading_settings(loud_bundle(tmp_path / "bundle")).change(
            execution={"policy": policy, **execution}, system={"update_interval": 20.0}
        )
        rig = Rig(tmp_path, gateway, (settings,))
        rig.open()
        for _ in range(bars):
            rig.bar()
            end = next_bar_end(rig.clock.now())
            while rig.clock.now() < end - 20 * NS_PER_SECOND:
                rig.move(20)
                rig.host.turn()
        rig.hear()
        assert rig.in_books == rig.at_gateway
        assert rig.at_gateway
        entries = list(rig.host.journal.read())
        rig.close()
        return rig, entries


def of(entries, kind):
    return [e.payload for e in entries if e.kind == kind]


def test_mid_step_walks_towards_the_touch_within_its_budget(tmp_path):
    _, entries = session(tmp_path, "mid_step", 4, steps=4, max_replacements=4)
    changes: dict[str, list] = {}
    for change in of(entries, "change"):
        changes.setdefault(change["order_ref"], [change["from"]]).append(change["limit_price"])
    side = {o["order"]["order_ref"]: o["order"]["side"] for p in of(entries, "orders") for o in p["orders"]}
    assert changes
    for ref, limits in changes.items():
        assert len(limits) - 1 <= 4
        steps = [side[ref] * (b - a) for a, b in pairwise(limits)]
        assert all(step > 0 for step in steps), limits
    sent = [o["order"] for p in of(entries, "orders") for o in p["orders"]]
    assert {o["order_type"] for o in sent} == {"LMT"}


def test_twap_sends_what_was_decided_in_slices_and_no_more(tmp_path):
    rig, entries = session(tmp_path, "twap", 3, steps=3)
    wholes = {o.order_ref: o for p in of(entries, "planned") for o in p["orders"]}
    sent: dict[str, list[int]] = {}
    for payload in of(entries, "orders"):
        for line in payload["orders"]:
            for share in line["shares"]:
                ref = share["intent"]["order_ref"].split(".")[0]
                sent.setdefault(ref, []).append(share["quantity"])
    assert any(len(parts) == 3 for parts in sent.values())
    for ref, parts in sent.items():
        assert sum(parts) <= wholes[ref].quantity
    assert verify_session(rig.host.journal, "s1").stages == "equal"


@pytest.mark.parametrize("policy", ["adaptive", "marketable_limit"])
def test_other_policies_leave_their_orders_alone(tmp_path, policy):
    _, entries = session(tmp_path, policy, 2)
    assert not of(entries, "change")
    algos = {o["order"]["algo"] for p in of(entries, "orders") for o in p["orders"]}
    assert algos == ({"Adaptive"} if policy == "adaptive" else {""})
