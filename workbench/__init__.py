"""workbench: fit models in notebooks; the very same objects trade at Interactive Brokers.

Importing the package is cheap: every room is imported where it is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workbench.live_trading import LiveTradingManager, LiveTradingSystem

__all__ = ["LiveTradingManager", "LiveTradingSystem", "__version__", "notebook"]

__version__ = "0.1.0"


def notebook() -> None:
    """Set up a Jupyter kernel: see :func:`workbench.widgets.notebook.notebook`."""
    from workbench.widgets.notebook import notebook as set_up

    set_up()


def __getattr__(name: str) -> Any:
    if name in ("LiveTradingManager", "LiveTradingSystem"):
        import workbench.live_trading

        return getattr(workbench.live_trading, name)
    raise AttributeError(f"module 'workbench' has no attribute {name!r}")
