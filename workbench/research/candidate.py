"""A candidate: the bundle that training made last, and what must be known of it before it trades.

Every check has passed, has failed, or is unsure (None: it could not be made, or a person must look), which is not the
same as passed. One that failed makes the candidate red; else one that is unsure makes it unsure; else it is green. The
report is plain JSON beside the candidate, ``blender_dir/candidates/<id>.json``, with a digest of itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts import Bundle, load_bundle
from workbench.artifacts.history import CANDIDATES, promoted, replace_file
from workbench.artifacts.signing import load_promoted, trusted_keys
from workbench.artifacts.verified import canonical
from workbench.core.calendar import iso_time
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.engine.process import JOURNAL, PLAN
from workbench.journal import SqlJournal
from workbench.research import candidate_checks as checks
from workbench.research.candidate_checks import BOUNDS, Bounds, Check
from workbench.research.job import Job
from workbench.research.workspace import Workspace

if TYPE_CHECKING:
    from workbench.artifacts.signing import PublicKey

FORMAT, VERSION = "workbench-candidate", 1
GREEN, RED, UNSURE = "green", "red", "unsure"
NOTHING_PROMOTED = "nothing is promoted yet, so there is nothing to compare with"


@dataclass(frozen=True, slots=True)
class CandidateReport:
    """What is known of the bundle `candidate` (its id; `digest` of all of it) beside the bundle that `trades` (empty:
    none). `at`: ISO time by the machine's clock."""

    candidate: str
    digest: str
    trades: str
    trades_digest: str
    at: str
    bounds: Bounds
    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """green, red or unsure.

        >>> CandidateReport("", "", "", "", "", BOUNDS, (Check("a", True, ""), Check("b", None, ""))).verdict
        'unsure'
        """
        found = {check.passed for check in self.checks}
        return RED if False in found else UNSURE if None in found else GREEN

    def of(self, passed: bool | None) -> tuple[Check, ...]:
        """The checks that passed (True), failed (False) or are unsure (None)."""
        return tuple(check for check in self.checks if check.passed is passed)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types, with the verdict."""
        return {
            **asdict(self), "checks": [asdict(check) for check in self.checks], "verdict": self.verdict,
            "format": FORMAT, "version": VERSION,
        }  # fmt: skip


# study ---------------------------------------------------------------------------------------------------------------


def study(
    job: Job,
    *,
    trading: Bundle | None,
    journal: SqlJournal | None = None,
    bounds: Bounds = BOUNDS,
    alone: str = NOTHING_PROMOTED,
) -> CandidateReport:
    """Examine the bundle that ``calibrate`` left beside the one that is `trading`; the report is kept beside it.

    `journal`: of the engine whose last sessions the candidate shadows, which takes seconds. `alone`: why there is no
    bundle to compare with. :class:`ArtifactError` where the candidate itself is damaged or misses a parity vector.
    """
    found = load_bundle(job.ws.models_dir, job.ws.blenders_dir, wanted=job.ws.outcome("calibrate")["bundle"])
    made = (*_fitted(job, found, trading, bounds, alone), checks.shadow(found, trading, journal, bounds))
    return _kept(job.ws.blenders_dir, _report(found, trading, bounds, made))


def study_again(job: Job, found: Bundle, *, trading: Bundle | None, alone: str = NOTHING_PROMOTED) -> CandidateReport:
    """What can be known of the candidate `found` without a session, examined anew; the shadow decisions, and the
    bounds, are those of the report that is kept, if that is of these very bundles."""
    kept = read_report(job.ws.blenders_dir, found.id)
    if kept is None or (kept.digest, kept.trades_digest) != (found.digest, _digest(trading)):
        bounds, shadow = BOUNDS, checks.shadow(found, trading, None, BOUNDS)
    else:
        bounds, shadow = kept.bounds, next(check for check in kept.checks if check.name == checks.SHADOW)
    made = (*_fitted(job, found, trading, bounds, alone), shadow)
    return _kept(job.ws.blenders_dir, _report(found, trading, bounds, made))


def in_force(ws: Workspace, own: tuple[PublicKey, ...] = ()) -> tuple[Bundle | None, str]:
    """The bundle that is promoted in `ws`, signed with one of the keys `own` or the trusted one; or None, and why
    there is nothing to compare with."""
    if promoted(ws.blenders_dir) is None:
        return None, NOTHING_PROMOTED
    try:
        return load_promoted(ws.models_dir, ws.blenders_dir, _believed(own))[0], ""
    except ArtifactError as error:
        return None, f"the bundle in force cannot be believed: {error}"


def journal_of(live: Path) -> SqlJournal | None:
    """The journal of the engine whose folder is `live`, to be read; None where no engine has made one."""
    if not (live / PLAN).is_file():
        return None
    plan = EnginePlan.from_json((live / PLAN).read_text(encoding="utf-8"))
    address = plan.first.live.journal or live / JOURNAL
    if isinstance(address, Path) and not address.is_file():
        return None
    return SqlJournal(address, read_only=True, codec=live_codec())


def _believed(own: tuple[PublicKey, ...]) -> tuple[PublicKey, ...]:
    try:
        return own + trusted_keys()
    except ArtifactError:
        if not own:
            raise
        return own


def _fitted(job: Job, found: Bundle, trading: Bundle | None, bounds: Bounds, alone: str) -> Iterable[Check]:
    """Every check that needs no session."""
    trained = job.ws.outcome("train")
    yield checks.probe(found, trained)
    yield checks.parity(found)
    yield checks.evidence(found, trained)
    yield checks.embargo(found, job.settings.training.embargo_sessions)
    yield checks.fitted_until(job, found, trading)
    yield from checks.beside(found, trading, bounds, alone)


def _report(found: Bundle, trading: Bundle | None, bounds: Bounds, made: tuple[Check, ...]) -> CandidateReport:
    trades = "" if trading is None else trading.id
    return CandidateReport(found.id, found.digest, trades, _digest(trading), iso_time(time.time_ns()), bounds, made)


def _digest(bundle: Bundle | None) -> str:
    return "" if bundle is None else bundle.digest


# kept ----------------------------------------------------------------------------------------------------------------


def report_path(blender_dir: Path, wanted: str) -> Path:
    """``blender_dir/candidates/<id>.json``."""
    return Path(blender_dir) / CANDIDATES / f"{wanted}.json"


def _kept(blender_dir: Path, report: CandidateReport) -> CandidateReport:
    """The report, written at once or not at all."""
    path, content = report_path(blender_dir, report.candidate), report.to_dict()
    path.parent.mkdir(exist_ok=True)
    replace_file(path, canonical({**content, "self": digest(canonical(content))}))
    return report


def read_report(blender_dir: Path, wanted: str) -> CandidateReport | None:
    """The report that is kept of bundle `wanted`; None without one, :class:`ArtifactError` if it is not as written."""
    path = report_path(blender_dir, wanted)
    if not path.is_file():
        return None
    remedy = "examine the candidate again (notebook 12), or delete the report"
    try:
        content = json.loads(path.read_bytes())
        told, intact = content.pop("self"), digest(canonical(content))
        about = content.pop("format"), content.pop("version"), content.pop("verdict")
        made = tuple(Check(**check) for check in content["checks"])
        report = CandidateReport(**{**content, "bounds": Bounds(**content["bounds"]), "checks": made})
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(f"{path} is no report of a candidate ({error}): {remedy}") from None
    if told != intact or about != (FORMAT, VERSION, report.verdict):
        raise ArtifactError(f"{path} was changed since it was written: {remedy}")
    if report.candidate != wanted:
        raise ArtifactError(f"{path} is a report of bundle {report.candidate}: {remedy}")
    return report
