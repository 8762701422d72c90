"""The frame of the dashboards in a real browser: theme, login, loss of the server; nothing asked of other machines."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.dash.served import HELD, own_address, serve_dash, serve_panel
from workbench.dash.users import Users

WORDS = "correct horse battery"


@pytest.fixture
def opened(browser: Browser):
    """A page of a browser that prefers dark, what it complained of, and what it asked for."""
    context = browser.new_context(color_scheme="dark", viewport={"width": 800, "height": 700})
    page, complaints, asked = context.new_page(), [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    yield page, complaints, asked
    context.close()


def theme(page) -> tuple[str, str]:
    """What the page says, and what it looks like."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return page.evaluate("document.documentElement.dataset.theme"), colour


def test_a_person_logs_in_changes_the_theme_loses_the_server_and_finds_it_again(opened, tmp_path: Path):
    page, complaints, asked = opened
    Users.add(tmp_path / "secrets", "ann", "operator", WORDS)
    server = serve_dash(tmp_path)
    base = f"http://127.0.0.1:{server.port}"
    page.goto(f"{base}/research")
    page.fill("#username", "ann")
    page.fill("#password", WORDS)
    page.click("button.go")
    page.wait_for_selector(f"text={HELD}")
    assert page.url == f"{base}/research"
    assert page.title() == "Research · workbench"
    assert page.inner_text(".wb-role") == "operator"
    assert page.evaluate("document.documentElement.scrollWidth") <= 800

    assert theme(page) == ("dark", "rgb(17, 20, 24)")
    page.click(".wb-theme")
    assert theme(page) == ("light", "rgb(245, 246, 248)")
    page.click("text=Execution")
    page.wait_for_selector(f"text={HELD}")
    assert theme(page)[0] == "light"
    assert complaints == []

    server.stop(signal.SIGKILL)
    page.wait_for_selector(".wb-lost")
    assert "nothing below is current" in page.inner_text(".wb-lost")
    again = serve_dash(tmp_path, port=server.port)
    page.wait_for_selector("html:not(.lost)")
    page.wait_for_selector(f"text={HELD}")
    assert page.inner_text(".wb-name") == "ann"
    page.click("text=Log out")
    page.wait_for_selector("text=You are logged out.")
    page.goto(f"{base}/live")
    assert page.url.startswith(f"{base}/login")
    assert again.stop() == 0
    assert not [url for url in asked if not url.startswith((base, "data:"))]


def test_plain_panel_serve_looks_the_same_and_refuses_other_machines(opened, tmp_path: Path):
    page, complaints, asked = opened
    server = serve_panel(tmp_path)
    here, there = f"http://localhost:{server.port}", f"http://{own_address()}:{server.port}"
    page.goto(f"{here}/live")
    page.wait_for_selector(f"text={HELD}")
    assert page.inner_text(".wb-role") == "viewer"
    page.goto(f"{there}/live")
    page.wait_for_selector("text=No access")
    assert page.query_selector(".wb-role") is None
    assert HELD not in page.content()
    server.stop()
    assert not [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text]
    assert not [url for url in asked if not url.startswith((here, there, "data:"))]
