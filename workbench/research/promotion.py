"""Promoting a bundle: everything is proved once more, and then its owner signs it.

Where the key may lie and where it may be used: not in the workspace, not in a git working tree, not beside notebooks,
and not from within Jupyter, where cells, outputs and checkpoints would keep it or its passphrase.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.artifacts.bundle import Bundle, load_bundle
from workbench.artifacts.signing import (
    PROMOTED,
    default_key,
    load_key,
    new_key,
    public_path,
    put_in_force,
    read_secret,
    sign,
    signature_path,
    verify,
)
from workbench.core.calendar import iso_time
from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.research.workspace import Workspace

PASSPHRASE_FILE = "WORKBENCH_KEY_PASSPHRASE_FILE"
"""Environment variable that names a file (mode 0600) with the passphrase, for machines without a keyboard."""

JUPYTER = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "JUPYTER_SERVER_URL")
"""What Jupyter sets in the environment of its kernels and terminals."""

NOTEBOOKS = ("notebooks", "notebook", ".ipynb_checkpoints")
MAX_NOTE = 500

Outcome = dict[str, Any]
AskPassphrase = Callable[[], bytes]


def promote(
    root: Path, ask: AskPassphrase, *, bundle: str | None = None, key: Path | None = None, note: str = ""
) -> Outcome:
    """Verify the workspace's bundle (`bundle`: its id, by default the one that ``calibrate`` left), sign it with the
    private `key` and put it in force.

    Refused: a changed byte, a model that does not reproduce its parity vector, halves that do not belong together, a
    truncation probe that failed or is missing, stages older than the last training, a key that others could read. A
    bundle that the same key signed before is put in force again without these records: the way back.
    """
    path = _usable_key(key, root)
    if len(note) > MAX_NOTE:
        raise ConfigError(f"--note has {len(note)} characters, more than {MAX_NOTE}: shorten it")
    if not (Path(root) / "steps.json").is_file():
        raise DataError(
            f"{root} holds no finished job; run `workbench run` or `workbench demo` first, or name it (--out)"
        )
    ws = Workspace(root)
    read_secret(path)  # refuse what is readable by others before anything slow, and before asking
    found = load_bundle(ws.models_dir, ws.blenders_dir, wanted=bundle or str(ws.outcome("calibrate")["bundle"]))
    again = bundle is not None and signature_path(found).is_file()
    if not again:
        _refuse_unproved(ws, found)
    private = load_key(path, ask())
    if again:
        put_in_force(found, verify(found, (private.public_key(),)).key, note, time.time_ns())
    else:
        sign(found, private, note=note, signed_at=time.time_ns())
    mark = verify(found, (private.public_key(),))
    return {
        "bundle": found.id, "digest": found.digest, "models": found.models.id, "data_origin": found.data_origin,
        "fitted_until": iso_time(found.fitted_until), "signed_at": iso_time(mark.signed_at), "note": mark.note,
        "key": mark.key, "signature": str(signature_path(found)), "promoted": str(ws.blenders_dir / PROMOTED),
    }  # fmt: skip


def make_key(ask: AskPassphrase, key: Path | None = None, root: Path | None = None) -> Outcome:
    """A new key at `key` (by default in the user's configuration), encrypted with the passphrase of `ask`."""
    path = _usable_key(key, root)
    mark = new_key(path, ask())
    return {"key": mark, "private": str(path), "public": str(public_path(path))}


def passphrase_from_file(root: Path | None = None) -> bytes | None:
    """The passphrase in the file that $WORKBENCH_KEY_PASSPHRASE_FILE names; None where it names none."""
    named = os.environ.get(PASSPHRASE_FILE)
    if not named:
        return None
    refuse_place(Path(named), root, f"the passphrase file (${PASSPHRASE_FILE})")
    secret = read_secret(Path(named), f"${PASSPHRASE_FILE} must name a file").rstrip(b"\r\n")
    if not secret:
        raise ConfigError(f"{named} is empty; ${PASSPHRASE_FILE} must name a file that holds the passphrase")
    return secret


def refuse_notebook() -> None:
    """ConfigError inside IPython or below Jupyter: a key never sits in a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    said = next((name for name in JUPYTER if os.environ.get(name)), None if shell is None else "an IPython shell")
    if said:
        raise ConfigError(
            f"promotion does not run inside Jupyter or IPython (found {said}): notebooks keep what they see. Run "
            "`workbench promote` in a terminal of your own"
        )


def refuse_place(path: Path, root: Path | None, what: str) -> None:
    """ConfigError if `path` lies in the workspace `root`, in a git working tree or beside notebooks."""
    real = path.expanduser().absolute().resolve()
    home = None if root is None else Path(root).resolve()
    for folder in real.parents:
        if folder == home:
            place = f"the workspace {root}, which is copied and shared"
        elif os.path.lexists(folder / ".git"):
            place = f"the git working tree {folder}, which is pushed"
        elif folder.name.lower() in NOTEBOOKS or (folder == real.parent and any(folder.glob("*.ipynb"))):
            place = f"{folder}, beside notebooks"
        else:
            continue
        raise ConfigError(f"{what} {path} lies in {place}; keep it elsewhere, for example at {default_key()}")


def _usable_key(key: Path | None, root: Path | None) -> Path:
    refuse_notebook()
    path = (key or default_key()).expanduser()
    refuse_place(path, root, "the key")
    return path


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
