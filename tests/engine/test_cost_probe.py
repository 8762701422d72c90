"""Probe orders see the costs that the matching engine charges, on the past only."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.config import Settings
from workbench.core.bars import TRADE_FIELDS
from workbench.core.errors import InsufficientDataError
from workbench.decision.costs import CostModel
from workbench.training.cost_probe import draw_probes, probe_costs

SETTINGS = Settings()


def test_probes_are_random_in_everything_and_repeat(toy) -> None:
    bars = toy.bars()
    history = toy.history(bars)
    probes = draw_probes(bars, history, SETTINGS, None, 400, 5)
    assert probes == draw_probes(bars, history, SETTINGS, None, 400, 5)
    assert probes != draw_probes(bars, history, SETTINGS, None, 400, 6)
    assert len(probes) == len({(p.t, p.i) for p in probes}) == 400
    assert abs(sum(p.side for p in probes)) <= 1
    assert {p.i for p in probes} == {0, 1, 2}
    sizes = np.array([p.quantity for p in probes]) / 20_000
    assert sizes.min() < 5e-4
    assert 0.03 < sizes.max() <= 0.05
    assert not any(bars.bar_of_session[p.t] == 77 for p in probes)


@pytest.mark.parametrize("quotes", [True, False])
def test_the_cost_model_gets_its_coefficients_back(toy, quotes) -> None:
    """Still prices: all slippage is spread and impact. The displayed size (200 shares) makes small orders cheaper."""
    bars = toy.bars(quotes=quotes)
    still = np.broadcast_to([50.0, 100.0, 20.0], bars.shape)
    quote = {"bid": still * (1 - 5e-4), "ask": still * (1 + 5e-4), "bid_size": still * 0, "ask_size": still * 0}
    bars = replace(
        bars, **dict.fromkeys(TRADE_FIELDS[:4], still), volume=still * 0 + 20_000, **(quote if quotes else {})
    )
    seen = probe_costs(bars, toy.history(bars), SETTINGS, n=600)
    assert len(seen.cost) == 600
    expected = 0.5 * seen.spread + 0.142 * seen.sigma_1d * seen.participation**0.6
    np.testing.assert_allclose(seen.cost, expected, rtol=1e-9)
    model = CostModel(SETTINGS.costs).fit(seen)
    assert (model.k1_, model.k2_, model.k3_) == pytest.approx((0.5, 0.0, 0.142), abs=1e-6)


def test_displayed_size_is_cheaper_and_noise_averages_out(toy) -> None:
    bars = toy.bars()
    seen = probe_costs(bars, toy.history(bars), SETTINGS, n=600)
    assert set(np.unique(seen.bucket)) == {0, 1, 2, 3, 4}
    model = 0.5 * seen.spread + 0.142 * seen.sigma_1d * seen.participation**0.6
    assert (seen.cost <= model + 1e-4).all()
    assert seen.cost.min() == pytest.approx(5e-4, rel=1e-3)


def test_only_the_past_is_probed(toy) -> None:
    bars = toy.bars()
    third = int(np.unique(bars.session)[2])
    early = probe_costs(bars, toy.history(bars), SETTINGS, before_session=third, n=200)
    cut = bars.rows(0, 156)
    same = probe_costs(cut, toy.history(cut), SETTINGS, before_session=third, n=200)
    np.testing.assert_array_equal(early.cost, same.cost)
    with pytest.raises(InsufficientDataError, match="costs cannot be probed"):
        probe_costs(bars, toy.history(bars), SETTINGS, before_session=int(bars.session[0]), n=200)
