"""How every request is answered: a reply, an error, but never silence."""

from __future__ import annotations

from workbench.core.errors import DataError
from workbench.core.units import NS_PER_SECOND
from workbench.gateway import refusals
from workbench.gateway.account_answers import AccountAnswers
from workbench.gateway.hub import Client, Handlers, Hub
from workbench.gateway.market_answers import MarketAnswers
from workbench.gateway.order_answers import OrderAnswers
from workbench.gateway.past_answers import PastAnswers
from workbench.gateway.translation import BadTime
from workbench.gateway.wire import messages as m
from workbench.gateway.wire import replies
from workbench.gateway.wire.requests import Unsupported

FARMS = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)
EMPTY = {24: replies.no_scanner_parameters, 82: replies.no_depth_exchanges, 85: replies.no_news_providers}
"""Message id -> how a request that no error could end is answered."""


class Answers:
    """Answers the requests of clients out of a hub."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self._handlers: Handlers = {
            m.ReqIds: self._ids,
            m.ReqManagedAccts: self._accounts,
            m.ReqCurrentTime: lambda c, _: c.send(replies.current_time(hub.clock.now() // NS_PER_SECOND)),
            Unsupported: self._unsupported,
            **MarketAnswers(hub).handlers(),
            **PastAnswers(hub).handlers(),
            **OrderAnswers(hub).handlers(),
            **AccountAnswers(hub).handlers(),
        }

    def answer(self, client: Client, request: m.Request) -> None:
        """Answer one request of a client that has introduced itself."""
        try:
            self._handlers[type(request)](client, request)
        except (BadTime, DataError) as error:
            number = getattr(request, "request_id", getattr(request, "order_id", -1))
            client.send(refusals.invalid(number, error))

    def welcome(self, client: Client) -> None:
        """What a client is told when it has introduced itself."""
        self._accounts(client, None)
        self._ids(client, None)
        for code, text in FARMS:
            client.send(replies.error(-1, code, text))

    def _ids(self, c: Client, _: object) -> None:
        c.send(replies.next_valid_id(self.hub.brokerage.next_order_id(c.client_id)))

    def _accounts(self, c: Client, _: object) -> None:
        c.send(replies.managed_accounts([self.hub.brokerage.account]))

    def _unsupported(self, c: Client, r: Unsupported) -> None:
        if r.message_id in EMPTY:
            c.send(EMPTY[r.message_id]())
        elif r.message_id == 18:
            c.send(replies.no_fa_data(max(r.request_id, 1)))
        else:  # after a 321 ib_async would wait on, for ever
            c.send(refusals.unprocessed(r.request_id, f"{r.name or f'message {r.message_id}'} is not simulated"))
