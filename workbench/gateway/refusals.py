"""How requests are refused: the error frames that several answers share."""

from __future__ import annotations

from workbench.gateway.wire import replies

HISTORY = "Historical Market Data Service error message:"


def no_security(request_id: int) -> bytes:
    """200: there is no such instrument."""
    return replies.error(request_id, 200, "No security definition has been found for the request")


def invalid(request_id: int, cause: object) -> bytes:
    """321: the request says something that cannot be."""
    return replies.error(request_id, 321, f"Error validating request.-'bW' : cause - {cause}")


def unprocessed(request_id: int, cause: str) -> bytes:
    """322: the request is right, and cannot be served."""
    return replies.error(request_id, 322, f"Error processing request.-'bW' : cause - {cause}")


def history(request_id: int, why: str) -> bytes:
    """162: history is refused, or there is none."""
    return replies.error(request_id, 162, HISTORY + why)
