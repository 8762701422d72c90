"""Contract details, qualification, symbols, market rules."""

from __future__ import annotations

from ib_checks.harness import Session, check


@check()
async def details(s: Session) -> None:
    (d,) = await s.ib.reqContractDetailsAsync(s.stock("AAPL"))
    c = d.contract
    assert (c.symbol, c.secType, c.currency, c.exchange, c.localSymbol) == ("AAPL", "STK", "USD", "SMART", "AAPL")
    assert c.conId > 0
    assert c.primaryExchange in ("NASDAQ", "NYSE")
    assert d.minTick == 0.01
    assert d.stockType == "COMMON"
    assert d.timeZoneId == "America/New_York"
    exchanges, rules = d.validExchanges.split(","), d.marketRuleIds.split(",")
    assert "SMART" in exchanges
    assert rules == ["26"] * len(exchanges)
    assert d.liquidHours.startswith("20260302:0930-20260302:1600;20260303:0930-20260303:1600;")
    assert d.tradingHours.startswith("20260302:0400-20260302:2000;")
    assert "20260307:CLOSED" in d.liquidHours
    assert {"LMT", "MKT", "STP", "MOC", "LOC", "STPLMT"} <= set(d.orderTypes.split(","))


@check()
async def details_by_id(s: Session) -> None:
    (by_name,) = await s.ib.reqContractDetailsAsync(s.stock("MSFT"))
    (by_id,) = await s.ib.reqContractDetailsAsync(s.lib.Contract(conId=by_name.contract.conId, exchange="SMART"))
    assert by_id == by_name
    (other,) = await s.ib.reqContractDetailsAsync(s.stock("IBM"))
    assert other.contract.conId != by_name.contract.conId


@check()
async def qualify(s: Session) -> None:
    contracts = [s.stock(name) for name in ("AAPL", "MSFT", "BRK B")]
    done = await s.ib.qualifyContractsAsync(*contracts)
    assert [c.symbol for c in done] == ["AAPL", "MSFT", "BRK B"]
    assert len({c.conId for c in done}) == 3
    assert all(c.primaryExchange for c in contracts)


@check(200)
async def nobody_knows(s: Session) -> None:
    assert await s.ib.reqContractDetailsAsync(s.stock("NO-SUCH!")) == []
    assert await s.ib.reqContractDetailsAsync(s.lib.Stock("AAPL", "SMART", "EUR")) == []
    assert await s.ib.reqContractDetailsAsync(s.lib.Forex("EURUSD")) == []
    assert [code for _, code in s.errors if code == 200] == [200, 200, 200]


@check()
async def matching_symbols(s: Session) -> None:
    known = await s.known("TSLA")
    found = await s.ib.reqMatchingSymbolsAsync("tsla")
    assert [(f.contract.symbol, f.contract.conId, f.contract.secType) for f in found] == [("TSLA", known.conId, "STK")]
    assert await s.ib.reqMatchingSymbolsAsync("%%%") == []


@check()
async def market_rule(s: Session) -> None:
    rule = await s.ib.reqMarketRuleAsync(26)
    assert [(r.lowEdge, r.increment) for r in rule] == [(0.0, 0.0001), (1.0, 0.01)]


@check()
async def now(s: Session) -> None:
    first = await s.ib.reqCurrentTimeAsync()
    assert first.strftime("%Y-%m-%d") == "2026-03-02"
    assert (await s.ib.reqCurrentTimeAsync()) >= first


@check()
async def accounts_and_ids(s: Session) -> None:
    assert [a[:5] for a in s.ib.managedAccounts()] == ["DUSIM"]
    assert s.ib.client.serverVersion() == 176
    first, second = s.ib.client.getReqId(), s.ib.client.getReqId()
    assert second == first + 1
