"""Plain `panel serve --address 0.0.0.0 dashboards/*.py`, WebSockets allowed from anywhere: pages guard themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import panel as pn
import pytest
from bokeh.util.token import generate_jwt_token, generate_session_id
from tornado.web import create_signed_value

from tests.dash.served import HELD, Served, own_address, serve_panel
from workbench.dash import access
from workbench.dash.access import LINK_COOKIE, PANEL_COOKIE, PASSWORD_COOKIE, Person, Refusal
from workbench.dash.users import USERS_FILE, Users

SECRET = "a secret that signs the cookies of this server"
PAGES = ("/live", "/research", "/execution")


@pytest.fixture(scope="module")
def secrets(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("access")
    Users.add(folder / "secrets", "octocat", "operator", None)
    Users.add(folder / "secrets", "ann", "operator", "correct horse battery")
    return folder / "secrets"


@pytest.fixture(scope="module")
def served(secrets) -> Iterator[Served]:
    server = serve_panel(secrets.parent, "--cookie-secret", SECRET)
    yield server
    server.stop()


def signed(name: str, value: str, secret: str = SECRET, age_s: float = 0.0) -> str:
    told = create_signed_value(secret, name, value, clock=lambda: time.time() - age_s)
    return f"{name}={told.decode()}"


def token(**claims: object) -> str:
    """What a client makes up: no secret is needed where sessions are not signed."""
    return generate_jwt_token(generate_session_id(signed=False), signed=False, extra_payload=claims or None)


def refused(answer) -> bool:
    return HELD not in answer.text and "No access" in answer.text


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_person_at_the_machine_looks_as_viewer(served: Served, page, host):
    answer = served.look(page, host)
    assert answer.status == 200
    assert f"{HELD}, shown to this machine, viewer" in answer.text


@pytest.mark.parametrize("page", PAGES)
def test_another_machine_sees_nothing_and_reads_what_to_do(served: Served, page):
    answer = served.look(page, own_address())
    assert refused(answer)
    assert "this connection does not come from it" in answer.text
    assert "workbench dash user add NAME --role viewer" in answer.text


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "dashboard.evil.example"},
        {"Host": "localhost.evil.example:5006"},
        {"Host": ""},
        {"X_Forwarded_For": "127.0.0.1"},
        {"X_Forwarded_Proto": "https"},
        {"Forwarded": "for=127.0.0.1"},
        {"X_Real_IP": "127.0.0.1"},
        {"Via": "1.1 somewhere"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
    ],
)
def test_what_is_not_surely_a_person_at_the_machine_sees_nothing(served: Served, headers):
    assert refused(served.look("/live", **headers))


def test_a_machine_that_says_it_is_this_one_sees_nothing(served: Served):
    assert refused(served.look("/live", own_address(), Host="localhost", X_Forwarded_For="127.0.0.1"))
    assert refused(served.look("/live", own_address(), Host="127.0.0.1"))


def test_a_session_that_a_websocket_makes_is_admitted_or_refused_alike(served: Served):
    assert HELD in served.pull("/live", token())
    for page in PAGES:
        there = served.pull(page, token(), own_address())
        assert "No access" in there
        assert HELD not in there


def test_what_a_token_claims_is_not_believed(served: Served):
    claims = {
        "headers": {"Host": "localhost", "X-Forwarded-For": "127.0.0.1"},
        "cookies": {PANEL_COOKIE: signed(PANEL_COOKIE, "octocat", "another secret").partition("=")[2], "is_guest": "1"},
        "arguments": {"user": ["octocat"]},
    }
    assert HELD not in served.pull("/live", token(**claims), own_address())
    right = {"cookies": {PANEL_COOKIE: signed(PANEL_COOKIE, "octocat").partition("=")[2]}, "headers": {}}
    assert HELD not in served.pull("/live", token(**right), own_address()), "a cookie counts on its own connection only"


def test_a_websocket_of_another_page_in_the_same_browser_sees_nothing(served: Served):
    told = served.pull("/live", token(), Origin="http://evil.example")
    assert "was made by a page of another address" in told
    assert HELD not in told


def test_a_session_whose_id_somebody_chose_shows_nothing(served: Served):
    chosen = generate_session_id(signed=False)
    assert refused(served.look(f"/live?bokeh-session-id={chosen}"))
    assert refused(served.look("/live", Bokeh_Session_Id=generate_session_id(signed=False)))
    assert refused(served.look(f"/live?bokeh-token={token()}"))
    assert HELD not in served.pull("/live", generate_jwt_token(chosen, signed=False), own_address())


def test_a_script_for_other_peoples_pages_gets_a_session_that_shows_nothing(served: Served):
    answer = served.get("/live/autoload.js?bokeh-autoload-element=1")
    assert answer.status == 200
    held = served.pull("/live", answer.text.split('"token":"')[1].split('"')[0])
    assert HELD not in held
    assert "No access" in held


def test_a_signed_name_among_the_users_has_its_role(served: Served):
    answer = served.look("/live", own_address(), Cookie=signed(PANEL_COOKIE, "octocat"))
    assert f"{HELD}, shown to octocat, operator" in answer.text
    assert "octocat, operator" in served.pull("/live", token(), own_address(), Cookie=signed(PANEL_COOKIE, "octocat"))


def test_a_signed_name_that_is_not_among_the_users_reads_what_to_do(served: Served):
    answer = served.look("/live", Cookie=signed(PANEL_COOKIE, "mallory"))
    assert refused(answer)
    assert "mallory is logged in, but not among the users" in answer.text
    assert "workbench dash user add mallory --role viewer --no-password" in answer.text


def test_a_name_from_elsewhere_is_no_user_with_a_password_here(served: Served):
    assert refused(served.look("/live", Cookie=signed(PANEL_COOKIE, "ann")))


@pytest.mark.parametrize(
    "cookie",
    [
        "user=octocat",
        signed(PANEL_COOKIE, "octocat", "another secret"),
        signed(PANEL_COOKIE, "octocat", age_s=2 * 86400),
        signed("id_token", "octocat").replace("id_token", "user"),
        signed(LINK_COOKIE, "root"),
        "is_guest=1",
        f"is_guest=1; {PANEL_COOKIE}=guest",
    ],
)
def test_a_cookie_that_proves_nothing_is_no_login(served: Served, cookie):
    answer = served.look("/live", own_address(), Cookie=cookie)
    assert refused(answer)
    assert "Nobody is logged in" in answer.text


def test_a_password_login_ends_with_its_entry(served: Served, secrets):
    entry = Users.load(secrets).entries["ann"].id
    assert "ann, operator" in served.look("/live", Cookie=signed(PASSWORD_COOKIE, f"{entry}:ann")).text
    for other in (f"0{entry}:ann", f"{entry}:octocat", ":ann", "ann"):
        assert HELD not in served.look("/live", own_address(), Cookie=signed(PASSWORD_COOKIE, other)).text


def test_a_users_file_that_others_can_read_admits_nobody_who_logged_in(served: Served, secrets):
    (secrets / USERS_FILE).chmod(0o644)
    try:
        answer = served.look("/live", Cookie=signed(PANEL_COOKIE, "octocat"))
    finally:
        (secrets / USERS_FILE).chmod(0o600)
    assert refused(answer)
    assert "mode 0644" in answer.text
    assert "chmod 600" in answer.text


def test_no_secret_and_no_hash_is_in_a_page_or_in_the_log(served: Served, secrets):
    user = Users.load(secrets).entries["ann"]
    pages = [served.look(page, Cookie=signed(PANEL_COOKIE, name)).text for page in PAGES for name in ("octocat", "ann")]
    for text in [*pages, served.said]:
        assert not [told for told in (SECRET, user.hash, user.salt, user.id) if told in text]


def test_a_server_that_shares_sessions_or_asks_all_for_one_password_is_refused(tmp_path: Path, monkeypatch):
    Users.add(tmp_path, "octocat", "operator", None)
    cookie = SimpleNamespace(value=signed(PANEL_COOKIE, "octocat").partition("=")[2])
    request = SimpleNamespace(cookies={PANEL_COOKIE: cookie}, arguments={}, headers={}, path="/live")
    monkeypatch.setattr(access, "_connection", lambda: request)
    with pn.config.set(cookie_secret=SECRET):
        assert access.admit(tmp_path) == Person("octocat", "operator", Users.load(tmp_path).entries["octocat"].id)
    with pn.config.set(cookie_secret=SECRET, reuse_sessions=True):
        assert "--reuse-sessions" in access.admit(tmp_path).remedy
    with pn.config.set(cookie_secret=SECRET, basic_auth="one password for all"):
        assert "One password for everybody" in access.admit(tmp_path).reason


def test_a_page_without_a_connection_is_refused(tmp_path: Path):
    assert isinstance(access.admit(tmp_path), Refusal)


def test_a_login_ends_with_its_day_and_with_a_log_out(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(access, "objection", lambda request: "")

    def asking(age_s: float) -> SimpleNamespace:
        value = signed(LINK_COOKIE, "root", age_s=age_s).partition("=")[2]
        return SimpleNamespace(cookies={LINK_COOKIE: SimpleNamespace(value=value)})

    young, old = asking(3600), asking(86_390)
    one, two = (access.person_of(access.login_of(r, SECRET), tmp_path) for r in (young, old))
    assert access.confirm(one, tmp_path) == access.confirm(two, tmp_path) == Person("root", "operator")
    monkeypatch.setattr(access.time, "time", lambda now=time.time: now() + 20)
    assert access.confirm(one, tmp_path) == Person("root", "operator")
    assert access.confirm(two, tmp_path).reason == "The login of root is over."
    access.end(young, SECRET)
    assert access.confirm(one, tmp_path).logged_in
    assert access.login_of(young, SECRET) is None


def test_only_logins_of_this_server_are_remembered_as_ended():
    before = dict(access._ended)
    cookie = SimpleNamespace(value=signed(LINK_COOKIE, "root", "another secret").partition("=")[2])
    access.end(SimpleNamespace(cookies={LINK_COOKIE: cookie}), SECRET)
    assert access._ended == before


def test_plain_panel_serve_can_begin_with_a_page_of_ours(secrets):
    server = serve_panel(secrets.parent, "--index", "live")
    try:
        first = server.get("/")
        assert first.status == 200
        assert "Live · workbench" in first.text
        assert "googleapis" not in first.text
        assert "cdn.holoviz.org" not in first.text
    finally:
        server.stop()


def test_a_person_is_confirmed_as_long_as_the_entry_is_there(tmp_path: Path):
    Users.add(tmp_path, "octocat", "operator", None)
    person = Person("octocat", "operator", Users.load(tmp_path).entries["octocat"].id)
    assert access.confirm(person, tmp_path) == person
    assert access.confirm(Person("root", "operator"), tmp_path) == Person("root", "operator")
    Users.remove(tmp_path, "octocat")
    assert "no longer among the users" in access.confirm(person, tmp_path).reason
    Users.add(tmp_path, "octocat", "viewer", None)
    assert isinstance(access.confirm(person, tmp_path), Refusal)
    again = Person("octocat", "operator", Users.load(tmp_path).entries["octocat"].id)
    assert access.confirm(again, tmp_path).role == "viewer"
    (tmp_path / USERS_FILE).chmod(0o644)
    assert "mode 0644" in access.confirm(again, tmp_path).remedy
