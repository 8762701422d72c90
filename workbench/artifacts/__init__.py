"""Fitted models and stages as verified, pickle-free bundles; the only loader."""

from workbench.artifacts.bundle import Bundle, load_bundle, refuse_overlap, save_blender
from workbench.artifacts.models import (
    ModelBundle,
    ModelFiles,
    Parity,
    load_models,
    load_oofs,
    parity_context,
    save_models,
)
from workbench.artifacts.oof import read_oof, write_oof

__all__ = [
    "Bundle",
    "ModelBundle",
    "ModelFiles",
    "Parity",
    "load_bundle",
    "load_models",
    "load_oofs",
    "parity_context",
    "read_oof",
    "refuse_overlap",
    "save_blender",
    "save_models",
    "write_oof",
]
