"""How people log in to `workbench dash`: by password, by OAuth, or by the link that the server printed when it started.

Panel asks a provider who somebody is; the providers here answer with what :mod:`workbench.dash.access` finds proven by
the cookies of the connection. Whether he may look is decided in the page.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import panel as pn
from panel.auth import AUTH_PROVIDERS, BasicAuthProvider, BasicLoginHandler, LogoutHandler, OAuthProvider
from panel.io.server import RootHandler
from tornado.web import RequestHandler, authenticated

from workbench.dash.access import DAYS, LINK_COOKIE, PASSWORD_COOKIE, Person, end, login_of, objection, person_of
from workbench.dash.look import asset, icon, login_page, parts
from workbench.dash.users import Users, UsersError

HOME = "/live"
LOGIN, LOGOUT, LINK = "/login", "/logout", "/enter"
_log = logging.getLogger(__name__)
_hashing = ThreadPoolExecutor(1, thread_name_prefix="password")
"""One hash at a time, beside the event loop: a storm of guesses slows down guesses, not dashboards."""


class Throttle:
    """How long the next attempt of somebody must wait: nothing for `free` failures, then 1, 2, 4 ... `longest` seconds.

    At most `keep` are remembered; those who failed longest ago are forgotten first.

    >>> throttle = Throttle(free=2, clock=lambda: 0.0)
    >>> [throttle.failed("ann") or throttle.wait("ann") for _ in range(5)]
    [0.0, 1.0, 2.0, 4.0, 8.0]
    """

    def __init__(
        self, free: int, longest: float = 60.0, keep: int = 5000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._free, self._longest, self._keep, self._clock = free, longest, keep, clock
        self._failures: OrderedDict[object, tuple[int, float]] = OrderedDict()

    def wait(self, who: object) -> float:
        """Seconds until `who` may try again; 0 if at once."""
        return max(self._failures.get(who, (0, 0.0))[1] - self._clock(), 0.0)

    def failed(self, who: object) -> None:
        """An attempt of `who` failed."""
        count = self._failures.pop(who, (0, 0.0))[0] + 1
        delay = 0.0 if count < self._free else min(2.0 ** min(count - self._free, 30), self._longest)
        self._failures[who] = (count, self._clock() + delay)
        while len(self._failures) > self._keep:
            self._failures.popitem(last=False)

    def succeeded(self, who: object) -> None:
        """`who` is forgiven."""
        self._failures.pop(who, None)


class Gate(BasicAuthProvider):
    """Login by password, checked against the users in `secrets`.

    `token` opens :data:`LINK`, empty: no link; `once` opens it a single time, for the browser that is started.
    """

    def __init__(self, secrets: Path, token: str = "", once: str = "") -> None:
        super().__init__(login_endpoint=LOGIN, logout_endpoint=LOGOUT)
        self.secrets, self.token, self.once = secrets, token, once
        self.by_name, self.by_address = Throttle(free=4), Throttle(free=20)

    def _remove_user(self, session_context: Any) -> None:
        """Panel counts sessions by a cookie that is not used here."""

    @property
    def get_user(self) -> Callable[[Any], str | None]:
        return lambda handler: user_of(handler)

    @property
    def login_handler(self) -> type[RequestHandler]:
        return PasswordHandler

    @property
    def logout_handler(self) -> type[RequestHandler]:
        return LeaveHandler


class OAuthGate(OAuthProvider):
    """Login by the OAuth provider that Panel's own settings name; `token` and `once` as in :class:`Gate`."""

    def __init__(self, secrets: Path, token: str = "", once: str = "") -> None:
        super().__init__(login_endpoint=LOGIN, logout_endpoint=LOGOUT)
        self.secrets, self.token, self.once = secrets, token, once

    @property
    def get_user_async(self) -> Callable[[Any], Any]:
        panels = super().get_user_async

        async def get_user(handler: Any) -> str | None:
            login = login_of(handler.request, handler.settings["cookie_secret"])
            return login.name if login and login.cookie == LINK_COOKIE else await panels(handler)

        return get_user

    def _allow_guest(self, uri: str) -> bool:
        return False

    @property
    def login_handler(self) -> type[RequestHandler]:
        kind = super().login_handler
        return type(f"Guarded{kind.__name__}", (Guarded, kind), {})

    @property
    def logout_handler(self) -> type[RequestHandler]:
        return LeaveHandler


class Guarded(RequestHandler):
    """Cookies that scripts cannot read and that other sites cannot send along."""

    def set_cookie(self, name: str, value: str | bytes, *rest: Any, **options: Any) -> None:
        """As tornado's, with the attributes that keep a cookie here."""
        safe = {"httponly": True, "samesite": "Lax", "secure": self.request.protocol == "https"}
        super().set_cookie(name, value, *rest, **{**options, **safe})

    def from_elsewhere(self) -> bool:
        """Whether a page of another site sent the browser here to act in its name."""
        if self.request.headers.get("Sec-Fetch-Site") == "cross-site":
            return True
        origin = self.request.headers.get("Origin")
        allowed = {self.request.host, *self.application.websocket_origins}
        return origin is not None and urlsplit(origin).netloc not in allowed


class PasswordHandler(Guarded, BasicLoginHandler):
    """The login page, and what it sends."""

    def get(self) -> None:
        after = inside(self.get_argument("next", HOME))
        login = login_of(self.request, self.settings["cookie_secret"])
        if login and isinstance(person_of(login, self._gate.secrets), Person):
            return self.redirect(after)
        self._ask("", after)

    async def post(self) -> None:
        name, password = self.get_argument("username", "")[:64], self.get_argument("password", "", strip=False)
        after = inside(self.get_argument("next", HOME))
        if self.from_elsewhere():
            return self._ask("Log in on this page, please.", after, 403)
        if (wait := self._waits(name)) > 0:
            self.set_header("Retry-After", str(int(wait) + 1))
            return self._ask(f"Too many attempts: try again in {int(wait) + 1} s.", after, 429, name)
        self._count(name)  # before the check, or many attempts at once would all be checked
        try:
            right = await asyncio.get_running_loop().run_in_executor(_hashing, self._validate, name, password)
            if not right:
                _log.warning("login as %r from %s failed", name, self.request.remote_ip)
                return self._ask("Name or password is wrong.", after, 401, name)
            self._forgive(name)
            self.set_current_user(name)
        except UsersError as error:
            _log.error("nobody can log in: %s", error)
            return self._ask("The users cannot be read; the log of the server says why.", after, 500, name)
        self.redirect(after)

    def set_current_user(self, user: str) -> None:
        """Remember the login in a cookie that ends with the entry in the users file."""
        entry = Users.load(self._gate.secrets).entries[user].id
        self.set_secure_cookie(PASSWORD_COOKIE, f"{entry}:{user}", expires_days=DAYS)

    # ---- inside ---------------------------------------------------------------------------------------------------

    @property
    def _gate(self) -> Gate:
        return self.application.auth_provider

    def _validate(self, username: str, password: str) -> bool:
        return Users.load(self._gate.secrets).check(username, password)

    def _waits(self, name: str) -> float:
        address = self.request.remote_ip
        return max(self._gate.by_name.wait((name, address)), self._gate.by_address.wait(address))

    def _count(self, name: str) -> None:
        address = self.request.remote_ip
        self._gate.by_name.failed((name, address))
        self._gate.by_address.failed(address)

    def _forgive(self, name: str) -> None:
        address = self.request.remote_ip
        self._gate.by_name.succeeded((name, address))
        self._gate.by_address.succeeded(address)

    def _ask(self, message: str, after: str, status: int = 200, name: str = "") -> None:
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.write(_named(login_page(message, after, bool(self._gate.token)), name))


class LinkHandler(Guarded):
    """The link that the server printed: who holds it is the user of this machine."""

    def initialize(self, name: str) -> None:
        self.name = name

    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        if not objection(self.request) and self._opens(self.get_argument("token", "")):
            self.set_secure_cookie(LINK_COOKIE, self.name, expires_days=DAYS)
            return self.redirect(HOME)
        _log.warning("a link with a wrong token was opened from %s", self.request.remote_ip)
        self.set_status(403)
        self.write(login_page("This link opens nothing: the server prints a new one at each start.", HOME))

    def _opens(self, told: str) -> bool:
        """Whether `told` is the link's token, or the one for the browser that was started: void from now on."""
        gate = self.application.auth_provider
        if _same(told, gate.once):
            gate.once = ""
            return True
        return _same(told, gate.token)


class LeaveHandler(Guarded, LogoutHandler):
    """Log out: every cookie of a login is taken back, and copies of it are worth nothing any more."""

    def get(self) -> None:
        if not self.from_elsewhere():
            end(self.request, self.settings["cookie_secret"])
            for name in (LINK_COOKIE, PASSWORD_COOKIE, "user", "id_token", "access_token", "refresh_token"):
                self.clear_cookie(name)
        self.set_header("Cache-Control", "no-store")
        self.write(login_page("You are logged out.", HOME, calm=True))


class HomeHandler(RootHandler):
    """``/``: the first page, for whoever is logged in; OAuth comes back here with its answer."""

    def initialize(self) -> None:
        """Panel's asks for the list of applications, which is not shown here."""

    @authenticated
    async def get(self) -> None:
        self.redirect(HOME)


class MissingHandler(RequestHandler):
    """An address at which there is nothing."""

    def prepare(self) -> None:
        """Whatever was asked for, and however."""
        self.set_status(404)
        told = {"home": HOME, "icon": icon(), "css": asset("page.css"), "theme_js": asset("theme.js")}
        self.finish(pn.io.resources._env.from_string(_MISSING).render(parts=parts(), **told))

    def check_xsrf_cookie(self) -> None:
        """Nothing is done here."""


_MISSING = """{% import parts as parts %}<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Not found · workbench</title>{{ parts.head(icon, css, theme_js) }}</head>
<body>
<div class="wb-corner">{{ parts.theme() }}</div>
<main class="wb-middle"><section class="wb-card">
  {{ parts.mark(40) }}
  <h1>There is nothing at this address</h1>
  <p class="remedy"><a href="{{ home }}">Go to the first page</a></p>
</section></main>
</body>
</html>
"""


def _same(told: str, expected: str) -> bool:
    """Whether a token is the one that there is."""
    return bool(expected) and hmac.compare_digest(told.encode(), expected.encode())


def _named(page: str, name: str) -> str:
    """The login `page` with the name that was given already; the cursor waits at the password."""
    if not name:
        return page
    given = page.replace(' name="username"', f' name="username" value="{escape(name)}"').replace(" autofocus", "")
    return given.replace(' type="password"', ' type="password" autofocus')


def user_of(handler: Any) -> str | None:
    """The name that the connection proves, whoever it is; None sends it to the login."""
    login = login_of(handler.request, handler.settings["cookie_secret"])
    return login.name if login else None


def inside(address: str) -> str:
    """`address` if it is a path on this site, else the first page.

    >>> inside("/research?job=a"), inside("//evil.example"), inside("https://evil.example"), inside("/\\\\evil.example")
    ('/research?job=a', '/live', '/live', '/live')
    """
    plain = address.isprintable() and "\\" not in address and address.startswith("/") and not address.startswith("//")
    return address if plain and not urlsplit(address).netloc else HOME


def offer_oauth(provider: str, secrets: Path, token: str, once: str, key: bytes) -> OAuthGate:
    """The gate of an OAuth provider of Panel's; `key` (Fernet) encrypts its tokens in cookies unless one is set."""
    from cryptography.fernet import Fernet

    if provider not in AUTH_PROVIDERS or provider in ("password", "pam"):
        raise UsersError(f"--oauth {provider} is unknown: choose from {', '.join(sorted(AUTH_PROVIDERS))}")
    needed = ("OAUTH_KEY",) if provider == "auth_code" else ("OAUTH_KEY", "OAUTH_SECRET")
    missing = [n for n in needed if not getattr(pn.config, n.lower())]
    if missing:
        raise UsersError(f"--oauth {provider} needs {', '.join('PANEL_' + n for n in missing)} in the environment")
    pn.config.oauth_provider = provider
    pn.state.encryption = Fernet(pn.config.oauth_encryption_key or key)
    return OAuthGate(secrets, token, once)
