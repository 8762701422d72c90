"""Features that users add."""

from __future__ import annotations

import numpy as np
import pytest

from workbench.core.errors import ConfigError, DataError
from workbench.features.engine import build_history
from workbench.features.user import UserFeature


def test_a_user_feature_sees_its_own_rows_only(market):
    seen = []

    def gap(bars):
        seen.append((len(bars.ts), int(bars.ts[-1])))
        return np.log(bars.open[-1] / bars.close[0])

    history = build_history(market.bars.rows(0, 20), None, market.universe, extra=(UserFeature("gap3", 3, gap),))
    assert history.names[-1] == "gap3"
    assert np.isnan(history.values[:2, :, -1]).all()
    want = np.log(market.bars.open[10] / market.bars.close[8])
    np.testing.assert_array_equal(history.values[10, :, -1], want)
    assert seen == [(3, int(t)) for t in market.bars.ts[2:20]]


@pytest.mark.parametrize("bad", [lambda b: np.zeros(3), lambda b: np.full(12, np.inf)])
def test_a_wrong_answer_is_named(market, bad):
    with pytest.raises(DataError, match=r"user feature 'bad' returned shape .* 12 values, finite or NaN"):
        build_history(market.bars.rows(0, 5), None, market.universe, extra=(UserFeature("bad", 1, bad),))


def test_names_and_lookback_are_checked(market):
    with pytest.raises(ConfigError, match="one of the catalogue's"):
        UserFeature("ret_1", 1, lambda b: b.close[-1])
    with pytest.raises(ConfigError, match="lookback 0 must be at least 1"):
        UserFeature("mine", 0, lambda b: b.close[-1])
    twice = (UserFeature("mine", 1, lambda b: b.close[-1]),) * 2
    with pytest.raises(ConfigError, match="must have different names"):
        build_history(market.bars.rows(0, 5), None, market.universe, extra=twice)


def test_an_error_in_a_user_feature_is_not_hidden(market):
    def broken(bars):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        build_history(market.bars.rows(0, 5), None, market.universe, extra=(UserFeature("broken", 1, broken),))
