"""The refusal of an account where it acts: an engine that starts leaves one that it may not trade untouched."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from workbench.config import Settings
from workbench.engine.accounts import AccountError
from workbench.engine.host import EngineHost
from workbench.engine.plan import EnginePlan
from workbench.engine.systems import System, load_system
from workbench.execution.account_broker import AccountBroker
from workbench.execution.ibkr.accounts import account_kind
from workbench.execution.ibkr.connection import Greeting
from workbench.journal import FallbackJournal, SqlJournal


class Claimed(Exception):
    """The account was made ours: what comes next is the account's."""


class FakeConnection:
    """Says which account it is, and notes whatever else is asked of it."""

    def __init__(self, account: str) -> None:
        self.account, self.asked = account, []
        self.connected = True

    def open(self) -> Greeting:
        return Greeting(self.account, account_kind(self.account), 176, 1, 10**18)

    def __getattr__(self, name: str) -> Any:
        def ask(*_: Any) -> None:
            self.asked.append(name)

        return ask


def claimed() -> None:
    raise Claimed


@pytest.fixture(scope="module")
def embedded() -> System:
    """With the bundle that ships."""
    return load_system(Settings().change(system={"symbols": ("AAPL",)}), simulated=True)


def starting(folder: Path, system: System, account: str, named: str, origin: str) -> Any:
    """(an engine that has just greeted `account`, its connection, its journal); it ends where it claims the account."""
    settings = system.settings.change(system={"live_account": named})
    assert system.bundle.data_origin == "embedded"
    if origin != "embedded":
        system = SimpleNamespace(name="main", bundle=SimpleNamespace(data_origin=origin))  # type: ignore[assignment]
    journal = SqlJournal(folder / "journal.db", session="s")
    connection, clock = FakeConnection(account), SimpleNamespace(now=lambda: 10**18)
    broker = AccountBroker(connection, journal, clock, systems=("main",))  # type: ignore[arg-type]
    host = EngineHost(
        EnginePlan((settings,)), [system], connection, broker, journal, clock,
        fallback=FallbackJournal(folder / "fallback.jsonl"), claim=claimed,
    )  # fmt: skip
    return host, connection, journal


@pytest.mark.parametrize(
    ("account", "named", "origin", "why"),
    [
        ("U1234567", "", "embedded", r"U1\*\*\*67 holds real money and was not named"),
        ("U1234567", "U1234567", "embedded", "the bundle of main was trained on the embedded"),
        ("DU1234567", "", "embedded", "never trades on a paper account"),
        ("U1234567", "U7654321", "ibkr", "live_account names"),
        ("U1234567", "", "ibkr", "holds real money"),
    ],
)
def test_an_account_that_may_not_be_traded_is_left_untouched(tmp_path, embedded, account, named, origin, why) -> None:
    host, connection, journal = starting(tmp_path, embedded, account, named, origin)
    with pytest.raises(AccountError, match=why) as caught:
        host.start()
    assert "Nothing was sent" in str(caught.value)
    assert connection.asked == []  # no order, no cancel, no question: it was greeted, and that is all
    assert list(journal.read()) == []
    assert not (tmp_path / "fallback.jsonl").exists()
    journal.close()


@pytest.mark.parametrize(
    ("account", "named", "origin"),
    [("DUSIM0001", "", "embedded"), ("DU1234567", "", "ibkr"), ("U1234567", "U1234567", "ibkr")],
)
def test_one_that_may_be_traded_is_claimed_before_anything_else(tmp_path, embedded, account, named, origin) -> None:
    host, connection, journal = starting(tmp_path, embedded, account, named, origin)
    with pytest.raises(Claimed):
        host.start()
    assert (connection.asked, list(journal.read())) == ([], [])
    journal.close()
