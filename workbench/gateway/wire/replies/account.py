"""Positions, account values, profit and loss. Money in USD unless a currency is given, positions in shares."""

from __future__ import annotations

from workbench.gateway.wire.contracts import WireContract, c11
from workbench.gateway.wire.frames import UNSET_DOUBLE, frame


def update_account_value(key: str, value: str, currency: str, account: str) -> bytes:
    """6: one account value; `currency` is empty for what is no money."""
    return frame(6, 2, key, value, currency, account)


def update_portfolio(
    contract: WireContract,
    position: float,
    market_price: float,
    market_value: float,
    average_cost: float,
    unrealized_pnl: float,
    realized_pnl: float,
    account: str,
) -> bytes:
    """7: one position and what it is worth; the contract goes with its primary exchange."""
    c = contract
    return frame(
        7, 8, c.con_id, c.symbol, c.sec_type, c.last_trade_date, c.strike, c.right, c.multiplier, c.primary_exchange,
        c.currency, c.local_symbol, c.trading_class,
        position, market_price, market_value, average_cost, unrealized_pnl, realized_pnl, account,
    )  # fmt: skip


def update_account_time(time: str) -> bytes:
    """8: when the values were computed, as ``09:30``."""
    return frame(8, 1, time)


def account_download_end(account: str) -> bytes:
    """54: the first round of values and positions is complete."""
    return frame(54, 1, account)


def position(account: str, contract: WireContract, position: float, average_cost: float) -> bytes:
    """61: one position; the contract's exchange is its listing venue. 0 shares: it was closed."""
    return frame(61, 3, account, *c11(contract), position, average_cost)


def position_end() -> bytes:
    """62: the first round of positions is complete."""
    return frame(62, 1)


def account_summary(request_id: int, account: str, tag: str, value: str, currency: str) -> bytes:
    """63: one value of a summary."""
    return frame(63, 1, request_id, account, tag, value, currency)


def account_summary_end(request_id: int) -> bytes:
    """64: the first round of the summary is complete."""
    return frame(64, 1, request_id)


def account_update_multi(request_id: int, account: str, model: str, key: str, value: str, currency: str) -> bytes:
    """73: one value of an account or model."""
    return frame(73, 1, request_id, account, model, key, value, currency)


def account_update_multi_end(request_id: int) -> bytes:
    """74: the first round of values is complete."""
    return frame(74, 1, request_id)


def pnl(request_id: int, daily: float, unrealized: float | None, realized: float | None) -> bytes:
    """94: profit and loss of the account; None is unknown."""
    return frame(94, request_id, daily, _known(unrealized), _known(realized))


def pnl_single(
    request_id: int, position: float, daily: float, unrealized: float | None, realized: float | None, value: float
) -> bytes:
    """95: profit and loss of a position and its market value; None is unknown."""
    return frame(95, request_id, position, daily, _known(unrealized), _known(realized), value)


def _known(money: float | None) -> float | str:
    return UNSET_DOUBLE if money is None else money
