"""Backtest results on disk: one ``.npz`` per run, arrays only (no pickle), written atomically."""

from __future__ import annotations

import io
import json
import os
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from workbench.core.errors import ArtifactError
from workbench.core.results import BacktestResult
from workbench.core.types import Fill

FILL_FIELDS = tuple(f.name for f in fields(Fill))


def save_result(path: Path, result: BacktestResult) -> None:
    """Write `result` to `path`; ``load_result`` gives back an equal one."""
    arrays: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    for f in fields(result):
        value = getattr(result, f.name)
        if isinstance(value, np.ndarray):
            arrays[f.name] = value
        elif f.name != "fills":
            plain[f.name] = value
    for name in FILL_FIELDS:
        arrays[f"fill.{name}"] = np.array([getattr(fill, name) for fill in result.fills])
    arrays["plain"] = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(buffer.getvalue())
    os.replace(scratch, path)


def load_result(path: Path) -> BacktestResult:
    """The result saved at `path`; :class:`ArtifactError` if it is not one."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        plain = json.loads(arrays.pop("plain").tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path} is not a saved backtest ({error}); run `workbench backtest` again") from None
    columns = [arrays.pop(f"fill.{name}").tolist() for name in FILL_FIELDS]
    fills = tuple(Fill(*row) for row in zip(*columns, strict=True))
    plain["symbols"] = tuple(plain["symbols"])
    plain["breaches"] = tuple((rule, count) for rule, count in plain["breaches"])
    return BacktestResult(**arrays, **plain, fills=fills)
