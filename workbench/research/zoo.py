"""The zoo of a workspace: what each of the cells can do, does, weighs and costs. ``zoo.json`` keeps it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from workbench.analysis.model_table import ModelRow, model_table
from workbench.analysis.zoo import ZooCell
from workbench.artifacts import ModelBundle, load_models
from workbench.core.errors import DataError
from workbench.core.horizon import HORIZONS, horizon
from workbench.core.types import ModelKey
from workbench.decision.blending import evidence
from workbench.models.base import RuntimeModel
from workbench.models.registry import Registry
from workbench.models.strategies import STRATEGIES
from workbench.research.job import Job
from workbench.research.workspace import Workspace, write_atomically
from workbench.training.course import supports
from workbench.training.walkforward import Trained

FILE = "zoo.json"
SYMBOLS = 100
"""Symbols in the cycle whose latency is measured."""

REPEATS = 3


def survey(job: Job, trained: Trained, models_id: str) -> list[ZooCell]:
    """Every cell of the registry after a run of training; written to ``zoo.json``."""
    bundle = load_models(job.ws.models_dir, models_id)
    table = {(r.family, r.strategy, r.horizon): r for r in model_table(trained.oofs).rows}
    tested = {key: float(p) for oof in trained.oofs.values() for key, p in zip(oof.keys, evidence(oof), strict=True)}
    cells = [
        replace(_cell(key, job.registry, table.get(tuple(key)), bundle, trained), p_corrected=tested.get(key, math.nan))
        for key in every_key(job.registry)
    ]
    write_atomically(job.ws.root / FILE, json.dumps({"models": models_id, "cells": [c.to_dict() for c in cells]}))
    return cells


def every_key(registry: Registry) -> list[ModelKey]:
    """Family by family, strategy by strategy, horizon by horizon."""
    return [ModelKey(f, s, h.label) for f in registry for s in STRATEGIES for h in HORIZONS]


def _cell(key: ModelKey, registry: Registry, row: ModelRow | None, bundle: ModelBundle, trained: Trained) -> ZooCell:
    why = supports(registry[key.family], STRATEGIES[key.strategy], horizon(key.horizon))
    cell = ZooCell(*key, supported=not why, reason=why or trained.silent.get(key, ""))
    if row is not None:
        cell = replace(
            cell, rows=row.rows, ic=row.ic.value, ic_low=row.ic.low, ic_high=row.ic.high,
            constant=trained.constant.get(key, math.nan),
        )  # fmt: skip
    if key in bundle.models:
        cell = replace(cell, trained=True, bytes=_size(bundle, key), latency_ms=latency_ms(bundle.models[key]))
    return cell


def _size(bundle: ModelBundle, key: ModelKey) -> int:
    folder = f"models/{key.family}.{key.strategy}.{key.horizon}/"
    return sum(
        int(about["bytes"]) for name, about in bundle.folder.manifest["files"].items() if name.startswith(folder)
    )


def latency_ms(model: RuntimeModel, symbols: int = SYMBOLS) -> float:
    """Milliseconds of one call for `symbols` rows of ordinary inputs, the best of a few."""
    width = model.n_features + len(model.context)
    shape = (symbols, model.length, width + 1) if model.length else (symbols, width)
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        model.predict(x)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def zoo(out: Path) -> dict[str, Any]:
    """The cells of the workspace `out` as plain data, with the weights of the blender where it has been fitted."""
    ws = Workspace.existing(out)
    path = ws.root / FILE
    if not path.is_file():
        raise DataError(f"{out} has no {FILE}: run `workbench train --out {out}` first")
    kept = json.loads(path.read_text(encoding="utf-8"))
    weights = _weights(ws.records, kept["models"])
    cells = [ZooCell.from_dict(c) for c in kept["cells"]]
    if weights is not None:
        cells = [
            replace(c, weight=weights.get((c.family, c.strategy, c.horizon), 0.0)) if c.trained else c for c in cells
        ]
    return {"models": kept["models"], "cells": [c.to_dict() for c in cells]}


def _weights(records: Mapping[str, Any], models: str) -> dict[tuple[str, str, str], float] | None:
    """(family, strategy, horizon) -> weight in the blender fitted on `models`; None before that."""
    blend = records.get("blend")
    if blend is None or records.get("train", {}).get("outcome", {}).get("models") != models:
        return None
    named = ((name, w) for fit in blend["outcome"]["horizons"].values() for name, w in fit["weights"].items())
    return {tuple(name.split("/")): float(w) for name, w in named}  # type: ignore[misc]
