"""Promotion: a bundle that its owner has signed, and the one that is in force.

A signature (Ed25519, RFC 8032) stands beside the bundle, in ``blender_dir/signatures/<id>.json``; it covers a statement
that names both halves of the bundle by their digests. :mod:`workbench.artifacts.history` says which bundle is in force
and what was before. The private key is a PEM file of its owner's, encrypted with a passphrase and readable by nobody
else; what loads a bundle needs public keys only.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from workbench.artifacts.bundle import Bundle, load_bundle
from workbench.artifacts.history import PROMOTED as PROMOTED
from workbench.artifacts.history import PROMOTION, SIGNATURES, promoted, replace_file, switch
from workbench.artifacts.verified import canonical
from workbench.core.calendar import iso_time
from workbench.core.errors import ArtifactError, ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    PrivateKey: TypeAlias = Ed25519PrivateKey
    PublicKey: TypeAlias = Ed25519PublicKey

FORMAT, VERSION = "workbench-promotion", 1
MIN_PASSPHRASE = 8
PRIVATE_MODE = 0o600
TRUSTED = "WORKBENCH_PROMOTION_KEY"
"""Environment variable that names the public key (.pub) by which bundles are trusted; by default the user's own."""
_DOMAIN = b"workbench promotion 1\n"  # stands before what is signed, so that no other signature means a promotion


@dataclass(frozen=True, slots=True)
class Promotion:
    """Who stands for a bundle: its id, the fingerprint of the key, when (ns) and the owner's note."""

    bundle: str
    key: str
    signed_at: int
    note: str


# Keys ----------------------------------------------------------------------------------------------------------------


def default_key() -> Path:
    """``$XDG_CONFIG_HOME/workbench/promotion.key``, by default under ``~/.config``."""
    named = os.environ.get("XDG_CONFIG_HOME", "")
    base = Path(named) if Path(named).is_absolute() else Path.home() / ".config"
    return base / "workbench" / "promotion.key"


def public_path(path: Path) -> Path:
    """Where the public half of the key at `path` lies: ``<path>.pub``."""
    return path.with_name(path.name + ".pub")


def new_key(path: Path, passphrase: bytes) -> str:
    """Write a new private key to `path` and its public half beside it; the fingerprint. Nothing is ever overwritten."""
    from cryptography.hazmat.primitives import serialization as form
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if len(passphrase) < MIN_PASSPHRASE:
        raise ConfigError(f"the passphrase has {len(passphrase)} bytes, must have at least {MIN_PASSPHRASE}")
    taken = next((p for p in (path, public_path(path)) if os.path.lexists(p)), None)
    if taken is not None:
        raise ConfigError(f"{taken} exists; a key is never overwritten: name another file, or move the old key away")
    key = Ed25519PrivateKey.generate()
    secret = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(passphrase))
    public = key.public_key().public_bytes(form.Encoding.PEM, form.PublicFormat.SubjectPublicKeyInfo)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _create(path, secret, PRIVATE_MODE)
    _create(public_path(path), public, 0o644)
    return fingerprint(key.public_key())


def load_key(path: Path, passphrase: bytes) -> PrivateKey:
    """The private key at `path`; :class:`ConfigError` if others may read it or the passphrase does not open it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    content = read_secret(path)
    try:
        key = load_pem_private_key(content, passphrase)
    except TypeError:
        raise ConfigError(f"{path} is not encrypted; make a key with `workbench promote --new-key`") from None
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} cannot be opened: wrong passphrase, or no key ({error})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} is no Ed25519 key; make one with `workbench promote --new-key`")
    return key


def read_secret(path: Path, remedy: str = "`workbench promote --new-key` makes a key, --key names another") -> bytes:
    """The content of a file that is the user's own and nobody else can read; :class:`ConfigError` otherwise."""
    if not path.is_file():
        raise ConfigError(f"{path} does not exist; {remedy}")
    about = path.stat()
    if about.st_uid != os.getuid():
        raise ConfigError(f"{path} belongs to user {about.st_uid}, not to you ({os.getuid()}): use a file of yours")
    if about.st_mode & 0o077:
        mode = stat.S_IMODE(about.st_mode)
        raise ConfigError(f"{path} is open to others (mode {mode:o}, must be {PRIVATE_MODE:o}): chmod 600 {path}")
    return path.read_bytes()


def load_public(path: Path) -> PublicKey:
    """The public key at `path` (PEM)."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    if not path.is_file():
        raise ConfigError(f"{path} does not exist; name the public half of a promotion key (.pub)")
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no public key: {error}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} is no Ed25519 public key; name the .pub that `workbench promote --new-key` wrote")
    return key


def trusted_keys() -> tuple[PublicKey, ...]:
    """The public key whose signature is believed here: that of $WORKBENCH_PROMOTION_KEY, else the user's own.

    :class:`ArtifactError` where there is none: what was promoted is then not to be had.
    """
    named = os.environ.get(TRUSTED)
    try:
        return (load_public(Path(named) if named else public_path(default_key())),)
    except ConfigError as error:
        raise ArtifactError(
            f"without a public key no promoted bundle can be trusted: {error}. ${TRUSTED} names the .pub, which holds "
            "no secret; copy it to where the engine runs"
        ) from None


def fingerprint(key: PublicKey) -> str:
    """``SHA256:`` and the digest of the raw key, as ssh writes it."""
    raw = hashlib.sha256(key.public_bytes_raw()).digest()
    return "SHA256:" + base64.b64encode(raw).decode().rstrip("=")


# Signatures ----------------------------------------------------------------------------------------------------------


def sign(bundle: Bundle, key: PrivateKey, *, note: str, signed_at: int) -> Path:
    """Write the signature of a loaded `bundle` beside it and put it in force; the signature's path."""
    statement = {
        **_identity(bundle), "key": fingerprint(key.public_key()), "signed_at": signed_at, "note": note,
        "format": FORMAT, "version": VERSION,
    }  # fmt: skip
    signature = base64.b64encode(key.sign(_DOMAIN + canonical(statement))).decode()
    path = signature_path(bundle)
    path.parent.mkdir(exist_ok=True)
    replace_file(path, canonical({"statement": statement, "signature": signature}))
    put_in_force(bundle, statement["key"], note, signed_at)
    return path


def put_in_force(bundle: Bundle, key: str, note: str, at: int, what: str = PROMOTION) -> None:
    """Make a signed `bundle` the promoted one of its folder, and remember it."""
    folder = bundle.folder.path.parent
    switch(folder, at=iso_time(at), what=what, bundle=bundle.id, digest=bundle.digest, key=key, note=note)


def verify(bundle: Bundle, trusted: Iterable[PublicKey]) -> Promotion:
    """Who signed a loaded `bundle`; :class:`ArtifactError` unless a trusted key did, and for these very bytes."""
    from cryptography.exceptions import InvalidSignature

    path = signature_path(bundle)
    statement, signature = _read(path)
    known = {fingerprint(key): key for key in trusted}
    if statement["key"] not in known:
        raise ArtifactError(
            f"{path} was signed with the key {statement['key']}, which is not trusted (trusted: "
            f"{', '.join(sorted(known)) or 'none'}): trust its .pub, or promote the bundle with a key of yours"
        )
    try:
        known[statement["key"]].verify(signature, _DOMAIN + canonical(statement))
    except InvalidSignature:
        raise ArtifactError(
            f"{path}: the signature does not fit what it signs: it was changed; promote again"
        ) from None
    for name, value in _identity(bundle).items():
        if statement[name] != value:
            raise ArtifactError(
                f"{path} was signed for {name} {statement[name]}, the bundle has {value}: it is of another bundle; "
                "promote this one"
            )
    return Promotion(bundle.id, statement["key"], statement["signed_at"], statement["note"])


def signature_path(bundle: Bundle) -> Path:
    """``blender_dir/signatures/<id>.json``."""
    return bundle.folder.path.parent / SIGNATURES / f"{bundle.id}.json"


def load_promoted(
    model_dir: Path, blender_dir: Path, trusted: Iterable[PublicKey], *, threads: int = 1, device: str = "cpu"
) -> tuple[Bundle, Promotion]:
    """The bundle in force, every byte verified and signed by a trusted key, and who signed it."""
    wanted = promoted(blender_dir)
    if wanted is None:
        raise ArtifactError(f"{blender_dir} has no promoted bundle; sign one with `workbench promote`")
    bundle = load_bundle(model_dir, blender_dir, wanted=wanted, threads=threads, device=device)
    return bundle, verify(bundle, trusted)


def _identity(bundle: Bundle) -> dict[str, Any]:
    """What a signature stands for."""
    return {
        "bundle": bundle.id, "bundle_digest": bundle.folder.full_digest, "models": bundle.models.id,
        "models_digest": bundle.models.folder.full_digest, "data_origin": bundle.data_origin,
        "fitted_until": bundle.fitted_until,
    }  # fmt: skip


_STATEMENT: Mapping[str, type] = {
    "bundle": str, "bundle_digest": str, "models": str, "models_digest": str, "data_origin": str, "fitted_until": int,
    "key": str, "signed_at": int, "note": str, "format": str, "version": int,
}  # fmt: skip


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist: the bundle is not signed; sign it with `workbench promote`")
    try:
        document = json.loads(path.read_bytes())
        statement, signature = document["statement"], base64.b64decode(document["signature"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is no signature of the workbench ({error}); promote the bundle again") from None
    if not isinstance(statement, dict) or {k: type(v) for k, v in statement.items()} != _STATEMENT:
        raise ArtifactError(f"{path} does not state what it signs; promote the bundle again")
    if (statement["format"], statement["version"]) != (FORMAT, VERSION):
        raise ArtifactError(
            f"{path} is of {statement['format']} version {statement['version']}; this workbench reads {FORMAT} "
            f"version {VERSION}"
        )
    return statement, signature


def _create(path: Path, content: bytes, mode: int) -> None:
    """Write a file that must not exist, never open to others for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
