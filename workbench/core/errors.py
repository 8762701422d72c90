"""Errors that name the thing, the value, the bound and the remedy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorkbenchError(Exception):
    """Base of every error that the workbench raises on purpose; the command line prints it without a traceback."""


class ConfigError(WorkbenchError, ValueError):
    """A setting is unknown, of the wrong type or out of its bounds."""


class DataError(WorkbenchError, ValueError):
    """Input data cannot be used as it is: the message names file, symbol, bar and remedy."""


class LookAheadError(WorkbenchError):
    """Something would have used information before it could be known."""


class ProvenanceError(WorkbenchError, ValueError):
    """A fitted object or a table of forecasts does not carry, or contradicts, its claimed origin."""


class ArtifactError(WorkbenchError, ValueError):
    """A bundle on disk is incomplete, altered, of another format or does not match its partner."""


class InsufficientDataError(WorkbenchError):
    """There are too few independent observations to say anything."""


def nearest_name(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name: `` Did you mean 'gamma'?`` or the empty string.

    >>> nearest_name("gama", ["gamma", "delta"])
    " Did you mean 'gamma'?"
    >>> nearest_name("zzz", ["gamma", "delta"])
    ''
    """
    match = difflib.get_close_matches(name, list(known), n=1)
    return f" Did you mean '{match[0]}'?" if match else ""
