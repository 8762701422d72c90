"""Whoever follows an engine unattended leaves signs of life in its folder; when they end without a word, what was left
behind decides: ``hold`` (the engine goes on, watched) or ``flatten``.

The engine's heart looks, so that it works however the follower ended: a killed scheduler, papermill or kernel cannot
say anything any more. A person at a notebook or a shell leaves nothing, and the engine goes on when they go.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from workbench.core.errors import ConfigError

FOLLOWER, GONE = "follower.json", "follower.gone.json"
POLICIES = ("hold", "flatten")
LOOKS = 5
"""Looks, one with each heartbeat, before somebody is given up: a pause of the whole machine stops them, too."""
LEFT = "was left for the case that nobody follows any more"
"""How the reason of what was done because of it ends; who follows again resumes from it, and from nothing else."""


@dataclass(frozen=True, slots=True)
class Follower:
    """`who` follows and looked last `at` (UTC ns of the machine); after `patience_s` without it, `left` is done."""

    who: str
    left: str
    at: int
    patience_s: float = 15.0

    def __post_init__(self) -> None:
        if self.left not in POLICIES:
            raise ConfigError(f"left={self.left!r} is no policy: choose from {', '.join(POLICIES)}")
        if type(self.at) is not int or type(self.who) is not str:
            raise ConfigError(f"who={self.who!r} and at={self.at!r} must be a name and UTC ns")
        if not self.patience_s > 0:
            raise ConfigError(f"patience_s={self.patience_s:g} must be above 0")


def follow(folder: Path, follower: Follower) -> None:
    """Give a sign of life; readers see the old or the new one, never a part."""
    scratch = folder / f".{FOLLOWER}.{os.getpid()}"
    scratch.write_text(json.dumps(asdict(follower)), encoding="utf-8")
    os.replace(scratch, folder / FOLLOWER)


def let_go(folder: Path) -> None:
    """Follow no more, in good order: nothing is done because of it."""
    (folder / FOLLOWER).unlink(missing_ok=True)


def missed(folder: Path) -> None:
    """What was left behind is done: an engine that starts later does not do it again. A folder that cannot be written
    must not stop the heart, which remembers by itself what it did."""
    with contextlib.suppress(OSError):
        os.replace(folder / FOLLOWER, folder / GONE)


class Vigil:
    """Looks for signs of life in `folder`, by its own clock: a machine that slept, or whose clock was set, is no death.

    Gone is who gave the same sign for `patience_s` on end, in at least LOOKS looks.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._sign: int | None = None  # `at` of the sign that was seen last, for the first time at:
        self._since, self._looks = 0.0, 0

    def gone(self, now_s: float) -> Follower | None:
        """The follower that is gone without a word; None while one looks, or where nobody follows.

        `now_s`: a clock that is never set (:func:`time.monotonic`).
        """
        follower = _read(self._folder)
        if follower is None or self._sign is None or follower.at != self._sign:
            self._sign = None if follower is None else follower.at
            self._since, self._looks = now_s, 0
            return None
        self._looks += 1
        silent = now_s - self._since > follower.patience_s and self._looks >= LOOKS
        return follower if silent else None


def _read(folder: Path) -> Follower | None:
    """Whoever follows. A file that cannot be understood is of nobody who looks: it asks for nothing to be sold."""
    try:
        told = json.loads((folder / FOLLOWER).read_text(encoding="utf-8"))
        return Follower(**told)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError):
        return Follower("somebody whose sign of life cannot be read", "hold", 0)
