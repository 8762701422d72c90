"""Promoting a candidate, with and without a person, and going back: red, unsure, green; history; damage; crashes."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest

from workbench.artifacts import Bundle, load_bundle, save_blender
from workbench.artifacts import history as history_of
from workbench.artifacts.history import in_force_before, promoted, read_history
from workbench.artifacts.signing import TRUSTED, load_public, new_key, public_path, signature_path, verify
from workbench.core.errors import ArtifactError, ConfigError
from workbench.research import candidate, promotion
from workbench.research.candidate import CandidateReport, in_force, study
from workbench.research.candidate_checks import BOUNDS, SHADOW, Check
from workbench.research.job import Job
from workbench.research.promotion import RUNNING, changes, promote, promote_if_green, rollback
from workbench.research.promotion_key import PASSPHRASE_FILE

SECRET = b"correct horse"
KEPT = ("config.toml", "steps.json", "zoo.json", "store", "models", "blenders")


@pytest.fixture(autouse=True)
def outside_jupyter(monkeypatch, tmp_path):
    for name in ("JPY_PARENT_PID", "JPY_SESSION_NAME", "JUPYTER_SERVER_URL", PASSPHRASE_FILE, TRUSTED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def key(tmp_path) -> Path:
    path = tmp_path / "config" / "workbench" / "promotion.key"
    new_key(path, SECRET)
    return path


@pytest.fixture
def ws(traded, tmp_path, key) -> Path:
    """A workspace of its own that was really trained, with the bundle of `traded` as its candidate."""
    root = tmp_path / "ws"
    root.mkdir()
    for path in (traded.job.ws.root / name for name in KEPT):
        (shutil.copytree if path.is_dir() else shutil.copy)(path, root / path.name)
    return root


@pytest.fixture
def secret(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(SECRET)
    path.chmod(0o600)
    monkeypatch.setenv(PASSPHRASE_FILE, str(path))
    return path


@pytest.fixture
def verdict(monkeypatch) -> dict[str, bool | None]:
    """What the report says: every check passed, or as the test decides ({"gates": False}); the checks themselves are
    tried in test_candidate.py."""
    said: dict[str, bool | None] = {}

    def report(job: Job, found: Bundle, *, trading: Bundle | None, alone: str) -> CandidateReport:
        names = ("truncation probe", "gates", SHADOW)
        checks = tuple(Check(name, said.get(name, True), f"{name} were looked at") for name in names)
        return CandidateReport(found.id, found.digest, "", "", "2026-01-01T00:00:00Z", BOUNDS, checks)

    monkeypatch.setattr(promotion, "study_again", report)
    return said


def do(ws: Path, **how) -> dict:
    return promote(ws, lambda: SECRET, **how)


def trained(ws: Path, k1: float) -> str:
    """Another candidate, as a training would leave it: its cost of half a spread is `k1`."""
    job = Job.open(ws)
    bundle = load_bundle(job.ws.models_dir, job.ws.blenders_dir, wanted=job.ws.outcome("calibrate")["bundle"])
    parts = copy.deepcopy(dict(bundle.parts))
    parts["costs"]["k"][0] = k1
    made = save_blender(
        job.ws.blenders_dir, job.ws.models_dir, bundle.models.id, parts, fitted_until=bundle.fitted_until
    )
    path = ws / "steps.json"
    records = json.loads(path.read_text())
    records["calibrate"]["outcome"]["bundle"] = made
    path.write_text(json.dumps(records))
    return made


def three(ws: Path) -> list[str]:
    """Three bundles, promoted one after another."""
    ids = [trained(ws, k1) for k1 in (0.41, 0.42, 0.43)]
    for number, name in enumerate(ids):
        records = json.loads((ws / "steps.json").read_text())
        records["calibrate"]["outcome"]["bundle"] = name
        (ws / "steps.json").write_text(json.dumps(records))
        do(ws, note=f"number {number}")
    return ids


def now(ws: Path) -> str | None:
    return promoted(ws / "blenders")


# with a person ---------------------------------------------------------------------------------------------------


def test_a_green_candidate_is_signed(ws, verdict):
    heard: list[CandidateReport] = []
    told = do(ws, note="J. Doe", tell=heard.append)
    assert (told["verdict"], told["note"], told["trusted"], told["running"]) == ("green", "J. Doe", "yes", RUNNING)
    assert not {"failed", "unsure"} & set(told)
    assert [report.verdict for report in heard] == ["green"]
    assert now(ws) == told["bundle"]


def test_a_red_candidate_is_refused_before_the_passphrase_is_asked_for(ws, verdict):
    verdict["gates"] = False
    verdict[SHADOW] = None
    told = "is red: gates: gates were looked at; unsure of shadow decisions: shadow decisions were looked at"
    with pytest.raises(ArtifactError, match=told) as error:
        promote(ws, lambda: pytest.fail("asked"))
    assert '--despite "reason"' in str(error.value)
    assert now(ws) is None
    assert not (ws / "blenders" / "signatures").exists()


def test_a_person_may_decide_otherwise_and_signs_why(ws, verdict, key):
    verdict["gates"] = False
    told = do(ws, note="J. Doe", despite="the market changed on 3 June")
    assert told["note"] == "J. Doe; despite gates: the market changed on 3 June"
    assert (told["verdict"], told["failed"]) == ("red", ["gates: gates were looked at"])
    bundle = load_bundle(ws / "models", ws / "blenders", wanted=told["bundle"])
    assert verify(bundle, [load_public(public_path(key))]).note == told["note"]
    with pytest.raises(ConfigError, match=r"the note has 5\d\d characters, more than 500: shorten --note or --despite"):
        do(ws, despite="x" * 490)


def test_an_unsure_candidate_is_signed_and_what_is_unsure_is_told(ws, verdict):
    verdict[SHADOW] = None
    told = do(ws)
    assert (told["verdict"], told["unsure"]) == ("unsure", [f"{SHADOW}: {SHADOW} were looked at"])
    assert told["note"] == ""


def test_against_nothing_nobody_decides(ws, verdict):
    with pytest.raises(ConfigError, match="every check passed: there is nothing to decide against"):
        do(ws, despite="never mind")


def test_despite_does_not_reach_the_truncation_probe(ws):
    """Who knows the future never trades, whatever anybody says."""
    records = json.loads((ws / "steps.json").read_text())
    records["train"]["outcome"]["probe"]["passed"] = False
    (ws / "steps.json").write_text(json.dumps(records))
    with pytest.raises(ArtifactError, match="such a bundle is never promoted"):
        do(ws, despite="I want it")


def test_the_real_report_of_the_first_and_of_a_second_candidate(ws):
    first = do(ws)
    assert first["verdict"] == "unsure"
    assert [line.partition(":")[0] for line in first["unsure"]][:2] == ["data origin", "weights of the blends"]
    trained(ws, 5.0)
    with pytest.raises(ArtifactError, match=r"is red: costs: k1 0\.\d+ to 5 \(bound 0\.25\)"):
        do(ws)
    assert now(ws) == first["bundle"]


def test_a_tampered_report_stops_the_promotion(ws):
    report = study(Job.open(ws), trading=None)
    path = ws / "blenders" / "candidates" / f"{report.candidate}.json"
    path.write_text(path.read_text().replace('"unsure"', '"green"'))
    with pytest.raises(ArtifactError, match="was changed since it was written"):
        do(ws)
    assert now(ws) is None


def test_a_key_that_engines_do_not_trust_is_told(ws, verdict, tmp_path, monkeypatch):
    other = tmp_path / "other" / "key"
    new_key(other, SECRET)
    told = do(ws, key=other)
    assert told["trusted"].startswith("no engine would trade it here, which trusts SHA256:")
    monkeypatch.setenv(TRUSTED, str(public_path(other)))
    assert do(ws, key=other)["trusted"] == "yes"
    monkeypatch.setenv(TRUSTED, str(tmp_path / "none.pub"))
    assert "none.pub does not exist" in do(ws, key=other)["trusted"]


def test_what_is_in_force_is_believed_by_its_signature_only(ws, verdict, tmp_path, monkeypatch):
    job = Job.open(ws)
    assert in_force(job.ws) == (None, candidate.NOTHING_PROMOTED)
    told = do(ws)
    assert in_force(job.ws)[0].id == told["bundle"]
    other = tmp_path / "other" / "key"
    new_key(other, SECRET)
    monkeypatch.setenv(TRUSTED, str(public_path(other)))
    bundle, why = in_force(job.ws)
    assert bundle is None
    assert why.startswith("the bundle in force cannot be believed: ")
    assert "is not trusted" in why
    own = load_public(tmp_path / "config" / "workbench" / "promotion.key.pub")
    assert in_force(job.ws, (own,))[0].id == told["bundle"]


# without a person ------------------------------------------------------------------------------------------------


def test_a_green_candidate_is_promoted_by_itself_once(ws, verdict, secret):
    told = promote_if_green(ws)
    assert told is not None
    assert (told["note"], told["verdict"]) == ("automatic: all 3 checks passed", "green")
    assert now(ws) == told["bundle"]
    assert promote_if_green(ws) is None
    assert len(changes(ws)) == 1


@pytest.mark.parametrize(("said", "word"), [(False, "red"), (None, "unsure")])
def test_any_other_is_not(ws, verdict, secret, said, word):
    verdict["gates"] = said
    with pytest.raises(ArtifactError, match=f"is {word} and is not promoted by itself: .*gates were looked at"):
        promote_if_green(ws)
    assert now(ws) is None


def test_the_first_candidate_is_never_promoted_by_itself(ws, secret):
    with pytest.raises(ArtifactError, match="is unsure and is not promoted by itself"):
        promote_if_green(ws)


def test_automation_needs_a_passphrase_file_and_no_jupyter(ws, verdict, monkeypatch, tmp_path):
    with pytest.raises(ConfigError, match=r"let \$WORKBENCH_KEY_PASSPHRASE_FILE name one of mode 600"):
        promote_if_green(ws)
    with pytest.raises(ConfigError, match="does not exist"):
        promote_if_green(ws, tmp_path / "no.key")
    monkeypatch.setenv("JPY_PARENT_PID", "1")
    with pytest.raises(ConfigError, match="does not run inside Jupyter"):
        promote_if_green(ws)
    assert now(ws) is None


def test_automation_does_not_undo_a_rollback(ws, verdict, secret):
    first = do(ws)["bundle"]
    bad = trained(ws, 0.44)
    assert promote_if_green(ws)["bundle"] == bad
    rollback(ws)
    with pytest.raises(ArtifactError, match=rf"a rollback put {first} in force \(instead of {bad}\); until a person"):
        promote_if_green(ws)
    trained(ws, 0.45)
    with pytest.raises(ArtifactError, match="nothing is promoted by itself"):
        promote_if_green(ws)
    good = do(ws, note="mended")["bundle"]
    records = json.loads((ws / "steps.json").read_text())
    records["calibrate"]["outcome"]["bundle"] = bad
    (ws / "steps.json").write_text(json.dumps(records))
    with pytest.raises(ArtifactError, match=rf"{bad} was signed before and is not in force: only a person"):
        promote_if_green(ws)
    assert now(ws) == good


def test_automation_does_not_undo_what_a_person_did_while_it_looked(ws, verdict, secret, monkeypatch):
    first = do(ws)["bundle"]
    trained(ws, 0.44)
    second = do(ws)["bundle"]
    trained(ws, 0.46)
    load = promotion.load_key
    monkeypatch.setattr(promotion, "load_key", lambda *how: (rollback(ws), load(*how))[1])
    with pytest.raises(ArtifactError, match=rf"was examined, {first} was put in force instead of {second}: nothing is"):
        promote_if_green(ws)
    assert now(ws) == first


# and back --------------------------------------------------------------------------------------------------------


def test_a_rollback_goes_a_step_back_each_time_and_needs_no_key(ws, verdict, key):
    first, second, third = three(ws)
    key.unlink()
    told = rollback(ws)
    assert (told["bundle"], told["instead_of"], told["note"]) == (second, third, "number 1")
    assert told["running"] == RUNNING
    assert now(ws) == second
    assert rollback(ws)["bundle"] == first
    with pytest.raises(ArtifactError, match=f"before {first} nothing was in force"):
        rollback(ws)
    assert now(ws) == first
    lines = changes(ws)
    assert [line["bundle"] for line in lines] == [first, second, third, second, first]
    assert [line["what"] for line in lines] == ["promotion"] * 3 + ["rollback"] * 2
    assert [line["before"] for line in lines] == ["", first, second, third, second]
    assert [line["state"] for line in lines] == ["", "", "", "", "in force"]


def test_a_rollback_to_a_bundle_by_name(ws, verdict):
    first, _, third = three(ws)
    assert rollback(ws, first)["bundle"] == first
    with pytest.raises(ArtifactError, match=f"before {first} nothing was in force"):
        rollback(ws)
    assert rollback(ws, third)["bundle"] == third  # forward again is a step like any other
    assert rollback(ws)["bundle"] == first
    with pytest.raises(ArtifactError, match=f"bundle {first} is in force already"):
        rollback(ws, first)
    with pytest.raises(ArtifactError, match="holds no bundle nonsense"):
        rollback(ws, "nonsense")
    unsigned = trained(ws, 0.46)
    with pytest.raises(ArtifactError, match="the bundle is not signed"):
        rollback(ws, unsigned)
    assert now(ws) == first


def test_where_nothing_was_promoted_there_is_no_way_back(ws, tmp_path):
    with pytest.raises(ArtifactError, match=r"nothing is promoted in .*: there is nothing to go back from"):
        rollback(ws)
    with pytest.raises(ConfigError, match="is no workspace"):
        rollback(tmp_path / "nowhere")
    assert changes(ws) == []


def test_a_damaged_bundle_is_not_gone_back_to(ws, verdict):
    _, second, third = three(ws)
    costs = ws / "blenders" / second / "costs.json"
    costs.write_text(costs.read_text().replace("k1", "k9"))
    with pytest.raises(ArtifactError, match=r"costs\.json was changed since it was saved") as error:
        rollback(ws)
    assert f"nothing was changed, {third} is in force" in error.value.__notes__[0]
    assert now(ws) == third
    assert len(changes(ws)) == 3


def test_the_way_back_from_a_damaged_bundle_is_open(ws, verdict):
    _, second, third = three(ws)
    shutil.rmtree(ws / "blenders" / third)
    assert rollback(ws)["bundle"] == second


def test_a_tampered_signature_is_not_gone_back_to(ws, verdict):
    _, second, third = three(ws)
    path = ws / "blenders" / "signatures" / f"{second}.json"
    path.write_text(path.read_text().replace("number 1", "number one"))
    with pytest.raises(ArtifactError, match="the signature does not fit what it signs"):
        rollback(ws)
    assert now(ws) == third


def test_an_unknown_key_is_not_believed_and_none_is_refused(ws, verdict, tmp_path, monkeypatch):
    third = three(ws)[2]
    other = tmp_path / "other" / "key"
    new_key(other, SECRET)
    monkeypatch.setenv(TRUSTED, str(public_path(other)))
    with pytest.raises(ArtifactError, match="which is not trusted"):
        rollback(ws)
    monkeypatch.setenv(TRUSTED, str(tmp_path / "none.pub"))
    with pytest.raises(ArtifactError, match=r"without a public key no promoted bundle can be trusted: .*none\.pub"):
        rollback(ws)
    assert now(ws) == third


# crashes and hands -----------------------------------------------------------------------------------------------


def crash_between(monkeypatch) -> None:
    """The next change of what is in force dies after the history and before PROMOTED."""
    replace_file = history_of.replace_file

    def once(path: Path, content: bytes) -> None:
        if path.name == "PROMOTED":
            monkeypatch.setattr(history_of, "replace_file", replace_file)
            raise KeyboardInterrupt
        replace_file(path, content)

    monkeypatch.setattr(history_of, "replace_file", once)


def test_a_crash_between_the_two_writes_leaves_the_old_bundle_in_force(ws, verdict, monkeypatch):
    first, second, third = three(ws)
    crash_between(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        rollback(ws)
    assert now(ws) == third
    assert [line["state"] for line in changes(ws)] == ["", "", "in force", "did not take place"]
    assert rollback(ws)["bundle"] == second  # as if the first had never been tried
    assert [line["state"] for line in changes(ws)] == ["", "", "", "did not take place", "in force"]
    assert rollback(ws)["bundle"] == first


def test_a_crash_while_promoting_is_not_gone_back_to(ws, verdict, monkeypatch):
    first = do(ws)["bundle"]
    lost = trained(ws, 0.47)
    crash_between(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        do(ws)
    assert now(ws) == first
    trained(ws, 0.48)
    do(ws)
    assert rollback(ws)["bundle"] == first
    assert lost in [line["bundle"] for line in changes(ws) if line["state"] == "did not take place"]


def test_a_history_of_the_first_version_is_read(ws, verdict):
    first, second, _ = three(ws)
    path = ws / "blenders" / "signatures" / "history.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    old = [{k: v for k, v in line.items() if k not in ("before", "what")} for line in lines]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    assert rollback(ws)["bundle"] == second
    assert rollback(ws)["bundle"] == first


def test_what_was_changed_by_hand_is_told(ws, verdict):
    first, _, third = three(ws)
    (ws / "blenders" / "PROMOTED").write_text(first + "\n")
    with pytest.raises(ArtifactError, match=f"its history ends with {third} in force, PROMOTED names {first}"):
        rollback(ws)
    assert rollback(ws, third)["bundle"] == third


def test_a_damaged_history_is_named_and_goes_round_by_name(ws, verdict):
    first = three(ws)[0]
    path = ws / "blenders" / "signatures" / "history.jsonl"
    path.write_bytes(path.read_bytes() + b'{"bundle": 3\n')
    with pytest.raises(ArtifactError, match=r"history\.jsonl, line 4: not a change"):
        rollback(ws)
    with pytest.raises(ArtifactError, match="line 4"):
        changes(ws)
    assert rollback(ws, first)["bundle"] == first


def test_the_bundle_before_is_that_of_the_last_promotion(ws, verdict):
    first, second, third = three(ws)
    do(ws, bundle=first, note="the good one again")
    assert in_force_before(ws / "blenders") == third
    assert [c.bundle for c in read_history(ws / "blenders")] == [first, second, third, first]


def test_signatures_are_kept(ws, verdict):
    ids = three(ws)
    rollback(ws)
    rollback(ws)
    bundles = [load_bundle(ws / "models", ws / "blenders", wanted=name) for name in ids]
    assert all(signature_path(bundle).is_file() for bundle in bundles)
