"""`workbench verify` finds a difference planted in a copy of a journal, and names its stage, symbol and bar."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rig import FROZEN, START, Rig, loud_bundle, trading_settings

from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.engine.codec import live_codec
from workbench.engine.replay import KINDS
from workbench.engine.verify import Verdict, verify_session
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import Entry, SqlJournal

Change = Callable[[dict[str, Any]], None]
SYMBOL, ROW = "BBB", 1
BAR = 2
"""Number of the market entry or the decision that is altered; its bar is named below."""
ENDS = ("2026-03-02T14:35:00Z", "2026-03-02T14:40:00Z", "2026-03-02T14:45:00Z", "2026-03-02T14:50:00Z")


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Entry, ...]:
    """What is replayed of a session of four bars."""
    folder = tmp_path_factory.mktemp("verify")
    with SimulatedGateway(speed=FROZEN, start=START) as gateway:
        rig = Rig(folder, gateway, (trading_settings(loud_bundle(folder / "bundle")),))
        rig.open()
        for _ in ENDS:
            rig.bar()
        rig.close()
    with closing(SqlJournal(folder / "journal.db", read_only=True, codec=live_codec())) as journal:
        return tuple(journal.read(KINDS))


def verdict(entries: tuple[Entry, ...], path: Path, kind: str = "", change: Change = lambda p: None) -> Verdict:
    """The verdict on a copy of the session in which the entry number BAR of `kind` was changed."""
    with closing(SqlJournal(path, session="s1", codec=live_codec())) as journal:
        seen = 0
        for entry in entries:
            payload = dict(entry.payload)
            if entry.kind == kind:
                if seen == min(BAR, 0 if kind in ("engine", "warmup") else BAR):
                    change(payload)
                seen += 1
            journal.record(entry.kind, entry.known_at, payload, system=entry.system, ref=entry.ref)
        return verify_session(journal, "s1")


def moved(array: np.ndarray, at: tuple[int, ...], by: float = 1e-9) -> np.ndarray:
    """A copy with one element a little off."""
    copy = np.array(array)
    assert np.isfinite(copy[at])
    copy[at] += by
    return copy


def decided(**parts: Callable[[Any], Any]) -> Change:
    """A change of parts of the decision."""

    def change(payload: dict[str, Any]) -> None:
        old = payload["decision"]
        payload["decision"] = replace(old, **{name: f(getattr(old, name)) for name, f in parts.items()})

    return change


def part(name: str, at: tuple[int, ...]) -> Callable[[Any], Any]:
    """One element of an array of a part of the decision."""
    return lambda old: replace(old, **{name: moved(getattr(old, name), at)})


def first_known(array: np.ndarray) -> tuple[int, ...]:
    """Where the column of SYMBOL first holds a number."""
    return int(np.flatnonzero(np.isfinite(array[:, ROW]))[0]), ROW


def forecast(payload: dict[str, Any]) -> None:
    old = payload["decision"].forecasts
    at = first_known(old.expected_return)
    forecasts = replace(old, expected_return=moved(old.expected_return, at, 1e-6))
    payload["decision"] = replace(payload["decision"], forecasts=forecasts)


def alpha(payload: dict[str, Any]) -> None:
    old = payload["decision"].alphas
    alphas = replace(old, raw=moved(old.raw, first_known(old.raw)))
    payload["decision"] = replace(payload["decision"], alphas=alphas)


def cost(payload: dict[str, Any]) -> None:
    old = payload["decision"].costs
    costs = replace(old, one_way=moved(old.one_way, first_known(old.one_way)))
    payload["decision"] = replace(payload["decision"], costs=costs)


def batch_price(payload: dict[str, Any]) -> None:
    batch = payload["batch"]
    payload["batch"] = replace(batch, bars=moved(batch.bars, (ROW, 3), 0.01))


def batch_quote(payload: dict[str, Any]) -> None:
    batch = payload["batch"]
    payload["batch"] = replace(batch, quotes=moved(batch.quotes, (ROW, 0), -0.01))


def journaled_feature(payload: dict[str, Any]) -> None:
    snapshot = payload["snapshot"]
    at = ROW, int(np.flatnonzero(np.isfinite(snapshot.features.latest[ROW]))[0])
    features = replace(snapshot.features, latest=moved(snapshot.features.latest, at))
    payload["snapshot"] = replace(snapshot, features=features)


def book(payload: dict[str, Any]) -> None:
    old = payload["book"]
    payload["book"] = replace(old, nav=old.nav * 0.9)


PLANTED: tuple[tuple[str, str, Change, str, str | None], ...] = (
    ("price", "market", batch_price, "2 features", None),  # ranks of the other symbols change with it
    ("quote", "market", batch_quote, "2 features", SYMBOL),
    ("feature", "decision", journaled_feature, "2 features", SYMBOL),
    ("alpha", "decision", alpha, "4 blending", SYMBOL),
    ("cost", "decision", cost, "5 costs", SYMBOL),
    ("choice", "decision", decided(choice=part("net", (ROW,))), "6 arbitration", SYMBOL),
    ("gate", "decision", decided(gate=lambda a: moved(a, (ROW,))), "7 gating", SYMBOL),
    ("sizing", "decision", decided(desired=lambda a: moved(a, (ROW,))), "8 sizing", SYMBOL),
    ("target", "decision", decided(target=part("weights", (ROW,))), "9 validation", SYMBOL),
    ("config", "decision", decided(config_digest=lambda d: "0" * len(d)), "configuration", ""),
    ("artifacts", "decision", decided(artifacts_digest=lambda d: "0" * len(d)), "artifacts", ""),
)


def test_a_session_as_it_was_recorded_is_equal(recorded, tmp_path):
    told = verdict(recorded, tmp_path / "copy.db")
    assert (told.stages, told.forecasts, told.decisions) == ("equal", "equal", len(ENDS))


@pytest.mark.parametrize(("kind", "change", "stage", "symbol"), [p[1:] for p in PLANTED], ids=[p[0] for p in PLANTED])
def test_a_planted_difference_is_named(kind, change, stage, symbol, recorded, tmp_path):
    told = verdict(recorded, tmp_path / "copy.db", kind, change)
    assert told.stages == "different"
    assert told.first is not None
    assert (told.first.stage, told.first.bar) == (stage, ENDS[BAR])
    assert symbol is None or told.first.symbol == symbol
    assert told.first.journaled != told.first.again


def test_other_forecasts_are_found_by_both_verdicts(recorded, tmp_path):
    """What follows from a forecast differs; inferred again it differs itself."""
    told = verdict(recorded, tmp_path / "copy.db", "decision", forecast)
    assert (told.stages, told.forecasts) == ("different", "different")
    assert told.first_forecast is not None
    assert (told.first_forecast.stage, told.first_forecast.symbol) == ("3 predictions", SYMBOL)
    assert told.first_forecast.bar == ENDS[BAR]
    assert told.first is not None
    assert told.first.bar == ENDS[BAR]
    assert told.first.symbol == SYMBOL


def test_another_book_gives_another_decision(recorded, tmp_path):
    told = verdict(recorded, tmp_path / "copy.db", "decision", book)
    assert told.first is not None
    assert told.first.bar == ENDS[BAR]


def test_another_history_is_seen_at_the_first_decision(recorded, tmp_path):
    def change(payload: dict[str, Any]) -> None:
        bars = payload["bars"]
        payload["bars"] = replace(bars, close=moved(bars.close, (len(bars.ts) - 1, ROW), 0.01))

    told = verdict(recorded, tmp_path / "copy.db", "warmup", change)
    assert told.first is not None
    assert (told.first.stage, told.first.bar) == ("2 features", ENDS[0])


def test_under_another_runtime_forecasts_are_not_comparable(recorded, tmp_path):
    told = verdict(recorded, tmp_path / "copy.db", "engine", lambda p: p.update(runtime="onnxruntime 0.1"))
    assert (told.stages, told.forecasts) == ("equal", "not comparable")


def test_other_settings_in_the_plan_are_a_difference_of_the_configuration(recorded, tmp_path):
    def change(payload: dict[str, Any]) -> None:
        assert '"max_weight": 0.2' in payload["plan"]
        payload["plan"] = payload["plan"].replace('"max_weight": 0.2', '"max_weight": 0.1')

    told = verdict(recorded, tmp_path / "copy.db", "engine", change)
    assert told.first is not None
    assert told.first.bar == ENDS[0]


def test_a_bundle_that_is_another_one_now_is_refused(recorded, tmp_path):
    def change(payload: dict[str, Any]) -> None:
        payload["bundles"] = {n: {**b, "digest": "other"} for n, b in payload["bundles"].items()}

    with pytest.raises(WorkbenchError, match="put the bundle back that was traded"):
        verdict(recorded, tmp_path / "copy.db", "engine", change)


def test_a_market_that_was_left_out_is_named(recorded, tmp_path):
    without = tuple(e for e in recorded if not (e.kind == "market" and iso_time(e.known_at) == ENDS[BAR]))
    told = verdict(without, tmp_path / "copy.db")
    assert told.first is not None
    assert told.first.bar == ENDS[BAR]
