"""What a live engine counts."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass
class LiveTally:
    """`cycles` decided; `missed` bars on which nothing was decided, too late or nothing arrived; times UTC ns."""

    cycles: int = 0
    missed: int = 0
    last_bar: int = 0
    started_at: int = 0
    sent: deque[int] = field(default_factory=lambda: deque(maxlen=4_000))  # times of orders sent
