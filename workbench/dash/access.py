"""Who is admitted to a page, decided in the page itself: whoever serves it, nothing is shown before :func:`admit`.

Decided on the connection as it is. What Bokeh and Panel tell of a request may come from a token that a client made
up when it opened a WebSocket; cookies count only with the signature of this server's secret.
"""

from __future__ import annotations

import ipaddress
import os
import shlex
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import panel as pn
from tornado.httputil import HTTPServerRequest
from tornado.web import decode_signed_value

from workbench.dash.users import Users, UsersError

PASSWORD_COOKIE = "workbench_user"
"""Who gave a password: ``ID:NAME``, the id as in the users file, so that it ends with the entry."""
LINK_COOKIE = "workbench_operator"
"""Who opened the link that ``workbench dash`` printed: the name of the user of this machine."""
PANEL_COOKIE = "user"
"""Who logged in by OAuth, or by a login of Panel's own: the name there."""
LOGINS = (LINK_COOKIE, PASSWORD_COOKIE, PANEL_COOKIE)
DAYS = 1.0
"""How long a login lasts."""
WATCH_MS = 2000
"""How often an open page asks whether who looks at it still may."""
LOCAL_VIEWER = "this machine"
_PROXIED = ("forwarded", "via", "x-real-ip")


@dataclass(frozen=True, slots=True)
class Login:
    """A proven login: the name, and how (one of the cookies above); `entry` with a password.

    `mark`: what was signed, `at`: when, in seconds since 1970.
    """

    name: str
    cookie: str
    entry: str = ""
    mark: str = ""
    at: float = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it is older than :data:`DAYS`, or somebody logged out of it."""
        return self.mark in _ended or time.time() > self.at + DAYS * 86_400


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may look (viewer) or also act (operator); `entry` is the id in the users file, empty if local.

    `login`: what proved it; None for a person at the machine whom nobody asked.
    """

    name: str
    role: str
    entry: str = ""
    login: Login | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing is shown, and what to do about it; `logged_in`: somebody may log out and come as another."""

    reason: str
    remedy: str
    logged_in: bool = False


_ended: dict[str, float] = {}  # mark of a login that somebody logged out of -> when


def admit(secrets: Path) -> Person | Refusal:
    """Decide on the session that is being created; to be called first in every page.

    Who logged in is watched from then on: see :func:`confirm`.
    """
    person = _decided(secrets)
    if isinstance(person, Person) and person.login is not None and pn.state.curdoc is not None:
        _watch(pn.state.curdoc, person, secrets)
    return person


def _decided(secrets: Path) -> Person | Refusal:
    request = _connection()
    if request is None:
        return Refusal("This page was asked for without a connection of its own.", "Open it in a browser.")
    if pn.config.reuse_sessions:
        return Refusal("This server gives one session to several people.", "Start it without --reuse-sessions.")
    if _foreign_session(request):
        return Refusal("The session of this page was chosen by somebody else.", "Open the page by its plain address.")
    login = login_of(request, pn.config.cookie_secret)
    return _local_viewer(request) if login is None else person_of(login, secrets)


def person_of(login: Login, secrets: Path) -> Person | Refusal:
    """Whose login it is, if it still admits anybody."""
    return Person(login.name, "operator", login=login) if login.cookie == LINK_COOKIE else _listed(login, secrets)


def confirm(person: Person, secrets: Path) -> Person | Refusal:
    """`person` as the users file has him now: to be asked before an action, however long his page has been open.

    Refused when his login is over or his entry is gone. Cheap: the file is read only where it has changed.
    """
    if person.login is not None and person.login.is_over:
        return Refusal(f"The login of {person.name} is over.", "Log in again; a login lasts a day.", True)
    if not person.entry:
        return person
    try:
        user = Users.load(secrets).entries.get(person.name)
    except UsersError as error:
        return Refusal("The users cannot be read.", str(error))
    if user is None or user.id != person.entry:
        return Refusal(f"{person.name} is no longer among the users.", _add(person.name), True)
    return Person(person.name, user.role, user.id, person.login)


def login_of(request: HTTPServerRequest, secret: str | bytes | None) -> Login | None:
    """The login that the cookies of this very connection prove, signed with `secret`; None without one."""
    if not secret:
        return None
    found = {name: value for name in LOGINS if (value := _signed(request, name, secret))}
    if LINK_COOKIE in found and not objection(request):
        return _login(request, LINK_COOKIE, found[LINK_COOKIE])
    entry, _, name = found.get(PASSWORD_COOKIE, "").partition(":")
    if name:
        return _login(request, PASSWORD_COOKIE, name, entry)
    return _login(request, PANEL_COOKIE, found[PANEL_COOKIE]) if PANEL_COOKIE in found else None


def end(request: HTTPServerRequest, secret: str | bytes) -> None:
    """Every login that the cookies prove is over, in whatever page it is open and whoever has a copy of it."""
    now = time.time()
    for old in [mark for mark, at in _ended.items() if at < now - DAYS * 86_400]:
        _ended.pop(old, None)
    _ended.update({request.cookies[name].value: now for name in LOGINS if _signed(request, name, secret)})


def objection(request: HTTPServerRequest) -> str:
    """Why this connection is not surely a person at this machine; empty where it is.

    Both ends of the socket must be loopback, no proxy between, and the address in the browser a name of loopback: a
    stranger's page may have its own name point here.
    """
    ends = _ends(request)
    if ends is None or not all(map(is_loopback, ends)):
        return "does not come from it"
    if told := [n for n in request.headers if n.lower() in _PROXIED or n.lower().startswith("x-forwarded")]:
        return f"was forwarded by a proxy ({told[0]})"
    hosts = request.headers.get_list("Host")
    if len(hosts) != 1 or not is_loopback(_name(hosts[0])):
        return "asks for a name that is not localhost"
    if any(urlsplit(origin).netloc != hosts[0] for origin in request.headers.get_list("Origin")):
        return "was made by a page of another address"
    return ""


def is_loopback(address: str) -> bool:
    """Whether an IP address, or the name localhost, is this machine and no other can reach it.

    >>> [is_loopback(a) for a in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "localhost", "0.0.0.0", "example.com")]
    [True, True, True, True, False, False]
    """
    if address == "localhost":
        return True
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


# ---- inside ---------------------------------------------------------------------------------------------------------


def _connection() -> HTTPServerRequest | None:
    """Tornado's request behind the session; the proxy around it may repeat what a client's token claims."""
    context: Any = pn.state.curdoc.session_context if pn.state.curdoc else None
    request = getattr(context.request, "_request", None) if context else None
    return request if isinstance(request, HTTPServerRequest) else None


def _foreign_session(request: HTTPServerRequest) -> bool:
    """Whether the session's id came with the request, or the session would be handed to a page of another address."""
    chosen = {"bokeh-session-id", "bokeh-token"} & set(request.arguments)
    return bool(chosen) or "Bokeh-Session-Id" in request.headers or request.path.endswith("/autoload.js")


def _local_viewer(request: HTTPServerRequest) -> Person | Refusal:
    problem = objection(request)
    if not problem:
        return Person(LOCAL_VIEWER, "viewer")
    return Refusal(
        f"Nobody is logged in. Without a login only a person at this machine may look, and this connection {problem}.",
        "Open it on the machine itself by http://localhost, or have it served by `workbench dash`, which asks for a "
        "login; `workbench dash user add NAME --role viewer` makes one.",
    )


def _listed(login: Login, secrets: Path) -> Person | Refusal:
    """The person of a login, if the users file has him, and has him log in this way."""
    try:
        user = Users.load(secrets).entries.get(login.name)
    except UsersError as error:
        return Refusal("The users cannot be read.", str(error), True)
    if login.cookie == PANEL_COOKIE and _shared_password():
        return Refusal("One password for everybody proves nobody's name.", "Give --basic-auth a file of users.", True)
    by_password = login.cookie == PASSWORD_COOKIE
    if user is None or bool(user.hash) != by_password or (by_password and user.id != login.entry):
        told = f"{login.name} is logged in, but not among the users of this login."
        return Refusal(told, _add(login.name, by_password), True)
    return Person(login.name, user.role, user.id, login)


def _watch(doc: Any, person: Person, secrets: Path) -> None:
    """Shut the session when `person` may not look any more. His browser asks for the page anew, and is refused."""

    def look() -> None:
        if not isinstance(confirm(person, secrets), Refusal):
            return
        session = doc.session_context.session
        session.request_expiration()
        doc.clear()  # whoever connects to it again meanwhile finds nothing
        for connection in list(session._subscribed_connections):
            connection._socket.close()

    doc.add_periodic_callback(look, WATCH_MS)  # not when the page is loaded: a client need not say that it is


def _add(name: str, by_password: bool = True) -> str:
    command = f"workbench dash user add {shlex.quote(name)} --role viewer{'' if by_password else ' --no-password'}"
    return f"Whoever runs this server can add {name} by `{command}`; log out, then log in again."


def _shared_password() -> bool:
    """Whether Panel's own login asks all for the same password, so that anybody can give any name."""
    asked = pn.config.basic_auth
    if asked == pn.config.oauth_provider:  # what Panel says where no basic_auth is set
        return False
    return isinstance(asked, str) and bool(asked) and not os.path.isfile(asked)


def _signed(request: HTTPServerRequest, name: str, secret: str | bytes) -> str:
    """The value of a cookie with a valid signature that is not too old, nor of an ended login; empty otherwise."""
    cookie = request.cookies.get(name)
    if cookie is None or cookie.value in _ended:
        return ""
    value = decode_signed_value(secret, name, cookie.value, max_age_days=DAYS, min_version=2)
    return value.decode("utf-8", errors="replace") if value else ""


def _login(request: HTTPServerRequest, cookie: str, name: str, entry: str = "") -> Login:
    """The login of a cookie whose signature was found valid; tornado writes ``2|KEY|LENGTH:SECONDS|...``."""
    mark = request.cookies[cookie].value
    return Login(name, cookie, entry, mark, float(mark.split("|")[2].partition(":")[2]))


def _ends(request: HTTPServerRequest) -> tuple[str, str] | None:
    """Addresses of this end and of the other end of the socket; None where it has none (closed, or a Unix socket)."""
    stream: Any = getattr(request.server_connection, "stream", None)
    wire = getattr(stream, "socket", None)
    if wire is None or wire.family not in (socket.AF_INET, socket.AF_INET6):
        return None
    try:
        return wire.getsockname()[0], wire.getpeername()[0]
    except OSError:
        return None


def _name(host: str) -> str:
    """The name in a Host header; empty if it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
