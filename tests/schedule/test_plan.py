"""schedule.toml: what is read from it, and everything that is refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from workbench.core.errors import ConfigError
from workbench.schedule.parameters import checked, from_words, known_parameters
from workbench.schedule.plan import Schedule
from workbench.schedule.times import Due

DUE = Due(0, "2026-03-06", "2026-03-05", "2026-03-09")
GOOD = """
[desk]
folder = "desk"
notebooks = "books"

[[jobs]]
name = "train"
notebooks = ["one", "two"]
at = "close+2h"
retries = 2
[jobs.parameters]
until = "{session}"
count = 3

[[jobs]]
name = "live"
notebooks = ["two"]
kind = "live"
at = "open-15m"
until = "close+15m"
left = "flatten"
after = ["train"]

[[jobs]]
name = "weekly"
notebooks = ["one.ipynb"]
cron = "0 10 * * sat"
lock = "train"
"""


def notebook(folder: Path, name: str, *lines: str) -> Path:
    """A notebook whose parameters cell has these lines."""
    cell = nbformat.v4.new_code_cell("\n".join(lines), metadata={"tags": ["parameters"]})
    made = nbformat.v4.new_notebook(
        cells=[cell], metadata={"kernelspec": {"name": "python3", "language": "python", "display_name": "x"}}
    )
    folder.mkdir(exist_ok=True)
    nbformat.write(made, folder / f"{name}.ipynb")
    return folder / f"{name}.ipynb"


@pytest.fixture
def written(tmp_path: Path):
    """``written(text)``: the path of a schedule beside two notebooks."""
    notebook(tmp_path / "books", "one", 'until: str = ""  # last session', "count: int = 1  # how many")
    notebook(tmp_path / "books", "two", "ratio: float = 0.5  # of something", 'until: str = ""')

    def write(text: str) -> Path:
        (tmp_path / "schedule.toml").write_text(text)
        return tmp_path / "schedule.toml"

    return write


def test_a_schedule_is_read_with_its_folders_beside_it(written) -> None:
    path = written(GOOD)
    schedule = Schedule.from_toml(path)
    assert schedule.desk.folder == str(path.parent / "desk")
    train, live, weekly = schedule.jobs
    assert [p.name for p in schedule.notebooks(train)] == ["one.ipynb", "two.ipynb"]
    assert train.parameters_of(schedule.notebooks(train)[0], DUE) == {"until": "2026-03-06", "count": 3}
    assert train.parameters_of(schedule.notebooks(train)[1], DUE) == {"until": "2026-03-06"}
    assert (train.locked, weekly.locked, live.locked) == ("train", "train", "live")
    assert (live.kind, live.left, live.after) == ("live", "flatten", ("train",))
    assert schedule.job("weekly") is weekly


def test_a_live_run_ends_with_its_session(written) -> None:
    """2025-07-03 closed at 13:00 New York, 17:00 UTC."""
    live = Schedule.from_toml(written(GOOD)).job("live")
    assert live.ends(Due(0, "2025-07-03", "", "")) == 1_751_562_900 * 10**9


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('at = "close+2h"', "", "job train needs either `at` .open-15m. or `cron`"),
        ('at = "close+2h"', 'at = "noon"', "'noon' is no time of a session"),
        ("0 10 * * sat", "0 10 * *", "4 fields; it needs 5"),
        ('until = "close+15m"', "", "live job live needs `at` and `until`"),
        ('left = "flatten"', "retries = 1", "retries=1: a live session is never retried unasked"),
        ('left = "flatten"', 'left = "panic"', "'hold' or 'flatten'"),
        ('after = ["train"]', "", "live job live needs `after`: no session begins without a green check"),
        ('after = ["train"]', 'after = ["trian"]', "after 'trian', which is no job. Did you mean 'train'?"),
        ('name = "weekly"', 'name = "train"', "different names; train is used twice"),
        ('name = "weekly"', 'name = "We ekly"', "should match pattern"),
        ('retries = 2', 'retires = 2', "jobs.0.retires is unknown. Did you mean 'retries'?"),
        ('retries = 2', 'timeout = "long"', "'long' is no span of time"),
        ('retries = 2', 'after = ["live"]', "wait for each other in a circle: train -> live -> train"),
        ("retries = 2", "promote = true", "promote, which needs a batch job with the parameter workspace"),
        ("count = 3", 'count = "3"', "parameter 'count' of one.ipynb is '3', a str; it must be a int like 1"),
        ("count = 3", "cuont = 3", "no notebook of job train has a parameter 'cuont'. Did you mean 'count'?"),
        ('["one", "two"]', '["one", "tow"]', "tow.ipynb does not exist. Did you mean 'two'?"),
        ('until = "close+15m"', 'until = "open-30m"', "live job live ends .open-30m. before it begins .open-15m."),
        ('"{session}"', '"{sesion}"', "names {sesion}, which is not filled in. Did you mean 'session'?"),
        (GOOD, "[desk]", "there is no job; `workbench schedule example` has some"),
        ("[desk]", "[desk", "is not valid TOML"),
        ("[desk]", "[desk]\nfodler = 1", "desk.fodler is unknown. Did you mean 'folder'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_anything_runs(written, old: str, new: str, told: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError, match=told):
        Schedule.from_toml(written(GOOD.replace(old, new, 1)))


def test_the_check_is_of_what_is_traded(written) -> None:
    path = written(GOOD)
    for name in ("one", "two"):
        notebook(path.parent / "books", name, 'until: str = ""', "count: int = 1", 'config: str = ""')
    checked = GOOD.replace("count = 3", 'config = "paper.toml"')
    trades = 'after = ["train"]\nparameters = { config = "%s" }'
    with pytest.raises(ConfigError, match=r"live job live trades config 'live\.toml', and train checks 'paper\.toml'"):
        Schedule.from_toml(written(checked.replace('after = ["train"]', trades % "live.toml")))
    assert Schedule.from_toml(written(checked.replace('after = ["train"]', trades % "paper.toml"))).job("live")


def test_a_schedule_that_is_not_there_says_how_to_make_one(tmp_path) -> None:
    with pytest.raises(ConfigError, match="does not exist; `workbench schedule example >"):
        Schedule.from_toml(tmp_path / "schedule.toml")


def test_parameters_are_of_the_declared_types(tmp_path) -> None:
    book = notebook(
        tmp_path, "b", 'a: str = "x"  # a word', "n: int = 1", "r: float = 0.5", "f: bool = False", "l: list = []"
    )
    assert [(p.name, p.kind, p.default) for p in known_parameters(book).values()] == [
        ("a", "str", "x"), ("n", "int", 1), ("r", "float", 0.5), ("f", "bool", False), ("l", "list", []),
    ]  # fmt: skip
    assert checked(book, {"r": 2, "n": 5}) == {"r": 2.0, "n": 5}
    words = {"a": "12", "n": "7", "r": "2", "f": "true", "l": "['u', 'v']"}
    assert from_words(book, words) == {"a": "12", "n": 7, "r": 2.0, "f": True, "l": ["u", "v"]}
    for given, told in (({"n": True}, "is True, a bool"), ({"n": 1.0}, "is 1.0, a float"), ({"a": 1}, "is 1, a int")):
        with pytest.raises(ConfigError, match=told):
            checked(book, given)
    with pytest.raises(ConfigError, match="n='seven' is no int; write for example 1"):
        from_words(book, {"n": "seven"})
    with pytest.raises(ConfigError, match=r"has no parameter 'm'\. It has a, n, r, f, l"):
        from_words(book, {"m": "1"})


def test_a_parameters_cell_must_say_types(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"parameter 'a' of b\.ipynb has the type 'None'; declare one of str"):
        known_parameters(notebook(tmp_path, "b", "a = 1"))
    with pytest.raises(ConfigError, match="is no plain value"):
        known_parameters(notebook(tmp_path, "b", "a: int = len('x')"))


def test_the_notebooks_of_the_walk_declare_theirs() -> None:
    for book in sorted((Path(__file__).resolve().parents[2] / "notebooks").glob("*.ipynb")):
        assert all(p.help for p in known_parameters(book).values()), book
