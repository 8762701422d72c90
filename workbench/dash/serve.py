"""`workbench dash`: the three pages on one server that shows nothing to anybody who has not logged in.

Loopback unless told otherwise; WebSockets only from its own address; sessions signed; cookies that no script reads and
no other site sends. Every answer forbids frames, foreign content and telling other sites the address.
"""

from __future__ import annotations

import asyncio
import base64
import getpass
import hashlib
import ipaddress
import logging
import os
import secrets
import signal
import socket
import ssl
import sys
import webbrowser
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import panel as pn
import psutil
from panel.io.server import get_server
from tornado.httputil import HTTPHeaders
from tornado.web import OutputTransform, RequestHandler
from tornado.websocket import WebSocketClosedError

from workbench.core.errors import ConfigError
from workbench.dash.access import is_loopback
from workbench.dash.frame import PAGES, application
from workbench.dash.login import LINK, Gate, HomeHandler, LinkHandler, MissingHandler, OAuthGate, offer_oauth
from workbench.dash.settings import DashSettings
from workbench.dash.users import Users, cookie_secret
from workbench.database import Database

HEADERS = {
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
_EVERYWHERE = ("0.0.0.0", "::", "")
_access = logging.getLogger("workbench.dash.access")


@dataclass(frozen=True, slots=True)
class Place:
    """Where to listen, and as whom the world knows it.

    `origins`: HOST:PORT under which people come, as with a reverse proxy. `certificate` and `key`: PEM files for TLS.
    """

    address: str = "127.0.0.1"
    port: int = 5006
    origins: tuple[str, ...] = ()
    certificate: Path | None = None
    key: Path | None = None

    @property
    def url(self) -> str:
        """What to type into a browser on this machine."""
        return self._at("localhost" if self.address in _EVERYWHERE else self.address)

    @property
    def elsewhere(self) -> list[str]:
        """What to type into a browser on another machine, where it can be reached from there."""
        if self.address not in _EVERYWHERE:
            return [] if is_loopback(self.address) else [self.url]
        kinds = (6,) if self.address == "::" else (4,)
        own = sorted(map(ipaddress.ip_address, _own_addresses()), key=lambda a: (a.version, a))
        return [self._at(str(a)) for a in own if a.version in kinds and not (a.is_loopback or a.is_link_local)]

    def _at(self, host: str) -> str:
        host = f"[{host}]" if ":" in host else host
        return f"{'https' if self.certificate else 'http'}://{host}:{self.port}"

    def allowed(self) -> list[str]:
        """HOST:PORT from which WebSockets may be opened: its own names, and those told."""
        own = {self.address, "localhost", "127.0.0.1"}
        if self.address in _EVERYWHERE:
            own = {"localhost", "127.0.0.1", socket.gethostname(), socket.getfqdn(), *_own_addresses()}
        named = [f"[{n}]:{self.port}" if ":" in n else f"{n}:{self.port}" for n in sorted(own - {""})]
        return [*named, *self.origins]


def serve(settings: DashSettings, place: Place, *, open_browser: bool = True, oauth: str = "") -> None:
    """Serve until SIGINT or SIGTERM. :class:`ConfigError` where it would not be safe, or the port is taken."""
    users = Users.load(settings.secrets)
    _check(place, users, oauth)
    secret = cookie_secret(settings.secrets)
    local = is_loopback(place.address)
    token, once = (secrets.token_urlsafe(32) if wanted else "" for wanted in (local, local and open_browser))
    server = _server(settings, place, _gate(settings, oauth, token, once, secret), secret)
    server.io_loop.asyncio_loop.set_exception_handler(_gone_browsers_are_no_news)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.io_loop.add_callback_from_signal(server.io_loop.stop))
    link = f"{place.url}{LINK}?token={token}" if token else place.url
    if not place.certificate and not token:
        print("workbench: without TLS passwords travel in clear text; give --certificate and --key-file, or put a "
              "reverse proxy with TLS in front", file=sys.stderr, flush=True)  # fmt: skip
    for line in _doubts(settings):
        print(f"workbench: {line}", file=sys.stderr, flush=True)
    print(_told(settings, place, link, bool(token), oauth), flush=True)
    if open_browser:  # others see the command line of the browser: its token is void once it was used
        server.io_loop.call_later(0.5, webbrowser.open, f"{place.url}{LINK}?token={once}" if once else place.url)
    server.start()
    try:
        server.io_loop.start()
    finally:
        server.stop()


class Safely(OutputTransform):
    """Puts :data:`HEADERS` on every answer."""

    def __init__(self, request: Any) -> None:
        pass

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        """As tornado asks for it."""
        for name, value in HEADERS.items():
            headers[name] = value
        return status_code, headers, chunk


# ---- inside ---------------------------------------------------------------------------------------------------------


def _check(place: Place, users: Users, oauth: str) -> None:
    """Refuse what would let strangers in, or nobody."""
    if bool(place.certificate) != bool(place.key):
        raise ConfigError("--certificate and --key-file belong together: a PEM file each")
    _check_address(place.address)
    if is_loopback(place.address) or oauth or any(user.hash for user in users.entries.values()):
        return
    raise ConfigError(
        f"--address {place.address} lets other machines in, and nobody has a password yet; "
        "`workbench dash user add NAME --role operator` makes a user, or use --oauth, or leave --address out"
    )


def _check_address(address: str) -> None:
    """Refuse an address that is none of this machine's."""
    try:
        kind, _, _, _, where = socket.getaddrinfo(address or None, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
            0
        ]
        with socket.socket(kind, socket.SOCK_STREAM) as probe:
            probe.bind(where)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"--address {address} is no address of this machine ({error}); give one of its own, 0.0.0.0 for all of "
            "them, or leave it out"
        ) from error


def _journal(settings: DashSettings) -> tuple[str, str]:
    """Where the journal is, without credentials, and what looks mistyped about that; the pages say so, too."""
    try:
        found = Database(settings.journal_address, "journal", ConfigError, read_only=True)
    except ConfigError as error:
        return "", f"--journal: {error}"
    if found.path is None or found.path.is_file():
        return found.shown, ""
    where, option = (found.path, "--journal") if settings.journal else (settings.folder.absolute(), "--folder")
    if option == "--folder" and where.is_dir():
        return found.shown, f"{where} holds no journal: check --folder, or start an engine there"
    return found.shown, f"there is no {option[2:]} {where}: check {option}, or start an engine there"


def _doubts(settings: DashSettings) -> list[str]:
    """What looks mistyped."""
    job = settings.job.absolute()
    wrong = "" if (job / "config.toml").is_file() else f"{job} holds no research: check --job"
    return [doubt for doubt in (_journal(settings)[1], wrong) if doubt]


def _gone_browsers_are_no_news(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Bokeh writes to browsers that have just closed their tab; everything else is told as usual."""
    if not isinstance(context.get("exception"), WebSocketClosedError):
        loop.default_exception_handler(context)


def _gate(settings: DashSettings, oauth: str, token: str, once: str, secret: str) -> Gate | OAuthGate:
    if not oauth:
        return Gate(settings.secrets, token, once)
    key = base64.urlsafe_b64encode(hashlib.sha256(f"oauth tokens {secret}".encode()).digest())
    return offer_oauth(oauth, settings.secrets, token, once, key)


def _server(settings: DashSettings, place: Place, gate: Gate | OAuthGate, secret: str) -> Any:
    """The server, bound to its port. Tokens in pages carry no cookies and no headers."""
    patterns = [
        ("/?", HomeHandler),
        (LINK, LinkHandler, {"name": _user()}),
        (r"/components/(?!workbench\.|panel\.).*", MissingHandler),
    ]
    options: dict[str, Any] = {
        "auth_provider": gate, "extra_patterns": patterns, "use_index": False, "sign_sessions": True,
        "secret_key": secrets.token_bytes(32), "include_headers": [], "include_cookies": [], "log_function": _log,
    }  # fmt: skip
    if place.certificate:
        options |= {"ssl_certfile": str(place.certificate), "ssl_keyfile": str(place.key)}
    pn.config.session_history = 0
    pages = {name: application(name, settings) for name in PAGES}
    try:
        server = get_server(pages, port=place.port, address=place.address, cookie_secret=secret, **options)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"{place.url} cannot be served: {error}; choose another --port, --address or file") from error
    server._tornado.settings["default_handler_class"] = MissingHandler
    server._tornado._websocket_origins = set(place.allowed())  # Bokeh's option takes no IPv6
    server._tornado.transforms.append(Safely)
    return server


def _told(settings: DashSettings, place: Place, link: str, local: bool, oauth: str) -> str:
    """The lines of the start: what is served, from where, and how to get in."""
    lines = [f"workbench dash: {', '.join(PAGES)} at {place.url}; Ctrl-C stops it"]
    lines += [f"  others   {address}" for address in place.elsewhere if address != place.url]
    lines.append(f"  journal  {_journal(settings)[0]}")
    if local:
        lines.append(f"  open     {link}\n           (logs in as operator {_user()}: keep this link to yourself)")
    how = f"by {oauth}" if oauth else "by name and password"
    also = " --no-password" if oauth else ""
    lines.append(f"  log in   {how}; `workbench dash user add NAME --role viewer{also}` makes a user")
    return "\n".join(lines)


def _log(handler: RequestHandler) -> None:
    """One line of the access log: no query, which may carry a token."""
    request, status = handler.request, handler.get_status()
    level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR
    _access.log(level, "%d %s %s (%s)", status, request.method, request.path, request.remote_ip)


def _own_addresses() -> set[str]:
    """The addresses of every interface of this machine."""
    kinds = (socket.AF_INET, socket.AF_INET6)
    return {a.address.partition("%")[0] for found in psutil.net_if_addrs().values() for a in found if a.family in kinds}


def _user() -> str:
    """The user of this machine."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.geteuid()}"
