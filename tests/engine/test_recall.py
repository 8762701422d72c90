"""A finished backtest gives every decision back bit for bit, and says so when it cannot."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from workbench.config import Settings
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.core.types import Book, OrderIntent
from workbench.engine.backtest import run_backtest
from workbench.engine.recall import BookKeeper, Recall
from workbench.journal import MemoryJournal
from workbench.research import steps
from workbench.research.recall import load_backtest, recall_backtest
from workbench.research.results_io import load_books, load_result, save_books


@pytest.fixture(scope="module")
def recall(traded) -> Recall:
    return traded.recall


class Both(BookKeeper):
    """Keeps the books and, beside them, the messages themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Book, str]] = []
        self.sent: dict[int, tuple[OrderIntent, ...]] = {}  # known_at -> orders

    def record(self, kind, known_at, payload):
        super().record(kind, known_at, payload)
        if kind == "decision":
            self.seen.append((payload["book"], payload["digest"]))
        elif kind == "intents":
            self.sent[known_at] = tuple(payload["orders"])


def test_every_decision_comes_back_bit_for_bit(recall):
    """The digest of all digests is the one that the run itself wrote down."""
    assert len(recall.rows) == len(recall.result.ts) == 4 * 78
    again = [recall.decision(row) for row in recall.rows]
    assert digest([d.digest for d in again]) == recall.result.digest
    np.testing.assert_array_equal([d.target.weights for d in again], recall.result.target)
    assert sum(len(recall.orders(row)) for row in recall.rows) == recall.result.orders > 50


def test_books_and_orders_are_those_of_the_run(traded):
    """Run once more with a journal that keeps the messages themselves."""
    job, both = traded.job, Both()
    result = run_backtest(job.bars, job.history, steps.tranches(job), job.settings, journal=both)
    books = both.books()
    assert len(books) == len(both.seen) == len(result.ts)
    for number, (book, name) in enumerate(both.seen):
        kept = books.book(number)
        for f in fields(Book):
            if f.name != "carry":
                np.testing.assert_array_equal(getattr(kept, f.name), getattr(book, f.name), err_msg=f.name)
        for f in fields(book.carry):
            np.testing.assert_array_equal(getattr(kept.carry, f.name), getattr(book.carry, f.name), err_msg=f.name)
        assert books.digest[number] == name
        assert repr(books.intents(number)) == repr(both.sent.get(book.as_of, ()))  # NaN limits are equal as text
    assert any(both.sent.values())


def test_fills_belong_to_the_orders_of_their_decision(recall):
    found = [f for row in recall.rows for f in recall.fills(row)]
    assert sorted(found, key=lambda f: f.exec_id) == sorted(recall.result.fills, key=lambda f: f.exec_id)
    row = next(int(r) for r in recall.rows if recall.fills(r))
    assert all(recall.result.ts[row] < f.time <= recall.result.ts[row + 1] for f in recall.fills(row))


def test_the_snapshot_and_the_stages_are_those_of_the_bar(recall, traded):
    first, last = int(recall.rows[0]), int(recall.rows[-1])
    for row in (first, last):
        assert recall.snapshot(row).known_at == recall.book(row).as_of == recall.result.ts[row]
        moment = recall.moment(row)
        assert moment.decision.snapshot_digest == moment.snapshot.digest
        tranche = [
            t for t in steps.tranches(traded.job) if t.first_session <= moment.snapshot.session <= t.last_session
        ]
        assert moment.stages is tranche[0].stages


def test_a_decision_that_differs_is_told(recall, traded):
    """Other stages than those that decided: one tenth of the gross."""
    small = Settings().change(sizing={"target_gross": 0.05, "max_weight": 0.005}).sizing
    tranches = [
        replace(t, stages=replace(t.stages, sizer=type(t.stages.sizer).from_dict(t.stages.sizer.to_dict(), small)))
        for t in steps.tranches(traded.job)
    ]
    other = Recall(recall.result, traded.job.history, tranches, traded.job.settings, recall.books)
    row = int(recall.rows[np.argmax(np.abs(recall.result.target).sum(axis=1)[recall.rows])])
    with pytest.raises(ArtifactError, match=r"made again has digest .* recorded was .* run it again"):
        other.decision(row)


def test_books_of_another_run_are_refused(recall, traded):
    wider = load_result(steps.backtest_files(traded.job)[2.0])
    assert wider.digest != recall.result.digest
    with pytest.raises(ArtifactError, match=r"another run than the result '2x spread'"):
        Recall(wider, traded.job.history, steps.tranches(traded.job), traded.job.settings, recall.books)


def test_a_row_outside_or_without_a_decision_is_named(recall):
    with pytest.raises(DataError, match=r"row 312 is outside the backtest's 312 bars"):
        recall.book(312)
    fewer = replace(recall.books, ts=recall.books.ts + 1)
    odd = Recall(recall.result, recall.history, [], recall.settings, fewer)
    assert odd.rows.size == 0
    with pytest.raises(DataError, match=r"nothing was decided at .*use \.rows"):
        odd.decision(0)


def test_a_run_without_decisions_has_no_books():
    with pytest.raises(DataError, match="decided nothing"):
        BookKeeper().books()


def test_the_keeper_is_small(recall):
    """4 symbols and 9 horizons: 13 vectors and a few scalars a decision, not the snapshot and the forecasts."""
    size = sum(
        getattr(recall.books, f.name).nbytes for f in fields(recall.books) if f.name not in ("symbols", "orders")
    )
    assert size / len(recall.books) < 1000
    everything = MemoryJournal()
    everything.record("decision", 0, {"decision": recall.decision(0), "snapshot": recall.snapshot(0)})
    assert len(str(everything.entries[0].payload)) > 10 * size / len(recall.books)


def test_books_survive_the_disk_and_what_is_none_is_refused(recall, tmp_path):
    path = tmp_path / "1.books.npz"
    save_books(path, recall.books)
    after = load_books(path)
    for f in fields(after):
        if f.name != "orders":
            np.testing.assert_array_equal(getattr(after, f.name), getattr(recall.books, f.name), err_msg=f.name)
    number = int(np.searchsorted(after.ts, after.order_ts[0]))
    assert repr(after.intents(number)) == repr(recall.books.intents(number))  # NaN limits are equal as text
    assert list(tmp_path.iterdir()) == [path]
    path.write_bytes(b"nonsense")
    with pytest.raises(ArtifactError, match=r"1\.books\.npz is not the books of a backtest"):
        load_books(path)


def test_a_backtest_of_other_settings_is_not_recalled(traded, monkeypatch):
    job = traded.job
    monkeypatch.setattr(job, "settings", job.settings.change(sizing={"max_weight": 0.04}))
    with pytest.raises(ConfigError, match="other settings, data or code: `workbench backtest --out"):
        recall_backtest(job)


def test_lost_books_are_made_again(traded):
    path = steps.books_file(traded.job)
    before = load_books(path)
    path.unlink()
    outcome = steps.backtest(traded.job)
    assert "unchanged" not in outcome
    assert load_books(path).digest.tolist() == before.digest.tolist()
    assert "unchanged" in steps.backtest(traded.job)


def test_the_runs_of_a_workspace_are_loaded_by_their_spread(traded):
    assert load_backtest(traded.job, 2.0).label == "2x spread"
    assert load_backtest(traded.job, "naive").label == "naive"
    with pytest.raises(ConfigError, match=r"no backtest at spread 3\.0; there are 1, 2, naive\."):
        load_backtest(traded.job, 3.0)
