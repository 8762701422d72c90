"""Commission schedules against amounts computed by hand, and the vector form against the scalar one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.errors import ConfigError, DataError
from workbench.fees import FINRA_TAF, SEC_FEE, commission, commission_rate, impact, sec_rate, taf_rate


def session(date: str) -> int:
    return int(np.datetime64(date, "D").astype(np.int64))


@pytest.mark.parametrize(
    ("plan", "side", "quantity", "price", "date", "usd"),
    [
        ("fixed", 1, 100, 50.0, "2025-06-02", 1.00),  # the minimum
        ("fixed", 1, 1000, 50.0, "2025-06-02", 5.00),
        ("fixed", 1, 10, 1.0, "2025-06-02", 0.10),  # 1 % of 10 USD beats the minimum
        ("fixed", -1, 1000, 50.0, "2025-06-02", 5.00 + 0.166),  # SEC fee is 0, TAF 0.000166
        ("fixed", -1, 1000, 50.0, "2025-01-02", 5.00 + 0.166 + 1.39),  # SEC 27.80 per million of 50,000
        ("fixed", -1, 100_000, 50.0, "2025-06-02", 500.0 + 8.30),  # TAF cap
        ("tiered", 1, 1000, 50.0, "2025-06-02", 3.5 + 0.2 + 3.0),
        ("tiered", 1, 10, 50.0, "2025-06-02", 0.35 + 0.002 + 0.03),
        ("tiered", -1, 1000, 50.0, "2026-01-02", 3.5 + 0.2 + 3.0 + 0.195),
    ],
)
def test_commission_by_hand(plan, side, quantity, price, date, usd) -> None:
    assert commission(plan, side, quantity, price, session(date)) == pytest.approx(usd, abs=1e-12)


def test_shares_that_add_liquidity_pay_no_exchange_fee() -> None:
    day = session("2025-06-02")
    assert commission("tiered", 1, 1000, 50.0, day, added=1000) == pytest.approx(3.7)
    assert commission("tiered", 1, 1000, 50.0, day, added=400) == pytest.approx(3.7 + 1.8)


@given(
    plan=st.sampled_from(["fixed", "tiered"]),
    quantity=st.floats(1, 1e6),
    price=st.floats(0.5, 5000),
    day=st.integers(15000, 21000),
)
def test_the_rate_is_the_mean_of_buying_and_selling(plan, quantity, price, day) -> None:
    both = commission(plan, 1, quantity, price, day) + commission(plan, -1, quantity, price, day)
    rate = commission_rate(plan, np.array([quantity * price]), np.array([price]), day)
    np.testing.assert_allclose(rate * quantity * price, both / 2, rtol=1e-9)


def test_rate_of_nothing_and_of_the_unknown() -> None:
    rate = commission_rate("fixed", np.array([0.0, np.nan, 1e4, 1e4]), np.array([50.0, 50.0, np.nan, 0.0]), 20300)
    assert rate[0] == pytest.approx(0.01 + 0.000166 / 50 / 2)
    assert np.isnan(rate[1:]).all()
    assert np.isnan(commission("fixed", 1, float("nan"), 10.0, 20300))


def test_dated_tables_are_in_order_and_change_on_their_day() -> None:
    for table in (SEC_FEE, FINRA_TAF):
        dates = [row[0] for row in table]
        assert dates == sorted(dates)
    assert sec_rate(session("2025-05-13")) == 27.8e-6
    assert sec_rate(session("2025-05-14")) == 0.0
    assert taf_rate(session("2023-12-31"))[0] == 0.000145
    assert taf_rate(session("1999-01-04")) == (0.000119, 5.95)  # the oldest row serves what came before it


def test_impact_grows_with_participation_to_the_exponent() -> None:
    got = impact(np.array([0.02, np.nan]), np.array([0.1, 0.1]), 0.142, 0.6)
    assert got[0] == pytest.approx(0.142 * 0.02 * 0.1**0.6)
    assert np.isnan(got[1])


def test_bad_input_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'teired' is unknown: choose from fixed, tiered. Did you mean 'tiered'"):
        commission("teired", 1, 1, 1.0, 20300)
    with pytest.raises(DataError, match=r"side 0 of a trade must be \+1"):
        commission("fixed", 0, 1, 1.0, 20300)
    with pytest.raises(DataError, match="-5 shares"):
        commission("fixed", 1, -5, 1.0, 20300)
