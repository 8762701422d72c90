"""How a page asks the engine to act: who may is asked again at every command, and the engine asks once more."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from workbench.commands import URGENT, CommandError, CommandStore
from workbench.dash.access import Person, Refusal, confirm
from workbench.dash.settings import DashSettings
from workbench.engine.process import COMMANDS, KEY

LOOK_S = 0.1
"""Seconds between two looks for the outcome."""
PATIENCE_S = 15.0
"""Seconds for which an outcome is waited for; the command itself expires after 30."""
GONE = "no engine gives a sign of life: positions stay as they are, and `workbench live` goes on from the journal"
HANGS = "an engine whose process still runs but hangs stops at panic.flag in its folder"


class CommandSender:
    """Puts the commands of `person` into the engine's store; `alive` tells whether an engine gives signs of life.

    What ends trading is sent even without one: an engine whose step hangs, or whose journal refuses, still hears it.

    Calling it blocks until the engine took the command: not for the event loop. :class:`CommandError` says why nothing
    was sent.
    """

    def __init__(self, settings: DashSettings, person: Person, alive: Callable[[], bool]) -> None:
        self.settings, self.person, self._alive = settings, person, alive
        self.key = Path(settings.key) if settings.key else settings.folder / KEY
        self.store: str | Path = settings.commands or settings.folder / COMMANDS

    def problem(self) -> str:
        """Why no command can be given here; empty where one can. The engine makes key and store, never a page."""
        for what, path in (("command store", self.store), ("key", self.key)):
            if isinstance(path, Path) and not path.exists():
                return (
                    f"Commands cannot be given here: there is no {what} {path.name} in {path.parent}. The engine makes "
                    "it when it first starts; on another machine name it with --commands and --key."
                )
        return ""

    def __call__(self, action: str, reason: str, system: str) -> str:
        """Have `action` done to `system` (empty: all); what came of it."""
        now = confirm(self.person, self.settings.secrets)
        if isinstance(now, Refusal):
            raise CommandError(f"nothing was sent: {now.reason} {now.remedy}")
        if now.role != "operator":
            raise CommandError(f"nothing was sent: {now.name} has the role {now.role}, which may look, not act")
        if problem := self.problem():
            raise CommandError(problem)
        alive = self._alive()
        if not alive and action not in URGENT:
            raise CommandError(f"nothing was sent: {GONE}")
        with CommandStore(self.store, self.key) as store:
            number = store.put(action, system=system, issuer=now.name, role=now.role, reason=reason, now=time.time_ns())
            return _outcome(store, number, "" if alive else f"; {GONE}; {HANGS}")


def _outcome(store: CommandStore, number: str, silent: str) -> str:
    """What the engine did or does next; :class:`CommandError` where it refused, or took nothing: `silent` says more."""
    deadline = time.monotonic() + PATIENCE_S
    while (outcome := store.outcome(number)).state in ("waiting", "taken") and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    if outcome.state == "done":
        return outcome.text
    if outcome.state == "refused":
        raise CommandError(f"refused: {outcome.text}")
    if outcome.state == "taken":
        return "taken; the engine is busy and carries it out next (cancels went out already)"
    raise CommandError(f"not taken within {PATIENCE_S:g} s; it expires by itself, look at the happenings{silent}")
