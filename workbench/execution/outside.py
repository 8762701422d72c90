"""Shares in the account that belong to no system: what was there before, and what is traded by hand or elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from workbench.execution.reconcile import ABSENCE_NS, Difference


class Outside:
    """The outside position per symbol. A system's book never moves because of it.

    The first reconciliation of an account says what is outside. Later a difference must be the same for
    ABSENCE_NS, and no order of the symbol be in doubt, before it counts as outside: a fill may still be on its way.
    """

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}  # symbol -> signed shares, no zeros
        self.known = False
        self.unconfirmed: dict[str, tuple[int, int]] = {}  # symbol -> (difference, when it was first so, UTC ns)

    def observe(self, differences: Sequence[Difference], doubtful: Collection[str], asked_at: int) -> dict[str, Any]:
        """The journal entry of what changed; empty if nothing did."""
        seen = {d.symbol: d.account - d.expected for d in differences}
        since = {s: self._since(s, n, asked_at) for s, n in seen.items() if s not in doubtful}
        sure = {s: n for s, n in seen.items() if not self.known or asked_at - since.get(s, asked_at) >= ABSENCE_NS}
        self.unconfirmed = {s: (seen[s], t) for s, t in since.items() if s not in sure}
        if not sure and self.known:
            return {}
        after = Counter(self.positions)
        for symbol, shares in sure.items():
            after[symbol] += shares
        reason = "changed outside" if self.known else "there when the account was first compared"
        return {"positions": {s: n for s, n in after.items() if n}, "changes": sure, "reason": reason}

    def _since(self, symbol: str, difference: int, asked_at: int) -> int:
        before, when = self.unconfirmed.get(symbol, (0, 0))
        return when if before == difference else asked_at

    def accept(self, payload: Mapping[str, Any]) -> None:
        """Take over an entry of the journal."""
        self.positions = {s: int(n) for s, n in payload["positions"].items() if n}
        self.known = True
