"""Which cells a run has, and what makes a cell another one."""

from __future__ import annotations

import importlib
import sys
import types
from dataclasses import dataclass, replace

import pytest

from workbench.config import TrainingSettings
from workbench.core.horizon import HORIZONS, horizon
from workbench.models.learner import Learner
from workbench.models.registry import FAMILIES
from workbench.models.strategies import STRATEGIES
from workbench.stats.splits import Segment
from workbench.training.cells import family_version
from workbench.training.course import Course, Plan, supports

FAMILY = """
from dataclasses import dataclass
from workbench.models.learner import Learner

@dataclass(frozen=True, slots=True)
class Mine(Learner):
    name: str = "Mine"

    def learn(self, sample, how):
        return {answer}
"""


def course(family, **training):
    segment = Segment(1, 0, 9, 5)
    settings = TrainingSettings(**{"families": (family.name,), "strategies": tuple(STRATEGIES), **training})
    return Course(list(HORIZONS), Plan((segment,), (segment,), 0), settings, {family.name: family}, True, True)


def test_a_family_of_few_horizons_learns_and_is_taught_no_others():
    few = replace(FAMILIES["FTRLProximal"], name="Few", horizons=("5m", "10m"))
    cells = [*course(few).direct(), *course(few).cascades()]
    assert {c.horizon for c in cells} == {"5m", "10m"}
    assert {c.together for c in cells if c.strategy == "multi_task"} == {("5m", "10m")}
    parts = {h.label: (Segment(1, 0, 9, 5),) for h in HORIZONS}
    assert {c.horizon for c in course(few).barriers(parts)} == {"5m", "10m"}
    alone = replace(few, horizons=("5m",))
    assert "multi_task" not in {c.strategy for c in course(alone).direct()}  # it would be single_task by another name


@pytest.mark.parametrize(
    ("family", "why"),
    [(Learner(name="Mine", sequential=True), "Mine reads windows and one label at a time"),
     (Learner(name="Mine", needs=("peak",)), "Mine learns from peak and one label at a time")],
)  # fmt: skip
def test_what_cannot_be_pooled_is_said_and_not_tried(family, why):
    assert why in supports(family, STRATEGIES["multi_task"], horizon("5m"))
    assert not supports(family, STRATEGIES["single_task"], horizon("5m"))
    assert not supports(replace(family, shares=True), STRATEGIES["multi_task"], horizon("5m"))
    assert "multi_task" not in {c.strategy for c in course(family).direct()}


def test_every_built_in_family_can_be_trained_by_every_strategy():
    assert not [(f, s) for f in FAMILIES for s in STRATEGIES if supports(FAMILIES[f], STRATEGIES[s], horizon("5m"))]


def test_an_edited_family_is_another_even_where_its_module_is_loaded_again(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file = tmp_path / "own_family_of_a_test.py"
    file.write_text(FAMILY.format(answer=1))
    module = importlib.import_module(file.stem)
    first = family_version(module.Mine())
    assert family_version(module.Mine()) == first
    file.write_text(FAMILY.format(answer=2))
    assert family_version(importlib.reload(module).Mine()) != first


def test_a_family_whose_code_or_settings_cannot_be_read_is_never_taken_from_the_cache(monkeypatch):
    notebook = types.ModuleType("a_notebook")
    monkeypatch.setitem(sys.modules, "a_notebook", notebook)
    exec(FAMILY.format(answer=1), notebook.__dict__)
    assert family_version(notebook.Mine()) != family_version(notebook.Mine())

    class Plain:
        def __init__(self, rate):
            self.rate = rate

    assert family_version(Plain(1)) != family_version(Plain(2))  # the second often stands where the first stood

    @dataclass(frozen=True)
    class Told(Plain):
        rate: int

    assert family_version(Told(1)) == family_version(Told(1)) != family_version(Told(2))
