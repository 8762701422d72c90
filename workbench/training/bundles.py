"""Writes what training made as a bundle (see :mod:`workbench.artifacts`, which alone reads it back)."""

from __future__ import annotations

from pathlib import Path

from workbench.artifacts import save_blender, save_models
from workbench.training.fitting import FittedStages
from workbench.training.walkforward import Trained


def save_trained(trained: Trained, model_dir: Path | str, *, with_oof: bool = True) -> str:
    """Write ``model_dir/<id>``; `with_oof` False leaves the out-of-fold tables out (a bundle to ship). The id."""
    return save_models(
        Path(model_dir),
        trained.models,
        trained.parity,
        names=trained.names,
        daily_names=trained.daily_names,
        symbols=trained.symbols if trained.per_symbol else (),
        window=trained.window,
        data_origin=trained.data_origin,
        oofs=trained.oofs if with_oof else None,
    )


def save_stages(fitted: FittedStages, blender_dir: Path | str, model_dir: Path | str, models_id: str) -> str:
    """Write ``blender_dir/<id>`` for the models ``model_dir/<models_id>``. The id."""
    return save_blender(Path(blender_dir), Path(model_dir), models_id, fitted.parts(), fitted_until=fitted.fitted_until)
