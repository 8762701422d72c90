"""How clients ask the engine to act: a small store of signed, short-lived commands with one consumer, and panic.flag.

It is a database of its own, so that clients never contend with the journal's write-ahead. Clients :meth:`put`, the
engine takes; a command is marked as taken, and that is committed, before it is handed out: after a crash it is known
as unfinished and never executes a second time. What is expired, altered, forged, repeated, unknown or from a viewer
is refused with its reason. When every database fails, a file still works: :func:`read_panic`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Row, String, Table, Text, select

from workbench.core.errors import WorkbenchError, nearest_name
from workbench.database import Database, queue_up

ACTIONS = ("observe", "resume", "halt", "flatten", "cancel", "stop")
URGENT = frozenset({"halt", "flatten", "cancel", "stop"})
"""Actions that end trading, or orders: nothing more is sent before they are done."""
ROLES = ("viewer", "operator")
"""A viewer's commands are kept for the record and refused."""
MAX_EXPIRY_S = 3600
_AHEAD_NS = 5_000_000_000  # how far the clocks of issuer and consumer may differ


class CommandError(WorkbenchError):
    """A command could not be put, taken or acknowledged; nothing follows from it."""


@dataclass(frozen=True, slots=True)
class Command:
    """A request to act on `system` (empty: all of the account). Times are UTC ns by the machine's clock."""

    id: str
    action: str
    system: str
    issuer: str
    role: str
    reason: str
    issued_at: int
    expires_at: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command: `state` waiting, taken (not yet acknowledged), done or refused; `text` says how or why.

    `at` is when it came to that, UTC ns; 0 while waiting.
    """

    command: Command
    state: str
    text: str
    at: int


_metadata = MetaData()
_COMMANDS = Table(
    "commands",
    _metadata,
    Column("number", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("action", String(64), nullable=False),
    Column("system", String(255), nullable=False),
    Column("issuer", String(255), nullable=False),
    Column("role", String(64), nullable=False),
    Column("reason", Text, nullable=False),
    Column("issued_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("mac", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("text", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
_TAKEN = Table("commands_taken", _metadata, Column("id", String(64), primary_key=True))
"""Every id that was ever handed out, kept apart so that a row set back to waiting is still known."""

_FIELDS = tuple(Command.__dataclass_fields__)
_LOCK = 7_302_116_020


class CommandStore:
    """Commands at a path (SQLite) or SQLAlchemy URL, signed with the key in the file `key_path` (HMAC-SHA256).

    The first to come creates the key, readable by its owner alone; a key that others can read is refused. Many may put
    and look, one engine takes.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, CommandStore(f"{folder}/c.db", f"{folder}/key") as store:
    ...     id = store.put("halt", issuer="ann", role="operator", reason="news", now=10)
    ...     [c.action for c in store.take(now=11)], store.take(now=12)
    (['halt'], ())
    """

    def __init__(self, address: str | Path, key_path: str | Path) -> None:
        self._key = _load_key(Path(key_path))
        self._database = Database(address, "command store", CommandError)
        with self._database.writing("cannot be opened") as connection:
            queue_up(connection, _LOCK)
            _metadata.create_all(connection)

    def put(
        self, action: str, *, system: str = "", issuer: str, role: str, reason: str, expires_s: float = 30, now: int
    ) -> str:
        """Ask for `action` until `expires_s` after `now`; the command's id."""
        if action not in ACTIONS:
            raise CommandError(f"action {action!r} is unknown: choose from {', '.join(ACTIONS)}.{_hint(action)}")
        if role not in ROLES:
            raise CommandError(f"role {role!r} is unknown: choose from {', '.join(ROLES)}")
        if not issuer or not reason:
            raise CommandError(f"{action!r} needs an issuer and a reason; both are kept with it")
        if not 0 < expires_s <= MAX_EXPIRY_S:
            raise CommandError(f"expires_s={expires_s} is out of bounds; give more than 0 and at most {MAX_EXPIRY_S}")
        until = int(now) + int(expires_s * 1e9)
        command = Command(secrets.token_hex(16), action, system, issuer, role, reason, int(now), until)
        row = {**_as_row(command), "mac": sign(command, self._key), "state": "waiting", "text": "", "at": 0}
        with self._database.writing(f"did not take {action!r}") as connection:
            connection.execute(_COMMANDS.insert(), row)
        return command.id

    def take(
        self, now: int, refused: Callable[[Command, str], None] = lambda command, why: None
    ) -> tuple[Command, ...]:
        """The commands to execute, oldest first, each once and for all.

        What must not execute is marked as refused, and `refused` is told of it and why.
        """
        with self._database.reading("cannot be read") as connection:
            if connection.execute(_waiting().limit(1)).first() is None:
                return ()
        with self._database.writing("cannot hand out commands") as connection:
            rows = connection.execute(_waiting().with_for_update()).all()
            judged = [(_command(row), self._admit(connection, row, int(now))) for row in rows]
        for command, reason in judged:
            if reason:
                refused(command, reason)
        return tuple(command for command, reason in judged if not reason)

    def acknowledge(self, command_id: str, outcome: str, now: int) -> None:
        """Say what came of a command that was taken; :class:`CommandError` if it was not, or was acknowledged."""
        with self._database.writing("did not take an acknowledgement") as connection:
            taken = (_COMMANDS.c.id == command_id) & (_COMMANDS.c.state == "taken")
            change = _COMMANDS.update().where(taken).values(state="done", text=outcome, at=int(now))
            if connection.execute(change).rowcount != 1:
                raise CommandError(f"command {command_id} cannot be acknowledged: it is not among those taken")

    def outcome(self, command_id: str) -> Outcome:
        """What became of a command; :class:`CommandError` if there is none of this id."""
        with self._database.reading("cannot be read") as connection:
            row = connection.execute(select(_COMMANDS).where(_COMMANDS.c.id == command_id)).first()
        if row is None:
            raise CommandError(f"command {command_id} is unknown in {self._database.shown}")
        return _outcome(row)

    def unfinished(self) -> tuple[Command, ...]:
        """Commands taken and never acknowledged, oldest first: a crash came between. They are not handed out again."""
        with self._database.reading("cannot be read") as connection:
            query = select(_COMMANDS).where(_COMMANDS.c.state == "taken").order_by(_COMMANDS.c.number)
            return tuple(_command(row) for row in connection.execute(query))

    def history(self, limit: int = 100) -> tuple[Outcome, ...]:
        """The last `limit` commands, newest first."""
        with self._database.reading("cannot be read") as connection:
            query = select(_COMMANDS).order_by(_COMMANDS.c.number.desc()).limit(limit)
            return tuple(_outcome(row) for row in connection.execute(query))

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    def __enter__(self) -> CommandStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- inside -----------------------------------------------------------------------------------------------

    def _admit(self, connection: Connection, row: Row[Any], now: int) -> str:
        """Mark the command of `row` as taken or as refused; why it is refused, empty where it is not."""
        command = _command(row)
        reason = self._objection(command, row.mac, now)
        if not reason and connection.execute(select(_TAKEN).where(_TAKEN.c.id == command.id)).first():
            reason = "repeated: it was handed out before"
        if not reason:
            connection.execute(_TAKEN.insert().values(id=command.id))
        state = "refused" if reason else "taken"
        mark = _COMMANDS.update().where(_COMMANDS.c.number == row.number)
        connection.execute(mark.values(state=state, text=reason, at=now))
        return reason

    def _objection(self, command: Command, mac: str, now: int) -> str:
        """Why `command` must not execute; empty where it may. The signature comes first: nothing else is believed."""
        whole = all(type(getattr(command, n)) is (int if n.endswith("_at") else str) for n in _FIELDS)
        if not whole or not hmac.compare_digest(sign(command, self._key).encode(), str(mac).encode()):
            return "forged: the signature does not match the command and this account's key"
        if command.action not in ACTIONS:
            return f"unknown action {command.action!r}"
        if command.role != "operator":
            return f"role {command.role!r} may look, not act"
        if command.issued_at > now + _AHEAD_NS:
            return f"issued {(command.issued_at - now) / 1e9:.1f} s in the future: the clocks differ"
        if now >= command.expires_at:
            return f"expired {(now - command.expires_at) / 1e9:.1f} s ago"
        return ""


def sign(command: Command, key: bytes) -> str:
    """Hex HMAC-SHA256 over every field of `command`, in an encoding in which no two commands look alike."""
    text = json.dumps(["command", 1, *astuple(command)], separators=(",", ":"))
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


PANIC_FILE = "panic.flag"
PANIC_WORDS = ("halt", "cancel", "flatten")


def read_panic(folder: str | Path) -> str | None:
    """What the file ``panic.flag`` in `folder` asks for, needing no database; None where there is no such file.

    Its first word: ``halt`` (send nothing new), ``cancel`` (and cancel our working orders) or ``flatten`` (and close
    our positions); each includes the one before. Whoever made the file wanted trading to end: one that is empty, says
    anything else or cannot be read means ``cancel``, which opens and closes no position that nobody asked to close.
    """
    try:
        with open(Path(folder) / PANIC_FILE, "rb") as file:
            words = file.read(256).decode("utf-8-sig", errors="replace").lower().split()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return "cancel"
    return words[0] if words and words[0] in PANIC_WORDS else "cancel"


def _load_key(path: Path) -> bytes:
    """The key at `path`, created where there is none; :class:`CommandError` if others could know it."""
    try:
        if not os.path.lexists(path):
            _create_key(path)
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            status, key = os.fstat(file), os.read(file, 4096)
        finally:
            os.close(file)
    except OSError as error:
        text = f"key file {path} cannot be used: {error}"
        raise CommandError(f"{text}; give a path in a folder that this user may write") from error
    if status.st_mode & 0o077 or status.st_uid != os.geteuid():
        text = f"key file {path} has mode {status.st_mode & 0o777:04o} and owner {status.st_uid}"
        raise CommandError(f"{text}: others could know it; delete it, so that a new one is created with mode 0600")
    if len(key) < 32:
        raise CommandError(f"key file {path} has {len(key)} bytes, fewer than 32; delete it to create a new one")
    return key


def _create_key(path: Path) -> None:
    """A new random key under `path`, whole from the first moment, whoever else tries the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    file = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(file, secrets.token_hex(32).encode())
        os.fsync(file)
        os.link(draft, path)
    except FileExistsError:
        pass  # another process was faster: its key is the one
    finally:
        os.close(file)
        os.unlink(draft)


def _waiting() -> Any:
    return select(_COMMANDS).where(_COMMANDS.c.state == "waiting").order_by(_COMMANDS.c.number)


def _as_row(command: Command) -> dict[str, Any]:
    return dict(zip(_FIELDS, astuple(command)))


def _command(row: Row[Any]) -> Command:
    return Command(*(getattr(row, name) for name in _FIELDS))


def _outcome(row: Row[Any]) -> Outcome:
    return Outcome(_command(row), row.state, row.text, row.at)


def _hint(action: str) -> str:
    return nearest_name(action, ACTIONS)
