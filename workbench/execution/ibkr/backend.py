"""Which client library speaks to the gateway: ib_insync, or ib_async where that is installed. Never IB's own ibapi.

Both bring a package `eventkit` of different contents, so that only one of them can be installed (docs of ib_async);
what is used here, their wire client and their plain data classes, is the same in both.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import logging
import threading
from types import ModuleType
from typing import Any

from workbench.execution.ibkr.errors import BrokerError

KNOWN = {"ib_insync": "0.9.86", "ib_async": "2.1.0"}
UNSET = 1.7976931348623157e308
"""What the wire means by a number that is not there."""


def choose(installed: list[str]) -> str:
    """The one library that is installed; BrokerError with the remedy for none or two.

    >>> choose(["ib_async"])
    'ib_async'
    """
    if len(installed) == 1:
        return installed[0]
    if not installed:
        raise BrokerError(
            "neither ib_insync nor ib_async is installed; `pip install ib_insync==0.9.86` (or ib_async==2.1.0)"
        )
    raise BrokerError(
        "ib_insync and ib_async are both installed, and overwrite each other's package eventkit; keep one: "
        "`pip uninstall -y ib_async aeventkit && pip install --force-reinstall --no-deps ib_insync==0.9.86 eventkit`, "
        "or `pip uninstall -y ib_insync eventkit && pip install --force-reinstall --no-deps ib_async==2.1.0 aeventkit`"
    )


def _load(name: str) -> ModuleType:
    """Import in a thread with a loop of its own: the libraries want one that is current when they are imported."""
    loaded: list[ModuleType | Exception] = []

    def work() -> None:
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loaded.append(importlib.import_module(name))
        except ImportError as error:
            loaded.append(error)
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    thread = threading.Thread(target=work, name=f"import-{name}")
    thread.start()
    thread.join()
    if not loaded or isinstance(loaded[0], Exception):
        why = loaded[0] if loaded else "it failed while it was imported"
        raise BrokerError(f"{name} cannot be imported ({why}); `pip install --force-reinstall {name}=={KNOWN[name]}`")
    return loaded[0]


NAME = choose([name for name in KNOWN if importlib.util.find_spec(name) is not None])
"""The library in use."""

_library: Any = _load(NAME)
Client: Any = _library.client.Client
Contract: Any = _library.Contract
Order: Any = _library.Order
TagValue: Any = _library.TagValue
ExecutionFilter: Any = _library.ExecutionFilter

# what its client logs as errors reaches us as exceptions and reports, with their remedies
logging.getLogger(f"{NAME}.client").setLevel(logging.CRITICAL)
