"""The append-only record of everything live: what was known, decided, intended, sent and filled."""

from workbench.journal.codec import CORE_TYPES, Codec
from workbench.journal.fallback import FallbackJournal
from workbench.journal.records import (
    CountingJournal,
    Entry,
    Journal,
    JournalError,
    MemoryJournal,
    Query,
    plain,
)
from workbench.journal.sql import Mark, Pulse, Record, SessionSummary, SqlJournal

__all__ = [
    "CORE_TYPES",
    "Codec",
    "CountingJournal",
    "Entry",
    "FallbackJournal",
    "Journal",
    "JournalError",
    "Mark",
    "MemoryJournal",
    "Pulse",
    "Query",
    "Record",
    "SessionSummary",
    "SqlJournal",
    "plain",
]
