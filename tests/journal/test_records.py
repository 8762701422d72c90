"""Journals in memory and the fallback file: in order, filtered alike, and readable after a crash."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.core.clock import ManualClock
from workbench.core.types import OrderIntent
from workbench.engine.modes import Mode
from workbench.journal import Codec, CountingJournal, FallbackJournal, JournalError, MemoryJournal, SqlJournal, plain

INTENT = OrderIntent("ref", "AAA", 1, 10, "MKT", float("nan"), "DAY", 5, 10.0)


def test_plain_types() -> None:
    assert plain({"x": np.float64("nan"), "y": np.int64(3), "z": (Mode.LIVE, None, True)}) == {
        "x": None,
        "y": 3,
        "z": ["LIVE", None, True],
    }
    with pytest.raises(JournalError, match="infinite"):
        plain(float("inf"))
    with pytest.raises(JournalError, match="a object cannot be journaled"):
        plain({"x": object()})


def test_memory_and_counting_journals() -> None:
    memory, counting = MemoryJournal(), CountingJournal()
    for journal in (memory, counting):
        journal.record("a", 1, {"v": 1.5})
        journal.record("b", 2, {})
    assert [e.payload for e in memory.read("a")] == [{"v": 1.5}]
    assert counting.counts == {"a": 1, "b": 1}


def test_memory_with_a_codec_keeps_types_and_no_reference() -> None:
    orders, journal = [INTENT], MemoryJournal(session="s", codec=Codec(), clock=ManualClock(7))
    assert journal.record("intents", 5, {"orders": orders}, system="main", ref="r") == 1
    orders.clear()
    (entry,) = journal.read()
    assert (entry.session, entry.system, entry.ref, entry.recorded_at) == ("s", "main", "r", 7)
    assert math.isnan(entry.payload["orders"][0].limit_price)


records = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.integers(0, 5), st.just({}), st.sampled_from(["", "m"]), st.sampled_from(["", "r"])
    ),
    max_size=8,
)
maybe = {
    "kind": st.sampled_from([None, "a", ("a", "b"), ()]), "system": st.sampled_from(["", "m"]),
    "ref": st.sampled_from(["", "r"]), "session": st.sampled_from(["s", "t"]), "since": st.integers(0, 5),
    "until": st.integers(0, 5), "after": st.integers(0, 5), "limit": st.integers(0, 3), "newest_first": st.booleans(),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("same")


@given(records, st.fixed_dictionaries({}, optional=maybe))
def test_memory_and_database_answer_alike(folder, rows, filters) -> None:
    path = folder / "journal.db"
    for file in folder.iterdir():
        file.unlink()
    memory = MemoryJournal(session="s")
    with SqlJournal(path, session="s") as journal:
        journal.record_many(rows)
        for kind, known_at, payload, system, ref in rows:
            memory.record(kind, known_at, payload, system=system, ref=ref)
        assert [e.number for e in journal.read(**filters)] == [e.number for e in memory.read(**filters)]
        newest, same = journal.last(filters.get("kind")), memory.last(filters.get("kind"))
        assert (newest and newest.number) == (same and same.number)


def test_the_fallback_keeps_what_comes_even_what_the_codec_refuses(tmp_path) -> None:
    path = tmp_path / "new" / "fallback.jsonl"
    journal = FallbackJournal(path, session="s", clock=ManualClock(3))
    assert list(journal.read()) == []
    journal.record("intents", 5, {"orders": (INTENT,)}, system="main", ref="r")
    FallbackJournal(path).record("mode", 6, {"to": Mode.LIVE})
    first, second = journal.read()
    assert (first.number, first.session, first.system, first.kind, first.known_at, first.recorded_at, first.ref) == (
        (1, "s", "main", "intents", 5, 3, "r")
    )  # fmt: skip
    assert first.payload["orders"][0].order_ref == "ref"
    assert second.payload == {"repr": "{'to': <Mode.LIVE: 'LIVE'>}"}
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["intents", "mode"]
    assert path.stat().st_mode & 0o077 == 0


def test_a_line_cut_off_costs_only_itself(tmp_path) -> None:
    path = tmp_path / "fallback.jsonl"
    journal = FallbackJournal(path)
    journal.record("a", 1, {"x": (1,)})
    journal.record("b", 2, {})
    whole = path.read_bytes()
    for end in range(whole.index(b"\n") + 1, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert [e.kind for e in journal.read()] == ["a"]
        journal.record("c", 3, {})
        assert [e.kind for e in journal.read()] == ["a", "c"]


def test_a_fallback_that_cannot_be_written_is_an_error(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(JournalError, match=r"did not take a 'a' record: .*; free space on its disk or make its folder"):
        FallbackJournal(tmp_path / "file" / "fallback.jsonl").record("a", 1, {})
    with pytest.raises(JournalError, match=r"did not take a 'a' record: .*No space left"):
        FallbackJournal("/dev/full").record("a", 1, {})
