"""JupyterLab in a headless Chromium, driven as a person would: open a notebook, run it, move a slider, read."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
READY_S = 60.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def jupyter_lab(folder: Path, home: Path) -> Iterator[str]:
    """A JupyterLab server on `folder`, with settings of its own; its address."""
    port = free_port()
    env = {**os.environ, "JUPYTER_CONFIG_DIR": str(home / "config"), "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
           "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"), "JUPYTER_DATA_DIR": str(home / "data"),
           "JUPYTER_RUNTIME_DIR": str(home / "runtime"), "IPYTHONDIR": str(home / "ipython")}  # fmt: skip
    options = ["--no-browser", f"--port={port}", "--ip=127.0.0.1", "--IdentityProvider.token=", "--allow-root",
               "--LabApp.expose_app_in_browser=True", "--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]  # fmt: skip # noqa: E501
    told = home / "settings" / "@jupyterlab" / "apputils-extension" / "notification.jupyterlab-settings"
    told.parent.mkdir(parents=True, exist_ok=True)
    told.write_text('{"fetchNews": "false", "checkForUpdates": false}')
    log = (home / "lab.log").open("wb")
    process = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", *options, str(folder)], stdout=log, stderr=log, env=env, cwd=folder
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _await_answer(address + "/api", process)
        yield address
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _await_answer(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "JupyterLab ended"
        try:
            urllib.request.urlopen(url, timeout=1).read()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise AssertionError(f"JupyterLab does not answer after {READY_S:g} s")


class Lab:
    """One notebook open in a browser page."""

    def __init__(self, browser: Browser, address: str, notebook: str, *, dark: bool = False) -> None:
        self.page: Page = browser.new_page(viewport={"width": 1400, "height": 1800})
        self.errors: list[str] = []
        self.elsewhere: list[str] = []
        """Addresses outside this machine that the page asked for."""
        self.page.on("pageerror", self._note_error)
        self.page.on("request", lambda r: self._note(r.url, address))
        self.page.goto(f"{address}/lab/tree/{notebook}?reset")
        self.page.wait_for_function("window.jupyterapp && window.jupyterapp.shell.currentWidget?.content?.widgets")
        if dark:
            self.command("apputils:change-theme", theme="JupyterLab Dark")
        self.page.evaluate(_READY)
        self.page.evaluate(  # every cell is rendered, also those below the fold
            "window.jupyterapp.shell.currentWidget.content.notebookConfig = "
            "{...window.jupyterapp.shell.currentWidget.content.notebookConfig, windowingMode: 'none'}"
        )

    def command(self, name: str, **options: Any) -> None:
        """Run a command of JupyterLab's own."""
        self.page.evaluate("([name, options]) => window.jupyterapp.commands.execute(name, options)", [name, options])

    def _note_error(self, error: Error) -> None:
        """What was thrown; JupyterLab's own trouble with cells that are all rendered at once is not ours."""
        if "jlab_core" not in (error.stack or ""):
            self.errors.append(f"{error.message} {error.stack}")

    def _note(self, url: str, address: str) -> None:
        if url.startswith("http") and not url.startswith(address):
            self.elsewhere.append(url)

    def run_all(self, timeout_s: float = 120.0, *, wait: bool = True) -> None:
        """Run every cell."""
        self.page.evaluate("void window.jupyterapp.commands.execute('notebook:run-all-cells')")
        if wait:
            self.await_all(timeout_s)

    def await_all(self, timeout_s: float) -> None:
        """Wait until every cell has run; AssertionError names the first one that failed."""
        self.page.wait_for_function(_ALL_RUN, timeout=timeout_s * 1000)
        failed = self.page.evaluate(_FAILED)
        assert not failed, f"a cell failed: {failed}"

    def append(self, code: str) -> None:
        """A new cell at the end, run."""
        self.page.evaluate(_APPEND, code)
        self.page.wait_for_function(_ALL_RUN)

    def wait_until(self, code: str, printed: str, timeout_s: float = 15.0) -> None:
        """Wait until `code` prints `printed` in the kernel."""
        deadline = time.monotonic() + timeout_s
        while (told := self.python(code)) != printed:
            assert time.monotonic() < deadline, f"{code} prints {told!r}, not {printed!r}, after {timeout_s:g} s"
            time.sleep(0.1)

    def picture(self, path: Path, shown: Locator) -> None:
        """A picture of what a cell shows, when the figures have settled."""
        self.page.wait_for_timeout(700)
        shown.screenshot(path=path)

    def close(self) -> None:
        """End the kernel and the page."""
        self.page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")
        self.page.close()

    def cell(self, containing: str) -> Locator:
        """The code cell whose source contains the text."""
        index = self.page.evaluate(
            "text => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells"
            ".findIndex(c => c.cell_type === 'code' && c.getSource().includes(text))",
            containing,
        )
        assert index >= 0, f"no cell contains {containing!r}"
        return self.page.locator(".jp-Notebook .jp-Cell").nth(index)

    def output(self, containing: str) -> Locator:
        """What the cell shows."""
        return self.cell(containing).locator(".jp-OutputArea-output").last

    def python(self, code: str) -> str:
        """Run `code` in the notebook's kernel and give back what it prints."""
        result: Any = self.page.evaluate(_EXECUTE, code)
        assert not result["error"], result["error"]
        return str(result["text"]).strip()


_READY = """async () => {
  const panel = window.jupyterapp.shell.currentWidget;
  await panel.context.ready; await panel.sessionContext.ready;
  await panel.sessionContext.session.kernel.info;
}"""
_ALL_RUN = """() => {
  const cells = window.jupyterapp.shell.currentWidget.content.widgets.filter(c => c.model.type === 'code');
  const failed = cells.some(c => c.model.sharedModel.outputs.some(o => o.output_type === 'error'));
  return failed || cells.every(c => c.model.executionCount !== null && c.model.executionState !== 'running');
}"""
_FAILED = """() => {
  for (const c of window.jupyterapp.shell.currentWidget.content.widgets) {
    if (c.model.type !== 'code') continue;
    const bad = c.model.sharedModel.outputs.find(o => o.output_type === 'error');
    if (bad) return `${c.model.sharedModel.getSource()}\\n${bad.ename}: ${bad.evalue}`;
  }
  return '';
}"""
_APPEND = """async code => {
  const panel = window.jupyterapp.shell.currentWidget;
  panel.content.activeCellIndex = panel.content.widgets.length - 1;
  await window.jupyterapp.commands.execute('notebook:insert-cell-below');
  panel.content.activeCell.model.sharedModel.setSource(code);
  await window.jupyterapp.commands.execute('notebook:run-cell');
}"""
_EXECUTE = """async code => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const future = kernel.requestExecute({code, store_history: false});
  let text = '', error = '';
  future.onIOPub = message => {
    if (message.header.msg_type === 'stream') text += message.content.text;
    if (message.header.msg_type === 'error') error = message.content.ename + ': ' + message.content.evalue;
  };
  await future.done;
  return {text, error};
}"""
