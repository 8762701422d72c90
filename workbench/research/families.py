"""The families that a workspace can train: built in, installed, and brought by its user."""

from __future__ import annotations

from pathlib import Path

from workbench.models.registry import Registry, installed, register
from workbench.research.brought_models import brought_models


def known_families(root: Path) -> Registry:
    """All of them, by name; the workspace `root` need not exist yet."""
    registry = installed()
    for family in brought_models(root):
        registry = register(registry, family)
    return registry
