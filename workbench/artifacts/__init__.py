"""Fitted models and stages as verified, pickle-free bundles; the only loader."""

from workbench.artifacts.models import ModelBundle, ModelFiles, Parity, load_models, save_models

__all__ = ["ModelBundle", "ModelFiles", "Parity", "load_models", "save_models"]
