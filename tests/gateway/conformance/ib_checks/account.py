"""Positions, account values, summaries, P&L: they agree with the fills and with one another."""

from __future__ import annotations

from typing import Any

from ib_checks.harness import Session, check, until

TAGS = ("NetLiquidation", "TotalCashValue", "GrossPositionValue", "InitMarginReq", "MaintMarginReq", "AvailableFunds",
        "ExcessLiquidity", "BuyingPower", "EquityWithLoanValue")  # fmt: skip


def usd(values: list[Any], tag: str) -> float:
    (found,) = [v for v in values if v.tag == tag and v.currency == "USD"]
    return float(found.value)


def held(s: Session, symbol: str) -> list[float]:
    return [p.position for p in s.ib.positions() if p.contract.symbol == symbol]


def paid(trade: Any) -> float:
    """USD that a trade took out of the account."""
    sign = 1 if trade.order.action == "BUY" else -1
    return sum(sign * f.execution.shares * f.execution.price + f.commissionReport.commission for f in trade.fills)


@check()
async def cash_follows_the_fills(s: Session) -> None:
    contract, before = await s.known("KO"), usd(s.ib.accountValues(), "TotalCashValue")
    assert before > 100_000
    trade = await s.filled(contract, "BUY", 100)
    wanted = before - paid(trade)
    await until(lambda: abs(usd(s.ib.accountValues(), "TotalCashValue") - wanted) < 0.02, "the new cash")
    back = await s.filled(contract, "SELL", 40)
    wanted -= paid(back)
    await until(lambda: abs(usd(s.ib.accountValues(), "TotalCashValue") - wanted) < 0.02, "the new cash")


@check()
async def positions(s: Session) -> None:
    contract = await s.known("PEP")
    trade = await s.filled(contract, "BUY", 100)
    cost = paid(trade) / 100
    await until(lambda: any(abs(p.avgCost - cost) < 1e-3 for p in s.ib.positions()), "the position with its commission")
    (p,) = [p for p in await s.ib.reqPositionsAsync() if p.contract.symbol == "PEP"]
    assert (p.position, p.contract.conId, p.account[:5]) == (100, contract.conId, "DUSIM")
    assert abs(p.avgCost - cost) < 1e-3
    await s.filled(contract, "SELL", 150)
    await until(lambda: held(s, "PEP") == [-50], "the short position")
    await s.filled(contract, "BUY", 50)
    await until(lambda: held(s, "PEP") == [], "the position to be closed")


@check()
async def portfolio(s: Session) -> None:
    contract = await s.known("WMT")
    trade = await s.filled(contract, "BUY", 100)
    await until(lambda: any(i.contract.symbol == "WMT" for i in s.ib.portfolio()), "the portfolio")
    (item,) = [i for i in s.ib.portfolio() if i.contract.symbol == "WMT"]
    assert item.position == 100
    assert abs(item.marketValue - 100 * item.marketPrice) < 0.01
    assert abs(item.averageCost - paid(trade) / 100) < 1e-3
    assert abs(item.unrealizedPNL - 100 * (item.marketPrice - item.averageCost)) < 0.01


@check()
async def summary(s: Session) -> None:
    await s.filled(await s.known("KO"), "BUY", 10)
    told = await s.ib.accountSummaryAsync()
    values = {tag: usd(told, tag) for tag in TAGS}
    assert abs(values["NetLiquidation"] - values["TotalCashValue"] - values["GrossPositionValue"]) < 0.05
    assert abs(values["EquityWithLoanValue"] - values["InitMarginReq"] - values["AvailableFunds"]) < 0.05
    assert abs(values["EquityWithLoanValue"] - values["MaintMarginReq"] - values["ExcessLiquidity"]) < 0.05
    assert values["BuyingPower"] > values["AvailableFunds"] > 0
    assert {v.account[:5] for v in told} == {"DUSIM"}


@check()
async def values_and_multi(s: Session) -> None:
    account = s.ib.managedAccounts()[0]
    await s.ib.reqAccountUpdatesAsync(account)
    await s.ib.reqAccountUpdatesMultiAsync(account)
    values = s.ib.accountValues(account)
    assert usd(values, "NetLiquidation") > 100_000
    assert [v.value for v in values if v.tag == "AccountCode"] == [account]
    assert abs(usd(values, "TotalCashValue") - usd(values, "CashBalance")) < 0.01


@check()
async def multi_goes_on(s: Session) -> None:
    """What reqAccountUpdatesMulti tells of a trade, kept apart from the other account values by its model."""
    contract, account = await s.known("DIS"), s.ib.managedAccounts()[0]
    told: dict[str, list[float]] = {}

    def heard(v: Any) -> None:
        if v.modelCode == "growth" and v.currency == "USD":
            told.setdefault(v.tag, []).append(float(v.value))

    s.ib.accountValueEvent += heard
    await s.ib.reqAccountUpdatesMultiAsync(account, "growth")
    (cash,) = told["TotalCashValue"]
    (gross,) = told["GrossPositionValue"]
    trade = await s.filled(contract, "BUY", 100)
    cash -= paid(trade)
    await until(lambda: abs(told["TotalCashValue"][-1] - cash) < 0.02, "the new cash")
    price = trade.orderStatus.avgFillPrice
    assert abs(told["GrossPositionValue"][-1] - gross - 100 * price) < 0.1 * 100 * price
    count = len(told["NetLiquidation"])
    await until(lambda: len(told["NetLiquidation"]) > count, "the values of three minutes later")
    s.ib.client.cancelAccountUpdatesMulti(1)


@check()
async def profit_and_loss(s: Session) -> None:
    contract, account = await s.known("MCD"), s.ib.managedAccounts()[0]
    trade = await s.filled(contract, "BUY", 200)
    whole, one = s.ib.reqPnL(account), s.ib.reqPnLSingle(account, "", contract.conId)
    await until(lambda: whole.dailyPnL == whole.dailyPnL and one.position == 200, "profit and loss")
    assert abs(one.value - paid(trade) - one.unrealizedPnL) < 0.02
    assert abs(one.dailyPnL - one.unrealizedPnL) < 0.02
    before, events = one.value, []
    s.ib.pnlSingleEvent += events.append
    await until(lambda: len(events) > 2 and one.value != before, "an update")
    back = await s.filled(contract, "SELL", 200)
    gain = sum(f.commissionReport.realizedPNL for f in back.fills)
    await until(lambda: one.position == 0 and abs(one.realizedPnL - gain) < 0.02, "the realised gain")
    assert abs(gain + paid(trade) + paid(back)) < 0.02
    s.ib.cancelPnL(account)
    s.ib.cancelPnLSingle(account, "", contract.conId)
