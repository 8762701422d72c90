"""A fitted model: its native prediction and its files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray, check_shape
from workbench.core.errors import DataError
from workbench.models.base import Inputs, Task
from workbench.models.prepare import Sample, clean, unknown_rows
from workbench.models.windows import WindowView

HEADER = "model.json"
ONNX_FILE = "model.onnx"
LIGHTGBM_FILE = "model.txt"


@dataclass(frozen=True, slots=True)
class FittedModel:
    """What `Family.fit` returns. `native` maps clean rows (or a WindowView) to (R,); `content` holds the model file.

    `header` is what a loader must know: format, family, task, n_features, length of the window (0 for tabular), and
    the names of the context behind the features.
    """

    family: str
    task: Task
    header: dict[str, Any]
    content: Mapping[str, bytes]
    native: Callable[[Any], Any]
    info: dict[str, float | int | str] = field(default_factory=dict)

    def predict(self, X: Inputs) -> FloatArray:
        """(R,) prediction of the fitting library; NaN where the row abstains."""
        context = len(self.header["context"])
        if isinstance(X, WindowView):
            self._check_width(X)
            return abstaining(self.native(X), clean(X.latest()), context)
        check_shape(f"{self.family}: X", np.asarray(X), (-1, self.header["n_features"] + context))
        x = clean(X)
        return abstaining(self.native(x), x, context)

    def files(self) -> dict[str, bytes]:
        """Header and model, as bytes."""
        header = json.dumps(self.header, sort_keys=True, indent=1).encode()
        return {HEADER: header, **self.content}

    def _check_width(self, X: WindowView) -> None:
        want = self.header["n_features"], len(self.header["context"]), self.header["length"]
        if (X.n_features, X.n_context, X.length) != want:
            raise DataError(
                f"{self.family} was fitted on {want[0]} features and {want[1]} of context x {want[2]} bars, got "
                f"{X.n_features} and {X.n_context} x {X.length}"
            )


def abstaining(prediction: Any, x: Any, n_context: int = 0) -> FloatArray:
    """(R,) float64 with NaN where the row of x is unknown (see `unknown_rows`) or the prediction is not finite."""
    out = np.array(prediction, np.float64).reshape(-1)
    out[unknown_rows(x, n_context) | ~np.isfinite(out)] = np.nan
    return out


def header_of(sample: Sample, form: str) -> dict[str, Any]:
    """The header of a model fitted on `sample`."""
    length = 0 if sample.windows is None else sample.windows.length
    return {
        "format": form, "family": sample.family, "task": sample.task, "n_features": sample.n_features,
        "length": length, "context": list(sample.context),
    }  # fmt: skip


def constant_model(sample: Sample, reason: str) -> FittedModel:
    """The model that learned nothing: 0 for a regressor, the base rate for a classifier."""
    value = sample.center if sample.task == "classify" else 0.0
    header = {**header_of(sample, "constant"), "value": value}
    info: dict[str, float | int | str] = {"constant": 1, "reason": reason, "rows": len(sample)}
    return FittedModel(sample.family, sample.task, header, {}, lambda x: np.full(len(x), value), info)
