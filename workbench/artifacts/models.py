"""The models half of a bundle: ``model_dir/<id>/`` with manifest, model files, parity vectors and OOF tables.

Layout: ``models/<family>.<strategy or barrier>.<horizon>/<file>`` in ONNX or the library's own text, ``parity/*.npy``
and ``oof/<horizon>.parquet``. Models know features, not names, but for those adapted to single symbols.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from workbench.artifacts.oof import read_oof, write_oof
from workbench.artifacts.verified import VerifiedFolder, find_folder, read_folder, write_folder
from workbench.core.arrays import FloatArray
from workbench.core.errors import ArtifactError
from workbench.core.horizon import horizon
from workbench.core.types import ModelKey, OofForecasts, schema_hash
from workbench.models.base import BarrierKey, RuntimeModel
from workbench.models.onnx_guard import MAX_BYTES
from workbench.models.runtime import load_fitted
from workbench.models.strategies import context_columns

MODELS_FORMAT, MODELS_VERSION = "workbench-models", 2
PARITY_TOLERANCE = 1e-5
"""Largest difference, in sigmas of the label, between a loaded model and the one that was fitted."""

Target = Literal["value", "peak", "valley"]
AXES = ("bars", "days")
PACKED = ".gz"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A fitted model as files. `target` "value" forecasts the return; "peak", "valley" are barrier classifiers.

    `parity` (P,): what the fitting library predicted on the parity rows of its axis.
    """

    key: ModelKey
    target: Target
    files: Mapping[str, bytes]
    fitted_until: int
    parity: FloatArray

    @property
    def folder(self) -> str:
        """Name of the model's folder in the bundle."""
        kind = self.key.strategy if self.target == "value" else self.target
        return f"{self.key.family}.{kind}.{self.key.horizon}"


@dataclass(frozen=True, slots=True)
class Parity:
    """Rows on which a loaded bundle proves itself, per axis: (P, L, F+1) windows with marker that end on the row."""

    bars: NDArray[np.float32]
    days: NDArray[np.float32]

    def inputs(self, model: RuntimeModel, axis: str) -> Any:
        """What `model` wants of the axis: the latest rows (P, F + E), or windows of its own length."""
        windows = getattr(self, axis)
        context = parity_context(model.context, len(windows)).astype(np.float32)
        if not model.length:
            return np.hstack([windows[:, -1, :-1], context])
        windows = windows[:, -model.length :]
        beside = np.broadcast_to(context[:, None], (*windows.shape[:2], context.shape[1]))
        return np.concatenate([windows[:, :, :-1], beside, windows[:, :, -1:]], axis=2)


def parity_context(names: Sequence[str], rows: int) -> FloatArray:
    """(P, E) context on the parity rows: probabilities spread over (0, 1), and the symbols -1 (unknown), 0, 1, ...

    >>> parity_context(("p_peak", "p_valley", "symbol"), 2).tolist()
    [[0.1, 0.9, -1.0], [0.9, 0.1, 0.0]]
    """
    p = np.linspace(0.1, 0.9, rows)
    return context_columns(names, rows, p, p[::-1], np.arange(rows) - 1.0)


@dataclass(frozen=True, slots=True)
class ModelBundle:
    """Loaded models, verified: `models` forecast returns, `barriers` are classifiers; both run as they will live.

    `symbols`: those that models adapted to single symbols know, in the order of their codes; empty without such models.
    """

    id: str
    data_origin: str
    fitted_until: int
    names: tuple[str, ...]
    daily_names: tuple[str, ...]
    symbols: tuple[str, ...]
    window: int
    models: Mapping[ModelKey, RuntimeModel]
    barriers: Mapping[BarrierKey, RuntimeModel]
    folder: VerifiedFolder

    def oofs(self) -> dict[str, OofForecasts]:
        """Horizon label -> the out-of-fold forecasts kept with the models (none in a bundle saved without them)."""
        return _oofs(self.folder)


def save_models(
    model_dir: Path,
    models: tuple[ModelFiles, ...],
    parity: Parity,
    *,
    names: tuple[str, ...],
    daily_names: tuple[str, ...],
    symbols: tuple[str, ...] = (),
    window: int,
    data_origin: str,
    oofs: Mapping[str, OofForecasts] | None = None,
    compress: bool = False,
) -> str:
    """Write ``model_dir/<id>`` and return the id.

    `oofs` None leaves the tables out and `compress` packs model files with gzip: a small bundle to ship.
    """
    if not models:
        raise ArtifactError("there is no fitted model to save: every family abstained; give more history")
    files: dict[str, bytes] = {f"parity/{axis}.npy": _npy(getattr(parity, axis)) for axis in AXES}
    entries = []
    for m in sorted(models, key=lambda m: m.folder):
        for part in (m.key.family, m.key.horizon, m.key.strategy or m.target):
            if not _NAME.fullmatch(part):
                raise ArtifactError(f"{part!r} cannot name a model folder: use letters, digits, '_' and '-' only")
        stored = {n + PACKED: gzip.compress(c, 9, mtime=0) for n, c in m.files.items()} if compress else m.files
        files |= {f"models/{m.folder}/{name}": content for name, content in stored.items()}
        files[f"parity/{m.folder}.npy"] = _npy(np.asarray(m.parity, np.float64))
        entries.append({"key": list(m.key), "target": m.target, "folder": m.folder, "fitted_until": m.fitted_until,
                        "files": sorted(stored)})  # fmt: skip
    files |= {f"oof/{label}.parquet": write_oof(oof) for label, oof in (oofs or {}).items()}
    about = {
        "data_origin": data_origin,
        "fitted_until": max(m.fitted_until for m in models),
        "families": sorted({m.key.family for m in models}),
        "schemas": {axis: {"names": list(n), "hash": schema_hash(n)} for axis, n in zip(AXES, (names, daily_names))},
        "symbols": list(symbols),
        "window": window,
        "models": entries,
    }
    return write_folder(model_dir, MODELS_FORMAT, MODELS_VERSION, about, files)


def load_models(model_dir: Path, wanted: str | None = None, *, threads: int = 1, device: str = "cpu") -> ModelBundle:
    """The bundle in `model_dir` (`wanted`: its id), verified, with every model run once against its parity vector."""
    folder = read_folder(find_folder(Path(model_dir), wanted), MODELS_FORMAT, MODELS_VERSION)
    about = folder.manifest
    parity = Parity(*(_array(folder, f"parity/{axis}.npy") for axis in AXES))
    models: dict[ModelKey, RuntimeModel] = {}
    barriers: dict[BarrierKey, RuntimeModel] = {}
    for entry in about["models"]:
        key = ModelKey(*entry["key"])
        model = load_fitted(key.family, _content(folder, entry), threads=threads, device=device)
        _prove(folder, entry["folder"], model, parity, _axis(key))
        if entry["target"] == "value":
            models[key] = model
        else:
            barriers[BarrierKey(key.family, entry["target"], key.horizon)] = model
    names, daily = (tuple(about["schemas"][axis]["names"]) for axis in AXES)
    return ModelBundle(
        id=folder.id,
        data_origin=about["data_origin"],
        fitted_until=about["fitted_until"],
        names=names,
        daily_names=daily,
        symbols=tuple(about["symbols"]),
        window=about["window"],
        models=models,
        barriers=barriers,
        folder=folder,
    )


def load_oofs(model_dir: Path, wanted: str | None = None) -> dict[str, OofForecasts]:
    """The out-of-fold forecasts of a bundle, verified, without loading its models."""
    return _oofs(read_folder(find_folder(Path(model_dir), wanted), MODELS_FORMAT, MODELS_VERSION))


def _oofs(folder: VerifiedFolder) -> dict[str, OofForecasts]:
    names = [n for n in folder.names if n.startswith("oof/")]
    tables = [read_oof(folder.read(n), f"{folder.path / n}") for n in names]
    return {t.horizon.label: t for t in sorted(tables, key=lambda t: t.horizon.order)}


def _content(folder: VerifiedFolder, entry: Mapping[str, Any]) -> dict[str, bytes]:
    """File name -> content of one model, unpacked."""
    raw = {name: folder.read(f"models/{entry['folder']}/{name}") for name in entry["files"]}
    try:
        return {n.removesuffix(PACKED): _unpacked(c) if n.endswith(PACKED) else c for n, c in raw.items()}
    except (OSError, EOFError, zlib.error) as error:
        raise ArtifactError(f"{folder.path}: the files of {entry['folder']} cannot be unpacked: {error}") from None


def _unpacked(content: bytes) -> bytes:
    """A gzip file's content; OSError if it is larger than any model may be."""
    with gzip.GzipFile(fileobj=io.BytesIO(content)) as f:
        out = f.read(MAX_BYTES + 1)
    if len(out) > MAX_BYTES:
        raise OSError(f"unpacked it has more than {MAX_BYTES:,} bytes")
    return out


def _prove(folder: VerifiedFolder, name: str, model: RuntimeModel, parity: Parity, axis: str) -> None:
    want = _array(folder, f"parity/{name}.npy")
    got = model.predict(parity.inputs(model, axis))
    same = np.isnan(want) == np.isnan(got)
    worst = float(np.nanmax(np.abs(got - want), initial=0.0)) if same.all() else np.inf
    if worst > PARITY_TOLERANCE:
        raise ArtifactError(
            f"{folder.path}: model {name} differs from the one that was fitted by {worst:.2g} sigma "
            f"(bound {PARITY_TOLERANCE:g}); this machine's runtime does not reproduce it: train again here"
        )


def _axis(key: ModelKey) -> str:
    return "days" if horizon(key.horizon).is_day else "bars"


def _npy(array: NDArray[Any]) -> bytes:
    out = io.BytesIO()
    np.save(out, array, allow_pickle=False)
    return out.getvalue()


def _array(folder: VerifiedFolder, name: str) -> NDArray[Any]:
    array: NDArray[Any] = np.load(io.BytesIO(folder.read(name)), allow_pickle=False)
    return array
