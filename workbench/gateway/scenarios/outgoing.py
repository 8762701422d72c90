"""What happens to frames between the hub and the socket: rules over callbacks, and a line that may be slow."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from workbench.gateway.hub import Client
from workbench.gateway.scenarios.actions import TRADING
from workbench.gateway.wire.frames import frame

Fields = list[str]
Rewrite = Callable[[Client, Fields], Fields]
FOR_EVER = 1 << 62


@dataclass(slots=True, eq=False)
class Rule:
    """`effect` (suppress, duplicate, delay, reorder, rewrite) on message ids `kinds`, `left` times, until `until` ns.

    An empty `kinds` means every frame. `by` nanoseconds of a delay; `behind` message ids that let go what is `held`.
    """

    effect: str
    kinds: frozenset[int]
    left: int = FOR_EVER
    until: int = FOR_EVER
    status: str = ""
    by: int = 0
    behind: frozenset[int] = frozenset()
    rewrite: Rewrite | None = None
    wanted: Callable[[Client, Fields], bool] | None = None
    held: list[tuple[Client, bytes]] = field(default_factory=list)

    def takes(self, client: Client, kind: int, fields: Fields, now: int, queried: bool) -> bool:
        """Whether it concerns a frame. Answers to queries about orders and executions are no callbacks (`queried`)."""
        if now >= self.until or self.left <= 0 or (self.kinds and kind not in self.kinds):
            return False
        if queried and self.effect != "rewrite" and self.kinds and self.kinds <= TRADING:
            return False
        if self.status and self.status not in fields:
            return False
        return self.wanted is None or self.wanted(client, fields)

    def release(self, client: Client, kind: int) -> list[bytes]:
        """Held frames of `client` that a frame of `kind` lets go."""
        if kind not in self.behind:
            return []
        free = [data for owner, data in self.held if owner is client]
        self.held = [(owner, data) for owner, data in self.held if owner is not client]
        return free


class Outgoing:
    """Applies `rules` in turn. `later(by, client, frame)` sends a frame after `by` nanoseconds."""

    def __init__(self, now: Callable[[], int], later: Callable[[int, Client, bytes], None]) -> None:
        self.rules: list[Rule] = []
        self._now, self._later = now, later

    def frames(self, client: Client, data: bytes, queried: bool) -> list[bytes]:
        """What is sent instead of `data`, now."""
        if not self.rules:
            return [data]
        now = self._now()
        self.rules = [r for r in self.rules if r.held or (r.left > 0 and now < r.until)]
        fields = data[4:-1].decode().split("\0")
        kind = int(fields[0]) if client.client_id >= 0 and fields[0].isdigit() else -1
        sent, freed = [data], [f for rule in self.rules for f in rule.release(client, kind)]
        for rule in self.rules:
            if sent and rule.takes(client, kind, fields, now, queried):
                rule.left -= 1
                sent = self._apply(rule, client, fields, sent)
        return sent + freed

    def _apply(self, rule: Rule, client: Client, fields: Fields, sent: list[bytes]) -> list[bytes]:
        match rule.effect:
            case "duplicate":
                return sent + sent
            case "rewrite" if rule.rewrite is not None:
                fields[:] = rule.rewrite(client, fields)
                return [frame(*fields)] * len(sent)
            case "reorder":
                rule.held += [(client, data) for data in sent]
            case "delay":
                for data in sent:
                    self._later(rule.by, client, data)
        return []


class Line:
    """One socket's way out: whole, or `size` bytes at a time with `gap_s` real seconds between."""

    def __init__(self, write: Callable[[bytes], None], size: int = 0, gap_s: float = 0.0) -> None:
        self.write, self.size, self.gap_s = write, size, gap_s
        self._waiting: deque[bytes] = deque()

    def send(self, data: bytes) -> None:
        """Send, or put in line behind what waits."""
        if not self.size and not self._waiting:
            self.write(data)
            return
        step, idle = self.size or len(data), not self._waiting
        self._waiting.extend(data[i : i + step] for i in range(0, len(data), step))
        if idle:
            self._pump()

    def _pump(self) -> None:
        self.write(self._waiting[0])
        asyncio.get_running_loop().call_later(self.gap_s, self._next)

    def _next(self) -> None:
        self._waiting.popleft()
        if self._waiting:
            self._pump()
