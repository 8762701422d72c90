"""Which account may be traded with which bundle. The broker's own account id decides, never a port."""

from __future__ import annotations

from workbench.core.errors import WorkbenchError
from workbench.execution.ibkr.accounts import AccountKind, account_kind

EMBEDDED = "embedded"
"""`data_origin` of what was fitted on the simulated market."""


class AccountError(WorkbenchError):
    """The account is not one that this configuration may trade."""


def check_account(account: str, live_account: str, origins: dict[str, str]) -> AccountKind:
    """The kind of `account`; :class:`AccountError` unless it may be traded.

    `live_account`: the account that the user named, or empty; `origins`: system -> data_origin of its bundle.
    """
    kind = account_kind(account)
    if live_account and live_account != account:
        raise AccountError(
            f"live_account names {mask(live_account)}, the broker reports {mask(account)}; log in to the account that "
            "you named, or name the one that you mean. Nothing was sent"
        )
    if kind is AccountKind.LIVE and not live_account:
        raise AccountError(
            f"{mask(account)} holds real money and was not named: start with --live-account and its full id "
            "(or set system.live_account) if you mean it. Nothing was sent"
        )
    embedded = sorted(name for name, origin in origins.items() if origin == EMBEDDED)
    if embedded and kind is not AccountKind.SIMULATED:
        raise AccountError(
            f"the bundle of {', '.join(embedded)} was trained on the embedded (simulated) market and never trades on a "
            f"{kind} account; train on real bars. Nothing was sent"
        )
    return kind


def mask(account: str) -> str:
    """The account id as logs show it.

    >>> mask("U1234567")
    'U1***67'
    """
    return f"{account[:2]}***{account[-2:]}"
