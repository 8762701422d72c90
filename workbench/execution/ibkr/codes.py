"""What IB's message codes mean to us."""

from __future__ import annotations

from workbench.execution.reports import Link

LINKS = {
    1100: Link.CUT,
    2110: Link.CUT,
    1101: Link.RESTORED,
    1102: Link.RESTORED,
    1300: Link.DOWN,
    2103: Link.DATA_LOST,
    2105: Link.DATA_LOST,
    10197: Link.DATA_LOST,
    2104: Link.DATA_BACK,
    2106: Link.DATA_BACK,
}
"""Code -> state of the way to the broker."""

CLIENT_ID_IN_USE = 326
COMPETING = 10197
VALIDATION, UNPROCESSED = 321, 322
HISTORICAL = 162
NO_SECURITY = 200

TOO_LATE = frozenset({300, 366})
"""Cancelling a subscription or a query that the gateway has forgotten already: nothing to tell."""

INFORMATION = frozenset({165, 202, 399, 404, 492, 2109, 10167, 10349})
"""Codes that come with the number of a request or an order that goes on all the same."""


def informs(code: int) -> bool:
    """Whether a request goes on after this code.

    >>> informs(2174), informs(10349), informs(201)
    (True, True, False)
    """
    return code in INFORMATION or 2100 <= code < 2200


def is_read_only(code: int, text: str) -> bool:
    """Whether the gateway says that it takes no orders from the API.

    >>> is_read_only(321, "Error validating request.-'cm' : cause - The API interface is currently in Read-Only mode.")
    True
    """
    return code == VALIDATION and "read-only" in text.lower()


def is_pacing(code: int, text: str) -> bool:
    """Whether history was asked for too fast.

    >>> is_pacing(162, "Historical Market Data Service error message:API historical data query pacing violation")
    True
    """
    return code in (HISTORICAL, 420) and "pacing" in text.lower()


def is_no_data(code: int, text: str) -> bool:
    """Whether the broker has no such history."""
    return code == HISTORICAL and "no data" in text.lower()
