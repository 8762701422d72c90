"""An executed notebook as one HTML page that asks nothing of the internet."""

from __future__ import annotations

import copy
from typing import Any

from nbconvert import HTMLExporter

WIDGET = "application/vnd.jupyter.widget-view+json"


def page(notebook: Any, title: str = "Notebook") -> str:
    """The HTML of a notebook, called `title`: its text and what its cells gave, not their code, which the notebook
    has. Figures stay interactive where they brought their own JavaScript."""
    exporter = HTMLExporter(template_name="lab", theme="light", mathjax_url="", require_js_url="", jquery_url="",
                            mermaid_js_url="", exclude_input=True, exclude_output_prompt=True)  # fmt: skip
    body, _ = exporter.from_notebook_node(_without_widgets(notebook), {"metadata": {"name": title}})
    return str(body)


def _without_widgets(notebook: Any) -> Any:
    """A copy without what only a kernel's widgets can show, such as a bar of progress: else the page asks a server for
    the program that draws them, and shows their names instead."""
    own = copy.deepcopy(notebook)
    own["metadata"].pop("widgets", None)
    for cell in own["cells"]:
        if cell["cell_type"] == "code":
            cell["outputs"] = [
                o for o in cell["outputs"] if WIDGET not in o.get("data", {}) or "text/html" in o["data"]
            ]
    return own
