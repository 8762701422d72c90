"""An executed notebook as one HTML page that asks nothing of the internet."""

from __future__ import annotations

from typing import Any

from nbconvert import HTMLExporter


def page(notebook: Any) -> str:
    """The HTML of a notebook; its figures stay interactive where they brought their own JavaScript."""
    exporter = HTMLExporter(template_name="lab", theme="light", mathjax_url="", require_js_url="", jquery_url="",
                            mermaid_js_url="", widget_renderer_url="")  # fmt: skip
    body, _ = exporter.from_notebook_node(notebook)
    return str(body)
