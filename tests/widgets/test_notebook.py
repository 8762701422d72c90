"""workbench.notebook() in a kernel of IPython: cards for objects, messages for errors, and no call home."""

from __future__ import annotations

import subprocess
import sys

import pytest

import workbench
from workbench.core.errors import ConfigError

SETUP = """
from IPython.testing.globalipapp import start_ipython
shell = start_ipython()
shell.run_cell("import workbench; workbench.notebook()").raise_error()
"""


def kernel(code: str) -> str:
    told = subprocess.run([sys.executable, "-c", SETUP + code], capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    return told.stdout


def test_outside_a_kernel_it_says_what_it_is_for():
    with pytest.raises(ConfigError, match="Jupyter kernel"):
        workbench.notebook()


def test_an_object_shows_its_card():
    told = kernel("""
from workbench.config import Settings
from workbench.decision.gating import BarrierGate
gate = BarrierGate(Settings().gating)
formatter = shell.display_formatter.formatters["text/html"]
formatter.enabled = True  # as in a kernel
print(formatter(gate))
""")
    assert '<section class="wb"' in told


def test_an_error_is_a_message_and_the_cell_still_fails():
    told = kernel("""
result = shell.run_cell("from workbench.core.errors import DataError\\nraise DataError('no bars; import some')")
print(type(result.error_in_exec).__name__)
""")
    assert "DataError: no bars; import some" in told
    assert "Traceback" not in told


def test_another_error_keeps_its_traceback():
    assert "Traceback" in kernel('shell.run_cell("1 / 0")')


def test_the_styles_of_an_ipywidget_travel_with_it():
    told = kernel("""
import json, panel as pn
from bokeh.models import ImportedStyleSheet
root = pn.Column(pn.widgets.FloatSlider(), pn.pane.HTML("x")).get_root()
print(len(list(root.select({"type": ImportedStyleSheet}))))
""")
    assert told.strip().splitlines()[-1] == "0"
