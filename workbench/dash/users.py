"""Who may see the dashboards, and the secret that signs their cookies: two files that only this user can read.

A person has a role and logs in by password, of which a scrypt hash is kept, or elsewhere (OAuth), with no hash. A name
that comes from elsewhere never stands for a person who has a password here, nor the other way round.
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from workbench.commands import ROLES
from workbench.core.errors import WorkbenchError, nearest_name

USERS_FILE = "dash_users.json"
COOKIE_FILE = "dash_cookie.secret"
SHORTEST = 12
LONGEST = 256
"""Bounds of a password's length in characters."""
SCRYPT: Mapping[str, int] = {"n": 2**15, "r": 8, "p": 3, "maxmem": 2**26}
"""Cost of a hash: 32 MiB and about 0.2 s."""
_NAME = re.compile(r"[\w.@+-]{1,64}", re.ASCII)
_VERSION = 1


class UsersError(WorkbenchError):
    """The users, or the secret of their cookies, cannot be used: nobody is admitted by them."""


@dataclass(frozen=True, slots=True)
class User:
    """An entry: `id` is drawn anew whenever a name is added; `salt` and `hash` (hex) are empty without a password."""

    role: str
    id: str
    salt: str = ""
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Users:
    """The users in the folder `secrets` as they are when :meth:`load` is called; no file means nobody.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Users.add(Path(folder), "ann", "operator", "correct horse battery")
    ...     users = Users.load(Path(folder))
    ...     users.role("ann"), users.check("ann", "guess"), users.check("ann", "correct horse battery")
    ('operator', False, True)
    """

    entries: Mapping[str, User]

    @classmethod
    def load(cls, folder: Path) -> Users:
        """What the file says, read anew only where it was changed.

        :class:`UsersError` where others can read it too, or where it is no list of users.
        """
        path = folder / USERS_FILE
        return cls(_read(path, _stamp(path)) if os.path.lexists(path) else {})

    @staticmethod
    def add(folder: Path, name: str, role: str, password: str | None) -> None:
        """A new user; no password (None) for one who logs in elsewhere."""
        Users.load(folder).check_new(name, role)
        salt = secrets.token_bytes(16)
        hashed = "" if password is None else _hash(_bounded(password), salt)
        with _changing(folder) as entries:
            Users(entries).check_new(name, role)
            entries[name] = User(role, secrets.token_hex(8), salt.hex() if hashed else "", hashed)

    def check_new(self, name: str, role: str) -> None:
        """:class:`UsersError` unless `name` can be added as `role`."""
        if not _NAME.fullmatch(name) or name == "guest":
            text = "give 1 to 64 letters, digits or any of . _ @ + -, and not 'guest', which Panel calls everybody"
            raise UsersError(f"user name {name!r} cannot be used: {text}")
        if role not in ROLES:
            raise UsersError(f"role {role!r} is unknown: choose from {', '.join(ROLES)}.{nearest_name(role, ROLES)}")
        if name in self.entries:
            raise UsersError(f"user {name!r} exists; `workbench dash user remove {name}` comes first")

    @staticmethod
    def remove(folder: Path, name: str) -> None:
        """Take a user out; the pages that he has open are shut within seconds."""
        with _changing(folder) as entries:
            if entries.pop(name, None) is None:
                text = f"there is no user {name!r} in {folder / USERS_FILE}"
                raise UsersError(f"{text}; `workbench dash user list` names them.{nearest_name(name, entries)}")

    def check(self, name: str, password: str) -> bool:
        """Whether `password` is the one of `name`. An unknown name takes as long as a known one."""
        user = self.entries.get(name)
        known = user is not None and bool(user.hash)
        salt, expected = (bytes.fromhex(user.salt), user.hash) if user and known else (b"\0" * 16, "0" * 128)
        equal = hmac.compare_digest(_hash(password[: LONGEST + 1], salt), expected)
        return known and equal

    def role(self, name: str) -> str | None:
        """The role of `name`; None for one who is not in the file."""
        user = self.entries.get(name)
        return user.role if user else None


def cookie_secret(folder: Path) -> str:
    """This install's secret, which signs cookies; drawn by the first who asks."""
    path = folder / COOKIE_FILE
    if not os.path.lexists(path):
        make_folder(folder)
        draft = _draft(path, secrets.token_hex(32))
        with suppress(FileExistsError):  # another process was faster: its secret is the one
            os.link(draft, path)
        os.unlink(draft)
    secret = read_private(path).strip()
    if len(secret) < 32:
        raise UsersError(f"{path} has {len(secret)} characters, fewer than 32; delete it to draw a new secret")
    return secret


def read_private(path: Path) -> str:
    """The text of a file that belongs to this user and that nobody else can read; :class:`UsersError` otherwise."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(file, encoding="utf-8") as stream:
            status, text = os.fstat(file), stream.read()
    except (OSError, UnicodeDecodeError) as error:
        raise UsersError(f"{path} cannot be read: {error}; give it back to this user, or delete it") from error
    if status.st_mode & 0o077 or status.st_uid != os.geteuid():
        told = f"{path} has mode {status.st_mode & 0o777:04o} and owner {status.st_uid}: others could know or change it"
        raise UsersError(
            f"{told}; `chmod 600 {path}` as its owner, and change what it holds if anybody may have seen it"
        )
    return text


def make_folder(folder: Path) -> None:
    """The folder of the secrets, where there is none."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise UsersError(f"{folder} cannot be made: {error}; name another in WORKBENCH_DASH_SECRETS") from error


# ---- inside ---------------------------------------------------------------------------------------------------------


def _hash(password: str, salt: bytes) -> str:
    return hashlib.scrypt(password.encode("utf-8", errors="surrogatepass"), salt=salt, dklen=64, **SCRYPT).hex()


def _bounded(password: str) -> str:
    if not SHORTEST <= len(password) <= LONGEST:
        text = f"the password has {len(password)} characters; {SHORTEST} to {LONGEST} are needed"
        raise UsersError(f"{text}: a few words are easy to keep in mind")
    return password


def _stamp(path: Path) -> tuple[int, ...]:
    """What changes with the file, with its mode or its owner."""
    try:
        s = os.lstat(path)
    except OSError as error:
        raise UsersError(f"{path} cannot be read: {error}; give it back to this user, or delete it") from error
    return s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_mode, s.st_uid


@lru_cache(8)
def _read(path: Path, _: tuple[int, ...]) -> Mapping[str, User]:
    return _parse(read_private(path), path)


def _parse(text: str, path: Path) -> dict[str, User]:
    """The entries of a file, every one whole."""
    try:
        told = json.loads(text)
        if told["version"] != _VERSION:
            raise ValueError(f"version {told['version']!r} is not {_VERSION}")
        entries = {name: User(**entry) for name, entry in told["users"].items()}
        for name, user in entries.items():
            if user.role not in ROLES or not user.id or bool(bytes.fromhex(user.salt)) != bool(user.hash):
                raise ValueError(f"the entry of {name!r} is not whole")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsersError(f"{path} is no list of users: {error}; delete it and add them again") from error
    return entries


@contextmanager
def _changing(folder: Path) -> Iterator[dict[str, User]]:
    """The entries, to be changed and then written at once; one process after the other."""
    make_folder(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        entries: dict[str, User] = dict(Users.load(folder).entries)
        yield entries
        told: dict[str, Any] = {"version": _VERSION, "users": {name: asdict(user) for name, user in entries.items()}}
        os.replace(_draft(folder / USERS_FILE, json.dumps(told, indent=1)), folder / USERS_FILE)
    finally:
        os.close(lock)


def _draft(path: Path, text: str) -> Path:
    """A file beside `path` with `text`, safely on disk, which only this user can read."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        raise UsersError(f"{path} cannot be written: {error}; name another folder in WORKBENCH_DASH_SECRETS") from error
    return draft
