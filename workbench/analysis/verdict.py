"""The report's verdict in plain words. It claims no more than the intervals allow."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from workbench.analysis.findings import Findings, HorizonStatus
from workbench.analysis.inputs import ReportInputs
from workbench.analysis.metrics import Performance, traded
from workbench.analysis.model_table import leak_text, model_name
from workbench.analysis.tables import interval, number, plural, share

SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Verdict:
    """`tone` is "gain", "none", "loss", "open" or "void" (not to be trusted); a `headline`, a sentence under it, and
    `points` in order of weight. `banners`: (kind, title, text) that no reader may miss."""

    tone: str
    headline: str
    lede: str
    points: tuple[str, ...]
    banners: tuple[tuple[str, str, str], ...]


def verdict(inputs: ReportInputs, findings: Findings) -> Verdict:
    """What this run has shown."""
    tone, headline, lede = _trusted(inputs, findings, *_headline(inputs, findings))
    points = [
        *_money_points(inputs, findings),
        *_horizon_points(findings.horizons),
        *_model_points(findings),
        *_probe_point(inputs),
    ]
    return Verdict(tone, headline, lede, tuple(points), _banners(inputs, findings))


def _headline(inputs: ReportInputs, findings: Findings) -> tuple[str, str, str]:
    base, result = findings.base, inputs.base
    if base is None or result is None:
        return "open", "Trained, not yet backtested", "Forecasts can be judged below; what they earn cannot."
    if not traded(result):
        lede = "Nothing was traded, so nothing was lost. That is an honest result, not a failure of the run."
        return "none", "No horizon survives costs", lede
    net = base.net_bps
    span = f"{share(net.level)} interval {interval(net, 2)} bps, {plural(base.sessions, 'session')}"
    if net.low > 0:
        lede = f"{number(net.value, 2, True)} bps of NAV a day, net ({span})."
        return "gain", "The book earned money after costs", lede
    if net.high < 0:
        lede = f"{number(net.value, 2, True)} bps of NAV a day, net ({span})."
        return "loss", "The book lost money after costs", lede
    lede = f"{number(net.value, 2, True)} bps of NAV a day, net; the interval covers zero ({span})."
    return "none", "After costs, the result cannot be told from zero", lede


def _trusted(inputs: ReportInputs, findings: Findings, tone: str, headline: str, lede: str) -> tuple[str, str, str]:
    """The headline, or why no headline may be believed."""
    if inputs.probe.passed is False:
        return (
            "void",
            "Not to be trusted: the truncation probe failed",
            f"What the run would have said: {headline}. {lede}",
        )
    if findings.models.leaks:
        return (
            "void",
            "Too good to be true until a leak is ruled out",
            f"What the run would have said: {headline}. {lede}",
        )
    return tone, headline, lede


def _money_points(inputs: ReportInputs, findings: Findings) -> list[str]:
    base, fall = findings.base, findings.waterfall
    if base is None or fall is None or inputs.base is None:
        return []
    points = []
    if traded(inputs.base):
        points.append(
            f"Before costs the same positions made {number(fall.gross.value, 2, True)} bps a day "
            f"({interval(fall.gross, 2)}); costs took {number(fall.costs, 2)}, of which the spread "
            f"{number(fall.spread.value, 2)}."
        )
    others = [(m, p) for m, p in findings.performances if p is not base and np.isfinite(p.net_bps.value)]
    if others and traded(inputs.base):
        said = "; ".join(f"at {m:g}x the spread {number(p.net_bps.value, 2, True)}" for m, p in others)
        points.append(f"Net bps a day if the spread were otherwise: {said}.")
    if inputs.naive is not None and traded(inputs.naive):
        points += _naive_point(findings.naive)
    return points


def _naive_point(naive: Performance | None) -> list[str]:
    if naive is None or not np.isfinite(naive.net_bps.value):
        return []
    return [
        f"A naive study (entry at the signal's own close, fills at mid, no costs) would have claimed "
        f"{number(naive.net_bps.value, 2, True)} bps a day. It cannot be traded."
    ]


def _horizon_points(statuses: tuple[HorizonStatus, ...]) -> list[str]:
    trading = [f"{s.horizon} ({share(s.share)})" for s in statuses if s.status == "trades"]
    costly = [str(s.horizon) for s in statuses if s.status == "too costly"]
    points = []
    if trading:
        points.append(f"Traded horizons, with their share of the alpha: {', '.join(trading)}.")
    if costly:
        points.append(f"Forecasts too small for their costs at {', '.join(costly)}.")
    reasons = defaultdict(list)  # reason -> labels that abstain for it
    for s in statuses:
        if s.status == "abstains":
            reasons[s.why.rstrip(".")].append(str(s.horizon))
    points += [f"Abstaining: {', '.join(labels)} ({why})." for why, labels in reasons.items()]
    return points


def _model_points(findings: Findings) -> list[str]:
    rows = [r for r in findings.models.rows if np.isfinite(r.p_holm)]
    if not rows:
        return []
    good = [r for r in rows if r.p_holm < SIGNIFICANT and r.ic.value > 0]
    text = (
        f"{len(good)} of {len(rows)} model cells have an out-of-sample IC above zero at 5 %, "
        f"corrected for having looked at all of them"
    )
    if good:
        best = max(good, key=lambda r: r.ic.value)
        text += (
            f"; the largest is {model_name(best.family, best.strategy)} at {best.horizon}: "
            f"{number(best.ic.value, 3)} ({interval(best.ic, 3)})"
        )
    return [text + "."]


def _probe_point(inputs: ReportInputs) -> list[str]:
    if inputs.probe.passed is None:
        return ["The truncation probe did not run: look-ahead is not excluded by this report."]
    if inputs.probe.passed:
        return ["The truncation probe passed: cutting off the future changed nothing in the past."]
    return []


def _banners(inputs: ReportInputs, findings: Findings) -> tuple[tuple[str, str, str], ...]:
    out = []
    if inputs.simulated:
        text = (
            "Every bar behind this report was generated by the embedded market, with alpha planted on purpose. "
            "It shows that the machinery works. It says nothing about real profits."
        )
        out.append(("simulated", "Simulated market", text))
    if inputs.probe.passed is False:
        out.append(("alarm", "Truncation probe failed", f"The past changed when the future was cut off. {inputs.probe.detail}"))  # fmt: skip # noqa: E501
    out += _leak_banner(findings)
    if findings.waterfall is not None and abs(findings.waterfall.other) > 0.01:
        text = f"Gross minus costs misses net by {number(findings.waterfall.other, 2, True)} bps a day."
        out.append(("alarm", "The backtest's accounts do not close", text))
    out += [("note", "Warning", text) for text in inputs.warnings]
    return tuple(out)


def _leak_banner(findings: Findings) -> list[tuple[str, str, str]]:
    """One banner for all suspicious cells, the worst in full."""
    rows = sorted((r for r in findings.models.rows if r.leak), key=lambda r: -r.lower_99)
    if not rows:
        return []
    text = leak_text(rows[0])
    if len(rows) > 1:
        others = ", ".join(f"{model_name(r.family, r.strategy)} at {r.horizon}" for r in rows[1:6])
        rest = f" and {len(rows) - 6} more" if len(rows) > 6 else ""
        text += f" The same holds for {others}{rest}."
    return [("alarm", "Possible leak", text)]
