"""Our names of symbols and IB's contracts: US stocks in USD, routed SMART. IB writes ``BRK B`` for BRK.B."""

from __future__ import annotations

from typing import Any

from workbench.execution.ibkr.backend import Contract
from workbench.execution.ibkr.errors import BrokerError


def stock(symbol: str) -> Any:
    """What is asked for: an unqualified contract."""
    return Contract(secType="STK", symbol=symbol.replace(".", " "), exchange="SMART", currency="USD")


class Instruments:
    """Contracts as the broker knows them, cached."""

    def __init__(self) -> None:
        self._contracts: dict[str, Any] = {}  # our symbol -> qualified contract
        self._names: dict[int, str] = {}  # conId -> our symbol

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._contracts

    def learn(self, symbol: str, found: list[Any]) -> None:
        """Keep the contract of `symbol` out of the broker's answers; BrokerError if they are not exactly one."""
        told = {c.conId: c for c in found if c.secType == "STK" and c.currency == "USD"}
        if len(told) != 1:
            listed = ", ".join(f"{c.conId} at {c.primaryExchange}" for c in told.values()) or "none"
            raise BrokerError(f"{symbol} is not one US stock at the broker ({listed})")
        contract = stock(symbol)
        contract.conId, contract.primaryExchange = next((k, c.primaryExchange) for k, c in told.items())
        self._contracts[symbol], self._names[contract.conId] = contract, symbol

    def contract(self, symbol: str) -> Any:
        """The qualified contract; BrokerError if it was never asked for."""
        if symbol not in self._contracts:
            raise BrokerError(f"the contract of {symbol} is not known yet; qualify it before it is traded or watched")
        return self._contracts[symbol]

    def name(self, contract: Any) -> str:
        """Our name of a contract; what is no US stock is named with its kind, so that it is taken for none."""
        if contract.conId in self._names:
            return self._names[contract.conId]
        if contract.secType == "STK" and contract.currency in ("USD", ""):
            return str(contract.symbol).replace(" ", ".")
        kind = contract.secType if contract.secType != "STK" else contract.currency
        return f"{contract.localSymbol or contract.symbol} ({kind})"
