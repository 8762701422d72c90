"""Which view shows which object, and what an object shows of itself in a cell. The only list of either.

Nothing is imported before it is needed: types are known by the name of their module.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from workbench.core.errors import ConfigError

VIEWS: dict[str, str] = {
    "workbench.research.job:Job": "workbench.widgets.workspace:WorkspaceView",
    "workbench.data.store:Store": "workbench.widgets.market:MarketView",
    "workbench.core.bars:Bars": "workbench.widgets.market:MarketView",
    "workbench.features.history:FeatureHistory": "workbench.widgets.features:FeaturesView",
    "workbench.core.types:OofForecasts": "workbench.widgets.models:ModelsView",
    "workbench.decision.blending:HorizonBlender": "workbench.widgets.blender:BlenderView",
    "workbench.decision.gating:BarrierGate": "workbench.widgets.gate:GateView",
    "workbench.decision.costs:CostModel": "workbench.widgets.costs:CostView",
    "workbench.decision.arbitration:CostArbitrator": "workbench.widgets.costs:CostView",
    "workbench.decision.sizing:PositionSizer": "workbench.widgets.sizing:SizingView",
    "workbench.decision.validation:PositionValidator": "workbench.widgets.sizing:SizingView",
    "workbench.execution.planning:OrderPlan": "workbench.widgets.orders:OrderPlanView",
    "workbench.core.results:BacktestResult": "workbench.widgets.backtest:BacktestView",
    "workbench.core.types:Decision": "workbench.widgets.receipt:ReceiptView",
    "workbench.engine.live:LiveTradingSystem": "workbench.widgets.live:LiveView",
    "workbench.engine.manager:LiveTradingManager": "workbench.widgets.live:LiveView",
    "workbench.engine.session_record:SessionRecord": "workbench.widgets.session:SessionView",
}
"""Type -> view, both as module:name."""

CARDS: dict[str, str] = {
    "workbench.research.job:Job": "workbench.widgets.workspace:card",
    "workbench.data.store:Store": "workbench.widgets.market:store_card",
    "workbench.core.bars:Bars": "workbench.widgets.market:bars_card",
    "workbench.features.history:FeatureHistory": "workbench.widgets.features:history_card",
    "workbench.core.types:Features": "workbench.widgets.features:features_card",
    "workbench.training.labels:Labels": "workbench.widgets.features:labels_card",
    "workbench.core.types:OofForecasts": "workbench.widgets.models:card",
    "workbench.decision.blending:HorizonBlender": "workbench.widgets.blender:card",
    "workbench.decision.gating:BarrierGate": "workbench.widgets.gate:card",
    "workbench.decision.costs:CostModel": "workbench.widgets.costs:costs_card",
    "workbench.decision.arbitration:CostArbitrator": "workbench.widgets.costs:arbitrator_card",
    "workbench.decision.sizing:PositionSizer": "workbench.widgets.sizing:sizer_card",
    "workbench.decision.validation:PositionValidator": "workbench.widgets.sizing:validator_card",
    "workbench.execution.planning:OrderPlan": "workbench.widgets.orders:card",
    "workbench.core.results:BacktestResult": "workbench.widgets.backtest:card",
    "workbench.core.types:Decision": "workbench.widgets.receipt:card",
    "workbench.engine.live:LiveTradingSystem": "workbench.widgets.live:card",
    "workbench.engine.manager:LiveTradingManager": "workbench.widgets.live:card",
    "workbench.engine.session_record:SessionRecord": "workbench.widgets.session:card",
    "workbench.research.candidate:CandidateReport": "workbench.widgets.candidate:card",
}
"""Type -> function of the object that gives HTML, both as module:name."""


def view(obj: Any, **context: Any) -> Any:
    """The interactive view of `obj`; `context` is what the view may need beside it (its docstring says what).

    :class:`ConfigError` names the types that have a view, where `obj` has none.
    """
    made = lookup(VIEWS, type(obj))
    if made is None:
        known = ", ".join(sorted(name.partition(":")[2] for name in VIEWS))
        raise ConfigError(f"{type(obj).__name__} has no view; there are views of {known}")
    return made(obj, **context)


def lookup(names: dict[str, str], kind: type) -> Callable[..., Any] | None:
    """What `names` says for `kind` or the nearest of its bases."""
    for base in kind.__mro__:
        if (found := names.get(f"{base.__module__}:{base.__name__}")) is not None:
            module, _, name = found.partition(":")
            made: Callable[..., Any] = getattr(import_module(module), name)
            return made
    return None
