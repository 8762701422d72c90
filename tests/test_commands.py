"""What a client may ask for, who may know the key, and the panic file that works without any database."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.commands import Command, CommandError, CommandStore, read_panic, sign


@pytest.fixture
def store(tmp_path: Path):
    with CommandStore(tmp_path / "commands.db", tmp_path / "key") as store:
        yield store


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"action": "halts"}, "action 'halts' is unknown: choose from observe, .* Did you mean 'halt'"),
        ({"role": "root"}, "role 'root' is unknown: choose from viewer, operator"),
        ({"issuer": ""}, "'halt' needs an issuer and a reason"),
        ({"reason": ""}, "'halt' needs an issuer and a reason"),
        ({"expires_s": 0}, "expires_s=0 is out of bounds; give more than 0 and at most 3600"),
        ({"expires_s": 3601}, "expires_s=3601 is out of bounds"),
        ({"expires_s": float("nan")}, "expires_s=nan is out of bounds"),
    ],
)
def test_what_cannot_be_asked_for(store, changes, message) -> None:
    asked = {"action": "halt", "issuer": "ann", "role": "operator", "reason": "news", "now": 1, **changes}
    with pytest.raises(CommandError, match=message):
        store.put(asked.pop("action"), **asked)
    assert store.history() == ()


def test_the_key_is_for_its_owner_alone(tmp_path) -> None:
    key = tmp_path / "deep" / "key"
    CommandStore(tmp_path / "a.db", key).close()
    assert key.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in key.parent.iterdir()] == ["key"], "no draft is left behind"
    before = key.read_bytes()
    CommandStore(tmp_path / "b.db", key).close()
    assert key.read_bytes() == before
    for mode in (0o640, 0o604, 0o660):
        key.chmod(mode)
        with pytest.raises(CommandError, match=f"has mode {mode:04o} .*: others could know it; delete it"):
            CommandStore(tmp_path / "c.db", key)
    assert not (tmp_path / "c.db").exists()


def test_keys_that_are_none(tmp_path) -> None:
    short = tmp_path / "short"
    short.write_bytes(b"x" * 31)
    short.chmod(0o600)
    with pytest.raises(CommandError, match="has 31 bytes, fewer than 32"):
        CommandStore(tmp_path / "a.db", short)
    for name, target in (("link", short), ("dangling", tmp_path / "nowhere")):
        (tmp_path / name).symlink_to(target)
        with pytest.raises(CommandError, match="cannot be used"):
            CommandStore(tmp_path / "a.db", tmp_path / name)
    with pytest.raises(CommandError, match=r"cannot be used: .*; give a path in a folder"):
        CommandStore(tmp_path / "a.db", short / "key")
    with pytest.raises(CommandError, match="cannot be used"):
        CommandStore(tmp_path / "a.db", tmp_path)


def test_everybody_who_comes_first_gets_the_same_key(tmp_path) -> None:
    ids: list[str] = []

    def client(i: int) -> None:
        with CommandStore(tmp_path / "commands.db", tmp_path / "key") as store:
            ids.append(store.put("halt", issuer=f"c{i}", role="operator", reason="race", now=1))

    threads = [threading.Thread(target=client, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with CommandStore(tmp_path / "commands.db", tmp_path / "key") as store:
        assert sorted(c.id for c in store.take(now=2)) == sorted(ids)
        assert len(ids) == 6


def test_a_row_of_wrong_types_is_refused_and_stops_nothing(store, tmp_path) -> None:
    good = store.put("halt", issuer="ann", role="operator", reason="news", now=1)
    with closing(sqlite3.connect(tmp_path / "commands.db")) as db:
        columns = "id, action, system, issuer, role, reason, issued_at, expires_at, mac, state, text, at"
        for i, (issued, reason, mac) in enumerate(
            ((b"x", "r", "m"), (1, b"r", "m"), (1, "r", b"m"), ("now", "r", "m"))
        ):
            row = (f"bad{i}", "halt", "", "x", "operator", reason, issued, 9, mac, "waiting", "", 0)
            db.execute(f"INSERT INTO commands ({columns}) VALUES ({','.join('?' * 12)})", row)
        db.commit()
    assert [c.id for c in store.take(now=2)] == [good]
    assert [o.text.split(":")[0] for o in store.history()] == ["forged"] * 4 + [""]


texts = st.text(max_size=8)
commands = st.builds(Command, texts, texts, texts, texts, texts, texts, st.integers(), st.integers())


@given(commands, commands)
def test_no_two_commands_share_a_signature(a, b) -> None:
    assert (sign(a, b"k" * 32) == sign(b, b"k" * 32)) == (a == b)
    assert sign(a, b"k" * 32) != sign(a, b"q" * 32)


def test_a_store_that_is_gone_is_an_error(tmp_path) -> None:
    with CommandStore(tmp_path / "commands.db", tmp_path / "key") as store:
        (tmp_path / "commands.db").unlink()
        with pytest.raises(
            CommandError, match=r"command store .* did not take 'halt': the file was removed or replaced"
        ):
            store.put("halt", issuer="ann", role="operator", reason="news", now=1)


@pytest.mark.parametrize(
    ("content", "meaning"),
    [
        (b"halt", "halt"),
        (b"cancel\n", "cancel"),
        (b"  FLATTEN now, please\n", "flatten"),
        (b"\xef\xbb\xbfflatten\r\n", "flatten"),
        (b"", "cancel"),
        (b"\n\n", "cancel"),
        (b"flat", "cancel"),
        (b"do not flatten", "cancel"),
        (b"\xff\xfe\x00", "cancel"),
        (b"x" * 100_000, "cancel"),
    ],
)
def test_the_panic_file(tmp_path, content, meaning) -> None:
    assert read_panic(tmp_path) is None
    (tmp_path / "panic.flag").write_bytes(content)
    assert read_panic(tmp_path) == meaning


def test_a_panic_file_that_cannot_be_read_still_means_to_end(tmp_path) -> None:
    assert read_panic(tmp_path / "no such folder") is None
    (tmp_path / "panic.flag").mkdir()
    assert read_panic(tmp_path) == "cancel"
    os.rmdir(tmp_path / "panic.flag")
    (tmp_path / "panic.flag").symlink_to("panic.flag")
    assert read_panic(tmp_path) == "cancel"
