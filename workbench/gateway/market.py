"""What the gateway needs to know of a market: which symbols it has, and their tapes."""

from __future__ import annotations

from typing import Protocol

from workbench.gateway.tape import Tape


class Market(Protocol):
    """Tapes by symbol and session (days since 1970)."""

    @property
    def name(self) -> str:
        """What kind of market it is; books are kept on one and the same."""
        ...

    def tape(self, symbol: str, session: int) -> Tape:
        """What `symbol` does on `session`; DataError if it has no tape there."""
        ...

    def latest(self, symbol: str, session: int) -> int | None:
        """The last session up to `session` on which `symbol` has a tape; None: there is no such symbol yet."""
        ...

    def first(self, symbol: str) -> int:
        """The first session of a symbol that exists."""
        ...
