"""The owner's key: where it may lie and where it may be used.

Not in the workspace, not in a git working tree, not beside notebooks, and not from within Jupyter, where cells, outputs
and checkpoints would keep it or its passphrase.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from workbench.artifacts.signing import default_key, new_key, public_path, read_secret
from workbench.core.errors import ConfigError

PASSPHRASE_FILE = "WORKBENCH_KEY_PASSPHRASE_FILE"
"""Environment variable that names a file (mode 0600) with the passphrase, for machines without a keyboard."""

JUPYTER = ("JPY_PARENT_PID", "JPY_SESSION_NAME", "JUPYTER_SERVER_URL")
"""What Jupyter sets in the environment of its kernels and terminals."""

NOTEBOOKS = ("notebooks", "notebook", ".ipynb_checkpoints")

AskPassphrase = Callable[[], bytes]


def usable_key(key: Path | None, root: Path | None) -> Path:
    """Where the private key lies, by default in the user's configuration; ConfigError if it may not be used."""
    refuse_notebook()
    path = (key or default_key()).expanduser()
    refuse_place(path, root, "the key")
    return path


def make_key(ask: AskPassphrase, key: Path | None = None, root: Path | None = None) -> dict[str, str]:
    """A new key at `key` (by default in the user's configuration), encrypted with the passphrase of `ask`."""
    path = usable_key(key, root)
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
