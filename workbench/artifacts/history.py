"""Which bundle is in force, and what was before: ``blender_dir/PROMOTED`` and ``signatures/history.jsonl``.

The history is written first, then PROMOTED, each at once or not at all. A crash between the two leaves the old bundle
in force and a line whose change did not take place; every line names what was in force before it, so that such a line
is known, shown as such and never gone back to.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from workbench.core.errors import ArtifactError

SIGNATURES, CANDIDATES = "signatures", "candidates"
"""Folders of a blender_dir that are no bundles."""
PROMOTED, HISTORY, LOCK = "PROMOTED", "history.jsonl", ".lock"
PROMOTION, ROLLBACK = "promotion", "rollback"


@dataclass(frozen=True, slots=True)
class Change:
    """One line: `bundle` (and its `digest`), signed with `key`, came into force `at` an ISO time instead of `before`
    (empty: of none). `before` None: written by a version that did not note it."""

    at: str
    what: str
    bundle: str
    digest: str
    key: str
    note: str
    before: str | None

    @classmethod
    def read(cls, line: dict[str, Any]) -> Change:
        """A line of the file; those of the first version had neither `what` nor `before`."""
        return cls(**{"what": PROMOTION, "before": None, **line})


def promoted(blender_dir: Path) -> str | None:
    """Id of the bundle in force in `blender_dir`; None where none is."""
    path = Path(blender_dir) / PROMOTED
    return path.read_text(encoding="utf-8").strip() if path.is_file() else None


def switch(blender_dir: Path, *, at: str, what: str, bundle: str, digest: str, key: str, note: str) -> None:
    """Put `bundle` in force and remember it; one process at a time."""
    path = Path(blender_dir) / SIGNATURES / HISTORY
    with _alone(path.with_name(LOCK)):
        change = Change(at, what, bundle, digest, key, note, promoted(blender_dir) or "")
        kept = path.read_bytes() if path.is_file() else b""
        replace_file(path, kept + json.dumps(asdict(change), sort_keys=True).encode() + b"\n")
        replace_file(Path(blender_dir) / PROMOTED, f"{bundle}\n".encode())


def read_history(blender_dir: Path) -> tuple[Change, ...]:
    """Every line, the oldest first; :class:`ArtifactError` names one that is not of the workbench."""
    path = Path(blender_dir) / SIGNATURES / HISTORY
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    made = []
    for number, line in enumerate(lines, 1):
        try:
            made.append(Change.read(json.loads(line)))
        except (ValueError, TypeError) as error:
            names = ", ".join(f.name for f in fields(Change))
            raise ArtifactError(
                f"{path}, line {number}: not a change ({error}); a line is a JSON object with {names}: "
                "restore the file from a copy. `workbench rollback --to ID` works without it"
            ) from None
    return tuple(made)


def took_place(changes: tuple[Change, ...], in_force: str | None) -> tuple[bool, ...]:
    """Of each line whether its bundle came into force: not if what follows still found in force what was before it.

    >>> a, b, c = (Change("", PROMOTION, name, "", "", "", old) for name, old in (("A", ""), ("B", "A"), ("C", "A")))
    >>> took_place((a, b, c), "C")
    (True, False, True)
    """
    found = [change.before for change in changes[1:]] + [in_force or ""]
    return tuple(now is None or now == c.bundle or now != c.before for c, now in zip(changes, found, strict=False))


def in_force_before(blender_dir: Path) -> str:
    """Id of the bundle that a rollback goes back to; empty where there is none.

    A rollback takes back the promotion before it, so that a second one goes a step further, not to and fro.
    :class:`ArtifactError` where PROMOTED is not what the history says.
    """
    now, changes = promoted(blender_dir) or "", read_history(blender_dir)
    stack: list[str] = []
    for change, real in zip(changes, took_place(changes, now), strict=True):
        if real and change.what == ROLLBACK and change.bundle in stack:
            del stack[stack.index(change.bundle) + 1 :]
        elif real and stack[-1:] != [change.bundle]:
            stack.append(change.bundle)
    if stack[-1:] != [now]:
        raise ArtifactError(
            f"{blender_dir}: its history ends with {(stack or ['nothing'])[-1]} in force, {PROMOTED} names "
            f"{now or 'nothing'}: one of them was changed by hand. Say which is meant: `workbench rollback --to ID`"
        )
    return stack[-2] if len(stack) > 1 else ""


def replace_file(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash, sees the old file or the new one."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    with scratch.open("wb") as f:
        f.write(content)
        f.flush()
        os.fsync(f.fileno())
    os.replace(scratch, path)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """No other process is inside; the lock ends with the process."""
    with path.open("ab") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
