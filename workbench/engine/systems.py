"""A trading system made ready: its universe, its bundle, its stages, and whether they can trade live at all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from workbench.artifacts import Bundle, load_bundle
from workbench.config import FeatureSettings, Settings
from workbench.core.errors import ArtifactError, ConfigError
from workbench.core.universe import Universe
from workbench.data.universe_file import read_universe
from workbench.decision.pipeline import Stages
from workbench.engine.snapshots import Snapshots
from workbench.features.catalogue import FLOW_FEATURES, catalogue


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


def load_system(settings: Settings, *, simulated: bool) -> System:
    """The system of `settings`. Without bundle folders the demo bundle that ships, at the simulated gateway only."""
    own = settings.system
    if not own.symbols:
        raise ConfigError(f"system {own.name} names no symbols; set system.symbols, for example ['AAPL', 'MSFT']")
    demo = not own.model_dir and not own.blender_dir
    if demo and not simulated:
        raise ConfigError(
            f"system {own.name} has a broker but no bundle; set system.model_dir and system.blender_dir to what "
            "`workbench run` made. The demo bundle is for the simulated gateway only"
        )
    bundle = _demo_bundle() if demo else load_bundle(own.model_dir, own.blender_dir or own.model_dir, device=own.device)
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


def _demo_bundle() -> Bundle:
    folder = Path(str(files("workbench"))) / "demo_bundle"
    return load_bundle(folder / "models", folder / "blenders")
