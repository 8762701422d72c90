"""Promotion: keys that are the user's alone, signatures that fit one bundle, and what is never promoted."""

from __future__ import annotations

import base64
import json
import os
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from workbench.artifacts import ModelFiles, Parity, load_bundle, save_blender, save_models
from workbench.artifacts.history import promoted
from workbench.artifacts.signing import (
    TRUSTED,
    default_key,
    fingerprint,
    load_key,
    load_promoted,
    load_public,
    new_key,
    public_path,
    sign,
    signature_path,
    trusted_keys,
    verify,
)
from workbench.artifacts.verified import canonical
from workbench.core.errors import ArtifactError, ConfigError, DataError, WorkbenchError
from workbench.core.types import ModelKey
from workbench.models.base import Budget
from workbench.models.families.ftrl import FTRLProximal
from workbench.research import promotion
from workbench.research.candidate import CandidateReport
from workbench.research.candidate_checks import BOUNDS, Check
from workbench.research.promotion import promote
from workbench.research.promotion_key import PASSPHRASE_FILE, make_key, passphrase_from_file

SECRET = b"correct horse"
PARTS = {"blender": {"a": 1}, "gates": {}, "costs": {}, "sizing": {}}


@pytest.fixture(autouse=True)
def outside_jupyter(monkeypatch, tmp_path):
    for name in ("JPY_PARENT_PID", "JPY_SESSION_NAME", "JUPYTER_SERVER_URL", PASSPHRASE_FILE, TRUSTED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture(autouse=True)
def green(monkeypatch):
    """These bundles hold nothing that could be examined; what is examined is tried in research/test_candidate.py."""

    def report(job, found, *, trading, alone):
        return CandidateReport(found.id, found.digest, "", "", "", BOUNDS, (Check("all", True, ""),))

    monkeypatch.setattr(promotion, "study_again", report)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A workspace with a small bundle and the records of the steps that made it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1500, 2)).astype(np.float32)
    fitted = FTRLProximal().fit(x, x[:, 0] + rng.standard_normal(1500), seed=0, budget=Budget(passes=2))
    windows = np.concatenate([x[:6, None], np.zeros((6, 1, 1), np.float32)], axis=2)
    files = ModelFiles(ModelKey("FTRLProximal", "single_task", "5m"), "value", fitted.files(), 5, fitted.predict(x[:6]))
    root = tmp_path_factory.mktemp("signed")
    save = {"names": ("a", "b"), "daily_names": ("c", "d"), "window": 1, "data_origin": "embedded"}
    models = save_models(root / "models", (files,), Parity(windows, windows), **save)
    bundle = save_blender(root / "blenders", root / "models", models, PARTS, fitted_until=9)
    probe = {"passed": True, "detail": "nothing in the past changed"}
    record(root, train={"models": models, "probe": probe}, calibrate={"bundle": bundle, "models": models})
    (root / "wrong.json").write_text(json.dumps([float(v) for v in files.parity]))
    return root


def record(root: Path, **outcomes) -> None:
    path = root / "steps.json"
    records = json.loads(path.read_text()) if path.is_file() else {}
    for step, outcome in outcomes.items():
        records[step] = {"inputs": "", "seconds": 1.0, "outcome": outcome}
    path.write_text(json.dumps({k: v for k, v in records.items() if v["outcome"] is not None}))


@pytest.fixture
def ws(made, tmp_path):
    shutil.copytree(made, tmp_path / "ws")
    return tmp_path / "ws"


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "keys" / "promotion.key"
    new_key(path, SECRET)
    return path


def do(ws, key, **how):
    return promote(ws, lambda: SECRET, key=key, **how)


def loaded(ws):
    return load_bundle(ws / "models", ws / "blenders")


# Keys ----------------------------------------------------------------------------------------------------------------


def test_a_new_key_is_private_encrypted_and_never_overwritten(tmp_path):
    path = tmp_path / "deep" / "k"
    mark = new_key(path, SECRET)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"ENCRYPTED" in path.read_bytes()
    assert mark == fingerprint(load_public(public_path(path))) == fingerprint(load_key(path, SECRET).public_key())
    content = path.read_bytes()
    with pytest.raises(ConfigError, match=r"k exists; a key is never overwritten"):
        new_key(path, SECRET)
    path.unlink()
    with pytest.raises(ConfigError, match=r"k\.pub exists; a key is never overwritten"):
        new_key(path, SECRET)
    public_path(path).unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="never overwritten"):
        new_key(path, SECRET)
    assert content != b""
    with pytest.raises(ConfigError, match="the passphrase has 5 bytes, must have at least 8"):
        new_key(tmp_path / "short", b"12345")
    assert not (tmp_path / "short").exists()


def test_the_default_place_follows_xdg(monkeypatch, tmp_path):
    assert default_key() == tmp_path / "config" / "workbench" / "promotion.key"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")  # the standard says: ignored
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert default_key() == tmp_path / "home" / ".config" / "workbench" / "promotion.key"


def test_bad_keys_are_named(tmp_path, key):
    with pytest.raises(ConfigError, match="wrong passphrase"):
        load_key(key, b"incorrect horse")
    with pytest.raises(ConfigError, match="does not exist; `workbench promote --new-key` makes a key"):
        load_key(tmp_path / "none", SECRET)
    key.chmod(0o640)
    with pytest.raises(ConfigError, match=r"is open to others \(mode 640, must be 600\): chmod 600"):
        load_key(key, SECRET)
    other = tmp_path / "other"
    private = (form.Encoding.PEM, form.PrivateFormat.PKCS8)
    for made, encryption, message in (
        (Ed25519PrivateKey.generate(), form.NoEncryption(), "is not encrypted"),
        (ec.generate_private_key(ec.SECP256R1()), form.BestAvailableEncryption(SECRET), "is no Ed25519 key"),
    ):
        other.write_bytes(made.private_bytes(*private, encryption))
        other.chmod(0o600)
        with pytest.raises(ConfigError, match=message):
            load_key(other, SECRET)
    with pytest.raises(ConfigError, match="is no public key"):
        load_public(other)
    with pytest.raises(ConfigError, match="does not exist"):
        load_public(tmp_path / "none.pub")


def test_the_trusted_key_is_the_users_own_or_the_one_that_is_named(tmp_path, key, monkeypatch):
    with pytest.raises(ArtifactError, match=r"config/workbench/promotion\.key\.pub does not exist"):
        trusted_keys()
    new_key(default_key(), SECRET)
    (own,) = trusted_keys()
    assert fingerprint(own) == fingerprint(load_public(public_path(default_key())))
    monkeypatch.setenv(TRUSTED, str(public_path(key)))
    (other,) = trusted_keys()
    assert fingerprint(other) == fingerprint(load_public(public_path(key)))
    monkeypatch.setenv(TRUSTED, str(key))  # the private half, by mistake
    with pytest.raises(ArtifactError, match=r"without a public key .* is no public key.*\$WORKBENCH_PROMOTION_KEY"):
        trusted_keys()


# Signatures ----------------------------------------------------------------------------------------------------------


def test_a_promoted_bundle_is_signed_beside_itself_and_in_force(ws, key):
    before = {p: p.read_bytes() for p in (ws / "blenders").rglob("*") if p.is_file()}
    told = do(ws, key, note="J. Doe")
    bundle = loaded(ws)
    assert (told["bundle"], told["digest"], told["note"]) == (bundle.id, bundle.digest, "J. Doe")
    assert (ws / "blenders" / "PROMOTED").read_text() == bundle.id + "\n"
    assert all(p.read_bytes() == content for p, content in before.items())
    assert not [p for p in (ws / "blenders" / bundle.id).iterdir() if p not in before]
    public = load_public(public_path(key))
    found, mark = load_promoted(ws / "models", ws / "blenders", [public])
    assert (found.digest, mark.bundle, mark.note, mark.key) == (bundle.digest, bundle.id, "J. Doe", fingerprint(public))
    document = json.loads((ws / "blenders" / "signatures" / f"{bundle.id}.json").read_text())
    public.verify(  # with nothing of ours but the format: canonical JSON behind a line that says what it is
        base64.b64decode(document["signature"]),
        b"workbench promotion 1\n" + canonical(document["statement"]),
    )
    assert document["statement"]["models_digest"] == bundle.models.folder.full_digest
    do(ws, key, note="again")
    history = [json.loads(line) for line in (ws / "blenders/signatures/history.jsonl").read_text().splitlines()]
    assert [event["note"] for event in history] == ["J. Doe", "again"]
    assert {event["bundle"] for event in history} == {bundle.id}


def test_an_unknown_key_is_refused_by_its_fingerprint(ws, key, tmp_path):
    do(ws, key)
    mine = load_public(public_path(key))
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(ArtifactError) as error:
        load_promoted(ws / "models", ws / "blenders", [other])
    assert f"signed with the key {fingerprint(mine)}, which is not trusted" in str(error.value)
    assert f"(trusted: {fingerprint(other)})" in str(error.value)
    with pytest.raises(ArtifactError, match=r"\(trusted: none\)"):
        verify(loaded(ws), [])
    assert verify(loaded(ws), [other, mine]).bundle == loaded(ws).id


@pytest.mark.parametrize("field", ["note", "signed_at", "data_origin", "bundle_digest", "models", "fitted_until"])
def test_any_changed_word_of_the_statement_is_refused(ws, key, field):
    do(ws, key, note="mine")
    path = signature_path(loaded(ws))
    document = json.loads(path.read_text())
    value = document["statement"][field]
    document["statement"][field] = value + 1 if isinstance(value, int) else value + "x"
    path.write_bytes(canonical(document))
    with pytest.raises(ArtifactError, match="the signature does not fit what it signs"):
        verify(loaded(ws), [load_public(public_path(key))])


def test_a_signature_of_another_bundle_is_refused(ws, key):
    do(ws, key)
    first = loaded(ws)
    parts = {**PARTS, "blender": {"a": 2}}
    second = save_blender(ws / "blenders", ws / "models", first.models.id, parts, fitted_until=9)
    shutil.copy(signature_path(first), ws / "blenders" / "signatures" / f"{second}.json")
    (ws / "blenders" / "PROMOTED").write_text(second)
    with pytest.raises(ArtifactError, match=rf"was signed for bundle {first.id}, the bundle has {second}"):
        load_promoted(ws / "models", ws / "blenders", [load_public(public_path(key))])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda d: d.pop("signature"), "is no signature of the workbench"),
        (lambda d: d.update(signature="!!"), "is no signature of the workbench"),
        (lambda d: d["statement"].pop("key"), "does not state what it signs"),
        (lambda d: d["statement"].update(more=1), "does not state what it signs"),
        (lambda d: d["statement"].update(version=2), "workbench-promotion version 2; this workbench reads"),
        (lambda d: d.update(statement=[]), "does not state what it signs"),
    ],
)
def test_broken_signature_files_are_named(ws, key, spoil, message):
    do(ws, key)
    path = signature_path(loaded(ws))
    document = json.loads(path.read_text())
    spoil(document)
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=message):
        verify(loaded(ws), [load_public(public_path(key))])
    path.unlink()
    with pytest.raises(ArtifactError, match="the bundle is not signed; sign it with `workbench promote`"):
        verify(loaded(ws), [])


def test_without_promotion_nothing_is_in_force(ws):
    assert promoted(ws / "blenders") is None
    with pytest.raises(ArtifactError, match="has no promoted bundle"):
        load_promoted(ws / "models", ws / "blenders", [])


# What is not promoted ------------------------------------------------------------------------------------------------


def unpromoted(ws, key, error, match, **how):
    with pytest.raises(error, match=match):
        do(ws, key, **how)
    assert not (ws / "blenders" / "PROMOTED").exists()
    assert not (ws / "blenders" / "signatures").exists()


@pytest.mark.parametrize("where", ["models/*/models/*/model.onnx", "models/*/parity/bars.npy", "blenders/*/costs.json"])
def test_a_changed_byte_is_never_promoted(ws, key, where):
    path = next(ws.glob(where))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    unpromoted(ws, key, ArtifactError, rf"{path.name} was changed since it was saved")


def test_a_model_that_misses_its_parity_vector_is_never_promoted(ws, key):
    bundle = loaded(ws)
    (files,) = (
        ModelFiles(k, "value", {n: bundle.models.folder.read(f"models/FTRLProximal.single_task.5m/{n}")
                                for n in ("model.json", "model.onnx")}, 5,
                   np.array(json.loads((ws / "wrong.json").read_text())) + 0.1)
        for k in bundle.models.models
    )  # fmt: skip
    windows = np.load(next(ws.glob("models/*/parity/bars.npy")))
    save = {"names": ("a", "b"), "daily_names": ("c", "d"), "window": 1, "data_origin": "embedded"}
    models = save_models(ws / "models", (files,), Parity(windows, windows), **save)
    wrong = save_blender(ws / "blenders", ws / "models", models, PARTS, fitted_until=9)
    probe = {"passed": True, "detail": ""}
    record(ws, train={"models": models, "probe": probe}, calibrate={"bundle": wrong})
    unpromoted(ws, key, ArtifactError, r"differs from the one that was fitted by 0\.1 sigma")


@pytest.mark.parametrize(
    ("probe", "message"),
    [
        (
            {"passed": False, "detail": "bars.ret_1 at row 7"},
            r"truncation probe of the models \w+ failed: bars\.ret_1 at",
        ),
        ({"passed": "yes", "detail": ""}, "failed"),
        (None, "has no truncation probe of the models"),
        ({}, "has no truncation probe of the models"),
    ],
)
def test_without_a_passed_probe_nothing_is_promoted(ws, key, probe, message):
    record(ws, train={"models": loaded(ws).models.id, "probe": probe})
    unpromoted(ws, key, ArtifactError, message)


def test_models_and_stages_must_be_those_of_the_records(ws, key):
    bundle = loaded(ws)
    newer = save_blender(ws / "blenders", ws / "models", bundle.models.id, {**PARTS, "gates": {"b": 1}}, fitted_until=9)
    unpromoted(ws, key, ArtifactError, rf"stages that .* made last are {bundle.id}, not {newer}", bundle=newer)
    unpromoted(ws, key, ArtifactError, "holds no bundle nonsense", bundle="nonsense")
    record(ws, train={"models": "0123456789abcdef", "probe": {"passed": True, "detail": ""}})
    unpromoted(ws, key, ArtifactError, "was last trained to the models 0123456789abcdef, bundle")
    record(ws, calibrate=None)
    unpromoted(ws, key, WorkbenchError, "run `workbench calibrate` first")


def test_what_was_signed_before_can_be_put_in_force_again(ws, key):
    """The way back after a bad promotion; another's key cannot go it."""
    first = loaded(ws)
    do(ws, key, note="good")
    second = save_blender(ws / "blenders", ws / "models", first.models.id, {**PARTS, "gates": {"b": 1}}, fitted_until=9)
    record(ws, calibrate={"bundle": second})
    do(ws, key, note="bad")
    assert promoted(ws / "blenders") == second
    other = key.with_name("other")
    new_key(other, SECRET)
    with pytest.raises(ArtifactError, match="is not trusted"):
        do(ws, other, bundle=first.id)
    assert promoted(ws / "blenders") == second
    told = do(ws, key, bundle=first.id, note="back")
    assert promoted(ws / "blenders") == first.id
    assert told["note"] == "good"  # the signature is the old one


def test_no_finished_job_is_named_and_nothing_is_written_there(tmp_path, key):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no finished job"):
        do(tmp_path / "empty", key)
    assert not list((tmp_path / "empty").iterdir())


# Where the key lies --------------------------------------------------------------------------------------------------


def test_a_key_that_others_can_read_is_refused_before_anything_is_asked(ws, key):
    key.chmod(0o604)
    with pytest.raises(ConfigError, match="mode 604, must be 600"):
        promote(ws, lambda: pytest.fail("asked"), key=key)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("ws/deep", r"lies in the workspace .*ws, which is copied"),
        ("repo/deep", r"lies in the git working tree .*repo, which is pushed"),
        ("Notebooks/deep", r"lies in .*Notebooks, beside notebooks"),
        ("mixed", r"lies in .*mixed, beside notebooks"),
        ("linked", r"lies in the git working tree .*repo"),
    ],
)
def test_a_key_in_a_place_that_is_shared_is_refused_to_use_and_to_make(ws, key, tmp_path, place, message):
    (tmp_path / "repo" / ".git").mkdir(parents=True)
    (tmp_path / "repo" / "deep").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "repo" / "deep")
    (tmp_path / "mixed").mkdir()
    (tmp_path / "mixed" / "a.ipynb").write_text("{}")
    path = tmp_path / place / "k"
    with pytest.raises(ConfigError, match=message):
        make_key(lambda: SECRET, path, ws)
    assert not os.path.lexists(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(key, path)
    unpromoted(ws, path, ConfigError, message)


def test_a_worktree_whose_git_is_a_file_counts_too(tmp_path):
    (tmp_path / ".git").write_text("gitdir: elsewhere")
    with pytest.raises(ConfigError, match="git working tree"):
        make_key(lambda: SECRET, tmp_path / "sub" / "k")


def test_a_new_key_goes_to_the_users_configuration(tmp_path):
    told = make_key(lambda: SECRET)
    assert told["private"] == str(tmp_path / "config" / "workbench" / "promotion.key")
    assert told["key"].startswith("SHA256:")
    assert SECRET.decode() not in json.dumps(told)


@pytest.mark.parametrize("name", ["JPY_PARENT_PID", "JUPYTER_SERVER_URL"])
def test_below_jupyter_nothing_is_promoted(ws, key, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    unpromoted(ws, key, ConfigError, rf"does not run inside Jupyter or IPython \(found {name}\)")
    with pytest.raises(ConfigError, match="in a terminal of your own"):
        make_key(lambda: SECRET)


def test_inside_ipython_nothing_is_promoted(ws, key, monkeypatch):
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))  # imported, no shell: fine
    make_key(lambda: SECRET)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: object()))
    unpromoted(ws, key, ConfigError, "found an IPython shell")


def test_the_passphrase_file(ws, tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_bytes(SECRET + b"\n")
    path.chmod(0o600)
    assert passphrase_from_file(ws) is None
    monkeypatch.setenv(PASSPHRASE_FILE, str(path))
    assert passphrase_from_file(ws) == SECRET
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="secret is open to others"):
        passphrase_from_file(ws)
    path.chmod(0o600)
    path.write_bytes(b"\n")
    with pytest.raises(ConfigError, match="secret is empty"):
        passphrase_from_file(ws)
    monkeypatch.setenv(PASSPHRASE_FILE, str(ws / "secret"))
    with pytest.raises(ConfigError, match=r"the passphrase file .* lies in the workspace"):
        passphrase_from_file(ws)
    monkeypatch.setenv(PASSPHRASE_FILE, str(tmp_path / "none"))
    with pytest.raises(ConfigError, match=r"none does not exist; \$WORKBENCH_KEY_PASSPHRASE_FILE must name a file"):
        passphrase_from_file(ws)


def test_a_long_note_is_refused(ws, key):
    unpromoted(ws, key, ConfigError, "the note has 501 characters, more than 500", note="x" * 501)


def test_signing_needs_no_records_of_its_own(ws, key):
    """sign and verify alone, as another program would use them."""
    bundle = loaded(ws)
    private = load_key(key, SECRET)
    sign(bundle, private, note="direct", signed_at=10**18)
    mark = verify(bundle, [private.public_key()])
    assert (mark.note, mark.signed_at) == ("direct", 10**18)
    moved = replace(bundle, folder=replace(bundle.folder, id="0" * 16))
    with pytest.raises(ArtifactError, match="does not exist: the bundle is not signed"):
        verify(moved, [private.public_key()])
