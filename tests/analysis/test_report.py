"""The report: complete, self-contained, honest about what is unknown."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from workbench.analysis.inputs import DataSummary, GateSample, HorizonBlend, ProbeVerdict, ReportInputs
from workbench.analysis.report import find, render_report, report_summary
from workbench.analysis.tables import number
from workbench.analysis.verdict import verdict
from workbench.core.errors import ConfigError
from workbench.core.horizon import horizon

SECTIONS = ("horizons", "equity", "costs", "forecasts", "blends", "gates", "positions", "sharpe", "data", "method", "provenance")  # fmt: skip # noqa: E501
VOID = {"meta", "path", "use", "br", "rect", "link", "img", "input", "line", "circle"}


class Page(HTMLParser):
    """Checks that tags close in order; keeps ids, links, text and resources."""

    def __init__(self, html):
        super().__init__()
        self.open, self.ids, self.links, self.sources, self.text, self.cells = [], [], [], [], [], []
        self.feed(html)
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.ids += [attrs["id"]] if "id" in attrs else []
        self.links += [attrs["href"]] if "href" in attrs else []
        self.sources += [v for k, v in attrs.items() if k in ("src", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        inside = self.open[-1] if self.open else ""
        if inside not in ("style", "script"):
            self.text.append(data)
        if inside == "td":
            self.cells.append(data.strip())


@pytest.fixture(scope="module")
def page(inputs, tmp_path_factory):
    path = render_report(inputs, tmp_path_factory.mktemp("report") / "sub" / "report.html")
    return path.read_text(encoding="utf-8")


def render(inputs, tmp_path):
    return render_report(inputs, tmp_path / "report.html").read_text(encoding="utf-8")


def bare(**changes):
    return ReportInputs("Bare", "my bars", DataSummary(("A",), 3, "2025-01-02", "2025-01-06"), **changes)


def test_every_section_is_there_and_every_link_leads_somewhere(page):
    p = Page(page)
    assert set(SECTIONS) <= set(p.ids)
    assert len(p.ids) == len(set(p.ids))
    assert {link[1:] for link in p.links} <= set(p.ids)
    assert page.count("<svg") == 11
    assert page.count('role="img" aria-label="') == page.count("<svg")


def test_it_needs_nothing_from_outside(page):
    p = Page(page)
    assert p.sources == []
    assert all(link.startswith("#") for link in p.links)
    assert not re.search(r"https?://|@import|<script|url\((?!#)", page)
    assert len(page.encode()) < 3_000_000


def test_light_and_dark_and_narrow(page):
    assert "prefers-color-scheme:dark" in page
    assert 'name="viewport"' in page
    used, defined = set(re.findall(r"var\(--([a-z0-9]+)", page)), set(re.findall(r"--([a-z0-9]+):", page))
    assert used <= defined
    assert not re.search(r"#0a[0-9a-f]{2}b7", page)


def test_unknown_is_a_dash_with_a_reason_never_a_number(page):
    text = " ".join(Page(page).text)
    assert not re.search(r"\b(nan|inf|None|NaN)\b", text)
    rows = [r for r in re.findall(r"<tr>.*?</tr>", page, flags=re.DOTALL) if ">20d<" in r and "abstains" not in r]
    assert rows
    assert all("–<sup" in r for r in re.findall(r"<td[^>]*>–.*?</td>", page))
    assert "20d abstains: insufficient data: 6 of 30 non-overlapping windows" in page


def test_the_same_inputs_give_the_same_bytes(make, tmp_path):
    given = bare(results={1.0: make.result()}, oofs={"5m": make.oof(horizon("5m"))})
    assert render(given, tmp_path) == render(given, tmp_path)


def test_a_simulated_market_says_so_twice_and_a_real_one_does_not(page, make, tmp_path):
    assert page.count("nothing about real profits") == 2
    assert "real profits" not in render(bare(results={1.0: make.result()}), tmp_path)


def test_words_from_outside_are_escaped(inputs, tmp_path):
    attack = "<script>alert(1)</script>"
    evil = replace(
        bare(), title=attack, notes=(attack,), warnings=(attack,), provenance={attack: attack},
        blends={"5m": HorizonBlend({attack: 1.0, "$x_1$": 0.0}, 0.1, 0.5, 1.0, 40)},
        settings_summary={"a": attack}, timings={attack: 1.0},
    )  # fmt: skip
    html = render(evil, tmp_path)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 6


def test_no_horizon_survives_is_a_legitimate_result(make, tmp_path):
    idle = make.inputs(origin="my bars", idle=True, horizons=(horizon("5m"), horizon("5d")), gates=())
    said = verdict(idle, find(idle))
    assert said.headline == "No horizon survives costs"
    assert any("Forecasts too small for their costs at 5m" in p for p in said.points)
    assert any("Abstaining: 5d (insufficient data" in p for p in said.points)
    html = render(idle, tmp_path)
    assert "Nothing was traded, so nothing was paid." in html
    assert "<svg" in html  # the forecasts are still shown


@pytest.mark.parametrize(
    ("edge", "tone", "words"),
    [(40.0, "gain", "earned money"), (-40.0, "loss", "lost money"), (1.2, "none", "told from zero")],
)
def test_the_headline_claims_no_more_than_the_interval(make, edge, tone, words):
    given = bare(results={1.0: make.result(edge_bps=edge)})
    said = verdict(given, find(given))
    assert said.tone == tone
    assert words in said.headline


def test_a_leak_and_a_failed_probe_outrank_any_profit(make):
    oofs = {"5m": make.oof(horizon("5m"), signal=0.2, origin="my bars")}
    given = bare(results={1.0: make.result(edge_bps=40)}, oofs=oofs)
    said = verdict(given, find(given))
    assert said.tone == "void"
    assert [b[1] for b in said.banners] == ["Possible leak"]
    assert "LightGBM at 5m" in said.banners[0][2]
    failed = replace(given, probe=ProbeVerdict(False, "Feature r_6, symbol S03 differs."))
    said = verdict(failed, find(failed))
    assert "truncation probe failed" in said.headline
    assert "Feature r_6" in said.banners[0][2]


def test_accounts_that_do_not_close_are_shown(make):
    result = make.result()
    given = bare(results={1.0: replace(result, nav=result.nav - 30.0 * np.arange(len(result.nav)))})
    assert "accounts do not close" in verdict(given, find(given)).banners[0][1]


def test_with_next_to_nothing_every_section_says_what_is_missing(tmp_path):
    html = render(bare(), tmp_path)
    p = Page(html)
    assert set(SECTIONS) <= set(p.ids)
    for words in ("Trained, not yet backtested", "No backtest ran", "This run has no out-of-fold forecasts", "No blend was fitted", "No barrier classifiers", "probe did not run"):  # fmt: skip # noqa: E501
        assert words in html
    assert "<svg" not in html


def test_odd_inputs_render(make, tmp_path):
    oof = make.oof(horizon("30m"), symbols=1, bars=20)
    empty = oof.take(slice(0, 0))
    mute = GateSample("30m", "peak", *(np.full(40, np.nan) for _ in range(3)), np.arange(40))
    constant = GateSample("30m", "valley", np.full(40, 0.5), np.full(40, 0.5), np.zeros(40), np.arange(40))
    many = {f"Model{i:02d}": 1 / 20 for i in range(20)}
    given = bare(
        oofs={"30m": oof, "5m": replace(empty, horizon=horizon("5m"))}, gates=(mute, constant),
        blends={"30m": HorizonBlend(many, 1.0, 0.0), "5m": HorizonBlend({}, abstained="no model beats nothing")},
        results={1.0: make.result(first="2025-05-12", last="2025-05-12")}, naive=make.result(idle=True),
        timings={"train": float("nan")},
    )  # fmt: skip
    html = render(given, tmp_path)
    Page(html)
    assert "pooled over time because there are fewer than five names" in html
    assert "13 others" in html
    assert not re.search(r">\s*nan", html)


def test_the_summary_is_json_with_null_for_unknown(inputs):
    findings = find(inputs)
    data = json.loads(json.dumps(report_summary(inputs, findings), allow_nan=False))
    assert data["verdict"]["headline"] == verdict(inputs, findings).headline
    assert set(data["performance"]) == {"0.5", "1", "2"}
    assert data["performance"]["1"]["net_bps"]["value"] == pytest.approx(findings.base.net_bps.value)
    assert data["waterfall_bps_per_day"]["spread"]["value"] > 0
    assert len(data["models"]) == 45
    assert data["blends"]["20d"]["slope"] is None
    assert [h["status"] for h in data["horizons"]][-2:] == ["abstains", "abstains"]
    assert data["gates"][0]["after"]["ece"] < data["gates"][0]["before"]["ece"]


def test_deflated_sharpe_counts_the_cells_unless_told(inputs):
    few = replace(inputs, gates=(), naive=None, results={1.0: inputs.base})
    assert find(few, draws=2).deflated.trials == 45
    assert find(replace(few, trials=7), draws=2).deflated.trials == 7


def test_the_run_nearest_to_the_true_spread_is_the_one_reported(make):
    a, b = make.result("a"), make.result("b")
    assert bare(results={2.0: a, 0.9: b}).base is b
    assert find(bare(results={2.0: a, 0.9: b})).base.label == "b"


def test_bad_inputs_are_named():
    with pytest.raises(ConfigError, match="horizon '7m' is unknown"):
        bare(blends={"7m": HorizonBlend({})})
    with pytest.raises(ValueError, match="spread multiplier -1"):
        bare(results={-1.0: None})
    none = np.zeros(0)
    with pytest.raises(ValueError, match="side 'top' is unknown"):
        GateSample("5m", "top", none, none, none, none)


def test_numbers_never_show_minus_zero():
    assert number(-0.0004, 2, sign=True) == "0.00"
    assert number(float("inf")) == "–"
