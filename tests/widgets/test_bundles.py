"""Two bundles side by side: one really fitted, and a copy of which it is known what was changed."""

from __future__ import annotations

import copy
import importlib.util
import re
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import ModuleType

import holoviews as hv
import numpy as np
import pytest

from workbench.analysis.bundle_study import Shadow
from workbench.artifacts import Bundle, load_bundle, save_blender
from workbench.core.errors import WorkbenchError
from workbench.engine.codec import live_codec
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal import SqlJournal
from workbench.research.candidate_checks import shadow_session
from workbench.widgets.bundles import BundlesView

BARS = 6


def words(html: str) -> str:
    """The text of a piece of HTML."""
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))


@pytest.fixture(scope="module")
def trades(traded) -> Bundle:
    return load_bundle(traded.job.ws.models_dir, traded.job.ws.blenders_dir)


@pytest.fixture(scope="module")
def candidate(traded, trades, tmp_path_factory) -> Bundle:
    """As the other, but k1 = 0.25, gamma = 3 and slope 0.125 at 15m; the peak map of 60m says 0.5 to everything."""
    parts = copy.deepcopy(dict(trades.parts))
    parts["costs"]["k"][0] = 0.25
    parts["gates"]["gate"]["settings"]["gamma"] = 3.0
    parts["blender"]["fits"]["15m"]["slope"] = 0.125
    parts["gates"]["stack"]["sides"]["60m"]["peak"]["map"] = {"kind": "constant", "values": [0.5], "x": []}
    folder, ws = tmp_path_factory.mktemp("candidate"), traded.job.ws
    made = save_blender(folder, ws.models_dir, trades.models.id, parts, fitted_until=trades.fitted_until)
    return load_bundle(ws.models_dir, folder, wanted=made)


@pytest.fixture
def shown(trades, candidate) -> BundlesView:
    return BundlesView(trades, candidate)


def lines(html: str) -> dict[str, list[str]]:
    """First cell of each row of a table -> the others, as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", html, flags=re.S)
    cells = [[words(c).strip() for c in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, flags=re.S)] for row in rows]
    return {row[0]: row[1:] for row in cells}


def test_facts_of_both_stand_side_by_side(shown, trades, candidate):
    table = lines(shown.facts())
    assert table["bundle"] == [trades.id, candidate.id]
    assert table["models"] == [trades.models.id] * 2
    assert table["data origin"] == ["embedded", "embedded"]
    assert table["families"] == ["FTRLProximal"] * 2
    assert table["horizons with models"] == ["15m, 60m, 1d"] * 2
    assert table["k1 spread"][1] == "0.25"
    assert table["gate: g_min, gamma, delta"] == ["0.2, 1, 0.5", "0.2, 3, 0.5"]


def test_what_is_the_same_is_pale(shown):
    marked = set(re.findall(r'<td[^>]*>([^<]*)</td><td[^>]*>[^<]*</td><td[^>]*><span class="dim">', shown.facts()))
    assert {"models", "data origin", "k2 volatility"} <= marked
    assert not marked & {"bundle", "k1 spread", "gate: g_min, gamma, delta"}


def test_horizons_tell_what_both_learned(shown, trades):
    rows = re.findall(r"<tr>(.*?)</tr>", shown.horizons(), flags=re.S)
    cells = [[words(c).strip() for c in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]
    both = [row for row in cells if row and row[0] in ("15m", "")][:2]
    assert [row[:2] for row in both] == [["15m", "trades"], ["", "candidate"]]
    assert [row[3] for row in both] == ["0.5", "0.125"]  # the slope was forced to 0.5
    assert both[1][-1] == "0 %"  # the weights are the same
    assert both[0][2] == both[1][2] != "–"  # and so is the IC of the blend


def test_the_same_bundle_twice(trades):
    shown = BundlesView(trades, trades)
    assert "The very same bundle." in words(shown.facts())
    table = lines(shown.gaps())
    assert table["15m"] == ["the same", "", "the same", "", "the same", ""]


def test_gaps_of_gates_and_maps(shown):
    table = lines(shown.gaps())
    assert table["15m"][2:] == ["the same", "", "the same", ""]  # only the gate's gamma differs there
    assert float(table["15m"][0]) > 0.01
    assert float(table["60m"][2]) > 0.01  # the peak map
    assert table["60m"][4] == "the same"  # the valley map


def test_gate_curves_follow_side_and_bucket(shown, candidate):
    curves = {c.label: c.dframe() for c in shown.gates()}
    adverse, gate = (curves["candidate"][name].to_numpy() for name in ("adverse", "gate"))
    base = candidate.parts["gates"]["gate"]["base_peak"][2][2]  # 15m, midday
    expected = np.clip(((1 - adverse) / (1 - base)) ** 3, 0.2, 1.0)
    np.testing.assert_allclose(gate, expected, rtol=1e-9)
    shown.side = "short"
    base = candidate.parts["gates"]["gate"]["base_valley"][2][2]
    again = {c.label: c.dframe() for c in shown.gates()}["candidate"]["gate"].to_numpy()
    np.testing.assert_allclose(again, np.clip(((1 - adverse) / (1 - base)) ** 3, 0.2, 1.0), rtol=1e-9)


def test_every_bar_has_the_colour_of_its_bundle(shown):
    figure = hv.render(shown.weights())
    source = next(r for r in figure.renderers if "color" in r.data_source.data).data_source.data
    assert [x[1] for x in source["xoffsets"]] == list(source["color"])
    assert [name for _, name in figure.x_range.factors][:2] == ["trades", "candidate"]


def test_the_intervals_are_drawn_beside_their_horizon(shown):
    dots = {e.label: e.dframe() for e in shown.skill() if isinstance(e, hv.Scatter)}
    np.testing.assert_allclose(dots["trades"]["horizon"], np.arange(3) - 0.12)
    np.testing.assert_allclose(dots["candidate"]["IC"], dots["trades"]["IC"])


def test_without_a_shadow_nothing_is_invented(shown):
    assert "Not asked yet" in words(shown.shadow_told())
    assert shown.__panel__() is not None
    assert len(shown.shown().objects[-1].objects) == 0


def test_a_shadow_in_numbers(shown):
    body = shown.shown()
    shown.shadow = Shadow(
        ("AAA", "BBB"), np.array([1_772_462_100, 1_772_462_400]) * 10**9,
        decided=np.array([[0.02, 0.0], [0.02, 0.0]]), shadow=np.array([[0.01, 0.0], [0.03, 0.0]]),
        held=np.array([[0.0, 0.0], [0.02, 0.0]]),
    )  # fmt: skip
    told = words(shown.shadow_told())
    assert "2026-03-02T14:35:00Z to 2026-03-02T14:40:00Z" in told
    assert "decisions 2 names 2 mean |difference| of a weight 0.500 % sum |difference| 1.00 %" in told
    assert "trades 1.00 % 2.00 % candidate 1.00 % 2.00 %" in told  # turnover and gross
    assert "AAA 2.000 % 2.000 % 1.000 %" in told
    assert "BBB 0" not in told
    assert len(body.objects[-1].objects) == 1
    path = {c.label: c.dframe()["turnover"].tolist() for c in shown.shadow_path()}
    assert path == {"trades": pytest.approx([2.0, 0.0]), "candidate": pytest.approx([1.0, 1.0])}
    source = next(r for r in hv.render(shown.shadow_names()).renderers).data_source.data
    assert [x[1] for x in source["xoffsets"]] == list(source["color"])


@pytest.mark.parametrize(("after_s", "warned"), [(-300, True), (0, True), (86_400, False)])
def test_a_candidate_that_knows_the_session_is_told_of(shown, candidate, after_s: int, warned: bool):
    weights = np.array([[0.02]])
    first = candidate.fitted_until + after_s * 10**9
    shown.shadow = Shadow(("AAA",), np.array([first]), decided=weights, shadow=weights, held=weights)
    told = words(shown.shadow_told())
    assert ("The candidate was fitted on labels up to" in told) is warned


# ---- a session that happened ------------------------------------------------------------------------------------


def live_rig() -> ModuleType:
    """The rig of the live tests: an engine in this process over a gateway whose clock the test moves."""
    path = Path(__file__).parent.parent / "live" / "rig.py"
    spec = importlib.util.spec_from_file_location("rig_of_live_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[SqlJournal, Bundle]]:
    """A journal with the session s1 of six bars, and the bundle that traded it."""
    rig, folder = live_rig(), tmp_path_factory.mktemp("session")
    settings = rig.trading_settings(rig.loud_bundle(folder / "bundle"))
    with SimulatedGateway(speed=rig.FROZEN, start=rig.START) as gateway:
        at_work = rig.Rig(folder, gateway, (settings,))
        at_work.open()
        for _ in range(BARS):
            at_work.bar()
        at_work.close()
    bundle = load_bundle(settings.system.model_dir, settings.system.blender_dir)
    with closing(SqlJournal(folder / "journal.db", read_only=True, codec=live_codec())) as opened:
        yield opened, bundle


def test_the_bundle_that_traded_is_its_own_shadow(session):
    journal, bundle = session
    shadow = shadow_session(journal, "s1", bundle)
    decided = [e.payload["decision"] for e in journal.read("decision", session="s1")]
    assert len(shadow) == BARS
    np.testing.assert_array_equal(shadow.decided, [d.target.weights for d in decided])
    np.testing.assert_array_equal(shadow.shadow, shadow.decided)
    assert np.abs(shadow.decided).max() > 0
    books = [e.payload["book"].weights for e in journal.read("decision", session="s1")]
    np.testing.assert_array_equal(shadow.held, books)


def test_another_bundle_wants_something_else(session, tmp_path):
    journal, bundle = session
    parts = copy.deepcopy(dict(bundle.parts))
    for fit in parts["blender"]["fits"].values():
        fit["slope"] = 0.0
    models = bundle.models.folder.path.parent
    made = save_blender(tmp_path, models, bundle.models.id, parts, fitted_until=bundle.fitted_until)
    shadow = shadow_session(journal, "s1", load_bundle(models, tmp_path, wanted=made))
    assert not shadow.shadow[0].any()  # without a slope nothing is to be earned: flat from the first bar
    assert shadow.decided[0].any()


def test_a_session_that_is_not_there(session):
    journal, bundle = session
    with pytest.raises(WorkbenchError, match="the journal holds no session 's9'; it holds s1"):
        shadow_session(journal, "s9", bundle)
