"""Backtest results on disk: one ``.npz`` per run, arrays only (no pickle), written atomically; books next to it."""

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
from workbench.engine.recall import ORDER_FIELDS, Books

FILL_FIELDS = tuple(f.name for f in fields(Fill))
BOOK_ARRAYS = tuple(f.name for f in fields(Books) if f.name not in ("symbols", "orders"))


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
    _write(path, arrays)


def load_result(path: Path) -> BacktestResult:
    """The result saved at `path`; :class:`ArtifactError` if it is not one."""
    arrays = _read(path, "a saved backtest", ("plain", *(f"fill.{name}" for name in FILL_FIELDS)))
    plain = json.loads(arrays.pop("plain").tobytes())
    columns = [arrays.pop(f"fill.{name}").tolist() for name in FILL_FIELDS]
    fills = tuple(Fill(*row) for row in zip(*columns, strict=True))
    plain["symbols"] = tuple(plain["symbols"])
    plain["breaches"] = tuple((rule, count) for rule, count in plain["breaches"])
    return BacktestResult(**arrays, **plain, fills=fills)


def save_books(path: Path, books: Books) -> None:
    """Write `books` to `path`; ``load_books`` gives back equal ones."""
    arrays: dict[str, Any] = {name: getattr(books, name) for name in BOOK_ARRAYS}
    arrays |= {f"order.{name}": books.orders[name] for name in ORDER_FIELDS}
    _write(path, {**arrays, "symbols": np.array(books.symbols)})


def load_books(path: Path) -> Books:
    """The books saved at `path`; :class:`ArtifactError` if it holds none."""
    columns = {name: f"order.{name}" for name in ORDER_FIELDS}
    arrays = _read(path, "the books of a backtest", ("symbols", *BOOK_ARRAYS, *columns.values()))
    orders = {name: arrays[column] for name, column in columns.items()}
    symbols = tuple(arrays["symbols"].tolist())
    return Books(symbols=symbols, orders=orders, **{name: arrays[name] for name in BOOK_ARRAYS})


def _write(path: Path, arrays: dict[str, Any]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    scratch = path.with_name(path.name + ".part")
    scratch.write_bytes(buffer.getvalue())
    os.replace(scratch, path)


def _read(path: Path, what: str, needed: tuple[str, ...]) -> dict[str, Any]:
    """The arrays in `path`; :class:`ArtifactError` if they cannot be read or one of `needed` is not among them."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        for name in needed:
            arrays[name]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ArtifactError(f"{path} is not {what} ({error}); run `workbench backtest` again") from None
    return arrays
