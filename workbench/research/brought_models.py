"""The models that were brought into a workspace, read back from its zoo.

``<workspace>/zoo/<name>/<id>/`` holds one in the workbench's form and a manifest with its features, its horizons and
what it knows. Brought again under the same name, the earlier one stays on disk and the new one is current.
"""

from __future__ import annotations

from pathlib import Path

from workbench.artifacts.verified import find_folder, read_folder
from workbench.core.errors import ArtifactError
from workbench.models.brought import Brought
from workbench.models.export import INPUT, OUTPUT
from workbench.models.fitted import ONNX_FILE
from workbench.models.onnx_guard import check_onnx

ZOO = "zoo"
ZOO_FORMAT, ZOO_VERSION = "workbench-brought", 1


def brought_models(root: Path) -> tuple[Brought, ...]:
    """The models in the zoo of the workspace `root`, by name, verified; none where nothing was brought."""
    zoo = Path(root) / ZOO
    return tuple(_load(folder) for folder in sorted(zoo.glob("[!.]*")) if folder.is_dir())


def _load(folder: Path) -> Brought:
    stored = read_folder(find_folder(folder), ZOO_FORMAT, ZOO_VERSION)
    about, content = stored.manifest, stored.read(ONNX_FILE)
    if about["name"] != folder.name:
        raise ArtifactError(f"{folder} holds the model {about['name']!r}: give the folder that name")
    check_onnx(content, f"{stored.path / ONNX_FILE}", inputs=(INPUT,), outputs=(OUTPUT,))
    return Brought(about["name"], tuple(about["horizons"]), content, tuple(about["features"]), about["fitted_until"])
