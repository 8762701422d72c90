"""Notebooks as a person uses them: JupyterLab in a real browser, sliders, buttons, and what comes of them.

Pictures of every page are left in ``runs/e2e``.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.e2e.lab import ROOT, Lab, jupyter_lab
from tests.notebooks.copies import small_copy, small_walk
from workbench.engine.simulation import running_gateway, stop_gateway
from workbench.research import steps
from workbench.widgets.command_bar import APART_S

PICTURES = ROOT / "runs" / "e2e"
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A small finished walk, copies of the notebooks beside it, and JupyterLab on them."""
    folder = tmp_path_factory.mktemp("lab")
    job = small_walk(folder / "walk")
    for step in (steps.train, steps.blend, steps.calibrate, steps.backtest):
        step(job)
    own = {"09_live_session": {"minutes": 300, "speed": 150.0, "lead_s": 8.0}}
    for name in ("05_calibrate_gates", "07_position_sizing", "09_live_session"):
        small_copy(ROOT / "notebooks" / f"{name}.ipynb", folder, folder / "walk", **own.get(name, {}))
    home = folder / ".home"
    home.mkdir()
    PICTURES.mkdir(parents=True, exist_ok=True)
    with jupyter_lab(folder, home) as address:
        yield SimpleNamespace(address=address, folder=folder, job=job)


@pytest.fixture
def opened(walked: SimpleNamespace, browser: Browser) -> Iterator[SimpleNamespace]:
    """``opened.lab(name)`` opens a notebook; its picture is taken in the end, and the page must have thrown nothing."""
    labs: list[tuple[str, Lab]] = []

    def lab(name: str, **options: bool) -> Lab:
        made = Lab(browser, walked.address, f"{name}.ipynb", **options)
        labs.append((name, made))
        return made

    yield SimpleNamespace(lab=lab, folder=walked.folder, job=walked.job)
    for name, made in labs:
        made.page.screenshot(path=PICTURES / f"{name}.png")
        made.close()
        assert made.errors == []
        assert made.elsewhere == []


def slider(output: Locator, name: str) -> Locator:
    """The handle of the slider called `name`, of Panel's kind."""
    return output.locator(f".bk-input-group:has-text('{name}:')").get_by_role("slider").first


def press(handle: Locator, key: str, times: int) -> None:
    handle.focus()
    for _ in range(times):
        handle.press(key)


def test_a_gate_is_turned_reset_and_turned_again(opened: SimpleNamespace) -> None:
    lab = opened.lab("05_calibrate_gates")
    lab.run_all()
    shown = lab.output("gate = view(")
    expect(shown).to_contain_text("as fitted")
    before = float(lab.python("print(gate.g_min)"))
    press(slider(shown, "g_min"), "ArrowRight", 10)
    lab.wait_until("print(round(gate.g_min, 6))", f"{before + 0.1:.6g}")
    expect(shown).to_contain_text(f"{before + 0.1:.4g}")
    lab.picture(PICTURES / "05_turned.png", shown)
    shown.get_by_role("button", name="Reset").click()
    lab.wait_until("print(gate.g_min)", str(before))

    lab.append("gate.widget()")  # the same view as ipywidgets, below: it moves what stands above
    handle = lab.output("gate.widget()").locator(".widget-slider:has-text('gamma')").locator(".noUi-handle").first
    gamma = float(lab.python("print(gate.gamma)"))
    press(handle, "ArrowRight", 4)
    lab.wait_until("print(round(gate.gamma, 6))", f"{gamma + 0.2:.6g}")
    expect(shown).to_contain_text(f"{gamma + 0.2:.4g}")


def test_a_bar_is_sized_again(opened: SimpleNamespace) -> None:
    lab = opened.lab("07_position_sizing", dark=True)
    lab.run_all()
    shown = lab.output("view(stages.sizer")
    text = shown.inner_text()
    press(slider(shown, "target_gross"), "ArrowLeft", 8)
    expect(shown).not_to_have_text(text)
    lab.picture(PICTURES / "07_dark.png", shown)


def test_flatten_and_stop_reach_the_gateway(opened: SimpleNamespace) -> None:
    lab = opened.lab("09_live_session")
    folder = opened.folder / "walk" / "live"
    try:
        lab.run_all(wait=False)
        shown = lab.output("live = view(system)")
        expect(shown).to_contain_text("trading", timeout=90_000)
        running = running_gateway(folder)
        assert running is not None
        until(lambda: positions(running.port))
        expect(shown).to_contain_text("LIVE")
        shown.get_by_label("Reason").fill("seen in the browser")
        shown.get_by_role("button", name="Flatten").click()
        expect(shown).to_contain_text("FLATTEN is armed")
        lab.page.wait_for_timeout(2000 * APART_S)
        shown.get_by_role("button", name="Confirm flatten").click()
        expect(shown).to_contain_text("EMERGENCY", timeout=30_000)
        until(lambda: not positions(running.port))
        lab.picture(PICTURES / "09_flattened.png", shown)
        shown.get_by_role("button", name="Stop").click()
        lab.page.wait_for_timeout(2000 * APART_S)
        shown.get_by_role("button", name="Confirm stop").click()
        lab.await_all(60)
        expect(lab.output('print(f"session')).to_contain_text("features and stages 4 to 9: equal")
        assert running_gateway(folder) is None
    finally:
        stop_gateway(folder)


def positions(port: int) -> dict[str, float]:
    """What the gateway says that the account holds, asked by a client of its own."""
    from ib_insync import IB

    async def ask() -> dict[str, float]:
        ib = IB()
        await ib.connectAsync("127.0.0.1", port, clientId=77, readonly=True)
        held = {p.contract.symbol: p.position for p in await ib.reqPositionsAsync() if p.position}
        ib.disconnect()
        return held

    with ThreadPoolExecutor(1) as beside:  # a loop runs in this thread already: Playwright's
        return beside.submit(lambda: asyncio.run(ask())).result()


def until(true: Callable[[], object], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(0.25)
