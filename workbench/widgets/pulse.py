"""A clock that ticks in the browser: how old a page is even when nobody feeds it any more, and the Escape key."""

from __future__ import annotations

from typing import Any, ClassVar

import param
from panel.reactive import ReactiveHTML

OLD_S = 5.0
"""Seconds without an update after which the page says that it is old."""


class Pulse(ReactiveHTML):
    """Call `beat` at every update; `escape` counts the presses of the Escape key.

    The browser counts on by itself, so that a page whose kernel is busy or gone never looks alive.
    """

    age_s = param.Number(-1.0, doc="Age of the engine's heartbeat at the last update, in seconds; negative: none")
    beats = param.Integer(0, doc="Updates so far")
    old_s = param.Number(OLD_S, doc="Seconds without an update after which the page is old")
    escape = param.Integer(0, doc="Times that the Escape key was pressed")

    _template = '<div id="age" role="timer" style="margin:0 10px;font-size:12px"></div>'
    _scripts: ClassVar[dict[str, Any]] = {
        "render": """
            state.at = Date.now();
            state.key = (event) => { if (event.key === 'Escape') data.escape += 1; };
            document.addEventListener('keydown', state.key);
            state.timer = setInterval(() => self.show(), 1000);
            self.show();""",
        "beats": "state.at = Date.now(); self.show();",
        "show": """
            const since = (Date.now() - state.at) / 1000;
            const beat = data.age_s < 0 ? 'no heartbeat' : `heartbeat ${(data.age_s + since).toFixed(0)} s old`;
            const old = since > data.old_s;
            age.textContent = old ? `THIS PAGE IS OLD: not updated for ${since.toFixed(0)} s; ${beat}`
                                  : `updated ${since.toFixed(0)} s ago; ${beat}`;
            age.style.color = old ? '#d1495b' : '#7b818a';
            age.style.fontWeight = old ? 700 : 400;""",
        "remove": "clearInterval(state.timer); document.removeEventListener('keydown', state.key);",
    }

    def beat(self, age_s: float | None) -> None:
        """The page was updated just now, from a state whose heartbeat is `age_s` old."""
        self.param.update(age_s=-1.0 if age_s is None else float(age_s), beats=self.beats + 1)
