"""The whole bundle: models, and the stages that were fitted on their out-of-fold forecasts.

``blender_dir/<id>/`` holds blender.json, gates.json (stack and gate), costs.json and sizing.json, and names the models
it belongs to; another partner is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.artifacts.models import MODELS_FORMAT, MODELS_VERSION, ModelBundle, load_models
from workbench.artifacts.verified import VerifiedFolder, canonical, find_folder, read_folder, write_folder
from workbench.config import Settings
from workbench.core.calendar import exchange_sessions, iso_time
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError, LookAheadError
from workbench.decision.arbitration import CostArbitrator
from workbench.decision.blending import HorizonBlender
from workbench.decision.costs import CostModel
from workbench.decision.gating import BarrierGate
from workbench.decision.pipeline import Stages
from workbench.decision.sizing import PositionSizer
from workbench.decision.validation import PositionValidator
from workbench.models.predictor import ModelPredictor
from workbench.stats.stack import BarrierStack

BLENDER_FORMAT, BLENDER_VERSION = "workbench-blender", 1
PARTS = ("blender", "gates", "costs", "sizing")


@dataclass(frozen=True, slots=True)
class Bundle:
    """Models and fitted stages that belong together. `parts`: name of PARTS -> plain JSON."""

    models: ModelBundle
    parts: Mapping[str, Any]
    folder: VerifiedFolder

    @property
    def id(self) -> str:
        """Id of the blender half; it names the models half too."""
        return self.folder.id

    @property
    def digest(self) -> str:
        """Digest of everything: what a Decision records as `artifacts_digest`."""
        return digest(self.models.id, self.folder.id)

    @property
    def data_origin(self) -> str:
        """Where the bars came from on which all of it was fitted."""
        return self.models.data_origin

    @property
    def fitted_until(self) -> int:
        """Last moment (ns) that anything in the bundle knows of."""
        return max(self.models.fitted_until, int(self.folder.manifest["fitted_until"]))

    def stages(self, settings: Settings, *, device: str = "cpu", threads: int = 1) -> Stages:
        """The stages for ``decide``: what was fitted from the bundle, the user's choices from `settings`."""
        gates, sizing = self.parts["gates"], self.parts["sizing"]
        stack = BarrierStack.from_dict(gates["stack"])
        costs = CostModel.from_dict(self.parts["costs"], settings.costs)
        m = self.models
        return Stages(
            predictor=ModelPredictor(
                m.models, m.barriers, stack, m.names, m.daily_names, m.symbols, device=device, threads=threads
            ),
            blender=HorizonBlender.from_dict(self.parts["blender"], settings.blending),
            costs=costs,
            arbitrator=CostArbitrator.from_dict(sizing["arbitrator"], costs, settings.arbitration),
            gate=BarrierGate.from_dict(gates["gate"], settings.gating),
            sizer=PositionSizer.from_dict(sizing["sizer"], settings.sizing),
            validator=PositionValidator(settings.validation, settings.sizing),
            config_digest=settings.digest,
            artifacts_digest=self.digest,
        )


def save_blender(
    blender_dir: Path, model_dir: Path, models_id: str, parts: Mapping[str, Any], *, fitted_until: int
) -> str:
    """Write ``blender_dir/<id>`` for the models ``model_dir/<models_id>`` and return its id."""
    if set(parts) != set(PARTS):
        raise ArtifactError(f"a blender bundle has the parts {', '.join(PARTS)}; got {', '.join(sorted(parts))}")
    models = read_folder(find_folder(Path(model_dir), models_id), MODELS_FORMAT, MODELS_VERSION)
    about = {
        "models": models.id,
        "models_digest": models.full_digest,
        "data_origin": models.manifest["data_origin"],
        "fitted_until": fitted_until,
    }
    files = {f"{name}.json": canonical(content) for name, content in parts.items()}
    return write_folder(Path(blender_dir), BLENDER_FORMAT, BLENDER_VERSION, about, files)


def load_bundle(
    model_dir: Path | str, blender_dir: Path | str, *, wanted: str | None = None, threads: int = 1, device: str = "cpu"
) -> Bundle:
    """The bundle of `blender_dir` (`wanted`: its id) with its models of `model_dir`, every byte verified."""
    folder = read_folder(find_folder(Path(blender_dir), wanted), BLENDER_FORMAT, BLENDER_VERSION)
    named = folder.manifest["models"]
    found = find_folder(Path(model_dir), None if (Path(model_dir) / "manifest.json").is_file() else named)
    models = load_models(found, threads=threads, device=device)
    for what, want, got in (
        ("models", folder.manifest["models_digest"], models.folder.full_digest),
        ("data_origin", folder.manifest["data_origin"], models.data_origin),
    ):
        if want != got:
            raise ArtifactError(
                f"blender {folder.id} was fitted for {what} {want}, but {found} holds {got}: they do not belong "
                "together; load the pair that was saved together"
            )
    return Bundle(models, {name: folder.json(f"{name}.json") for name in PARTS}, folder)


def refuse_overlap(fitted_until: int, start_ns: int, embargo_sessions: int) -> None:
    """LookAheadError if `fitted_until` + embargo passes `start_ns`: the artifacts would know part of what is tested.

    The embargo is whole sessions: `embargo_sessions` must open between the two moments.
    """
    opens = exchange_sessions().open_ns
    between = int(((opens > fitted_until) & (opens < start_ns)).sum())
    if fitted_until >= start_ns or between < embargo_sessions:
        raise LookAheadError(
            f"the artifacts know labels up to {iso_time(fitted_until)}; with an embargo of {embargo_sessions} "
            f"session(s) they cannot be tested from {iso_time(start_ns)} on: "
            f"start later or use the walk-forward schedule"
        )
