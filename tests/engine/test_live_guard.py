"""Feature health where the guard of a live session looks: what is unknown holds back, single NaN features do not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from workbench.core.horizon import N_HORIZONS, horizon
from workbench.core.types import Features, ModelKey
from workbench.engine.live_guard import features_known

NAN = float("nan")
ROWS = np.array([[1.0, 2.0], [NAN, 2.0], [NAN, NAN]])  # known, known in part, unknown


def table(rows: np.ndarray) -> Features:
    return Features(("a", "b"), rows, np.zeros((3, 0, 2)))


def decision(*horizons: str) -> Any:
    keys = tuple(ModelKey("FTRLProximal", "single_task", h) for h in horizons)
    return SimpleNamespace(forecasts=SimpleNamespace(keys=keys))


@pytest.fixture
def snapshot(toy: Any) -> Any:
    bare = toy.history(toy.bars()).snapshot(3)
    return replace(bare, features=table(ROWS), daily=table(ROWS[::-1]))


@pytest.mark.parametrize(
    ("horizons", "known"),
    [
        (("5m", "30m"), [True, True, False]),
        (("1d",), [False, True, True]),
        (("5m", "1d"), [True, True, True]),  # the models of the other table have a view
        ((), [True, True, True]),
    ],
)
def test_a_symbol_of_which_nothing_is_known_that_the_models_read(snapshot: Any, horizons: Any, known: Any) -> None:
    assert features_known(decision(*horizons), snapshot).tolist() == known


def test_a_horizon_that_is_closed_reads_nothing(snapshot: Any) -> None:
    is_open = np.array([h != horizon("5m").order for h in range(N_HORIZONS)])
    assert features_known(decision("5m"), replace(snapshot, horizon_open=is_open)).all()
    assert features_known(None, snapshot).all()
