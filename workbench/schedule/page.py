"""An executed notebook as one HTML page that asks nothing of the internet."""

from __future__ import annotations

from typing import Any

from nbconvert import HTMLExporter


def page(notebook: Any, title: str = "Notebook") -> str:
    """The HTML of a notebook, called `title`: its text and what its cells gave, not their code, which the notebook
    has. Figures stay interactive where they brought their own JavaScript."""
    exporter = HTMLExporter(template_name="lab", theme="light", mathjax_url="", require_js_url="", jquery_url="",
                            mermaid_js_url="", exclude_input=True)  # fmt: skip
    own = notebook.copy()
    own["metadata"] = {k: v for k, v in notebook["metadata"].items() if k != "widgets"}  # else the page asks a server
    body, _ = exporter.from_notebook_node(own, {"metadata": {"name": title}})
    return str(body)
