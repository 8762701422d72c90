"""The schedule: order, coverage, and the embargo counted in whole exchange sessions."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from workbench.core.calendar import sessions_between
from workbench.core.errors import DataError, ProvenanceError
from workbench.engine.tranches import ScheduledStages, check_schedule, whole_sessions_between

DAYS = sessions_between("2025-06-02", "2025-06-13")  # two weeks, ten sessions


def tranche(first: int, last: int, fitted_until: int = 0, stages: str = "s") -> SimpleNamespace:
    return SimpleNamespace(
        first_session=int(DAYS.date[first]), last_session=int(DAYS.date[last]), stages=stages, fitted_until=fitted_until
    )


def test_whole_sessions_between_counts_neither_end() -> None:
    close, opened, trade = DAYS.close_ns, DAYS.open_ns, int(DAYS.date[5])
    assert whole_sessions_between(int(close[4]), trade) == 0
    assert whole_sessions_between(int(close[3]), trade) == 1
    assert whole_sessions_between(int(opened[4]), trade) == 1  # known at the open: that session lies wholly after
    assert whole_sessions_between(int(opened[4]) + 1, trade) == 0
    assert whole_sessions_between(int(close[5]), trade) == 0


def test_the_embargo_is_enforced_per_tranche() -> None:
    clean = tranche(5, 6, int(DAYS.close_ns[3]))
    check_schedule([tranche(2, 4), clean], 1)
    with pytest.raises(ProvenanceError, match="1 whole sessions lie between, the embargo is 2"):
        check_schedule([clean], 2)
    with pytest.raises(ProvenanceError, match="may not trade from 2025-06-09"):
        check_schedule([tranche(5, 6, int(DAYS.close_ns[8]))], 1)


def test_order_and_ends() -> None:
    with pytest.raises(DataError, match="starts before the one before it ends"):
        check_schedule([tranche(2, 4), tranche(4, 6)], 1)
    with pytest.raises(DataError, match=r"ends .* before it starts"):
        check_schedule([tranche(4, 2)], 1)


def test_stages_by_session_with_a_gap() -> None:
    stages = ScheduledStages([tranche(2, 3, stages="a"), tranche(6, 8, stages="b")])
    covered = stages.covers(DAYS.date)
    assert np.flatnonzero(covered).tolist() == [2, 3, 6, 7, 8]
    assert stages(SimpleNamespace(session=int(DAYS.date[7]))) == "b"
    for outside in (0, 4, 9):
        with pytest.raises(DataError, match="no tranche of the schedule covers"):
            stages.tranche(int(DAYS.date[outside]))
