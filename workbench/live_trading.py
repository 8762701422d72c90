"""The live API under the name that users know: ``from workbench.live_trading import LiveTradingSystem``."""

from workbench.engine.live import LiveTradingSystem
from workbench.engine.manager import LiveTradingManager

__all__ = ["LiveTradingManager", "LiveTradingSystem"]
