"""Stages per tranche: what they may know, what they learn, what they leave alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from workbench.core.errors import InsufficientDataError
from workbench.core.types import Book
from workbench.decision.costs import CostModel
from workbench.decision.pipeline import decide
from workbench.engine.tranches import check_schedule
from workbench.training.fitting import fit_stages, schedule
from workbench.training.walkforward import train


@pytest.fixture(scope="module")
def trained(small):
    return train(small.market.bars, small.market.daily, small.history, small.labels, small.settings)


def costs_of(small):
    return CostModel(small.settings.costs)


def test_every_tranche_knows_only_what_had_matured_before_it(small, trained):
    tranches = schedule(trained.plan, trained.oofs, small.settings, small.history, costs_of(small))
    assert [t.segment for t in tranches] == [2, 3]
    check_schedule(tranches, small.settings.training.embargo_sessions)
    for tranche, part in zip(tranches, trained.plan.intraday[1:], strict=True):
        assert (tranche.first_session, tranche.last_session) == (part.first, part.last)
        assert tranche.fitted_until < part.cutoff_ns


def test_what_happens_after_the_cutoff_changes_no_stage(small, trained):
    """Labels of later segments are replaced by nonsense: the fitted stages of segment 2 stay bit for bit."""
    part = trained.plan.intraday[1]
    changed = {}
    for label, oof in trained.oofs.items():
        late = oof.matured_at >= part.cutoff_ns
        changed[label] = replace(oof, label=np.where(late, 0.5, oof.label), peak=np.where(late, 1.0, oof.peak))
    first = [
        fit_stages(oofs, part.cutoff_ns, small.settings, costs_of(small), small.history)
        for oofs in (trained.oofs, changed)
    ]
    assert first[0].parts() == first[1].parts()
    assert first[0].fitted_until == first[1].fitted_until < part.cutoff_ns
    all_of_it = fit_stages(changed, None, small.settings, costs_of(small), small.history)
    assert all_of_it.parts()["blender"] != first[0].parts()["blender"]


def test_planted_alpha_is_found_sized_and_traded(small, trained):
    cheap = small.settings.change(costs={"k1": 0.0, "k3": 0.0})
    fitted = fit_stages(trained.oofs, None, cheap, CostModel(cheap.costs), small.history)
    assert fitted.stages.blender.slope_["5m"] > 0
    assert fitted.stages.sizer.z_ref_ > 0
    assert fitted.stages.arbitrator.z_ref_ == pytest.approx(fitted.stages.sizer.z_ref_)
    assert fitted.stages.costs.reference_weight_ != cheap.costs.reference_weight
    assert 0 < fitted.stages.costs.reference_weight_ <= 2 * cheap.sizing.max_weight
    row = int(np.flatnonzero(small.history.session >= trained.plan.intraday[1].first)[10])
    decision = decide(small.history.snapshot(row), Book.flat(small.history.symbols, 1e6), fitted.stages)
    assert np.abs(decision.target.weights).sum() > 0
    assert fitted.stages.config_digest == cheap.digest
    assert fitted.stages.artifacts_digest


def test_a_cost_model_is_copied_and_a_cost_source_is_told_the_moment(small, trained):
    given = costs_of(small)
    fitted = fit_stages(trained.oofs, None, small.settings, given, small.history)
    assert fitted.stages.costs is not given
    assert given.reference_weight_ == small.settings.costs.reference_weight
    asked = []

    def source(as_of):
        asked.append(as_of)
        return costs_of(small)

    schedule(trained.plan, trained.oofs, small.settings, small.history, source)
    days = {s.number: s.cutoff_ns for s in trained.plan.day}
    assert asked == [min(s.cutoff_ns, days[s.number]) for s in trained.plan.intraday[1:]]


def test_nothing_matured_is_said(small, trained):
    with pytest.raises(InsufficientDataError, match="no out-of-fold row has matured"):
        fit_stages(trained.oofs, 1, small.settings, costs_of(small), small.history)
