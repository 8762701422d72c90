"""The crash matrix: the engine ends before and after each kind of write and each call, and nothing is lost.

A story of three symbols, two systems and six bars at a gateway in lockstep; its clock stands still while the engine is
started again. Sites are those that the story without a crash passes, so that a new kind of record is one by itself.
The books end equal to the uncrashed story's, with one exception by nature: an order that was recorded and not sent (or
sent: the journal cannot know) is not sent again before the broker's second answer proves that it never arrived, and by
then the price of its decision is of the past.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from failpoints import Failpoints, Reborn, Site, site_of, spread
from invariants import Books, check, never_arrived
from rig import FROZEN, START, Rig, loud_bundle, trading_settings

from workbench.config import Settings
from workbench.engine.systems import System, load_system
from workbench.gateway.simulated import SimulatedGateway
from workbench.journal.sql import Record

CYCLES = 6
PARTS = 4
MAY_LOSE = ("journal:orders after", "broker:place before", "broker:place after")
"""Between the write-ahead of several orders and the last of them written to the socket."""
SAMPLE = (
    "before journal:market", "after journal:decision", "after journal:intents", "after journal:orders",
    "after broker:place", "after journal:report-execution", "before journal:fill", "after journal:cancel",
)  # fmt: skip
"""Of what the slow tests do at every site, the places where most is at stake."""

SLOW, SOAK = pytest.mark.slow, pytest.mark.soak
EVERY_FOURTH = [pytest.param(n, marks=SOAK if n else SLOW) for n in range(PARTS)]
"""Every fourth site runs with the slow suite, the others by hand."""


@dataclass(frozen=True)
class Stage:
    """What all stories share."""

    settings: tuple[Settings, ...]
    systems: tuple[System, ...]
    books: Books
    passed: Counter[tuple[str, str]]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The story without a crash."""
    folder = tmp_path_factory.mktemp("uncrashed")
    bundle = loud_bundle(folder / "bundle")
    settings = (
        trading_settings(bundle, system={"name": "market", "capital": 500_000.0}),
        trading_settings(
            bundle,
            system={"name": "limit", "capital": 400_000.0},
            execution={"policy": "marketable_limit", "limit_offset_bps": 0.0},
        ),
    )
    systems = tuple(load_system(s, simulated=True) for s in settings)
    with SimulatedGateway(speed=FROZEN, start=START) as gateway:
        story = Reborn(Rig(folder, gateway, settings, systems))
        play(story)
        books = check(story.rig)
        story.rig.close()
    return Stage(settings, systems, books, story.points[0].passed)


def play(story: Reborn) -> None:
    """Six bars, then nothing of ours works any more."""
    story.open()
    for _ in range(CYCLES):
        story.bar()
    story.settle()


def crashed(stage: Stage, folder: Path, *ends: Site) -> tuple[Books, tuple[str, ...]]:
    """The books of a story whose engines end at `ends`, and its orders that never arrived. Checks the invariants."""
    folder.mkdir()
    with SimulatedGateway(speed=FROZEN, start=START) as gateway:
        story = Reborn(Rig(folder, gateway, stage.settings, stage.systems), *ends)
        play(story)
        assert len(story.points) == len(ends) + 1, f"{len(story.points) - 1} of {len(ends)} crashes happened"
        books, lost = check(story.rig), never_arrived(story.rig)
        story.rig.close()
    return books, lost


def complaints(stage: Stage, folder: Path, sites: Iterator[Site]) -> list[str]:
    """What is wrong after a crash at each of `sites`."""
    wrong = []
    for number, site in enumerate(sites):
        try:
            books, lost = crashed(stage, folder / str(number), site)
        except AssertionError as error:
            wrong.append(f"{site}: {error}")
            continue
        if lost and f"{site.name} {site.when}" not in MAY_LOSE:
            wrong.append(f"{site}: orders {lost} never arrived")
        if not lost and books != stage.books:
            wrong.append(f"{site}: {books} instead of {stage.books}")
    return wrong


def test_the_story_passes_every_kind_of_site(stage):
    """It trades, partly and wholly, short and long, cancels, holds back, and both systems have books of their own."""
    names = {name for name, _ in stage.passed}
    wanted = {site.split()[1] for site in SAMPLE} | {"broker:cancel", "broker:what_if", "broker:facts"}
    assert wanted <= names
    assert stage.books.orders >= 8
    assert len({side for _, _, side, *_ in stage.books.executions}) == 2
    assert all(positions for positions, _ in stage.books.systems.values())


@pytest.mark.parametrize("where", SAMPLE)
def test_a_crash_at(where, stage, tmp_path):
    when, name = where.split()
    middle = Site(name, when, 1 + stage.passed[name, when] // 2)
    assert complaints(stage, tmp_path, iter([middle])) == []


def test_a_crash_of_the_engine_that_comes_after_a_crash(stage, tmp_path):
    first = Site("journal:orders", "before", 2)
    second = Site("journal:reconciliation", "before", 1)
    books, lost = crashed(stage, tmp_path / "twice", first, second, second)
    assert (books, lost) == (stage.books, ())


@pytest.mark.parametrize("part", EVERY_FOURTH)
def test_crashes_at_every_kind_of_site(part, stage, tmp_path):
    sites = list(spread(stage.passed, 1))[part::PARTS]
    assert complaints(stage, tmp_path, iter(sites)) == []


@pytest.mark.parametrize("part", EVERY_FOURTH)
def test_crashes_while_starting_again(part, stage, tmp_path):
    """Every site that the second engine passes before it trades: as if there were no second crash."""
    first = Site("broker:place", "after", 5)
    (tmp_path / "reference").mkdir()
    reference = crashed(stage, tmp_path / "reference" / "one", first)
    with SimulatedGateway(speed=FROZEN, start=START) as gateway:
        (tmp_path / "once").mkdir()
        story = Reborn(Rig(tmp_path / "once", gateway, stage.settings, stage.systems), first)
        story.open()
        while len(story.points) == 1:
            story.bar()
        story.rig.close()
    wrong = []
    for number, second in enumerate(list(spread(story.points[1].passed, 1))[part::PARTS]):
        outcome = crashed(stage, tmp_path / str(number), first, second)
        if outcome != reference:
            wrong.append(f"{second}: {outcome} instead of {reference}")
    assert wrong == []


def test_sites_are_named_after_what_is_written():
    assert site_of(Record("order_state", 0, {"after": "sent"})) == "order_state-sent"
    points = Failpoints()
    points.come("x", "before")
    assert list(spread(points.passed, 3)) == [Site("x", "before", 1)]
