"""The card of a candidate: its verdict in words, what needs a look first."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from workbench.research.candidate import CandidateReport
from workbench.research.candidate_checks import BOUNDS, Check
from workbench.widgets.candidate import card

REPORT = CandidateReport(
    "0123456789abcdef", "d", "fedcba9876543210", "e", "2026-03-02T14:35:00Z", BOUNDS,
    (Check("costs", True, "k1 <near>"), Check("shadow decisions", None, "no journal"), Check("gates", False, "far")),
)  # fmt: skip


def words(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", html, flags=re.S))


def test_what_failed_stands_first_and_what_is_unsure_before_what_passed():
    told = words(card(REPORT))
    assert "Candidate: red" in told
    assert "candidate 0123456789abcdef trades fedcba9876543210 examined 2026-03-02T14:35:00Z" in told
    assert "gates failed far shadow decisions unsure no journal costs passed k1 &lt;near&gt;" in told


@pytest.mark.parametrize(
    ("left", "title", "told"),
    [
        (2, "Candidate: unsure", "Nothing failed, but not everything could be checked: a person decides."),
        (1, "Candidate: green", "Every check passed."),
    ],
)
def test_the_verdict_is_told_in_words(left, title, told):
    shown = words(card(replace(REPORT, checks=REPORT.checks[:left])))
    assert title in shown
    assert told in shown


def test_with_nothing_that_trades_a_dash_stands():
    assert "trades – examined" in words(card(replace(REPORT, trades="")))
