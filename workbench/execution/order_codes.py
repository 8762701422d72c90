"""What an error code of IB says about the order that it names. Pure; see also :class:`~.reports.ErrorReport`."""

from __future__ import annotations

from enum import StrEnum

CANCELLED = 202
INFORMATION = frozenset({0, 399, 404, 434, 10349})
"""Said of an order that lives on, although both client libraries then call it cancelled or invalid (10349 above all:
the time in force was set by a preset). 2100 .. 2199 are warnings throughout (2109: an attribute was ignored)."""
WARNINGS = range(2100, 2200)
PRICE_STEP = 110
"""Price off the minimum increment: a refused change leaves the order as it was."""
REJECTIONS = frozenset({200, 201, 203})
REJECTIONS_OF_NEW = REJECTIONS | {321}
"""321, validation failed, is the end of a new order, but not of one that was to be changed or cancelled."""


class Meaning(StrEnum):
    """What becomes of the order."""

    NOTHING = "nothing"
    CANCELLED = "cancelled"
    REJECTED = "rejected"
    DOUBT = "doubt"
    """Whether the order lives only the broker's facts can say (104, 105, 135, 161, 10147, 10148, and any other)."""


def meaning(code: int, *, acknowledged: bool, asked: bool) -> Meaning:
    """What `code` says of an order that was `acknowledged` (else it is new), while a change or cancel is `asked`.

    >>> [str(meaning(c, acknowledged=False, asked=False)) for c in (201, 202, 321, 10349, 2109)]
    ['rejected', 'cancelled', 'rejected', 'nothing', 'nothing']
    >>> [str(meaning(c, acknowledged=True, asked=True)) for c in (201, 321, 110, 10148)]
    ['doubt', 'doubt', 'nothing', 'doubt']
    """
    if code == CANCELLED:
        return Meaning.CANCELLED
    if code in INFORMATION or code in WARNINGS or (code == PRICE_STEP and acknowledged):
        return Meaning.NOTHING
    if asked and acknowledged:
        return Meaning.DOUBT
    return Meaning.REJECTED if code in (REJECTIONS if acknowledged else REJECTIONS_OF_NEW) else Meaning.DOUBT
