"""The command store in each kind of database: once and for all, in order, and nothing that should not execute."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from workbench.commands import ACTIONS, Command, CommandError, CommandStore, sign

S = 10**9


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "key"


def put(store: CommandStore, action: str = "halt", now: int = 100 * S, **changes) -> str:
    return store.put(action, **{"issuer": "ann", "role": "operator", "reason": "news", "now": now, **changes})


@pytest.fixture
def plant(fresh, key) -> Callable[..., None]:
    """A database and a way to change its rows behind the store's back."""
    address = fresh()
    CommandStore(address, key).close()
    engine = create_engine(address if "://" in address else f"sqlite:///{address}")

    def run(statement: str, **values) -> None:
        with engine.begin() as connection:
            connection.execute(text(statement), values)

    run.address = address
    yield run
    engine.dispose()


INSERT = (
    "INSERT INTO commands (id, action, system, issuer, role, reason, issued_at, expires_at, mac, state, text, at) "
    "VALUES (:id, :action, :system, :issuer, :role, :reason, :issued_at, :expires_at, :mac, 'waiting', '', 0)"
)
COMMAND = Command("id1", "halt", "", "ann", "operator", "news", 100 * S, 130 * S)


def values_of(command: Command, mac: str) -> dict:
    return {name: getattr(command, name) for name in Command.__dataclass_fields__} | {"mac": mac}


def test_each_command_is_handed_out_once_in_order_and_acknowledged(fresh, key) -> None:
    with CommandStore(fresh(), key) as client:
        ids = [put(client, action, system="main") for action in ACTIONS]
        assert client.outcome(ids[0]).state == "waiting"
        taken = client.take(now=101 * S)
        assert [(c.id, c.action, c.system, c.issuer, c.reason) for c in taken] == [
            (i, a, "main", "ann", "news") for i, a in zip(ids, ACTIONS)
        ]
        assert client.take(now=101 * S) == ()
        assert [c.id for c in client.unfinished()] == ids
        client.acknowledge(ids[0], "observing", now=102 * S)
        found = client.outcome(ids[0])
        assert (found.state, found.text, found.at, found.command.action) == ("done", "observing", 102 * S, "observe")
        assert [c.id for c in client.unfinished()] == ids[1:]
        assert [o.command.id for o in client.history(limit=2)] == ids[:-3:-1]


def test_an_acknowledgement_is_for_what_was_taken(fresh, key) -> None:
    with CommandStore(fresh(), key) as store:
        waiting = put(store)
        for unknown in (waiting, "none"):
            with pytest.raises(CommandError, match=f"command {unknown} cannot be acknowledged"):
                store.acknowledge(unknown, "done", now=1)
        store.take(now=101 * S)
        store.acknowledge(waiting, "done", now=1)
        with pytest.raises(CommandError, match="cannot be acknowledged"):
            store.acknowledge(waiting, "done again", now=2)
        with pytest.raises(CommandError, match="command none is unknown"):
            store.outcome("none")


@pytest.mark.parametrize(("now", "state"), [(129 * S, "taken"), (130 * S - 1, "taken"), (130 * S, "refused")])
def test_a_command_expires(fresh, key, now, state) -> None:
    with CommandStore(fresh(), key) as store:
        command = put(store, expires_s=30)
        assert bool(store.take(now)) == (state == "taken")
        assert store.outcome(command).state == state
        assert store.take(101 * S) == (), "never later"


def test_a_viewer_acts_on_nothing_and_the_attempt_is_kept(fresh, key) -> None:
    with CommandStore(fresh(), key) as store:
        command = put(store, "flatten", role="viewer")
        assert store.take(101 * S) == ()
        found = store.outcome(command)
        assert (found.state, found.text, found.at) == ("refused", "role 'viewer' may look, not act", 101 * S)


def test_a_command_from_the_future_is_refused(fresh, key) -> None:
    with CommandStore(fresh(), key) as store:
        near, far = put(store, now=105 * S), put(store, now=106 * S)
        assert [c.id for c in store.take(100 * S)] == [near]
        assert "in the future: the clocks differ" in store.outcome(far).text


@pytest.mark.parametrize("field", list(Command.__dataclass_fields__))
def test_any_altered_field_is_a_forgery(plant, key, field) -> None:
    with CommandStore(plant.address, key) as store:
        mac = sign(COMMAND, key.read_bytes())
        value = getattr(COMMAND, field)
        altered = replace(COMMAND, **{field: value + 1 if isinstance(value, int) else value + "x"})
        plant(INSERT, **values_of(altered, mac))
        assert store.take(101 * S) == ()
        (found,) = store.history()
        assert (found.state, found.text.split(":")[0]) == ("refused", "forged")


@pytest.mark.parametrize("mac", ["", "0" * 64, "é"])
def test_a_wrong_signature_is_a_forgery(plant, key, mac) -> None:
    with CommandStore(plant.address, key) as store:
        plant(INSERT, **values_of(COMMAND, mac))
        plant(INSERT, **values_of(replace(COMMAND, id="id2"), sign(replace(COMMAND, id="id2"), b"another key" * 4)))
        assert store.take(101 * S) == ()
        assert [o.text.split(":")[0] for o in store.history()] == ["forged", "forged"]


def test_rightly_signed_but_unknown(plant, key) -> None:
    with CommandStore(plant.address, key) as store:
        for i, change in enumerate(({"action": "buy"}, {"role": "admin"})):
            command = replace(COMMAND, id=f"id{i}", **change)
            plant(INSERT, **values_of(command, sign(command, key.read_bytes())))
        assert store.take(101 * S) == ()
        assert [o.text for o in store.history()] == ["role 'admin' may look, not act", "unknown action 'buy'"]


def test_a_command_set_back_to_waiting_is_a_repetition(plant, key) -> None:
    with CommandStore(plant.address, key) as store:
        command = put(store)
        assert len(store.take(101 * S)) == 1
        plant("UPDATE commands SET state = 'waiting'")
        assert store.take(102 * S) == ()
        assert store.outcome(command).text.startswith("repeated")
        plant("DELETE FROM commands")
        again = replace(COMMAND, id=command)
        plant(INSERT, **values_of(again, sign(again, key.read_bytes())))
        assert store.take(103 * S) == ()


CRASHING_CONSUMER = """
import os, sys
from workbench.commands import CommandStore
taken = CommandStore(sys.argv[1], sys.argv[2]).take(now=101 * 10**9)
os.write(1, ",".join(c.id for c in taken).encode())
os.kill(os.getpid(), 9)
"""


def test_a_consumer_that_dies_with_a_command_never_gets_it_again(fresh, key) -> None:
    address = fresh()
    with CommandStore(address, key) as store:
        command = put(store)
        done = subprocess.run([sys.executable, "-c", CRASHING_CONSUMER, address, key], capture_output=True, timeout=60)
        assert done.stdout.decode() == command
        assert store.take(102 * S) == ()
        assert [c.id for c in store.unfinished()] == [command]


def test_consumers_that_race_never_share_a_command(fresh, key) -> None:
    address = fresh()
    with CommandStore(address, key) as client:
        ids = [put(client) for _ in range(20)]
        taken: list[str] = []

        def consume() -> None:
            with CommandStore(address, key) as store:
                for _ in range(5):
                    taken.extend(c.id for c in store.take(101 * S))

        threads = [threading.Thread(target=consume) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(taken) == sorted(ids)
