"""decide(): composition, determinism, bad input, speed; every stage behind one door."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from decision_builders import (
    Fixed,
    all_oofs,
    book_of,
    random_forecasts,
    snapshot,
    stages_for,
)

from workbench.config import BlendingSettings, Settings
from workbench.core.types import Book, Carry, Forecasts, ModelKey, Phase, Snapshot, State
from workbench.decision.arbitration import CostArbitrator
from workbench.decision.blending import HorizonBlender, HorizonFit
from workbench.decision.costs import CostModel
from workbench.decision.gating import BarrierGate
from workbench.decision.pipeline import Stages, decide, reference_z
from workbench.decision.sizing import PositionSizer
from workbench.decision.validation import PositionValidator
from workbench.stats.stack import BarrierStack

HERE = Path(__file__).resolve().parent


def silent(s: Snapshot) -> Forecasts:
    f = random_forecasts(s)
    nan = np.full_like(f.p_peak, np.nan)
    return Forecasts(f.keys, np.full_like(f.expected_return, np.nan), nan, nan)


def test_every_array_is_in_the_decision() -> None:
    s = snapshot(10)
    f = random_forecasts(s)
    d = decide(s, book_of(s), stages_for(f))
    assert d.forecasts is f
    assert (d.choice.state == int(State.FORECAST)).any()
    assert np.isfinite(d.gate[d.choice.state == int(State.FORECAST)]).all()
    assert np.abs(d.target.weights).sum() > 0.05
    assert (d.config_digest, d.artifacts_digest, d.snapshot_digest) == ("config", "artifacts", s.digest)
    assert d.carry.session == s.session


def test_same_inputs_same_bits() -> None:
    s = snapshot(10)
    digests = {decide(s, book_of(s, 0.01), stages_for(random_forecasts(s))).digest for _ in range(3)}
    assert len(digests) == 1


def test_another_process_gives_the_same_bits() -> None:
    s = snapshot(12, 3)
    here = decide(s, book_of(s, 0.01), stages_for(random_forecasts(s, 3))).digest
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from decision_builders import *\n"
        "from workbench.decision.pipeline import decide\n"
        "s = snapshot(12, 3)\n"
        "print(decide(s, book_of(s, 0.01), stages_for(random_forecasts(s, 3))).digest)\n"
    )
    env = {**os.environ, "PYTHONHASHSEED": "77", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent.parent)}
    there = subprocess.run([sys.executable, "-c", code, str(HERE)], capture_output=True, text=True, check=True, env=env)
    assert there.stdout.strip() == here


def test_silence_leaves_the_book_as_it_is() -> None:
    s = snapshot(6)
    now = np.array([0.03, -0.02, 0.0, 0.011, -0.04, 0.001])
    d = decide(s, book_of(s, now), stages_for(silent(s)))
    np.testing.assert_array_equal(d.target.weights, now)
    assert (d.choice.state == int(State.UNKNOWN)).all()


def test_a_snapshot_of_nan_leaves_the_book_as_it_is() -> None:
    nan = np.full(4, np.nan)
    names = ("price", "bid", "ask", "bid_size", "ask_size", "quote_age_s", "spread", "sigma_5m", "sigma_1d")
    table = np.full((9, 4), np.nan)
    s = snapshot(4, **dict.fromkeys(names, nan), sigma_h=table, expected_volume=table)
    now = np.array([0.03, -0.02, 0.0, 0.01])
    f = silent(s)
    d = decide(s, book_of(s, now), stages_for(f))
    np.testing.assert_array_equal(d.target.weights, now)


def test_silence_for_long_empties_the_book() -> None:
    s = snapshot(4)
    book = book_of(s, np.array([0.03, -0.02, 0.0, 0.01]))
    stages = stages_for(silent(s))
    for _ in range(20):
        d = decide(s, book, stages)
        book = replace(book, weights=d.target.weights, positions=d.target.weights * book.nav / s.price, carry=d.carry)
    np.testing.assert_array_equal(book.weights, np.zeros(4))


def test_no_edge_empties_the_book_at_once() -> None:
    s = snapshot(4)
    f = random_forecasts(s)
    nothing = Forecasts(f.keys, np.zeros_like(f.expected_return), f.p_peak, f.p_valley)
    d = decide(s, book_of(s, 0.02), stages_for(nothing))
    np.testing.assert_array_equal(d.target.weights, np.zeros(4))
    assert (d.choice.state == int(State.NO_EDGE)).all()


def test_a_day_position_stays_overnight_and_an_intraday_one_does_not() -> None:
    s = snapshot(2)
    f = random_forecasts(s)
    day = np.array([k.horizon == "5d" for k in f.keys])
    value = np.zeros_like(f.expected_return)
    value[day, 0] = 0.6
    value[[k.horizon == "30m" for k in f.keys], 1] = -0.2
    stages = stages_for(Forecasts(f.keys, value, f.p_peak, f.p_valley))
    opened = decide(s, book_of(s), stages)
    assert opened.target.weights[0] > 0 > opened.target.weights[1]
    np.testing.assert_allclose(opened.carry.day_weight, [opened.target.weights[0], 0.0])
    late = replace(s, phase=Phase.CLOSING, minutes_to_close=10.0)
    book = replace(book_of(s, opened.target.weights), carry=opened.carry)
    closed = decide(late, book, stages)
    np.testing.assert_allclose(closed.target.weights, [opened.target.weights[0], 0.0])
    np.testing.assert_allclose(closed.carry.day_weight, closed.target.weights)


def test_a_held_name_keeps_its_last_gate_when_probabilities_go_missing() -> None:
    s = snapshot(5)
    f = random_forecasts(s, strength=0.3)
    first = decide(s, book_of(s), stages_for(f))
    held = first.target.weights != 0
    assert held.any()
    nan = np.full_like(f.p_peak, np.nan)
    book = replace(book_of(s, first.target.weights), carry=first.carry)
    second = decide(s, book, stages_for(Forecasts(f.keys, f.expected_return, nan, nan)))
    np.testing.assert_array_equal(second.gate[held], first.gate[held])


def test_bad_input_names_what_differs() -> None:
    s = snapshot(3)
    stages = stages_for(random_forecasts(s))
    with pytest.raises(ValueError, match="same order: only one of them has S03"):
        decide(s, book_of(snapshot(4)), stages)
    with pytest.raises(ValueError, match="their order differs"):
        decide(s, Book.flat(s.symbols[::-1], 1e6), stages)
    with pytest.raises(ValueError, match="forecasts are of 3 symbols, the snapshot of 4"):
        other = snapshot(4)
        decide(other, book_of(other), stages)


def test_one_symbol_and_no_symbol() -> None:
    one = snapshot(1)
    assert decide(one, book_of(one), stages_for(random_forecasts(one, strength=0.3))).target.weights.shape == (1,)


@pytest.mark.parametrize("method", ["ridge", "qp"])
@pytest.mark.parametrize("arbitration", ["winner", "softmax"])
def test_methods_hold_the_limits(method: str, arbitration: str) -> None:
    settings = Settings().change(sizing={"method": method}, arbitration={"method": arbitration})
    s = snapshot(20)
    w = decide(s, book_of(s, 0.004), stages_for(random_forecasts(s, strength=0.3), settings)).target.weights
    assert np.abs(w).sum() > 0
    assert np.abs(w).sum() <= 0.5
    assert abs(w.sum()) <= 0.2
    assert np.abs(w).max() <= 0.05


@pytest.fixture(scope="module")
def fitted() -> Stages:
    settings, oofs = Settings(), all_oofs()
    stack = BarrierStack().fit(oofs)
    blender = HorizonBlender(settings.blending).fit(oofs)
    costs = CostModel(settings.costs)
    z = reference_z(blender, oofs, 1e-4)
    f = random_forecasts(snapshot(8))
    return Stages(
        Fixed(Forecasts(oofs["5m"].keys, oofs["5m"].forecast[:8].T, f.p_peak, f.p_valley)),
        blender,
        costs,
        CostArbitrator(costs, settings.arbitration).fit(z),
        BarrierGate(settings.gating).fit(oofs, stack),
        PositionSizer(settings.sizing).fit(z),
        PositionValidator(settings.validation, settings.sizing),
        settings.digest,
        "fitted",
    )


def test_stages_from_json_decide_the_same_bits(fitted: Stages) -> None:
    def again(stage: object) -> dict:
        return json.loads(json.dumps(stage.to_dict(), allow_nan=False))  # type: ignore[attr-defined]

    costs = CostModel.from_dict(again(fitted.costs))
    twin = replace(
        fitted,
        blender=HorizonBlender.from_dict(again(fitted.blender)),
        costs=costs,
        arbitrator=CostArbitrator.from_dict(again(fitted.arbitrator), costs),
        gate=BarrierGate.from_dict(again(fitted.gate)),
        sizer=PositionSizer.from_dict(again(fitted.sizer)),
        validator=PositionValidator.from_dict(again(fitted.validator)),
    )
    s = snapshot(8)
    for weights in (0.0, 0.01):
        book = book_of(s, weights)
        assert decide(s, book, twin).digest == decide(s, book, fitted).digest


def test_reference_z_is_of_admitted_rows(fitted: Stages) -> None:
    oofs = all_oofs()
    some, every = (reference_z(fitted.blender, oofs, c) for c in (5e-4, 0.0))
    assert 100 <= len(some) < len(every)
    assert np.abs(some).min() > 0
    assert len(reference_z(fitted.blender, oofs, 1.0)) == len(every), "too few admitted: all rows"
    assert len(reference_z(HorizonBlender(Settings().blending), oofs, 0.0)) == 0


def test_without_evidence_nothing_trades() -> None:
    s = snapshot(8)
    f = random_forecasts(s, strength=1.0)
    from decision_builders import equal_blender

    d = decide(s, book_of(s), stages_for(f, blender=equal_blender(f.keys, Settings(), slope=0.0)))
    np.testing.assert_array_equal(d.target.weights, np.zeros(8))
    assert (d.choice.state == int(State.NO_EDGE)).all()


def test_speed() -> None:
    """N=60, M=45, H=9 in under a millisecond; the best run counts, since the machine may be busy."""
    s = snapshot(60)
    stages = stages_for(random_forecasts(s))
    book = replace(book_of(s, np.linspace(-0.008, 0.008, 60)), carry=replace(Carry.empty(60), session=s.session))
    best, give_up = float("inf"), time.monotonic() + 15
    while best >= 1e-3 and time.monotonic() < give_up:
        start = time.perf_counter()
        decide(s, book, stages)
        best = min(best, time.perf_counter() - start)
    assert best < 1e-3, f"decide took {best * 1e6:.0f} us"


def test_a_horizon_without_evidence_does_not_close_what_another_one_holds() -> None:
    """Slope 0 beside a horizon that trades is no view: a held name whose own horizon is silent is kept, not sold."""

    def fit(label: str, slope: float) -> HorizonFit:
        key = ModelKey("LightGBM", "single_task", label)
        return HorizonFit((key,), (1.0,), (1.0,), (3.0,), 1.0, slope, slope, slope, 0.0, 100, 100, "", False)

    s = snapshot(3)
    keys = tuple(ModelKey("LightGBM", "single_task", label) for label in ("5m", "1d"))
    silent_day = np.array([[0.01] * 3, [np.nan] * 3])
    nan = np.full((9, 3), np.nan)
    forecasts = Forecasts(keys, silent_day, nan, nan)
    both = HorizonBlender(BlendingSettings())._set({"5m": fit("5m", 0.0), "1d": fit("1d", 0.02)})
    assert np.isnan(both.blend(forecasts, s, Carry.empty(3)).raw).all()
    neither = HorizonBlender(BlendingSettings())._set({"5m": fit("5m", 0.0), "1d": fit("1d", 0.0)})
    np.testing.assert_array_equal(neither.blend(forecasts, s, Carry.empty(3)).raw[0], np.zeros(3))
