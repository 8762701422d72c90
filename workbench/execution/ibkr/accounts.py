"""Kinds of accounts, told apart by the id that the gateway reports, never by port."""

from __future__ import annotations

from enum import StrEnum


class AccountKind(StrEnum):
    """Whose money is at stake."""

    SIMULATED = "simulated"
    """The simulated gateway's."""
    PAPER = "paper"
    """IB's own paper trading."""
    LIVE = "live"
    """Somebody's."""


def account_kind(account: str) -> AccountKind:
    """The kind of an account; what is not known to be play money is live.

    >>> [account_kind(a).value for a in ("DUSIM0001", "DU1234567", "U1234567", "")]
    ['simulated', 'paper', 'live', 'live']
    """
    if account.startswith("DUSIM"):
        return AccountKind.SIMULATED
    return AccountKind.PAPER if account.startswith("DU") else AccountKind.LIVE
