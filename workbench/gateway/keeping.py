"""The gateway's books on disk: what a restart must find again. One JSON file, written as a whole or not at all.

It holds the account (money, holdings, orders, executions, counters), the simulated time, and the orders as their
clients sent them; conditions of orders are not kept. The market is not in it: it is the same whenever it is asked.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
from dataclasses import MISSING, dataclass, fields
from io import TextIOWrapper
from pathlib import Path
from time import monotonic
from typing import Any

from workbench.core.clock import Clock
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.data.rows import replace_file
from workbench.gateway.brokerage import Brokerage
from workbench.gateway.brokerage_state import from_dict, to_dict
from workbench.gateway.hub import Hub
from workbench.gateway.wire.contracts import Tag
from workbench.gateway.wire.orders import WireOrder

FORMAT = "workbench-gateway-books 1"
SAVE_EVERY_S = 1.0
CLOCK_EVERY_S = 10.0
BUSY = 10
"""After a save that took t seconds the next one waits BUSY * t at least: saving takes a tenth of the time at most."""

UNTOLD = 100_000
"""Ids skipped after a crash: as many could have been given out since the last save."""

SCALARS = (str, int, float, bool)


@dataclass(frozen=True, slots=True)
class KeptBooks:
    """What a file of books holds. `closed`: it was written when its gateway ended, nothing happened since."""

    time: int
    market: str
    closed: bool
    account: dict[str, Any]
    sent: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> KeptBooks | None:
        """The books in `path`; None if there is no such file yet; DataError if it cannot be trusted."""
        if not path.parent.is_dir():
            raise DataError(f"books {path} cannot be kept: {path.parent} is no folder; make it first")
        if path.is_dir():
            raise DataError(f"books {path} are a folder; name a file in it, such as {path / 'books.json'}")
        if not path.exists():
            return None
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(raw, dict) or raw.get("format") != FORMAT:
                raise ValueError(f"it is not of the format {FORMAT!r}")
            kept = raw["books"]
            if raw["digest"] != digest(_text(kept)):
                raise ValueError("its content does not have the digest that it was written with")
            return cls(**kept)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"books {path} are damaged ({error}); the file is left as it is: move it away to begin with new books"
            ) from None

    def brokerage(self, clock: Clock) -> Brokerage:
        """The account, going on at the clock's time."""
        brokerage = from_dict(self.account, clock)
        if not self.closed:
            brokerage.ids.orders += UNTOLD
            brokerage.ids.executions += UNTOLD
        return brokerage

    def orders(self) -> dict[tuple[int, int], WireOrder]:
        """(client id, order id) -> the order as its client sent it."""
        found = {}
        for item in self.sent:
            tags = tuple(Tag(*pair) for pair in item["algo_params"])
            found[item["client"], item["order"]] = WireOrder(**item["fields"], algo_params=tags)
        return found


class Keeper:
    """Keeps the books of `hub` in `path`, which held `found` when they were read."""

    def __init__(self, path: Path, hub: Hub, found: KeptBooks | None) -> None:
        self.path, self.hub = path, hub
        self._found = found
        self._changes, self._saved = -1, 0.0
        self._lock: TextIOWrapper | None = None

    def hold(self) -> None:
        """Keep others away from the file; DataError if another gateway has it, or had it since it was read."""
        try:
            lock = self.path.with_name(self.path.name + ".lock").open("w")
        except OSError as error:
            raise DataError(f"books {self.path} cannot be kept ({error}); choose a folder that takes files") from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise DataError(f"books {self.path} are in use by another gateway; stop it, or name another file") from None
        self._lock = lock
        if KeptBooks.read(self.path) != self._found:
            self.release()
            raise DataError(f"books {self.path} have changed since they were read; make the gateway anew")

    def release(self) -> None:
        """Let others have the file."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    async def run(self) -> None:
        """Save what changed, at most every second, until cancelled."""
        pause = 0.0
        while True:
            await asyncio.sleep(pause)
            began = monotonic()
            if self.hub.changes != self._changes or began - self._saved >= CLOCK_EVERY_S:
                try:
                    self.save()
                except DataError as error:
                    logging.getLogger(__name__).warning("%s", error)
            pause = max(SAVE_EVERY_S, BUSY * (monotonic() - began))

    def save(self, *, closed: bool = False) -> None:
        """Write the books; DataError if the disk does not take them."""
        hub = self.hub
        kept = {
            "time": hub.clock.now(),
            "market": hub.market.name,
            "closed": closed,
            "account": to_dict(hub.brokerage),
            "sent": [_sent(*key, order) for key, order in hub.sent.items() if hub.brokerage.register.find(*key)],
        }
        text = _text(kept)
        whole = f'{{"format": {json.dumps(FORMAT)}, "digest": "{digest(text)}", "books": {text}}}\n'
        try:
            replace_file(self.path, whole.encode())
        except OSError as error:
            raise DataError(
                f"books {self.path} could not be written ({error}); make room or choose another file"
            ) from None
        self._changes, self._saved = hub.changes, monotonic()


def check_market(kept: KeptBooks, hub: Hub) -> None:
    """DataError if the books were kept on another market, or hold what this one does not have."""
    if kept.market != hub.market.name:
        raise DataError(
            f"these books were kept on the {kept.market}, and this is the {hub.market.name}: prices would jump; "
            f"run that market, or begin with new books"
        )
    held = {s for s, h in hub.brokerage.books.holdings.items() if h.quantity}
    held |= {view.ticket.symbol for view in hub.brokerage.open_orders()}
    missing = sorted(s for s in held if not hub.feed.knows(s))
    if missing:
        raise DataError(f"the books hold {', '.join(missing)}, which the recording lacks; replay one that has them")


def _text(kept: dict[str, Any]) -> str:
    return json.dumps(kept, sort_keys=True)


def _sent(client: int, order_id: int, order: WireOrder) -> dict[str, Any]:
    plain = {
        f.name: value
        for f in fields(order)
        if isinstance(value := getattr(order, f.name), SCALARS) and (f.default is MISSING or value != f.default)
    }
    tags = [[tag.tag, tag.value] for tag in order.algo_params]
    return {"client": client, "order": order_id, "fields": plain, "algo_params": tags}
