"""Every file that ships loads and says what it must; what is wrong in a file is named."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from workbench.core.errors import ConfigError
from workbench.gateway.scenarios import load, names
from workbench.gateway.scenarios.actions import ACTIONS
from workbench.gateway.scenarios.deeds import DEEDS
from workbench.gateway.scenarios.spec import TRIGGERS, parse

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "gateway_scenarios.md"
SOURCE = re.compile(
    r"#\d+|documentation|message codes|source|tick types|[Tt]ried|error\.py|TCP|No public report|reconnect-proof"
)
PLAIN = {"name": "x", "about": "a", "expect": "b"}


def scenario(**event):
    return {**PLAIN, "event": [event]}


def test_many_ship_and_each_action_has_a_deed():
    assert len(names()) >= 40
    assert set(ACTIONS) == set(DEEDS)


@pytest.mark.parametrize("name", names())
def test_file_says_what_happens_where_it_was_seen_and_what_to_expect(name):
    told = load(name)
    assert told.name == name
    assert SOURCE.search(" ".join(told.about.split())), "cite where it was seen, or say that no public report is cited"
    assert len(told.expect.split()) >= 6
    assert all(e.action in ACTIONS for e in told.events)


def test_every_action_is_used_by_some_file():
    used = {e.action for name in names() for e in load(name).events}
    assert set(ACTIONS) == used


def test_no_two_files_say_the_same():
    told = [load(name) for name in names()]
    assert len({t.about for t in told}) == len({repr(t.events) for t in told}) == len(names())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({**PLAIN, "event": []}, "at least one"),
        ({**PLAIN, "about": " ", "event": [{"at": 1, "action": "mute"}]}, "'about' is missing"),
        ({**PLAIN, "expects": "", "event": []}, "Did you mean 'expect'"),
        (scenario(at=1, action="mut"), "Did you mean 'mute'"),
        (scenario(at=1, action="mute", second=2), "Did you mean 'seconds'"),
        (scenario(action="mute"), "either 'at'"),
        (scenario(at=1, on="fill", action="mute"), "either 'at'"),
        (scenario(on="fills", action="mute"), "Did you mean 'fill'"),
        (scenario(at=-1, action="mute"), "at = -1 must be"),
        (scenario(at=1, nth=2, action="mute"), "happens once"),
        (scenario(at=1, symbol="A", action="mute"), "about no symbol"),
        (scenario(at=1, action="suppress", kind="orderstatus"), "Did you mean 'orderStatus'"),
        (scenario(at=1, action="send_error", code="1100", text="x"), "must be of type int"),
        (scenario(at=1, action="restart"), "restart.seconds is missing"),
    ],
)
def test_what_is_wrong_is_named(data, words):
    with pytest.raises(ConfigError, match=re.escape(words)):
        parse(data, "mine.toml")


def test_unknown_names_and_bad_files(tmp_path):
    with pytest.raises(ConfigError, match="Did you mean 'nightly_restart'"):
        load("nightly_restar")
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"bad\.toml is no TOML"):
        load(tmp_path / "bad.toml")


def test_the_guide_lists_everything():
    text = GUIDE.read_text()
    rows = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert sorted(rows) == sorted([*names(), *TRIGGERS, *ACTIONS])
