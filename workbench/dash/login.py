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
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import panel as pn
from panel.auth import AUTH_PROVIDERS, BasicAuthProvider, BasicLoginHandler, LogoutHandler, OAuthProvider
from panel.io.server import RootHandler
from tornado.web import RequestHandler, authenticated

from workbench.dash.access import DAYS, LINK_COOKIE, PASSWORD_COOKIE, login_of, objection
from workbench.dash.look import login_page
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
    """Login by password, checked against the users in `secrets`; `token` opens :data:`LINK`, empty: no link."""

    def __init__(self, secrets: Path, token: str = "") -> None:
        super().__init__(login_endpoint=LOGIN, logout_endpoint=LOGOUT)
        self.secrets, self.token = secrets, token
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
    """Login by the OAuth provider that Panel's own settings name; `token` as in :class:`Gate`."""

    def __init__(self, secrets: Path, token: str = "") -> None:
        super().__init__(login_endpoint=LOGIN, logout_endpoint=LOGOUT)
        self.secrets, self.token = secrets, token

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
        self._ask("", inside(self.get_argument("next", HOME)))

    async def post(self) -> None:
        name, password = self.get_argument("username", "")[:64], self.get_argument("password", "", strip=False)
        after = inside(self.get_argument("next", HOME))
        if self.from_elsewhere():
            return self._ask("Log in on this page, please.", after, 403)
        if (wait := self._waits(name)) > 0:
            self.set_header("Retry-After", str(int(wait) + 1))
            return self._ask(f"Too many attempts: try again in {int(wait) + 1} s.", after, 429)
        self._count(name)  # before the check, or many attempts at once would all be checked
        try:
            right = await asyncio.get_running_loop().run_in_executor(_hashing, self._validate, name, password)
            if not right:
                _log.warning("login as %r from %s failed", name, self.request.remote_ip)
                return self._ask("Name or password is wrong.", after, 401)
            self._forgive(name)
            self.set_current_user(name)
        except UsersError as error:
            _log.error("nobody can log in: %s", error)
            return self._ask("The users cannot be read; the log of the server says why.", after, 500)
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

    def _ask(self, message: str, after: str, status: int = 200) -> None:
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        self.write(login_page(message, after, bool(self._gate.token)))


class LinkHandler(Guarded):
    """The link that the server printed: who holds it is the user of this machine."""

    def initialize(self, name: str) -> None:
        self.name = name

    def get(self) -> None:
        told, expected = self.get_argument("token", ""), self.application.auth_provider.token
        self.set_header("Cache-Control", "no-store")
        if expected and hmac.compare_digest(told.encode(), expected.encode()) and not objection(self.request):
            self.set_secure_cookie(LINK_COOKIE, self.name, expires_days=DAYS)
            return self.redirect(HOME)
        _log.warning("a link with a wrong token was opened from %s", self.request.remote_ip)
        self.set_status(403)
        self.write(login_page("This link is not of this start of the server: it prints a new one each time.", HOME))


class LeaveHandler(Guarded, LogoutHandler):
    """Log out: every cookie of a login is taken back."""

    def get(self) -> None:
        if not self.from_elsewhere():
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


def offer_oauth(provider: str, secrets: Path, token: str, key: bytes) -> OAuthGate:
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
    return OAuthGate(secrets, token)
