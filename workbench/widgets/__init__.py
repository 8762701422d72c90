"""One interactive view per stage object: the same object in a notebook cell and on a Panel dashboard."""

from workbench.widgets.registry import view
from workbench.widgets.running import run

__all__ = ["run", "view"]
