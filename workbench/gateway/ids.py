"""Identifiers as IBKR shapes them, the same for the same seed: permIds, execIds, venues. Counters are plain state."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import blake2b

VENUES = ("ARCA", "BATS", "DRCTEDGE", "IEX", "MEMX", "NASDAQ", "NYSE")
"""Where executions of a SMART order are said to happen, in turn by hash."""


@dataclass(slots=True)
class Identifiers:
    """`orders` and `executions` count what was given out; both survive a restart, so nothing is given out twice."""

    seed: int = 0
    orders: int = 0
    executions: int = 0

    def next_perm_id(self) -> int:
        """A number of nine or ten digits, larger than all before."""
        self.orders += 1
        return 1_000_000_000 + self._hash("start") % 500_000_000 + self.orders * 100 + self._hash("perm") % 100

    def next_exec_id(self) -> str:
        """An execId whose last segment, ``01``, counts corrections.

        >>> Identifiers(7).next_exec_id() == Identifiers(7).next_exec_id() != Identifiers(8).next_exec_id()
        True
        """
        self.executions += 1
        head = self._hash("gateway") & 0xFFFFF
        return f"{head:08x}.{(self._hash('day') + self.executions) & 0xFFFFFFFF:08x}.01.01"

    def venue(self) -> str:
        """The venue of the latest execution."""
        return VENUES[self._hash(f"venue{self.executions}") % len(VENUES)]

    def to_dict(self) -> dict[str, int]:
        return asdict(self)

    def _hash(self, what: str) -> int:
        salt = self.orders if what == "perm" else ""
        return int.from_bytes(blake2b(f"{self.seed}/{what}/{salt}".encode(), digest_size=4).digest(), "big")
