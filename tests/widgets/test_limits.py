"""Figures against their bounds: what is over, near, unknown, and what is said of it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from made_decisions import NAN, made

from workbench.config import Settings
from workbench.widgets.limits import Limit, account_limits, book_limits, limits_html, system_limits

SETTINGS = Settings().change(
    sizing={"target_gross": 0.5, "max_net": 0.2, "max_weight": 0.05},
    validation={"max_drawdown": 0.2, "max_daily_loss": 0.03},
    guards={"max_open_orders": 4, "max_orders_per_minute": 10},
)


def told(limits: tuple[Limit, ...]) -> dict[str, tuple[float, float, str]]:
    return {limit.label: (limit.value, limit.bound, limit.verdict) for limit in limits}


def test_a_system_as_the_engine_shows_it() -> None:
    state = {"nav": 970.0, "profit_today": -30.0, "gross": 0.6, "net": -0.17, "drawdown": 0.05,
             "weights": {"AAA": 0.02, "BBB": -0.051}}  # fmt: skip
    assert told(system_limits(state, SETTINGS)) == {
        "gross": (0.6, 0.5, "over"),
        "net, delta-weighted": (0.17, 0.2, "near"),
        "largest weight": (0.051, 0.05, "over"),
        "drawdown": (0.05, 0.2, "well"),
        "loss today": (0.03, 0.03, "near"),  # 30 of 1000, at the bound and not over it
    }


def test_what_the_engine_does_not_know_is_unknown_and_a_profit_is_no_loss() -> None:
    nothing = told(system_limits({}, SETTINGS))
    assert {v for _, _, v in nothing.values()} == {"unknown"}
    flat = told(system_limits({"nav": 100.0, "profit_today": 5.0, "weights": {}}, SETTINGS))
    assert flat["largest weight"][0] == flat["loss today"][0] == 0.0
    assert told(system_limits({"nav": 1.0, "weights": {"AAA": None}}, SETTINGS))["largest weight"][2] == "unknown"


def test_a_book_as_a_decision_found_it() -> None:
    _, snapshot, book = made(held=(0.04, -0.03, 0.0), nav=980.0, day_start=1000.0, peak=1225.0)
    limits = told(book_limits(book, snapshot, SETTINGS))
    assert limits["gross"][0] == pytest.approx(0.07)
    assert limits["net, delta-weighted"][0] == pytest.approx(0.01)
    assert limits["largest weight"][0] == pytest.approx(0.04)
    assert limits["drawdown"][0] == pytest.approx(0.2)
    assert limits["loss today"][0] == pytest.approx(0.02)


def test_the_account() -> None:
    known = {"account": "DU1", "open_orders": [{}] * 5, "orders_last_minute": 10}
    assert told(account_limits(known, SETTINGS)) == {
        "open orders of the account": (5.0, 4, "over"), "orders in the last minute": (10.0, 10, "near"),
    }  # fmt: skip
    assert {v for _, _, v in told(account_limits({"open_orders": []}, SETTINGS)).values()} == {"unknown"}


def test_bars_say_in_words_what_colours_say() -> None:
    shown = limits_html((Limit("gross", 0.6, 0.5), Limit("orders", 3, 4, percent=False), Limit("net", NAN, 0.2)))
    text = re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", shown))
    assert "gross 60.00 % of 50.00 % OVER" in text
    assert "orders 3 of 4 75 %" in text
    assert "net – of 20.00 % unknown" in text
    assert 'aria-label="gross: 60.00 % of 50.00 %, OVER"' in shown
    assert "width:100.0%" in shown


def test_a_bound_of_nothing_is_over_at_anything() -> None:
    assert [Limit("net", v, 0.0).verdict for v in (0.0, 0.01, np.nan)] == ["well", "over", "unknown"]
