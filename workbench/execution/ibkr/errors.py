"""What can go wrong between us and the broker, each with its remedy in the message."""

from __future__ import annotations

from workbench.core.errors import WorkbenchError
from workbench.execution import broker


class BrokerError(WorkbenchError):
    """The broker, or the way to it, does not do what was asked."""


class NotConnected(BrokerError, broker.NotConnected):
    """There is no connection: nothing was written."""


class BrokerTimeout(BrokerError, broker.BrokerTimeout):
    """No answer came in time: what was asked may have happened or not."""


class RequestRefused(BrokerError):
    """The gateway answered with an error: its `code` and `text`."""

    def __init__(self, code: int, text: str, about: str = "") -> None:
        super().__init__(f"{about}{': ' if about else ''}{text} (code {code})")
        self.code, self.text = code, text


class ClientIdInUse(BrokerError):
    """Another program, or a session that the gateway has not given up yet, uses our client id (326)."""


class ReadOnlyApi(BrokerError):
    """The gateway takes no orders from the API."""


class PortClosed(BrokerError):
    """Nothing listens there."""


class Unreachable(BrokerError):
    """There is no way to that machine."""


class NotTws(BrokerError):
    """Another program answers."""


class ClosedAtOnce(BrokerError):
    """The gateway hangs up before it has said anything: it does not trust this machine."""


class Mute(BrokerTimeout):
    """The gateway accepts the connection and says nothing."""
