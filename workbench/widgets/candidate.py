"""What is known of a candidate bundle, as a card: its verdict and every check."""

from __future__ import annotations

from workbench.research.candidate import CandidateReport
from workbench.widgets import html

MARKS = {False: ("failed", "bad"), None: ("unsure", "dim"), True: ("passed", "good")}
"""In the order in which checks are shown: what needs a look comes first."""
VERDICTS = {
    "red": "A check failed: it is not promoted unless a person says why.",
    "unsure": "Nothing failed, but not everything could be checked: a person decides.",
    "green": "Every check passed.",
}


def card(report: CandidateReport) -> str:
    """The verdict in words, and the checks."""
    rows = [(check.name, html.mark(*MARKS[passed]), check.detail) for passed in MARKS for check in report.of(passed)]
    table = html.table(("check", "", "what was found"), rows, left=("", "what was found"))
    facts = {"candidate": report.candidate, "trades": report.trades or None, "examined": report.at}
    return html.card(f"Candidate: {report.verdict}", VERDICTS[report.verdict], html.facts(facts), _wrapped(table))


def _wrapped(table: str) -> str:
    """The table with its texts to the left in broken lines, and without a scroll bar of its own."""
    broken = table.replace('class="t"', 'class="t" style="text-align:left;white-space:normal"')
    return broken.replace('class="scroll"', 'class="scroll" style="max-height:none"', 1)
