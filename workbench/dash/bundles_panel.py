"""Which two bundles are compared, and the shadow of the last session: around :mod:`workbench.widgets.bundles`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import panel as pn

from workbench.analysis.bundle_study import Shadow
from workbench.artifacts import Bundle, load_bundle
from workbench.artifacts.signing import PROMOTED
from workbench.artifacts.verified import CURRENT, MANIFEST
from workbench.config import Settings
from workbench.core.errors import DataError
from workbench.dash.settings import DashSettings
from workbench.dash.studies import DAMAGED, Doing, GoneError, card_of, load, unfold
from workbench.engine.codec import live_codec
from workbench.engine.plan import EnginePlan
from workbench.journal import SqlJournal
from workbench.progress import shown_by
from workbench.research.candidate_checks import shadow_session
from workbench.research.workspace import Workspace
from workbench.widgets import html
from workbench.widgets.bundles import BundlesView

KEPT = 6
"""Bundles that stay in memory."""
ASK = "Shadow the last session"
NO_SESSION = "No journaled session was traded with this bundle, so there is none that a candidate could shadow."
_TRAIN = (
    "`workbench calibrate --out {0}` makes the bundle of that folder; it needs `workbench train` and `workbench blend`."
)


class Place(NamedTuple):
    """Where a bundle lies: its two folders and its id; the `system` and the `session` that traded it, or empty."""

    models: Path
    blenders: Path
    id: str
    system: str = ""
    session: str = ""


@lru_cache(KEPT)
def bundle_at(models: Path, blenders: Path, wanted: str) -> Bundle:
    """The verified bundle; what an id names never changes."""
    return load_bundle(models, blenders, wanted=wanted)


def trading(settings: DashSettings, ws: Workspace) -> dict[str, Place]:
    """In words -> what trades: the bundles that the last journaled session named, then the promoted or
    current one of `ws`."""
    found = {}
    with journal_of(settings) as journal:
        decided = None if journal is None else journal.last("decision")
        about = None if journal is None else journal.last("engine", **({"session": decided.session} if decided else {}))
    for system in () if about is None else EnginePlan.from_json(about.payload["plan"]).systems:
        name, wanted = system.system.name, str(about.payload["bundles"][system.system.name]["id"])
        place = Place(*_folders(system), wanted, name, about.session if decided else "")
        found[f"{wanted} · system {name}, session {about.session}"] = place
    promoted = _named(ws.blenders_dir, PROMOTED)
    if now := promoted or _named(ws.blenders_dir, CURRENT):
        word = "promoted" if promoted else "current"
        found[f"{now} · {word} in {ws.root.name}"] = Place(ws.models_dir, ws.blenders_dir, now)
    return found


def _folders(settings: Settings) -> tuple[Path, Path]:
    """Folders of models and blenders of a system; those of the demo bundle where it names none."""
    own = settings.system
    if not own.model_dir and not own.blender_dir:
        demo = Path(str(files("workbench"))) / "demo_bundle"
        return demo / "models", demo / "blenders"
    return Path(own.model_dir), Path(own.blender_dir or own.model_dir)


def _named(folder: Path, name: str) -> str:
    """The id in the file `name` of `folder`; empty where there is none."""
    path = folder / name
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def candidates(ws: Workspace, trades: Place) -> dict[str, Place]:
    """In words -> every bundle of `ws` and of the folder that `trades` came from, but the one that trades."""
    found: dict[str, Place] = {}
    for models, blenders in dict.fromkeys(((ws.models_dir, ws.blenders_dir), (trades.models, trades.blenders))):
        promoted, current = (_named(blenders, name) for name in (PROMOTED, CURRENT))
        for path in sorted(blenders.glob(f"[!.]*/{MANIFEST}"), key=lambda p: -p.stat().st_mtime_ns):
            name = path.parent.name
            said = "".join(f", {word}" for word, of in (("promoted", promoted), ("current", current)) if of == name)
            if name not in {trades.id, *(place.id for place in found.values())}:
                found[f"{name} · {blenders.parent.name}{said}"] = Place(models, blenders, name)
    return found


@contextmanager
def journal_of(settings: DashSettings) -> Iterator[SqlJournal | None]:
    """The journal, to be read; None where no engine has made one."""
    address = settings.journal_address
    if isinstance(address, Path) and not address.is_file():
        yield None
        return
    with SqlJournal(address, read_only=True, codec=live_codec()) as journal:
        yield journal


def shadow_at(settings: DashSettings, trades: Place, candidate: Place, doing: Doing) -> Shadow:
    """The shadow of the session in which `trades` traded, as far as it has come."""
    with journal_of(settings) as journal, shown_by(doing.listen):
        if journal is None:
            raise DataError(f"the journal {settings.journal_address} is gone: the session cannot be read any more")
        with doing.listen("the candidate"):
            bundle = bundle_at(*candidate[:3])
        return shadow_session(journal, trades.session, bundle, trades.system)


class BundlesPanel(pn.viewable.Viewer):
    """Two choices, a button for the shadow, and the view of the two. `wanted`: whether the page is still open."""

    def __init__(self, settings: DashSettings, ws: Workspace, wanted: Callable[[], bool]) -> None:
        super().__init__()
        self.settings, self.ws, self.wanted, self.doing = settings, ws, wanted, Doing()
        self.view: BundlesView | None = None
        self.trades = pn.widgets.Select(label="Trades", options=trading(settings, ws), width=480)
        self.candidate = pn.widgets.Select(label="Candidate", width=330)
        self.ask = pn.widgets.Button(label=ASK, color="primary", align="end")
        self.place, self.told = (pn.Column(sizing_mode="stretch_width") for _ in range(2))
        self._offer()
        self.trades.param.watch(self.turn, "value")
        self.candidate.param.watch(self.show, "value")
        self.ask.on_click(self.shadow)

    def __panel__(self) -> pn.viewable.Viewable:
        chosen = pn.FlexBox(self.trades, self.candidate, self.ask, align_items="end")
        return pn.Column(chosen, self.told, self.place, sizing_mode="stretch_width")

    async def turn(self, *_: Any) -> None:
        """Something else trades: offer its candidates, and compare anew."""
        before = self.candidate.value
        self._offer()
        if self.candidate.value == before:  # another one is shown by its own watcher
            await self.show()

    def _offer(self) -> None:
        trades = self.trades.value
        self.ask.disabled = trades is None or not trades.session
        found = {} if trades is None else candidates(self.ws, trades)
        self.candidate.param.update(options=found, value=next(iter(found.values()), None))

    async def show(self, *_: Any) -> None:
        """Load the chosen two and compare them."""
        one, two = self.trades.value, self.candidate.value
        self.view = None
        self.told.objects = (
            [] if one is None or one.session else [pn.pane.HTML(html.card("", "", html.note(NO_SESSION)))]
        )
        if one is None or two is None:
            self.place.objects = [self._nothing(one)]
            return

        def compared() -> BundlesView:
            return BundlesView(bundle_at(*one[:3]), bundle_at(*two[:3]))

        def wanted() -> bool:
            return self.wanted() and (one, two) == (self.trades.value, self.candidate.value)

        try:
            self.view = await load(self.place, compared, lambda: "bundles, every byte verified", wanted)
        except GoneError:
            return
        except DAMAGED as error:
            self.place.objects = [card_of(error, "These bundles cannot be compared", _TRAIN.format(self.ws.root))]
        else:
            await unfold(self.place, self.view)

    async def shadow(self, *_: Any) -> None:
        """Ask the candidate about the last session, and show that in the view."""
        one, two, view = self.trades.value, self.candidate.value, self.view
        if view is None:
            return
        self.ask.disabled = True
        try:
            view.shadow = await load(
                self.told, lambda: shadow_at(self.settings, one, two, self.doing), lambda: self.doing.text, self.wanted
            )
        except GoneError:
            return
        except DAMAGED as error:
            self.told.objects = [card_of(error, "No shadow of this session")]
        finally:
            self.ask.disabled = False

    def _nothing(self, trades: Place | None) -> pn.viewable.Viewable:
        root = self.ws.root
        if trades is None:
            return pn.pane.HTML(html.card("No bundle yet", "", html.note(_TRAIN.format(root))))
        told = (
            f"{trades.id} is the only bundle. Change something in {root / 'config.toml'}, and `workbench blend --out "
            f"{root}` and `workbench calibrate --out {root}` make another from the same models; both are kept."
        )
        return pn.pane.HTML(html.card("Nothing to compare with", "", html.note(told)))
