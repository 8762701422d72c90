"""Where records go that the journal refuses: a file of JSON lines, synced at each record."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from workbench.core.clock import Clock, SystemClock
from workbench.journal.codec import Codec
from workbench.journal.records import Entry, JournalError


class FallbackJournal:
    """Appends to the file at `path`, one JSON object per line; when `record` returns, the line is on the disk.

    Opens the file anew for every record, so that it needs nothing but the folder. A payload that the `codec` refuses
    is kept as text (``{"repr": ...}``): this is the last place where it can be told. Lines are numbered by their place.
    """

    def __init__(
        self, path: Path | str, *, session: str = "", codec: Codec | None = None, clock: Clock | None = None
    ) -> None:
        self.path, self.session = Path(path), session
        self._codec, self._clock = codec or Codec(), clock or SystemClock()

    def record(self, kind: str, known_at: int, payload: Mapping[str, Any], *, system: str = "", ref: str = "") -> None:
        """Append one record; :class:`JournalError` if the file cannot take it."""
        line = {
            "session": self.session, "system": system, "kind": kind, "known_at": int(known_at),
            "recorded_at": self._clock.now(), "ref": ref, "payload": self._payload(payload),
        }  # fmt: skip
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            _append(self.path, json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n")
        except OSError as error:
            raise JournalError(
                f"fallback journal {self.path} did not take a {kind!r} record: {error}; free space on its disk or make "
                "its folder writable"
            ) from error

    def read(self) -> Iterator[Entry]:
        """The records in order; a line that a crash cut off is left out."""
        try:
            lines = self.path.read_bytes().split(b"\n") if self.path.exists() else []
        except OSError as error:
            raise JournalError(f"fallback journal {self.path} cannot be read: {error}") from error
        for number, line in enumerate(filter(None, map(_whole, lines)), 1):
            payload = self._codec.from_json(line.pop("payload"))
            yield Entry(number=number, **line, payload=payload)

    def _payload(self, payload: Mapping[str, Any]) -> Any:
        try:
            return self._codec.to_json(payload)
        except JournalError:
            return {"repr": repr(payload)}


def _append(path: Path, data: bytes) -> None:
    """`data` as a line of its own, whatever a crash or a full disk left of the line before, and synced."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(file).st_size
        if size and os.pread(file, 1, size - 1) != b"\n":
            data = b"\n" + data
        while data:
            data = data[os.write(file, data) :]
        os.fsync(file)
    finally:
        os.close(file)


def _whole(line: bytes) -> dict[str, Any] | None:
    """The record on a line; None where it was cut off."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return None
