"""The notebook that a scheduled run left, opened in JupyterLab: what it printed, what its widgets last showed."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.lab import ROOT, Lab, jupyter_lab
from tests.schedule.books import book, spec
from workbench.schedule.history import RunState
from workbench.schedule.runner import run

pytestmark = pytest.mark.timeout(300)


def test_an_executed_notebook_opens_with_its_outputs_and_the_last_state_of_its_widgets(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = book(
        tmp_path, "watched",
        "import ipywidgets\nslider = ipywidgets.IntSlider(3, max=10, description='kept')\nslider",
        "slider.value = 7\nprint('the slider was moved')",
    )  # fmt: skip
    folder = spec(tmp_path, made)
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / ".home" / "data"))  # where trust is kept
    assert run(folder).state is RunState.SUCCEEDED
    home = tmp_path / ".home"
    home.mkdir(exist_ok=True)
    with jupyter_lab(folder, home) as address:
        lab = Lab(browser, address, "01_watched.ipynb")
        expect(lab.page.get_by_text("the slider was moved").last).to_be_visible(timeout=60_000)
        expect(lab.page.locator(".widget-readout").first).to_have_text("7", timeout=60_000)
        lab.page.screenshot(path=ROOT / "runs" / "e2e" / "executed.png")
        lab.close()
        assert lab.errors == []
        assert lab.elsewhere == []
