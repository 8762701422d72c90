"""The dashboards as people use them: a gateway, an engine that trades, `workbench dash`, and a real browser.

Pictures of every page, light and dark, are left in ``runs/e2e``.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

from tests.dash.served import free_port
from tests.e2e.lab import ROOT
from tests.e2e.test_notebooks_in_lab import positions, until
from tests.notebooks.copies import small_walk
from workbench.commands import CommandStore
from workbench.core.calendar import iso_date
from workbench.dash.users import Users
from workbench.engine.codec import live_codec
from workbench.engine.live import EngineClient
from workbench.engine.plan import EnginePlan
from workbench.engine.process import COMMANDS, JOURNAL, KEY
from workbench.engine.simulation import running_gateway, stop_gateway
from workbench.journal import SqlJournal
from workbench.research import steps
from workbench.research.live_session import live_settings
from workbench.widgets.command_bar import APART_S

PICTURES = ROOT / "runs" / "e2e"
WORDS = "correct horse battery"
SPEED, LEAD_S = 40.0, 12.0
BAR_S = 300 / SPEED
TABS = {
    "Overview": "The walk at a glance",
    "Zoo": "IC of every model with its 95 % interval",
    "Blenders": "Weights per horizon (an empty column abstains)",
    "Reliability": "The gate by both probabilities",
    "Costs": "From gross to net, one horizon",
    "Sizing": "Held, zone, desired and final weight",
    "Backtest": "Return since the start; click on the curve to open a bar",
}
"""Tab of the research page -> what is said in it."""
pytestmark = pytest.mark.timeout(900)


class Dash:
    """`workbench dash` as a process."""

    def __init__(self, folder: Path, job: Path, home: Path) -> None:
        self.folder, self.job, self.home, self.port = folder, job, home, free_port()
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        env = {**os.environ, "WORKBENCH_DASH_SECRETS": str(self.home), "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "workbench.cli", "dash", "--folder", str(self.folder), "--job", str(self.job),
                   "--port", str(self.port), "--no-browser"]  # fmt: skip
        self.log = (self.home / "dash.log").open("w+")
        self.process = subprocess.Popen(command, env=env, stdout=self.log, stderr=self.log)
        until(lambda: "token=" in (self.home / "dash.log").read_text())

    @property
    def link(self) -> str:
        found = re.search(r"http://\S+token=\S+", (self.home / "dash.log").read_text())
        assert found is not None
        return found.group(0)

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(30)
        self.log.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """An engine that trades a small walk's held-out session at the simulated gateway, and the dashboards on it."""
    root = tmp_path_factory.mktemp("desk")
    job = small_walk(root / "walk")
    for step in (steps.train, steps.blend, steps.calibrate, steps.backtest):
        step(job)
    every = job.store.serve(5, symbols=job.bars.symbols)
    session = iso_date(int(every.session[-1]))
    opening = datetime.fromisoformat(f"{session}T09:30") - timedelta(seconds=LEAD_S * SPEED)
    broker = {"speed": SPEED, "start": opening.isoformat(timespec="seconds")}
    settings = live_settings(job, root / "live", every.symbols, session).change(broker=broker)
    client = EngineClient(EnginePlan((settings,)))
    home = root / "home"
    home.mkdir()
    Users.add(home, "vera", "viewer", WORDS)
    Users.add(home, "otto", "operator", WORDS)
    PICTURES.mkdir(parents=True, exist_ok=True)
    client.start()
    dash = Dash(root / "live", job.ws.root, home)
    try:
        client.wait(120)
        gateway = running_gateway(client.folder)
        assert gateway is not None
        yield SimpleNamespace(dash=dash, client=client, folder=client.folder, gateway=gateway.port, home=home)
    finally:
        dash.stop()
        client.stop("the test is over")
        stop_gateway(client.folder)


class Watching:
    """A browser of its own with one page, what went wrong in it and what it asked of other machines."""

    def __init__(self, browser: Browser, dash: Dash, *, dark: bool = False, width: int = 1400) -> None:
        self.context: BrowserContext = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme="dark" if dark else "light"
        )
        self.dash, self.page = dash, self.context.new_page()
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda m: m.type == "error" and self.errors.append(m.text))
        self.page.on("request", lambda r: self._note(r.url))

    def _note(self, url: str) -> None:
        if url.startswith(("http", "ws")) and f"127.0.0.1:{self.dash.port}" not in url:
            self.elsewhere.append(url)

    def log_in(self, name: str, page: str = "live") -> Page:
        self.page.goto(f"{self.dash.address}/{page}")
        self.page.fill("#username", name)
        self.page.fill("#password", WORDS)
        self.page.click("button.go")
        return self.page


@pytest.fixture
def watching(browser: Browser, desk: SimpleNamespace) -> Iterator[Any]:
    """``watching(dark=..., width=...)`` opens a browser; none may end with an error or a foreign request."""
    opened: list[Watching] = []

    def open_one(**options: Any) -> Watching:
        opened.append(Watching(browser, desk.dash, **options))
        return opened[-1]

    yield open_one
    for one in opened:
        one.context.close()
    assert [e for one in opened for e in one.errors] == []
    assert [e for one in opened for e in one.elsewhere] == []


def picture(page: Page, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def numbers(page: Page) -> Locator:
    """The alpha map as a table."""
    return page.locator("table:has(caption:has-text('alpha'))").first


def commands(desk: SimpleNamespace) -> list[tuple[str, str]]:
    """(action, who asked) of the commands that the engine obeyed."""
    with SqlJournal(desk.folder / JOURNAL, read_only=True, codec=live_codec()) as journal:
        return [(e.payload["command"].action, e.payload["command"].issuer) for e in journal.read("command")]


def press(page: Page, name: str) -> None:
    """Arm a command and confirm it."""
    page.get_by_role("button", name=name, exact=True).click()
    expect(page.get_by_text(f"{name.upper()} is armed")).to_be_visible()
    page.wait_for_timeout(2000 * APART_S)
    page.get_by_role("button", name=f"Confirm {name.lower()}", exact=True).click()


def test_the_alpha_map_and_the_weights_change_with_a_cycle(watching, desk) -> None:
    page = watching().log_in("vera")
    expect(page.get_by_text("LIVE", exact=True).first).to_be_visible(timeout=60_000)
    page.get_by_role("button", name="Numbers as a table").click()
    expect(numbers(page)).to_be_visible(timeout=30_000)
    before = numbers(page).inner_text()
    held = page.locator("table:has(caption:has-text('Positions'))").first
    until(lambda: positions(desk.gateway))
    expect(held).to_be_visible(timeout=60_000)
    weights = held.inner_text()
    expect(numbers(page)).not_to_have_text(before, timeout=6000 * BAR_S)
    expect(held).not_to_have_text(weights, timeout=12_000 * BAR_S)
    picture(page, "dash_live_light")
    dark = watching(dark=True, width=1000)
    page = dark.log_in("vera")
    expect(page.get_by_text("LIVE", exact=True).first).to_be_visible(timeout=60_000)
    page.wait_for_timeout(1500)
    picture(page, "dash_live_dark")


def test_looking_back_shows_the_decision_as_it_was(watching) -> None:
    page = watching().log_in("vera")
    expect(page.get_by_text(re.compile(r"Decision \d+ of \d+")).first).to_be_visible(timeout=60_000)
    until(lambda: int(re.search(r"Decision \d+ of (\d+)", page.content() + shadow(page)).group(1)) > 3)  # type: ignore[union-attr]
    page.get_by_role("button", name="Earlier").click()
    banner = page.get_by_text(re.compile("live goes on")).first
    expect(banner).to_be_visible(timeout=30_000)
    page.get_by_role("button", name="Numbers as a table").click()
    expect(numbers(page)).to_be_visible()
    shown = numbers(page).inner_text()
    page.wait_for_timeout(1400 * BAR_S)  # more than a bar: what was stays as it was
    assert numbers(page).inner_text() == shown
    picture(page, "dash_live_back")
    page.get_by_role("button", name="Live", exact=False).last.click()
    expect(banner).to_be_hidden(timeout=30_000)
    expect(numbers(page)).not_to_have_text(shown, timeout=30_000)


def shadow(page: Page) -> str:
    """All text of the page, shadow roots included."""
    return str(page.evaluate(
        "() => { const f = (n) => [...(n.shadowRoot ? n.shadowRoot.childNodes : []), ...n.childNodes]"
        ".map((c) => c.nodeType === 3 ? c.data : f(c)).join(' '); return f(document.body); }"
    ))  # fmt: skip


def test_a_viewer_has_no_buttons_and_forged_commands_are_refused(watching, desk) -> None:
    page = watching().log_in("vera")
    expect(page.get_by_text("viewer", exact=True)).to_be_visible()
    expect(page.get_by_text("LIVE", exact=True).first).to_be_visible(timeout=60_000)
    for name in ("Flatten", "Halt", "Observe", "Resume"):
        expect(page.get_by_role("button", name=name, exact=True)).to_have_count(0)
    labels = page.evaluate(
        "() => Bokeh.documents.flatMap((d) => [...d._all_models.values()].map((m) => String(m.label)))"
    )
    assert not {"Flatten", "Halt"} & set(labels)  # not hidden: not there
    with CommandStore(desk.folder / COMMANDS, desk.folder / KEY) as store:
        as_viewer = store.put("flatten", issuer="vera", role="viewer", reason="forged", now=time.time_ns())
    with CommandStore(desk.folder / COMMANDS, desk.home / "other.key") as stranger:
        unsigned = stranger.put("flatten", issuer="otto", role="operator", reason="forged", now=time.time_ns())
        until(lambda: stranger.outcome(unsigned).state == "refused")
        assert "forged" in stranger.outcome(unsigned).text
        assert "may look, not act" in stranger.outcome(as_viewer).text
    expect(page.get_by_text(re.compile("flatten by otto: refused, forged")).first).to_be_visible(timeout=30_000)
    assert commands(desk) == []
    assert desk.client.status()["systems"]["main"]["mode"] == "LIVE"


def test_the_dashboard_dies_and_comes_back_while_trading_goes_on(watching, desk) -> None:
    one = watching()
    page = one.log_in("vera")
    expect(page.get_by_text("LIVE", exact=True).first).to_be_visible(timeout=60_000)
    before = desk.client.status()
    desk.dash.stop(signal.SIGKILL)
    expect(page.locator(".wb-lost")).to_be_visible(timeout=30_000)
    picture(page, "dash_lost")
    until(lambda: desk.client.status()["cycles"] > before["cycles"])
    desk.dash.start()
    expect(page.locator(".wb-lost")).to_be_hidden(timeout=60_000)
    expect(page.get_by_text("LIVE", exact=True).first).to_be_visible(timeout=60_000)
    assert desk.client.status()["session"] == before["session"]
    one.errors = [e for e in one.errors if "ERR_CONNECTION_REFUSED" not in e and "WebSocket" not in e]


def test_an_operator_flattens_and_every_watcher_sees_it(watching, desk) -> None:
    viewer = watching().log_in("vera")
    page = watching().log_in("otto")
    until(lambda: positions(desk.gateway))
    page.get_by_role("button", name="Flatten", exact=True).click()
    expect(page.get_by_text("needs a reason").first).to_be_visible()
    page.get_by_label("Reason").fill("seen in the browser")
    page.keyboard.press("Tab")
    press(page, "Flatten")
    expect(page.get_by_text("EMERGENCY").first).to_be_visible(timeout=30_000)
    until(lambda: not positions(desk.gateway))
    assert commands(desk) == [("flatten", "otto")]
    for one in (page, viewer):
        expect(one.get_by_text(re.compile("flatten by otto: seen in the browser")).first).to_be_visible(timeout=30_000)
    picture(page, "dash_flattened")


def test_an_engine_that_dies_is_told_at_once_and_old_numbers_look_old(watching, desk) -> None:
    page = watching(dark=True).log_in("vera")
    expect(page.get_by_text("EMERGENCY").first).to_be_visible(timeout=60_000)
    os.kill(desk.client.status()["pid"], signal.SIGKILL)
    expect(page.get_by_text("THE ENGINE IS DEAD").first).to_be_visible(timeout=60_000)
    picture(page, "dash_dead")


def test_every_page_in_light_and_dark(watching) -> None:
    """After the engine's end: what it left and what research made needs none."""
    for dark in (False, True):
        one, look = watching(dark=dark), "dark" if dark else "light"
        page = one.log_in("vera", "execution")
        expect(page.get_by_text("What execution cost").first).to_be_visible(timeout=90_000)
        picture(page, f"dash_execution_{look}")
        page.goto(f"{one.dash.address}/research")
        for tab, says in TABS.items():
            page.get_by_text(tab, exact=True).first.click()
            expect(page.get_by_text(says).first).to_be_visible(timeout=90_000)
            if tab != "Overview":
                expect(page.locator(".bk-Figure").filter(visible=True).first).to_be_visible(timeout=90_000)
            picture(page, f"dash_research_{tab.lower()}_{look}")
