"""A scikit-learn model out of a joblib or pickle file: only where its owner trusts it, and only to be made ONNX.

Reading a pickle can run any code. So it is read by the explicit flag alone, once, and what is kept is the ONNX that was
made of it, proved to answer as the model does.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.artifacts.verified import PICKLE_SUFFIXES
from workbench.core.arrays import FloatArray
from workbench.core.errors import ArtifactError, ConfigError
from workbench.models.brought_form import files_of, normalise, proof_rows
from workbench.models.runtime import load_fitted
from workbench.models.windows import Float32Array

AGREEMENT = 1e-5
"""Largest difference between the ONNX and the model, in deviations of the model's output."""

UNKNOWN_SHARE = 0.2
ABSTAINS = "it abstains where any of its features is unknown"
_UNREADABLE = (pickle.UnpicklingError, ImportError, AttributeError, EOFError, ValueError, LookupError, TypeError,
               OSError, zlib.error)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Converted:
    """A scikit-learn `model` as `onnx` over `width` features; `every`: it answers only rows without unknown values.

    `features`: the names it was fitted with, where it knows them. `remarks`: what its owner should know.
    """

    model: Any
    onnx: bytes
    width: int
    every: bool
    features: tuple[str, ...]
    remarks: tuple[str, ...]


def is_pickle(file: Path, content: bytes) -> bool:
    """Whether the file is a pickle by its name or by its first bytes."""
    return file.suffix.lower() in PICKLE_SUFFIXES or (len(content) > 1 and content[0] == 0x80 and 2 <= content[1] <= 5)


def refuse_pickle(what: str) -> None:
    """The error of a pickle that nobody said to trust."""
    raise ArtifactError(
        f"{what} is a pickle, which can run any code when it is read. If you made it yourself, add --trust-pickle "
        "(it is converted, and only the ONNX is kept); else bring the model as ONNX"
    )


def from_pickle(content: bytes, what: str) -> Converted:
    """Read and convert; :class:`ArtifactError` unless it is a scikit-learn regressor that skl2onnx knows."""
    model, remarks = _read(content, what)
    width = int(model.n_features_in_)
    names = tuple(str(n) for n in getattr(model, "feature_names_in_", ()))
    try:
        answer(model, proof_rows(width, UNKNOWN_SHARE))
        every = False
    except ValueError:  # "Input X contains NaN"
        every = True
    return Converted(model, _convert(model, width, what), width, every, names, remarks)


def proved(converted: Converted, what: str, width: int) -> tuple[bytes, tuple[str, ...]]:
    """The normalised graph, which answers as the model does to AGREEMENT, and what its owner should know of it.

    `width`: how many features its schema names.
    """
    made = normalise(converted.onnx, what, width, every=converted.every)
    worst, bound = _difference(converted, made, what, 0.0)
    if not worst <= bound:
        raise ArtifactError(
            f"{what}: its ONNX differs from the model by {worst:.2g} (bound {bound:.2g}) on random rows: skl2onnx does "
            "not carry it; bring it as ONNX yourself"
        )
    if converted.every:
        return made, (f"it cannot read unknown values: {ABSTAINS}",)
    worst, bound = _difference(converted, made, what, UNKNOWN_SHARE)
    if worst <= bound:
        return made, ()
    made = normalise(converted.onnx, what, width, every=True)
    return made, (f"skl2onnx does not carry how it reads unknown values: {ABSTAINS}",)


def _difference(converted: Converted, made: bytes, what: str, unknown: float) -> tuple[float, float]:
    """Largest difference of the graph from the model on random rows with a share of `unknown`, and its bound."""
    rows = proof_rows(converted.width, unknown, seed=1)
    rows = rows[~np.isnan(rows).all(axis=1)]
    want = answer(converted.model, rows)
    got = load_fitted(what, files_of(what, made, converted.width)).predict(rows)
    return float(np.max(np.abs(got - want))), AGREEMENT * float(want.std() or 1.0)


def answer(model: Any, rows: Float32Array) -> FloatArray:
    """(R,) what the scikit-learn model says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that the rows carry no names
        return np.asarray(model.predict(rows), np.float64).reshape(-1)


def _read(content: bytes, what: str) -> tuple[Any, tuple[str, ...]]:
    import joblib
    from sklearn.base import is_regressor
    from sklearn.exceptions import InconsistentVersionWarning

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always", InconsistentVersionWarning)
        try:
            model = joblib.load(io.BytesIO(content))
        except _UNREADABLE as error:
            raise ArtifactError(
                f"{what} cannot be read ({error}); save it with joblib.dump, with the scikit-learn of here"
            ) from None
    if not hasattr(model, "predict") or not hasattr(model, "n_features_in_") or not is_regressor(model):
        raise ArtifactError(f"{what} holds a {type(model).__name__}; it must be a fitted scikit-learn regressor")
    old = [w for w in said if issubclass(w.category, InconsistentVersionWarning)]
    return model, tuple(str(w.message).split(". ")[0] for w in old[:1])


def _convert(model: Any, width: int, what: str) -> bytes:
    try:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
        from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    except ImportError as error:
        raise ConfigError(
            f"--trust-pickle needs the package skl2onnx ({error}): pip install skl2onnx (the extra 'sklearn')"
        ) from None
    try:
        made = convert_sklearn(model, initial_types=[("x", FloatTensorType([None, width]))])
    except (
        MissingConverter,
        MissingShapeCalculator,
        RuntimeError,
        NotImplementedError,
        ValueError,
        TypeError,
    ) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ArtifactError(
            f"{what}: {type(model).__name__} cannot be made ONNX ({first}); bring it as ONNX yourself"
        ) from None
    return bytes(made.SerializeToString(deterministic=True))
