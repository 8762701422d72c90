"""One session as one HTML file for the record: it needs no server, no network and no other file, now or in ten years.

The figures are those of :class:`~workbench.widgets.session.SessionView`, stilled: Bokeh draws them with its own script,
which stands in the file; everything else is plain HTML. The page follows the reader's light or dark theme.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html import escape
from pathlib import Path
from typing import Any

import bokeh
import holoviews as hv
import numpy as np
import panel as pn
from bokeh.embed import components

from workbench import __version__
from workbench.core.calendar import iso_time
from workbench.core.errors import WorkbenchError
from workbench.dash.feed import open_journal
from workbench.engine.plan import EnginePlan
from workbench.engine.session_record import SessionRecord, read_session
from workbench.engine.verify import Verdict, verify_session
from workbench.journal import SqlJournal
from workbench.widgets import html
from workbench.widgets.execution import GROUPS
from workbench.widgets.session import SessionView

ACCOUNTS = {
    "live": "REAL MONEY", "paper": "the broker's play money, real market", "simulated": "no broker, no money",
}  # fmt: skip


def export_session(address: str | Path, session: str, path: Path) -> None:
    """Write the record of `session` of the journal at `address` (a file or URL) to `path`, one HTML file.

    The file is there whole or not at all. :class:`WorkbenchError` where the journal cannot be read, decided nothing in
    that session, or the file cannot be written.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with unfinished.open("w", encoding="utf-8") as out:
            out.write(session_page(address, session))
        unfinished.replace(path)
    except OSError as error:
        raise WorkbenchError(f"the session cannot be written to {path} ({error}); choose another file") from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def session_page(address: str | Path, session: str) -> str:
    """The same as text. Takes seconds: not for an event loop."""
    with open_journal(address) as journal:
        record = read_session(journal, session)
        verdict, why = _verdict(journal, session)
        view = SessionView(record, journal=journal, verdict=verdict)
        parts: list[Any] = [_origin(journal, record), view.heading()]
        if why:
            parts.append(html.card("", "", html.note(f"Parity could not be checked here: {why}")))
        parts += [*_stilled(view.shown()), *_all_groups(view), _decisions(journal, session)]
    return _page(f"Session {session}", parts)


def _verdict(journal: SqlJournal, session: str) -> tuple[Verdict | None, str]:
    """Whether live did what research promised; else why that cannot be told, as where the bundle is gone."""
    try:
        return verify_session(journal, session), ""
    except WorkbenchError as error:
        return None, str(error)


def _origin(journal: SqlJournal, record: SessionRecord) -> str:
    """Whose session it is, what traded, and when this was written."""
    first, last = journal.last("engine", session=record.session), journal.last(session=record.session)
    assert first is not None
    assert last is not None
    about, plan = first.payload, EnginePlan.from_json(first.payload["plan"])
    pairs: Mapping[str, Any] = {
        "account": f"{about['account']} ({record.kind})",
        "recorded (UTC)": f"{_second(first.recorded_at)} to {_second(last.recorded_at)}",
        "entries up to": last.number,
        "settings": plan.digest[:16],
        "exported (UTC)": _second(time.time_ns()),
        "by": f"workbench {__version__}",
    }
    rows = [(name, f"{b['id']}{' (demo)' if b['demo'] else ''}", b["digest"]) for name, b in about["bundles"].items()]
    bundles = html.table(("system", "bundle", "digest"), rows, left=("bundle", "digest"))
    money = html.note(f"Account: {ACCOUNTS.get(record.kind, 'of unknown kind')}.")
    ended = journal.last("stopped", session=record.session) is not None
    more = "" if ended else html.note("This session had not been stopped when it was exported: more may have followed.")
    return html.card(f"Session {record.session}", str(about["runtime"]), money, html.facts(pairs), bundles, more)


def _all_groups(view: SessionView) -> Iterator[str]:
    """The tables of costs that nobody can choose any more."""
    others = [name for name in GROUPS if name != view.execution.group]
    for name in others if len(view.record.fills) else ():
        yield html.card(f"Costs by {name}", "", view.execution.table_by(name))


def _decisions(journal: SqlJournal, session: str) -> str:
    """Every decision in a line."""
    rows = []
    for entry in journal.read("decision", session=session):
        d, book = entry.payload["decision"], entry.payload["book"]
        w = d.target.weights
        rows.append([
            iso_time(entry.known_at), entry.system, str(entry.payload["mode"]), f"{book.nav:,.2f}",
            int(np.count_nonzero(w)), html.percent(float(np.abs(w).sum())), html.percent(float(w.sum())),
            len(d.breaches), d.digest[:16],
        ])  # fmt: skip
    columns = ["bar (UTC)", "system", "mode", "NAV USD", "names wanted", "gross", "net", "breaches", "digest"]
    return html.card("Decisions", "", html.table(columns, rows, left=("system", "mode", "digest")))


def _stilled(shown: Any) -> Iterator[Any]:
    """What a view's body shows now, in order: HTML, Bokeh figures, and lists of such that stand side by side."""
    if isinstance(shown, pn.pane.HTML):
        yield str(shown.object)
    elif isinstance(shown, pn.pane.HoloViews):
        yield hv.render(shown.object, backend="bokeh")
    elif isinstance(shown, pn.param.ParamFunction):
        made = shown.object()
        yield from _stilled(made if isinstance(made, pn.viewable.Viewable) else pn.pane.HoloViews(made))
    elif isinstance(shown, pn.Row):
        yield [list(_stilled(part)) for part in shown]
    else:
        for part in shown:
            yield from _stilled(part)


def _second(ns: int) -> str:
    """UTC to the second."""
    return iso_time(ns)[:19].replace("T", " ")


def _page(title: str, parts: list[Any]) -> str:
    figures: list[Any] = []
    body = _laid_out(parts, figures)
    script, divs = components(figures) if figures else ("", ())
    for number, div in enumerate(divs):
        body = body.replace(_place(number), div)
    drawing = f"<script>{_bokeh_script()}</script>" if figures else ""
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><link rel="icon" href="data:,">{_STYLE}{drawing}</head>'
        f"<body><main>{body}</main>{script}</body></html>"
    )


def _bokeh_script() -> str:
    """Bokeh's own script as it is installed: to the list of :mod:`bokeh.resources` Panel adds one that is fetched."""
    return (Path(bokeh.__file__).parent / "server/static/js/bokeh.min.js").read_text(encoding="utf-8")


def _laid_out(parts: list[Any], figures: list[Any]) -> str:
    """`parts` as HTML; each figure leaves a mark and is added to `figures`."""
    out = []
    for part in parts:
        if isinstance(part, str):
            out.append(part)
        elif isinstance(part, list):
            out.append(f'<div class="row">{"".join(f"<div>{_laid_out(p, figures)}</div>" for p in part)}</div>')
        else:
            out.append(f'<div class="figure">{_place(len(figures))}</div>')
            figures.append(part)
    return "".join(out)


def _place(number: int) -> str:
    return f"<!-- figure {number} of the record -->"


_STYLE = """<style>
:root { color-scheme: light dark; }
body { margin: 0; background: light-dark(#fff, #15181c); color: light-dark(#1d2126, #dfe3e8); }
main { max-width: 1100px; margin: 0 auto; padding: 20px 24px 60px; }
.row { display: flex; flex-wrap: wrap; gap: 0 16px; } .row > div { flex: 1 1 420px; min-width: 0; }
.wb { margin: 10px 0; }
.wb .scroll { max-height: 520px; }
@media print { .wb .scroll { max-height: none; overflow: visible; } .figure { break-inside: avoid; } }
</style>"""
