"""Promoting a candidate: everything is proved once more, and then its owner signs it; and the way back.

Every promotion and every rollback is one line of the history (:mod:`workbench.artifacts.history`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.artifacts.bundle import Bundle, load_bundle
from workbench.artifacts.history import (
    PROMOTED,
    ROLLBACK,
    in_force_before,
    promoted,
    read_history,
    took_place,
)
from workbench.artifacts.signing import (
    TRUSTED,
    fingerprint,
    load_key,
    load_public,
    public_path,
    put_in_force,
    read_secret,
    sign,
    signature_path,
    trusted_keys,
    verify,
)
from workbench.core.calendar import iso_time
from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.research.candidate import GREEN, RED, CandidateReport, in_force, report_path, study_again
from workbench.research.job import Job
from workbench.research.promotion_key import PASSPHRASE_FILE, AskPassphrase, passphrase_from_file, usable_key
from workbench.research.workspace import Workspace

if TYPE_CHECKING:
    from workbench.artifacts.signing import PublicKey

MAX_NOTE = 500
RUNNING = "an engine that runs goes on with the bundle that it loaded; stop and start it to trade this one"

Outcome = dict[str, Any]
Tell = Callable[[CandidateReport], None]


def promote(
    root: Path,
    ask: AskPassphrase,
    *,
    bundle: str | None = None,
    key: Path | None = None,
    note: str = "",
    despite: str = "",
    tell: Tell = lambda report: None,
) -> Outcome:
    """Examine the workspace's candidate (`bundle`: its id, by default the one that ``calibrate`` left), sign it with
    the private `key` and put it in force. `tell` hears of the report before the passphrase is asked for.

    Refused: a changed byte, a model that does not reproduce its parity vector, halves that do not belong together, a
    truncation probe that failed or is missing, stages older than the last training, a key that others could read; and a
    candidate whose report is red, unless `despite` says why, which becomes part of the signed note. A bundle that the
    same key signed before is put in force again without these records.
    """
    path, ws = usable_key(key, root), _workspace(root)
    read_secret(path)  # refuse what is readable by others before anything slow, and before asking
    found = load_bundle(ws.models_dir, ws.blenders_dir, wanted=bundle or str(ws.outcome("calibrate")["bundle"]))
    if bundle is not None and signature_path(found).is_file():
        private = load_key(path, ask())
        put_in_force(found, verify(found, (private.public_key(),)).key, _fitting(note), time.time_ns())
        return _told(ws, found, private.public_key())
    report = _examined(ws, found, path)
    tell(report)
    said = _fitting(_note(report, note, despite))
    private = load_key(path, ask())
    sign(found, private, note=said, signed_at=time.time_ns())
    return {**_told(ws, found, private.public_key()), **_about(ws, report)}


def promote_if_green(root: Path, key: Path | None = None) -> Outcome | None:
    """Sign the workspace's candidate without a person, if every check passed; None where it is in force already.

    The passphrase comes from the file that $WORKBENCH_KEY_PASSPHRASE_FILE names. :class:`ArtifactError` says which
    checks failed or could not be made, or that a person took the last promotion, or this bundle, back: only a person
    promotes again then. :class:`ConfigError` where the key or its passphrase may not be used.
    """
    path, secret = own_key(root, key)
    ws = _workspace(root)
    found = load_bundle(ws.models_dir, ws.blenders_dir, wanted=str(ws.outcome("calibrate")["bundle"]))
    if found.id == promoted(ws.blenders_dir):
        return None
    _refuse_taken_back(ws, found)
    before = promoted(ws.blenders_dir)
    report = _examined(ws, found, path)
    if report.verdict != GREEN:
        raise ArtifactError(f"candidate {found.id} is {report.verdict} and is not promoted by itself: {_why(report)}")
    private = load_key(path, secret)
    if (now := promoted(ws.blenders_dir)) != before:
        raise ArtifactError(
            f"while candidate {found.id} was examined, {now or 'nothing'} was put in force instead of "
            f"{before or 'nothing'}: nothing is promoted by itself before it is examined again"
        )
    sign(found, private, note=f"automatic: all {len(report.checks)} checks passed", signed_at=time.time_ns())
    return {**_told(ws, found, private.public_key()), **_about(ws, report)}


def own_key(root: Path, key: Path | None = None) -> tuple[Path, bytes]:
    """Where the private key lies and its passphrase, without asking anybody; :class:`ConfigError` where either is not
    to be had or may not be used."""
    path = usable_key(key, root)
    read_secret(path)
    secret = passphrase_from_file(root)
    if secret is None:
        raise ConfigError(
            f"automatic promotion reads the passphrase from a file: let ${PASSPHRASE_FILE} name one of mode 600"
        )
    return path, secret


def rollback(root: Path, to: str | None = None) -> Outcome:
    """Put the bundle that was in force before (`to`: the one of that id, signed before) in force again, at once.

    Nothing is trained and no key is needed: every byte is verified, and the signature with the public key that is
    trusted. :class:`ArtifactError` leaves everything as it is.
    """
    ws = Workspace.existing(root)
    now = promoted(ws.blenders_dir)
    if now is None and to is None:
        raise ArtifactError(f"nothing is promoted in {root}: there is nothing to go back from (`workbench promote`)")
    wanted = to or in_force_before(ws.blenders_dir)
    if not wanted:
        raise ArtifactError(f"before {now} nothing was in force in {root}; `workbench rollback --to ID` names another")
    if wanted == now:
        raise ArtifactError(f"bundle {now} is in force already; `workbench rollback --list` shows the others")
    try:
        found = load_bundle(ws.models_dir, ws.blenders_dir, wanted=wanted)
        mark = verify(found, trusted_keys())
    except ArtifactError as error:
        error.add_note(f"nothing was changed, {now or 'nothing'} is in force; `workbench rollback --list` shows others")
        raise
    put_in_force(found, mark.key, f"instead of {now or 'nothing'}", time.time_ns(), ROLLBACK)
    return {
        "bundle": found.id, "instead_of": now, "models": found.models.id, "fitted_until": iso_time(found.fitted_until),
        "signed_at": iso_time(mark.signed_at), "note": mark.note, "key": mark.key, "running": RUNNING,
    }  # fmt: skip


def changes(root: Path) -> list[dict[str, Any]]:
    """Every change of what is in force, the oldest first; `state` says which one counts, or that it did not happen."""
    ws = Workspace.existing(root)
    now, lines = promoted(ws.blenders_dir), read_history(ws.blenders_dir)
    real = took_place(lines, now)
    counts = max((i for i, line in enumerate(lines) if real[i] and line.bundle == now), default=-1)
    states = ["in force" if i == counts else "" if real[i] else "did not take place" for i in range(len(lines))]
    return [{**asdict(line), "state": state} for line, state in zip(lines, states, strict=True)]


def _workspace(root: Path) -> Workspace:
    """The workspace of a finished job."""
    if not (Path(root) / "steps.json").is_file():
        raise DataError(
            f"{root} holds no finished job; run `workbench run` or `workbench demo` first, or name it (--out)"
        )
    return Workspace(root)


def _examined(ws: Workspace, found: Bundle, key: Path) -> CandidateReport:
    """The report of a bundle whose records are as they must be, beside the one in force."""
    _refuse_unproved(ws, found)
    own = (load_public(public_path(key)),) if public_path(key).is_file() else ()
    trading, alone = in_force(ws, own)
    return study_again(Job(ws), found, trading=trading, alone=alone)


def _note(report: CandidateReport, note: str, despite: str) -> str:
    """What is signed; :class:`ArtifactError` for a red candidate without a reason."""
    if despite and report.verdict == GREEN:
        raise ConfigError("every check passed: there is nothing to decide against; leave --despite away")
    if report.verdict == RED and not despite:
        raise ArtifactError(
            f"candidate {report.candidate} is red: {_why(report)}. Mend it and train again; a person who decides "
            'otherwise says why: --despite "reason"'
        )
    odd = ", ".join(check.name for check in (*report.of(False), *report.of(None)))
    return "; ".join(part for part in (note, despite and f"despite {odd}: {despite}") if part)


def _fitting(note: str) -> str:
    if len(note) > MAX_NOTE:
        raise ConfigError(f"the note has {len(note)} characters, more than {MAX_NOTE}: shorten --note or --despite")
    return note


def _why(report: CandidateReport) -> str:
    """What failed and what is unsure."""
    failed = [f"{check.name}: {check.detail}" for check in report.of(False)]
    return "; ".join([*failed, *(f"unsure of {check.name}: {check.detail}" for check in report.of(None))])


def _told(ws: Workspace, found: Bundle, public: PublicKey) -> Outcome:
    """What was promoted, and what engines will make of it."""
    mark = verify(found, (public,))
    return {
        "bundle": found.id, "digest": found.digest, "models": found.models.id, "data_origin": found.data_origin,
        "fitted_until": iso_time(found.fitted_until), "signed_at": iso_time(mark.signed_at), "note": mark.note,
        "key": mark.key, "signature": str(signature_path(found)), "promoted": str(ws.blenders_dir / PROMOTED),
        "trusted": _trusted(mark.key), "running": RUNNING,
    }  # fmt: skip


def _trusted(mark: str) -> str:
    """Whether an engine of this user would believe the signature."""
    try:
        known = [fingerprint(key) for key in trusted_keys()]
    except ArtifactError as error:
        return f"no engine would trade it here: {error}"
    if mark in known:
        return "yes"
    return f"no engine would trade it here, which trusts {', '.join(known)}: let ${TRUSTED} name the .pub of this key"


def _about(ws: Workspace, report: CandidateReport) -> Outcome:
    """Of the report: its verdict, where it is kept, and what did not pass."""
    odd = {"failed": report.of(False), "unsure": report.of(None)}
    told = {name: [f"{check.name}: {check.detail}" for check in found] for name, found in odd.items() if found}
    return {"verdict": report.verdict, "examined": str(report_path(ws.blenders_dir, report.candidate)), **told}


def _refuse_taken_back(ws: Workspace, found: Bundle) -> None:
    """ArtifactError where a person went back: automation does not undo that."""
    lines = read_history(ws.blenders_dir)
    real = [line for line, took in zip(lines, took_place(lines, promoted(ws.blenders_dir)), strict=True) if took]
    if real and real[-1].what == ROLLBACK:
        raise ArtifactError(
            f"{real[-1].at}: a rollback put {real[-1].bundle} in force ({real[-1].note}); until a person promotes "
            "again (`workbench promote`) nothing is promoted by itself"
        )
    if signature_path(found).is_file():
        raise ArtifactError(
            f"candidate {found.id} was signed before and is not in force: only a person puts it in force again "
            f"(`workbench promote --bundle {found.id}`)"
        )


def _refuse_unproved(ws: Workspace, found: Bundle) -> None:
    """ArtifactError unless the records say that the probe passed for these models and these stages are the last."""
    trained = ws.outcome("train")
    if trained["models"] != found.models.id:
        raise ArtifactError(
            f"{ws.root} was last trained to the models {trained['models']}, bundle {found.id} has {found.models.id}: "
            "their truncation probe is not on record; promote the bundle of the last training, or train again"
        )
    probe = trained.get("probe")
    if not isinstance(probe, dict) or "passed" not in probe:
        raise ArtifactError(f"{ws.root} has no truncation probe of the models {found.models.id}: run `workbench train`")
    if probe["passed"] is not True:
        raise ArtifactError(
            f"the truncation probe of the models {found.models.id} failed: {probe.get('detail', 'no detail')}. "
            "Something in the past knows the future; such a bundle is never promoted. Mend it and train again"
        )
    stages = ws.outcome("calibrate")["bundle"]
    if stages != found.id:
        raise ArtifactError(
            f"the stages that {ws.root} made last are {stages}, not {found.id}: promote {stages}, or run "
            "`workbench calibrate` with the settings of the other"
        )
