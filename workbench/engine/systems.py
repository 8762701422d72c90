"""A trading system made ready: its universe, its bundle, its stages, and whether they can trade live at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.artifacts import Bundle, load_bundle
from workbench.artifacts.history import PROMOTED, promoted, read_history
from workbench.artifacts.signing import load_promoted, trusted_keys
from workbench.config import FeatureSettings, Settings, SystemSettings
from workbench.core.errors import ArtifactError, ConfigError
from workbench.core.universe import Universe
from workbench.data.universe_file import read_universe
from workbench.decision.pipeline import Stages
from workbench.engine.snapshots import Snapshots
from workbench.features.catalogue import FLOW_FEATURES, catalogue
from workbench.logs import logger

UNPROMOTED = "nothing is promoted: a later training would change what trades at the next start"


@dataclass(frozen=True, slots=True)
class System:
    """One system: `stages` decide on what `snapshots` makes of the market."""

    settings: Settings
    universe: Universe
    bundle: Bundle
    stages: Stages
    demo: bool

    @property
    def name(self) -> str:
        """Tells the systems of an account apart."""
        return self.settings.system.name

    @property
    def features(self) -> FeatureSettings:
        """The settings of the features that its models were trained on."""
        return self.settings.features.model_copy(update={"quotes": quotes_of(self.bundle.models.names)})

    def snapshots(self) -> Snapshots:
        """A feature engine before its warm-up."""
        return Snapshots(self.universe, self.features, self.settings.sizing.flatten_before_close)


def load_system(settings: Settings, *, simulated: bool, wanted: str | None = None) -> System:
    """The system of `settings`, with the bundle that is promoted in its folders; `wanted`, to replay what was: with the
    bundle of that id. Without bundle folders the demo bundle that ships, at the simulated gateway only.

    :class:`ArtifactError` unless the promoted bundle was signed with a key that is trusted. Where nothing was ever
    promoted the bundle that was made last trades, and on an account that is not simulated a warning is logged.
    """
    own = settings.system
    if not own.symbols:
        raise ConfigError(f"system {own.name} names no symbols; set system.symbols, for example ['AAPL', 'MSFT']")
    demo = not own.model_dir and not own.blender_dir
    if demo and not simulated:
        raise ConfigError(
            f"system {own.name} has a broker but no bundle; set system.model_dir and system.blender_dir to what "
            "`workbench run` made. The demo bundle is for the simulated gateway only"
        )
    bundle = _demo_bundle() if demo else _own_bundle(own, simulated, wanted)
    universe = read_universe(own.universe).select(own.symbols) if own.universe else Universe.of(own.symbols)
    quotes_of(bundle.models.names)
    chosen = only_horizons(bundle, own.horizons)
    return System(settings, universe, bundle, chosen.stages(settings, device=own.device), demo)


def only_horizons(bundle: Bundle, horizons: tuple[str, ...]) -> Bundle:
    """The bundle without the models and barriers of other horizons, which then abstain."""
    m = bundle.models
    models: dict[Any, Any] = {k: v for k, v in m.models.items() if k.horizon in horizons}
    barriers: dict[Any, Any] = {k: v for k, v in m.barriers.items() if k.horizon in horizons}
    if not models:
        raise ArtifactError(
            f"bundle {bundle.id} has no model of the horizons {', '.join(horizons)}; it has "
            f"{', '.join(sorted({k.horizon for k in m.models}))}"
        )
    return Bundle(replace(m, models=models, barriers=barriers), bundle.parts, bundle.folder)


def quotes_of(names: tuple[str, ...]) -> str:
    """The ``features.quotes`` that gives the features `names`; :class:`ArtifactError` if no live market can.

    >>> quotes_of(tuple(s.name for s in catalogue(False)))
    'none'
    """
    for quotes, specs in (("none", catalogue(False)), ("top", catalogue(True, order_flow=False))):
        if names == tuple(s.name for s in specs):
            return quotes
    flow = [n for n in names if n in FLOW_FEATURES]
    if flow:
        raise ArtifactError(
            f"the models read {', '.join(flow)}, which is known only to who sees every quote update: a live system "
            'cannot compute it as the training data did. Train with features.quotes = "top" or "none"'
        )
    known = {s.name for s in catalogue(True)}
    odd = [n for n in names if n not in known] or ["another order"]
    raise ArtifactError(
        f"the models read features that the live engine does not compute: {', '.join(odd[:5])}; train on the "
        "catalogue's features"
    )


def _own_bundle(own: SystemSettings, simulated: bool, wanted: str | None) -> Bundle:
    """The bundle of id `wanted`, else the promoted one, else, where nothing was ever promoted, the one made last."""
    models, blenders = Path(own.model_dir), Path(own.blender_dir or own.model_dir)
    if wanted is not None:
        return load_bundle(models, blenders, wanted=wanted, device=own.device)
    if promoted(blenders) is not None:
        return load_promoted(models, blenders, trusted_keys(), device=own.device)[0]
    if read_history(blenders):
        raise ArtifactError(
            f"{blenders / PROMOTED} is gone, but bundles were promoted there: `workbench rollback --to ID` puts one in "
            "force again, `workbench promote` another"
        )
    if not simulated:
        logger("systems").warning(UNPROMOTED, system=own.name, remedy="workbench promote")
    return load_bundle(models, blenders, device=own.device)


def _demo_bundle() -> Bundle:
    folder = Path(str(files("workbench"))) / "demo_bundle"
    return load_bundle(folder / "models", folder / "blenders")
