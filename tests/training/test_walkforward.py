"""Walk-forward: what a model may see, caching and resumption, caps, abstention, provenance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import pytest

from workbench.core.errors import InsufficientDataError, ProvenanceError
from workbench.core.horizon import horizon
from workbench.models.learner import Learner
from workbench.models.registry import FAMILIES
from workbench.training.walkforward import make_plan, train

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Spy(Learner):
    """A family that learns nothing but remembers, in its info, the latest row that it was shown (feature 0)."""

    name: str = "Spy"
    slow: bool = False
    fits: ClassVar[list[int]] = []

    def fit(self, X: Any, y: Any, weight: Any = None, **_: Any) -> Any:
        Spy.fits.append(len(y))
        return Remembered(len(y), float(np.nanmax(np.asarray(X)[:, 0])))


@dataclass(frozen=True)
class Remembered:
    rows: int
    latest: float
    family: str = "Spy"
    task: str = "regress"

    @property
    def info(self) -> dict[str, float]:
        return {"rows": self.rows, "latest": self.latest}

    def predict(self, X: Any) -> Any:
        return np.full(len(X), self.latest)

    def files(self) -> dict[str, bytes]:
        return {"model.json": b"{}"}


@dataclass(frozen=True)
class Hungry(Spy):
    """A family that never has enough rows."""

    name: str = "Hungry"

    def fit(self, X: Any, y: Any, weight: Any = None, **_: Any) -> Any:
        raise InsufficientDataError("Hungry wants more")


@pytest.fixture(scope="module")
def trained(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    return train(small.market.bars, small.market.daily, small.history, small.labels, small.settings, folder), folder


def run(small, *, settings=None, registry=FAMILIES, labels=None, cache=None, history=None, **more):
    m = small.market
    return train(m.bars, m.daily, history or small.history, labels or small.labels, settings or small.settings, cache,
                 registry=registry, **more)  # fmt: skip


def with_family(small, *families, **training):
    registry = MappingProxyType({**FAMILIES, **{f.name: f for f in families}})
    return small.settings.change(training={"families": tuple(f.name for f in families), **training}), registry


def test_forecasts_cover_every_segment_and_carry_their_provenance(small, trained):
    t, _ = trained
    assert list(t.oofs) == ["5m", "30m", "1d"]
    for label, oof in t.oofs.items():
        parts = {s.number: s for s in t.plan.of(horizon(label))}
        assert set(np.unique(oof.fold)) == set(parts)
        for number, part in parts.items():
            rows = oof.fold == number
            assert (oof.fitted_until[rows] < part.cutoff_ns).all()
            assert (oof.fitted_until[rows] > 0).all()
            assert part.holds(oof.session[rows]).all()
        assert oof.data_origin == "embedded"
        assert np.isfinite(oof.forecast).all()
    rows = small.labels["5m"].exists & (small.market.bars.session >= t.plan.intraday[0].first)
    assert len(t.oofs["5m"]) == 8 * rows.sum()


def test_forecasts_are_decimals_and_find_the_planted_alpha(small, trained):
    oof = trained[0].oofs["5m"]
    assert np.abs(oof.forecast).max() < 0.05
    known = np.isfinite(oof.label)
    assert np.corrcoef(oof.forecast[known, 0], oof.label[known])[0, 1] > 0.05
    base = np.nanmean(oof.peak)
    assert 0.05 < base < 0.95
    assert np.nanmean((oof.p_peak[:, 0] - oof.peak) ** 2) < np.nanmean((base - oof.peak) ** 2) + 0.005


def test_a_forecast_that_knew_its_own_future_is_refused(trained):
    oof = trained[0].oofs["5m"]
    late = oof.fitted_until.copy()
    late[17] = oof.known_at[17]
    with pytest.raises(ProvenanceError, match="row 17 is not out of fold"):
        replace(oof, fitted_until=late)


def test_a_model_is_shown_only_rows_that_matured_before_its_cutoff(small):
    """Feature 0 is the number of the row; the spy's prediction is the latest one that it saw."""
    values = small.history.values.copy()
    values[:, :, 0] = np.arange(len(values))[:, None]
    daily = small.history.daily_values.copy()
    daily[:, :, 0] = np.arange(len(daily))[:, None]
    history = replace(small.history, values=values, daily_values=daily)
    settings, registry = with_family(small, Spy())
    t = run(small, settings=settings, registry=registry, history=history, final=False)
    for label, oof in t.oofs.items():
        table = small.labels[label]
        for part in t.plan.of(oof.horizon):
            rows = oof.fold == part.number
            latest = round(np.unique(oof.forecast[rows, 0] / oof.sigma_h[rows]).mean())
            assert table.matured_at[latest] < part.cutoff_ns
            first = oof.known_at[rows].min()
            assert table.matured_at[latest] + oof.embargo_ns <= first
            matured = np.flatnonzero(table.exists & (table.matured_at < part.cutoff_ns))
            assert latest > 0.99 * matured[-1]  # and not less than it may


def test_an_unchanged_rerun_fits_nothing_and_gives_the_same(small, trained):
    first, folder = trained
    before = {p.name: p.stat().st_mtime_ns for p in folder.glob("*.npz")}
    said = []
    again = run(small, cache=folder, progress=lambda done, total, text: said.append((done, total, text)))
    assert {p.name: p.stat().st_mtime_ns for p in folder.glob("*.npz")} == before
    assert said == [(len(before), len(before), "nothing changed")]
    assert {k: o.digest for k, o in again.oofs.items()} == {k: o.digest for k, o in first.oofs.items()}
    assert [m.files for m in again.models] == [m.files for m in first.models]


def test_other_settings_fit_again_and_a_torn_result_is_made_again(small, tmp_path):
    settings, registry = with_family(small, Spy())
    settings = settings.change(system={"horizons": ("30m",)})
    Spy.fits.clear()
    first = run(small, settings=settings, registry=registry, cache=tmp_path)
    assert len(Spy.fits) == 4  # three segments and the final model
    other = settings.change(training={"max_rows": 5000})
    run(small, settings=other, registry=registry, cache=tmp_path)
    assert len(Spy.fits) == 8
    torn = sorted(tmp_path.glob("*.npz"))[0]
    torn.write_bytes(torn.read_bytes()[:100])
    for s in (settings, other):
        run(small, settings=s, registry=registry, cache=tmp_path)
    assert len(Spy.fits) == 9
    assert (
        first.oofs["30m"].digest == run(small, settings=settings, registry=registry, cache=tmp_path).oofs["30m"].digest
    )
    assert not list(tmp_path.glob("arrays-*"))


def test_caps_hold_and_are_reported(small):
    settings, registry = with_family(small, Spy(), max_rows=600)
    settings = settings.change(system={"horizons": ("5m",)})
    Spy.fits.clear()
    t = run(small, settings=settings, registry=registry)
    assert Spy.fits == [600] * 4
    assert any(note.startswith("Spy was fitted on at most 600 of up to ") for note in t.notes)
    assert "training.max_rows = 600" in t.notes[0]


def test_a_family_without_enough_rows_abstains_and_is_reported(small):
    settings, registry = with_family(small, Spy(), Hungry())
    t = run(small, settings=settings, registry=registry)
    assert {k.family for k in t.oofs["5m"].keys} == {"Spy"}
    assert t.abstained["Hungry 5m, segment 1"] == "Hungry wants more"
    assert "5m: Hungry abstained where there were too few rows" in t.notes
    alone, registry = with_family(small, Hungry())
    t = run(small, settings=alone, registry=registry)
    assert not t.oofs
    assert "1d: insufficient data, no family could be fitted out of sample" in t.notes


def test_two_worker_processes_give_the_same_bits_as_one(small, trained):
    settings = small.settings.change(training={"jobs": 2}, system={"horizons": ("1d",)})
    t = run(small, settings=settings)
    assert t.oofs["1d"].digest == trained[0].oofs["1d"].digest


def test_an_error_in_a_cell_says_which_cell(small):
    class Broken(Spy):
        def fit(self, X: Any, y: Any, weight: Any = None, **_: Any) -> Any:
            raise ArithmeticError("no")

    settings, registry = with_family(small, Broken(name="Broken"))
    with pytest.raises(ArithmeticError) as caught:
        run(small, settings=settings, registry=registry)
    assert caught.value.__notes__ == ["while training Broken 5m, segment 3"] or "while training Broken" in str(
        caught.value.__notes__
    )


def test_the_plan_is_a_function_of_the_sessions(small):
    m = small.market
    assert make_plan(m.bars, m.daily, small.settings.training) == make_plan(m.bars, m.daily, small.settings.training)


KILLED = """
import sys, time
from dataclasses import dataclass
from pathlib import Path
from workbench.config import Settings
from workbench.data.simulate import MarketSettings, simulate
from workbench.features.engine import build_history
from workbench.models.families.ftrl import FTRLProximal
from workbench.training.labels import make_labels
from workbench.training.walkforward import train

@dataclass(frozen=True, slots=True)
class Slow(FTRLProximal):
    name: str = "Slow"
    def fit(self, *args, **kwargs):
        with Path(sys.argv[2]).open("a") as log:
            log.write("fit\\n")
        time.sleep(float(sys.argv[3]))
        return FTRLProximal.fit(self, *args, **kwargs)

m = simulate(MarketSettings(symbols=4, intraday_sessions=20, daily_sessions=60, minute=False))
s = Settings().change(training=dict(families=("Slow",), segments=3, jobs=1, max_rows=500),
                      system=dict(horizons=("5m",)))
h = build_history(m.bars, m.daily, m.universe, s.features)
t = train(m.bars, m.daily, h, make_labels(m.bars, h, s.labels), s, Path(sys.argv[1]), registry={"Slow": Slow()})
print(t.oofs["5m"].digest)
"""


@pytest.mark.slow
def test_a_killed_run_resumes_where_it_was(tmp_path):
    script, cells, log = tmp_path / "train.py", tmp_path / "cells", tmp_path / "log"
    script.write_text(KILLED)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start(pause, folder=cells):
        return subprocess.Popen([sys.executable, str(script), str(folder), str(log), str(pause)], env=env,
                                stdout=subprocess.PIPE, text=True)  # fmt: skip

    first = start(0.4)
    deadline = time.monotonic() + 60
    while len(list(cells.glob("*.npz"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.send_signal(signal.SIGKILL)
    first.wait()
    first.stdout.close()
    done = len(list(cells.glob("*.npz")))
    assert 3 <= done < 12
    log.unlink()
    second, _ = start(0.0).communicate(timeout=60)
    assert log.read_text().count("fit") == 12 - done
    fresh, _ = start(0.0, tmp_path / "other").communicate(timeout=60)
    assert second.strip() == fresh.strip()
    assert not list(cells.glob("arrays-*"))
