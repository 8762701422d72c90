"""`workbench dash`: nothing without a login, and every way in and out of it."""

from __future__ import annotations

import base64
import datetime as dt
import http.client
import http.server
import json
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from tornado.httpclient import HTTPClientError
from tornado.websocket import WebSocketClosedError

from tests.dash.served import HELD, Served, own_address, serve_dash
from workbench.dash import serve as serve_module
from workbench.dash.login import Gate, LinkHandler, Throttle, inside
from workbench.dash.serve import HEADERS, Place
from workbench.dash.settings import DashSettings
from workbench.dash.users import COOKIE_FILE, Users

WORDS = {"ann": "correct horse battery", "bob": "staple and a paper clip"}
PAGES = ("/live", "/research", "/execution")


def people(folder: Path) -> Path:
    """A folder whose secrets know an operator, a viewer, and one who comes by OAuth."""
    Users.add(folder / "secrets", "ann", "operator", WORDS["ann"])
    Users.add(folder / "secrets", "bob", "viewer", WORDS["bob"])
    Users.add(folder / "secrets", "octocat", "viewer", None)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return people(tmp_path_factory.mktemp("serve"))


@pytest.fixture(scope="module")
def served(folder) -> Iterator[Served]:
    server = serve_dash(
        folder, "--journal", "postgresql://desk:hush@db.example/journal", "--origin", "desk.example:443"
    )
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ann(served) -> str:
    return served.log_in("ann", WORDS["ann"])


# ---- without a login ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", PAGES)
def test_nobody_sees_a_page_without_a_login_not_even_at_the_machine(served: Served, page):
    answer = served.get(page)
    assert answer.status == 302
    assert urlsplit(answer.headers["Location"]).path.endswith("/login")
    assert parse_qs(urlsplit(answer.headers["Location"]).query) == {"next": [page]}
    assert HELD not in answer.text
    with pytest.raises(HTTPClientError, match="403"):
        served.pull(page, generate_jwt_token(generate_session_id(signed=False), signed=False))


def test_the_login_page_asks_and_fetches_nothing_from_elsewhere(served: Served):
    page = served.get("/login?next=%2Fresearch").text
    assert 'name="next" value="/research"' in page
    assert not re.findall(r"(?:src|href)=\"(?:https?:)?//", page)


def test_what_is_told_to_the_login_page_is_not_markup(served: Served):
    page = served.get("/login?next=%2F%22%3E%3Cscript%3Ealert(1)%3C%2Fscript%3E&error=%3Cscript%3Ealert(1)").text
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    "path", ["/login", "/live", "/static/js/bokeh.min.js", "/favicon.ico", "/nothing", "/enter?token=x", "/logout"]
)
def test_every_answer_carries_the_headers_of_safety(served: Served, path):
    answer = served.get(path)
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_a_stranger_cannot_have_the_server_import_a_module(served: Served):
    assert served.get("/components/antigravity/x/_css/x.css").status == 404
    assert served.get("/components/workbench.dash.look/Look/modifiers/assets/widgets.css").status == 200
    assert served.get("/components/workbench.dash.look/Look/modifiers/../../users.py").status in (403, 404)


# ---- by password ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ann", "bob"])
@pytest.mark.parametrize("page", PAGES)
def test_a_password_opens_every_page_with_the_role_of_the_name(served: Served, page, name):
    cookies = served.log_in(name, WORDS[name])
    role = {"ann": "operator", "bob": "viewer"}[name]
    assert f"{HELD}, shown to {name}, {role}" in served.look(page, Cookie=cookies).text


def test_the_cookie_is_kept_from_scripts_and_from_other_sites_and_is_not_in_the_page(served: Served, ann):
    answer = served.post("/login", {"username": "ann", "password": WORDS["ann"], "next": "/research"})
    assert answer.headers["Location"] == "/research"
    (cookie,) = answer.headers.get_all("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    page = served.look("/live", Cookie=ann).text
    payload = re.search(r'"token":"([^".]+)', page).group(1)
    inside_token = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)).decode(errors="replace")
    assert "session_id" in inside_token
    for secret in (ann, ann.partition("=")[2].strip('"')):
        assert secret not in page
        assert secret not in inside_token


@pytest.mark.parametrize(
    ("name", "password"),
    [("ann", "wrong wrong wrong"), ("eve", WORDS["ann"]), ("octocat", ""), ("", ""), ("ann", WORDS["ann"] + " ")],
)
def test_a_wrong_login_is_refused_without_saying_what_was_wrong(served: Served, name, password):
    answer = served.post("/login", {"username": name, "password": password})
    assert answer.status == 401
    assert "Name or password is wrong." in answer.text
    assert answer.headers.get_all("Set-Cookie") is None


def test_after_a_wrong_password_only_the_password_is_asked_for_again(served: Served):
    page = served.post("/login", {"username": 'bob"><script>', "password": "wrong wrong wrong"}).text
    assert 'name="username" value="bob&quot;&gt;&lt;script&gt;"' in page
    assert 'type="password" autofocus' in page
    assert page.count("autofocus") == 1


def test_who_is_logged_in_is_led_on_from_the_login(served: Served, folder, ann):
    assert served.get("/login?next=%2Fresearch", Cookie=ann).headers["Location"] == "/research"
    Users.add(folder / "secrets", "dora", "viewer", WORDS["ann"])
    dora = served.log_in("dora", WORDS["ann"])
    Users.remove(folder / "secrets", "dora")
    assert served.get("/login", Cookie=dora).status == 200, "she may come as somebody else"


def test_an_address_without_a_page_says_so_in_the_look_of_the_others(served: Served):
    answer = served.get("/nothing")
    assert answer.status == 404
    assert "There is nothing at this address" in answer.text
    assert 'href="/live"' in answer.text
    assert "Traceback" not in served.said


def test_the_session_of_a_user_who_is_removed_is_shut_while_it_is_open(served: Served, folder):
    Users.add(folder / "secrets", "erik", "operator", WORDS["ann"])
    cookies = served.log_in("erik", WORDS["ann"])
    token = re.search(r'"token":"([^"]+)"', served.get("/live", Cookie=cookies).text).group(1)
    before = served.hold("/live", token, lambda: Users.remove(folder / "secrets", "erik"), Cookie=cookies)
    assert f"{HELD}, shown to erik" in before
    assert HELD not in served.pull("/live", token, Cookie=cookies), "nor does the session show anything later"


def test_guesses_are_slowed_down_for_this_name_from_this_address_only(folder):
    server = serve_dash(folder)
    try:
        tried = [server.post("/login", {"username": "ann", "password": f"guess {i}"}) for i in range(6)]
        assert [answer.status for answer in tried] == [401] * 4 + [429] * 2
        assert int(tried[-1].headers["Retry-After"]) >= 1
        assert "Too many attempts" in tried[-1].text
        assert server.post("/login", {"username": "ann", "password": WORDS["ann"]}).status == 429
        assert server.log_in("bob", WORDS["bob"])
        assert "login as 'ann' from 127.0.0.1 failed" in server.said
        assert "guess" not in server.said
    finally:
        assert server.stop(signal.SIGINT) == 0


def test_a_throttle_doubles_forgives_and_forgets():
    now = [0.0]
    throttle = Throttle(free=2, longest=5.0, keep=3, clock=lambda: now[0])
    waits = []
    for _ in range(6):
        throttle.failed("ann")
        waits.append(throttle.wait("ann"))
    assert waits == [0.0, 1.0, 2.0, 4.0, 5.0, 5.0]
    now[0] = 4.0
    assert throttle.wait("ann") == 1.0
    assert throttle.wait("bob") == 0.0
    for other in "xyz":
        throttle.failed(other)
    assert throttle.wait("ann") == 0.0, "the oldest was forgotten"
    throttle.failed("x")
    assert throttle.wait("x") == 1.0
    throttle.succeeded("x")
    assert throttle.wait("x") == 0.0


@pytest.mark.parametrize(
    "address",
    [
        "//evil.example",
        "https://evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "evil",
        "",
        "/a\nb",
        "javascript:1",
    ],
)
def test_a_login_leads_nowhere_else(served: Served, address):
    assert inside(address) == "/live"
    answer = served.post("/login", {"username": "ann", "password": WORDS["ann"], "next": address})
    assert answer.headers["Location"] == "/live"


def test_another_site_can_neither_log_in_nor_out_for_somebody(served: Served, ann):
    form = {"username": "bob", "password": WORDS["bob"]}
    assert served.post("/login", form, Origin="http://evil.example").status == 403
    assert served.post("/login", form, Sec_Fetch_Site="cross-site").status == 403
    assert served.get("/logout", Cookie=ann, Sec_Fetch_Site="cross-site").headers.get_all("Set-Cookie") is None
    assert served.post("/login", form, Origin="https://desk.example:443").status == 302
    bob = served.log_in("bob", WORDS["bob"])
    gone = served.get("/logout", Cookie=bob).headers.get_all("Set-Cookie")
    assert any(cookie.startswith('workbench_user="";') for cookie in gone)
    assert served.get("/live", Cookie=bob).status == 302, "a copy of the cookie opens nothing any more"
    assert served.get("/live", Cookie=ann).status == 200


def test_who_is_taken_out_of_the_file_is_refused_at_once(served: Served, folder):
    secrets = folder / "secrets"
    Users.add(secrets, "carl", "operator", WORDS["ann"])
    cookies = served.log_in("carl", WORDS["ann"])
    assert "carl, operator" in served.look("/live", Cookie=cookies).text
    Users.remove(secrets, "carl")
    refused = served.look("/live", Cookie=cookies).text
    assert HELD not in refused
    assert "workbench dash user add carl --role viewer" in refused
    Users.add(secrets, "carl", "operator", WORDS["bob"])
    assert HELD not in served.look("/live", Cookie=cookies).text, "the login was of an entry that is gone"
    Users.remove(secrets, "carl")


# ---- by the link ----------------------------------------------------------------------------------------------------


def test_the_printed_link_logs_in_as_the_operator_of_this_machine(served: Served):
    answer = served.get(f"/enter?token={served.token}")
    assert (answer.status, answer.headers["Location"]) == (302, "/live")
    (cookie,) = answer.headers.get_all("Set-Cookie")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    page = served.look("/live", Cookie=answer.cookies).text
    assert re.search(re.escape(HELD) + r", shown to .+, operator", page)
    assert served.token not in page


@pytest.mark.parametrize("told", ["", "?token=", "?token=wrong", "?token=%00%ff"])
def test_a_wrong_link_opens_nothing(served: Served, told):
    answer = served.get(f"/enter{told}")
    assert answer.status in (400, 403)
    assert answer.headers.get_all("Set-Cookie") is None


def test_the_token_that_the_browser_is_started_with_opens_once(tmp_path, monkeypatch):
    gate = Gate(tmp_path, "printed", "for the browser")
    handler = SimpleNamespace(application=SimpleNamespace(auth_provider=gate))
    asked = [LinkHandler._opens(handler, told) for told in ("", "wrong", "for the browser", "for the browser", "")]
    assert asked == [False, False, True, False, False]
    assert [LinkHandler._opens(handler, "printed") for _ in range(2)] == [True, True]


def test_the_browser_is_not_started_with_the_printed_link(tmp_path, monkeypatch, capsys):
    started, loop = [], SimpleNamespace(asyncio_loop=SimpleNamespace(set_exception_handler=lambda _: None))
    loop.call_later = lambda _, call, link: started.append(link)
    loop.start = lambda: None
    gates = []
    server = SimpleNamespace(io_loop=loop, start=lambda: None, stop=lambda: None)
    monkeypatch.setattr(serve_module, "_server", lambda settings, place, gate, secret: gates.append(gate) or server)
    monkeypatch.setattr(serve_module.signal, "signal", lambda *_: None)
    serve_module.serve(DashSettings(secrets=tmp_path / "secrets"), Place())
    (link,), (gate,) = started, gates
    assert link.endswith(f"/enter?token={gate.once}")
    said = capsys.readouterr().out
    assert gate.token in said
    assert gate.once not in said
    assert gate.once != gate.token


def test_a_logged_out_link_cookie_opens_nothing_any_more(served: Served):
    cookies = served.get(f"/enter?token={served.token}").cookies
    assert served.get("/live", Cookie=cookies).status == 200
    served.get("/logout", Cookie=cookies)
    assert served.get("/live", Cookie=cookies).status == 302


def test_the_link_and_its_cookie_are_worth_nothing_through_a_proxy(served: Served):
    assert served.get(f"/enter?token={served.token}", X_Forwarded_For="10.0.0.9").status == 403
    assert served.get(f"/enter?token={served.token}", Host="evil.example").status == 403
    cookies = served.get(f"/enter?token={served.token}").cookies
    assert served.get("/live", Cookie=cookies, X_Forwarded_For="10.0.0.9").status == 302


# ---- the server -----------------------------------------------------------------------------------------------------


def test_a_websocket_needs_a_known_origin_and_a_signed_token(served: Served, ann):
    page = served.get("/live", Cookie=ann).text
    token = re.search(r'"token":"([^"]+)"', page).group(1)
    own = f"http://127.0.0.1:{served.port}"
    assert "ann, operator" in served.pull("/live", token, Cookie=ann, Origin=own)
    assert "ann, operator" in served.pull("/live", token, Cookie=ann, Origin="https://desk.example:443")
    for other in ("http://evil.example", f"http://evil.example:{served.port}", "null"):
        with pytest.raises(HTTPClientError, match="403"):
            served.pull("/live", token, Cookie=ann, Origin=other)
    made_up = generate_jwt_token(generate_session_id(signed=False), signed=False)
    assert served.pull("/live", made_up, Cookie=ann, Origin=own) == ""


def test_the_root_leads_to_the_first_page(served: Served, ann):
    assert served.get("/", Cookie=ann).headers["Location"] == "/live"
    assert "/login" in served.get("/").headers["Location"]


def test_the_start_says_what_is_served_and_how_to_log_in(served: Served):
    assert f"live, research, execution at http://127.0.0.1:{served.port}" in served.said
    assert "db.example/journal" in served.said
    assert "workbench dash user add NAME --role viewer" in served.said


def test_no_secret_is_in_any_page_or_in_the_log(served: Served, folder, ann):
    users = Users.load(folder / "secrets").entries.values()
    secrets = [t for user in users for t in (user.hash, user.salt, user.id) if t]
    secrets += [(folder / "secrets" / COOKIE_FILE).read_text(), "hush", *WORDS.values()]
    pages = [served.look(page, Cookie=ann).text for page in PAGES] + [served.get("/login").text]
    after_start = served.said.partition("log in ")[2]
    for text in pages:
        assert not [told for told in [*secrets, served.token] if told in text]
    assert not [told for told in secrets if told in served.said]
    assert served.token not in after_start


def test_other_machines_log_in_by_password_and_there_is_no_link(folder):
    server = serve_dash(folder, "--address", "0.0.0.0")
    try:
        assert "token" not in server.said
        assert "without TLS passwords travel in clear text" in server.said
        host = own_address()
        assert server.get("/live", host).status == 302
        assert server.get("/live").status == 302, "this machine has to log in, too"
        cookies = server.log_in("bob", WORDS["bob"], host)
        origin = f"http://{host}:{server.port}"
        assert "bob, viewer" in server.look("/live", host, Cookie=cookies, Origin=origin).text
        assert server.get("/enter?token=", host).status == 403
    finally:
        assert server.stop() == 0


def test_with_a_certificate_the_cookie_is_for_tls_alone(folder):
    certificate, key = self_signed(folder)
    server = serve_dash(folder, "--certificate", str(certificate), "--key-file", str(key), tls=True)
    try:
        answer = server.post("/login", {"username": "ann", "password": WORDS["ann"]})
        assert answer.status == 302
        assert "Secure" in answer.headers["Set-Cookie"]
        assert "https://127.0.0.1" in server.said
    finally:
        assert server.stop() == 0


def self_signed(folder: Path) -> tuple[Path, Path]:
    """A certificate for localhost and its key, as PEM files."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now).not_valid_after(now + dt.timedelta(days=1))
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return folder / "cert.pem", folder / "key.pem"


def test_the_own_names_of_a_place():
    assert Place().url == "http://127.0.0.1:5006"
    assert Place("::1", 80).url == "http://[::1]:80"
    assert set(Place("::1", 80).allowed()) == {"[::1]:80", "localhost:80", "127.0.0.1:80"}
    assert "192.0.2.7:5006" in Place("192.0.2.7").allowed()
    assert f"{own_address()}:5006" in Place("0.0.0.0").allowed()
    assert not [name for name in Place("0.0.0.0").allowed() if "*" in name or name.startswith(":")]


def test_what_looks_mistyped_is_told_at_the_start(tmp_path):
    (tmp_path / "engine").mkdir()
    (tmp_path / "config.toml").touch()

    def doubts(**told: object) -> list[str]:
        return serve_module._doubts(DashSettings(job=tmp_path, secrets=tmp_path, **told))

    assert doubts(folder=tmp_path / "none") == [
        f"there is no folder {tmp_path / 'none'}: check --folder, or start an engine there"
    ]
    assert doubts(folder=tmp_path / "engine") == [
        f"{tmp_path / 'engine'} holds no journal: check --folder, or start an engine there"
    ]
    assert "there is no journal" in doubts(journal="nonsense")[0]
    assert "is no SQLAlchemy URL" in doubts(journal="non sense://")[0]
    assert doubts(journal="postgresql://desk@db.example/journal") == []
    (tmp_path / "engine" / "journal.db").touch()
    assert doubts(folder=tmp_path / "engine") == []
    (wrong,) = serve_module._doubts(DashSettings(folder=tmp_path / "engine", job=tmp_path / "jobb", secrets=tmp_path))
    assert wrong == f"{tmp_path / 'jobb'} holds no research: check --job"


def test_a_tab_that_was_closed_is_no_news_and_everything_else_is():
    told = []
    loop = SimpleNamespace(default_exception_handler=told.append)
    serve_module._gone_browsers_are_no_news(loop, {"exception": WebSocketClosedError()})
    serve_module._gone_browsers_are_no_news(loop, {"exception": ValueError("x"), "message": "m"})
    assert [str(context["exception"]) for context in told] == ["x"]


def test_others_are_told_an_address_that_they_can_use():
    assert f"http://{own_address()}:5006" in Place("0.0.0.0").elsewhere
    assert not [url for url in Place("0.0.0.0").elsewhere if "localhost" in url or "127.0.0" in url]
    assert Place().elsewhere == []


# ---- by OAuth -------------------------------------------------------------------------------------------------------


class Provider(http.server.BaseHTTPRequestHandler):
    """An OAuth provider where `who` has an account."""

    who = "octocat"

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/authorize":
            asked = {name: values[0] for name, values in parse_qs(address.query).items()}
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?code=abc&state={asked['state']}")
            self.end_headers()
        else:
            self._json({"login": Provider.who})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self._json({"access_token": "opaque access token", "token_type": "bearer"})

    def _json(self, told: dict[str, str]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def provider() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def come_by_oauth(served: Served, who: str) -> str:
    """The cookies of `who` after the round by way of the provider, each step as a browser takes it."""
    Provider.who = who
    start = served.get("/login?next=%2Fresearch")
    there = urlsplit(start.headers["Location"])
    provider = http.client.HTTPConnection(there.hostname, there.port)
    provider.request("GET", f"{there.path}?{there.query}")
    back = urlsplit(provider.getresponse().headers["Location"])
    provider.close()
    path = f"{back.path or '/'}?{back.query}"
    first = served.get(path, Cookie=start.cookies)
    done = served.get("/" + first.headers["Location"].lstrip("./"), Cookie=start.cookies)
    assert done.status == 302, done.text
    assert done.headers["Location"].rstrip("/") == "/research"
    assert all("HttpOnly" in c and "SameSite=Lax" in c for c in done.headers.get_all("Set-Cookie"))
    return "; ".join(c.split(";")[0] for c in done.headers.get_all("Set-Cookie") if '=""' not in c)


def test_who_comes_by_oauth_is_admitted_only_if_among_the_users_without_a_password(folder, provider):
    settings = {
        "PANEL_OAUTH_KEY": "key of the app", "PANEL_OAUTH_SECRET": "secret of the app", "PANEL_OAUTH_SCOPE": "user",
        "PANEL_OAUTH_AUTHORIZE_URL": f"{provider}/authorize", "PANEL_OAUTH_TOKEN_URL": f"{provider}/token",
        "PANEL_OAUTH_USER_URL": f"{provider}/user", "PANEL_USER_KEY": "login", "PANEL_OAUTH_JWT_USER": "login",
    }  # fmt: skip
    server = serve_dash(folder, "--oauth", "generic", **settings)
    try:
        cookies = come_by_oauth(server, "octocat")
        assert "octocat, viewer" in server.look("/live", Cookie=cookies).text
        assert "opaque" not in cookies
        for stranger in ("mallory", "ann"):
            page = server.look("/live", Cookie=come_by_oauth(server, stranger)).text
            assert HELD not in page
            assert f"{stranger} is logged in, but not among the users" in page
            assert f"workbench dash user add {stranger} --role viewer --no-password" in page
        entered = server.get(f"/enter?token={server.token}")
        assert "operator" in server.look("/live", Cookie=entered.cookies).text
        assert "secret of the app" not in server.said
    finally:
        assert server.stop() == 0
