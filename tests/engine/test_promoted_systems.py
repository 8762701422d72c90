"""Which bundle a system trades: the promoted one, signed by a key that is trusted; and which one is replayed."""

from __future__ import annotations

import json
import logging
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from workbench.artifacts import Bundle, load_bundle, save_blender
from workbench.artifacts.history import ROLLBACK
from workbench.artifacts.signing import (
    TRUSTED,
    default_key,
    load_key,
    new_key,
    public_path,
    put_in_force,
    sign,
    signature_path,
)
from workbench.config import Settings
from workbench.core.errors import ArtifactError, WorkbenchError
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.engine.replay import session_systems
from workbench.engine.systems import UNPROMOTED, load_system
from workbench.journal import SqlJournal

SECRET = b"correct horse"
SHIPPED = Path(str(files("workbench"))) / "demo_bundle"


@pytest.fixture(autouse=True)
def own_key(monkeypatch, tmp_path) -> Path:
    """The user's key, in a configuration of the test's own."""
    monkeypatch.delenv(TRUSTED, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    new_key(default_key(), SECRET)
    return default_key()


@pytest.fixture
def blenders(tmp_path) -> Path:
    """A folder with two bundles; the second one, with a dearer spread, was made last."""
    for k1 in (0.5, 0.75):
        made(tmp_path / "blenders", k1)
    return tmp_path / "blenders"


def made(blenders: Path, k1: float) -> str:
    shipped = load_bundle(SHIPPED / "models", SHIPPED / "blenders")
    parts = json.loads(json.dumps(dict(shipped.parts)))
    parts["costs"]["k"][0] = k1
    return save_blender(blenders, SHIPPED / "models", shipped.models.id, parts, fitted_until=shipped.fitted_until)


def settings(blenders: Path, host: str = "") -> Settings:
    system = {"symbols": ("AAA", "BBB"), "model_dir": str(SHIPPED / "models"), "blender_dir": str(blenders)}
    return Settings().change(system=system, broker={"host": host, "port": 4002} if host else {})


def bundle_of(blenders: Path, k1: float) -> Bundle:
    bundles = [
        load_bundle(SHIPPED / "models", blenders, wanted=p.parent.name) for p in blenders.glob("*/manifest.json")
    ]
    return next(bundle for bundle in bundles if bundle.parts["costs"]["k"][0] == k1)


def signed(blenders: Path, k1: float, key: Path) -> Bundle:
    bundle = bundle_of(blenders, k1)
    sign(bundle, load_key(key, SECRET), note="", signed_at=10**18)
    return bundle


def test_where_nothing_was_promoted_the_bundle_made_last_trades(blenders, caplog):
    with caplog.at_level(logging.WARNING):
        assert load_system(settings(blenders), simulated=True).bundle.parts["costs"]["k"][0] == 0.75
        assert UNPROMOTED not in caplog.text
        assert load_system(settings(blenders, "127.0.0.1"), simulated=False).bundle.parts["costs"]["k"][0] == 0.75
    assert UNPROMOTED in caplog.text


def test_the_promoted_bundle_trades_whatever_is_made_later(blenders, own_key, caplog):
    bundle = signed(blenders, 0.5, own_key)
    made(blenders, 0.9)
    for simulated in (True, False):
        assert load_system(settings(blenders), simulated=simulated).bundle.digest == bundle.digest
    assert UNPROMOTED not in caplog.text


def test_a_rollback_changes_what_trades_at_the_next_start(blenders, own_key):
    before, after = signed(blenders, 0.5, own_key), signed(blenders, 0.75, own_key)
    assert load_system(settings(blenders), simulated=True).bundle.id == after.id
    put_in_force(before, "key", "", 10**18, ROLLBACK)
    assert load_system(settings(blenders), simulated=True).bundle.id == before.id


def refused(blenders: Path, match: str) -> None:
    for simulated in (True, False):
        with pytest.raises(ArtifactError, match=match):
            load_system(settings(blenders), simulated=simulated)


def test_without_a_key_nothing_that_was_promoted_trades(blenders, own_key, monkeypatch, tmp_path):
    signed(blenders, 0.5, own_key)
    public_path(own_key).rename(tmp_path / "moved.pub")
    refused(blenders, r"without a public key .*promotion\.key\.pub does not exist.*\$WORKBENCH_PROMOTION_KEY names")
    monkeypatch.setenv(TRUSTED, str(tmp_path / "moved.pub"))
    assert load_system(settings(blenders), simulated=False).bundle.parts["costs"]["k"][0] == 0.5
    (tmp_path / "moved.pub").write_text("nonsense")
    refused(blenders, "is no public key")


def test_a_bundle_signed_by_somebody_else_does_not_trade(blenders, tmp_path):
    new_key(tmp_path / "other" / "key", SECRET)
    signed(blenders, 0.5, tmp_path / "other" / "key")
    refused(blenders, "which is not trusted")


def test_what_was_tampered_with_does_not_trade(blenders, own_key):
    bundle = signed(blenders, 0.5, own_key)
    path = signature_path(bundle)
    whole = path.read_text()
    path.write_text(whole.replace('"note": ""', '"note": "x"'))
    refused(blenders, "the signature does not fit what it signs")
    path.unlink()
    refused(blenders, "the bundle is not signed")
    path.write_text(whole)
    (blenders / "PROMOTED").write_text(bundle_of(blenders, 0.75).id)
    refused(blenders, "the bundle is not signed")
    (blenders / "PROMOTED").write_text("")
    refused(blenders, "holds no bundle")
    (blenders / "PROMOTED").unlink()
    refused(blenders, r"PROMOTED is gone, but bundles were promoted there: `workbench rollback --to ID`")


# replay ----------------------------------------------------------------------------------------------------------


def journal(folder: Path, plan: EnginePlan, bundle: Bundle) -> SqlJournal:
    """A journal whose session s1 was traded by `bundle`."""
    made = SqlJournal(folder / "journal.db", session="s1", codec=live_codec())
    bundles = {"main": {"id": bundle.id, "digest": bundle.digest, "demo": False}}
    made.record("engine", 1, {"plan": plan.to_json(), "bundles": bundles})
    return made


def test_an_old_session_is_replayed_with_the_bundle_that_it_names(blenders, own_key, tmp_path):
    traded = bundle_of(blenders, 0.5)
    signed(blenders, 0.75, own_key)
    public_path(own_key).unlink()  # to look back, nothing needs to be trusted: digests are compared
    with journal(tmp_path, EnginePlan((settings(blenders),)), traded) as kept:
        assert session_systems(kept, "s1")["main"].bundle.digest == traded.digest


def test_a_bundle_that_is_gone_is_named(blenders, tmp_path):
    traded = bundle_of(blenders, 0.5)
    with journal(tmp_path, EnginePlan((settings(blenders),)), traded) as kept:
        shutil.rmtree(blenders / traded.id)
        with pytest.raises(WorkbenchError, match=rf"traded bundle {traded.id}, which cannot be loaded: .* holds no"):
            session_systems(kept, "s1")
