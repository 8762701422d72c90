"""OrderPlanView: the plan again with other settings, and netting with a second system."""

from __future__ import annotations

import ipywidgets
import numpy as np
import pytest

from workbench.core.types import Book, Target
from workbench.execution.planning import OrderPlan, order_plan
from workbench.widgets import view
from workbench.widgets.orders import OrderPlanView, card


def plan_of(traded, weight: float, system: str = "main") -> OrderPlan:
    """A flat book of a million that wants `weight` of each name, in the middle of the day."""
    snapshot = traded.recall.snapshot(int(traded.recall.rows[-40]))
    n = len(snapshot.symbols)
    book = Book.flat(snapshot.symbols, 1e6, snapshot.known_at)
    target = Target(np.full(n, weight), np.ones(n, bool))
    return order_plan(target, book, snapshot, traded.job.settings.execution, traded.job.universe, system=system)


@pytest.fixture
def shown(traded) -> OrderPlanView:
    return view(plan_of(traded, 0.01))


def sent(shown: OrderPlanView) -> np.ndarray:
    return next(iter(shown.trades())).dframe()["sent"].to_numpy()


def test_what_is_sent_is_within_a_share_of_the_target(shown) -> None:
    """1 % of a million is 10 thousand USD."""
    shown.param.update(max_participation=1.0)
    assert (sent(shown) <= 10.0 + 1e-9).all()
    assert (sent(shown) > 10.0 - shown.plan.price / 1e3).all()
    assert all(name in shown.steps() for name in shown.plan.symbols)


def test_a_smaller_participation_sends_less_and_says_so(shown) -> None:
    before = sent(shown)
    shown.max_participation = 0.0005
    assert (sent(shown) < before).any()
    assert (sent(shown) <= before).all()
    assert "participation cap" in shown.steps()


def test_a_minimum_above_every_order_sends_nothing(shown) -> None:
    shown.min_notional = 20_000
    assert not sent(shown).any()
    assert shown.plan.intents == ()
    assert "below the minimum notional" in shown.steps()
    shown.param.trigger("reset")
    assert sent(shown).all()


def test_the_policy_prices_the_orders(shown) -> None:
    assert {o.order_type for o in shown.plan.intents} == {"MKT"}
    shown.policy = "marketable_limit"
    assert {o.order_type for o in shown.plan.intents} == {"LMT"}
    assert "LMT" in shown.steps()


def test_the_widget_is_linked(shown) -> None:
    found = {w.description: w for w in shown.widget().children[2].children}
    assert isinstance(found["policy"], ipywidgets.Dropdown)
    found["policy"].value = "mid_step"
    assert shown.policy == "mid_step"


def test_two_systems_on_opposite_sides_meet_inside(traded) -> None:
    """Equal and opposite wishes cross in full: nothing goes out."""
    main, other = plan_of(traded, 0.01), plan_of(traded, -0.01, "second")
    shown = OrderPlanView(main, others=[other])
    shown.shown()
    order = main.intents[0]
    told = shown.netting()
    assert f"main +{order.quantity:,}, second -{order.quantity:,}" in told
    row = told.split(f">{order.symbol}</td>")[1].split("</tr>")[0]
    assert f"<td>{order.quantity:,}</td><td>0</td>" in row


def test_the_card_lists_every_order(traded) -> None:
    plan = plan_of(traded, -0.01)
    told = card(plan)
    assert f"OrderPlan · {len(plan.intents)} orders of main" in told
    assert all(f"{-o.quantity:+,d} MKT" in told for o in plan.intents)
