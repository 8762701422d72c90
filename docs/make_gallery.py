"""Runs the notebooks and makes a small gallery of HTML pages with pictures: the walk without running it.

    python docs/make_gallery.py [OUT] [--workspace FOLDER]

Every notebook is executed in one workspace, which is made where it is missing. Interactive figures become pictures,
taken by a headless Chromium, so that a page needs no JavaScript. Widgets that only show progress are left out.
"""

from __future__ import annotations

import argparse
import base64
import html
import os
import re
import shutil
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbconvert import HTMLExporter
from playwright.sync_api import Locator, Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"
WIDGET = "application/vnd.jupyter.widget-view+json"
LOAD = "application/vnd.holoviews_load.v0+json"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
SETTLE_MS = 1500
"""How long a figure has to draw itself before its picture is taken."""


def main() -> None:
    """Make the gallery."""
    told = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    told.add_argument("out", nargs="?", type=Path, default=ROOT / "docs" / "gallery")
    told.add_argument("--workspace", type=Path, default=ROOT / "runs" / "gallery")
    options = told.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    scratch = options.out / ".made"
    scratch.mkdir(exist_ok=True)
    workspace = os.path.relpath(options.workspace.resolve(), NOTEBOOKS)
    landing, *walk = sorted(NOTEBOOKS.glob("*.ipynb"))
    titles = []
    with sync_playwright() as playwright:
        path = next(
            (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
        )
        page = playwright.chromium.launch(executable_path=path).new_page(viewport={"width": 1180, "height": 900})
        for source in (*walk, landing):  # the landing page shows what the others made
            print(f"{source.stem} ...", flush=True)
            made = scratch / source.name
            papermill.execute_notebook(
                str(source), str(made), {"workspace": workspace}, cwd=str(NOTEBOOKS),
                progress_bar=False, iopub_timeout=300,
            )  # fmt: skip
            titles.append((source.stem, publish(made, options.out, page)))
    (options.out / "index.html").write_text(index(sorted(titles)), encoding="utf-8")
    shutil.rmtree(scratch)
    print(f"gallery: {options.out / 'index.html'}")


def publish(notebook: Path, out: Path, page: Page) -> str:
    """Write the page of one executed notebook; its title."""
    executed = nbformat.read(notebook, as_version=4)
    executed.cells = [c for c in executed.cells if "injected-parameters" not in c.metadata.get("tags", [])]
    for cell in executed.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("data") != {}]
    interactive = notebook.with_suffix(".html")
    interactive.write_text(_exporter().from_notebook_node(executed)[0], encoding="utf-8")
    pictures = photograph(interactive, page)
    with_pictures(executed, pictures)
    body, _ = _exporter().from_notebook_node(executed)
    body = re.sub(r'href="(\d\d_\w+)\.ipynb"', r'href="\1.html"', body)
    (out / f"{notebook.stem}.html").write_text(body, encoding="utf-8")
    return str(next(c.source for c in executed.cells if c.cell_type == "markdown").splitlines()[0].lstrip("# "))


def photograph(path: Path, page: Page) -> dict[int, bytes]:
    """Number of the code cell -> a picture of its interactive output."""
    page.goto(path.resolve().as_uri())
    page.wait_for_timeout(SETTLE_MS)
    pictures = {}
    for number, cell in enumerate(page.locator(".jp-CodeCell").all()):
        shown = [o for o in cell.locator(".jp-OutputArea-output:has([data-root-id])").all() if _can_be_seen(o)]
        if shown:
            shown[-1].scroll_into_view_if_needed()
            page.wait_for_timeout(300)
            pictures[number] = shown[-1].screenshot(type="png")
    return pictures


def _can_be_seen(output: Locator) -> bool:
    box = output.bounding_box() if output.is_visible() else None
    return box is not None and box["height"] > 40


def with_pictures(notebook: Any, pictures: dict[int, bytes]) -> None:
    """Replace interactive outputs by their pictures and drop what only a running kernel can show."""
    for number, cell in enumerate(c for c in notebook.cells if c.cell_type == "code"):
        kept = [o for o in cell.outputs if not _needs_a_kernel(o)]
        if number in pictures:
            kept = [o for o in kept if "data-root-id" not in str(o.get("data", {}).get("text/html", ""))]
            data = {"image/png": base64.b64encode(pictures[number]).decode(), "text/plain": "a figure"}
            kept.append(nbformat.v4.new_output("display_data", data=data))
        cell.outputs = kept


def _needs_a_kernel(output: Any) -> bool:
    data = output.get("data", {})
    return WIDGET in data or LOAD in data or "application/javascript" in data or "esms-options" in str(data)


def _exporter() -> HTMLExporter:
    return HTMLExporter(template_name="lab", theme="light", mathjax_url="", require_js_url="", jquery_url="")


def index(titles: list[tuple[str, str]]) -> str:
    """The front page."""
    lines = "".join(f'<li><a href="{stem}.html">{html.escape(title)}</a></li>' for stem, title in titles)
    style = "body{font:16px/1.6 system-ui,sans-serif;max-width:760px;margin:40px auto;padding:0 16px}"
    head = f"<!doctype html><meta charset=utf-8><title>workbench: the walk</title><style>{style}</style>"
    told = (
        "<p>From raw bars to a live session, on the embedded market. Nothing here says anything about real profit.</p>"
    )
    return f"{head}<h1>workbench: the walk</h1>{told}<ol start=0>{lines}</ol>"


if __name__ == "__main__":
    main()
