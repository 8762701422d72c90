"""Fitted models as they run live: ONNX Runtime or LightGBM's text. No torch, no scikit-learn, no pickle.

>>> model = load_fitted("Any", {"model.json": b'{"format": "constant", "family": "Any", "task": "regress", '
...                             b'"n_features": 2, "length": 0, "context": [], "value": 0.0}'})
>>> model.predict(np.array([[1.0, 2.0], [np.nan, np.nan]])).tolist()
[0.0, nan]
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.digest import digest
from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.models.base import ModelFailure, RuntimeModel, Task
from workbench.models.export import INPUT, OUTPUT
from workbench.models.fitted import HEADER, LIGHTGBM_FILE, ONNX_FILE, abstaining
from workbench.models.onnx_guard import check_onnx
from workbench.models.pooled import design
from workbench.models.prepare import clean, fill
from workbench.models.windows import Float32Array, WindowView

BATCH = 4096
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_OPTIONS: dict[str, dict[str, str]] = {"cpu": {}, "cuda": {"use_tf32": "0"}}  # TF32 would miss 1e-5
_REQUIRED = {"format": str, "family": str, "task": str, "n_features": int, "length": int, "context": list}


def load_fitted(family: str, files: Mapping[str, bytes], *, threads: int = 1, device: str = "cpu") -> RuntimeModel:
    """The model that `Fitted.files()` of `family` wrote; :class:`ArtifactError` if the files are not that.

    `device` "cuda" without its provider is a :class:`ConfigError` that names what to install, never a silent cpu.
    """
    check_device(device)
    header = _header(family, files)
    if "pooled" in header:
        return _pooled(family, header, files, threads, device)
    common = (family, header["task"], digest(dict(files)), header["n_features"], header["length"],
              tuple(header["context"]))  # fmt: skip
    if header["format"] == "constant":
        return ConstantModel(*common, value=float(header["value"]))
    if header["format"] == "onnx":
        content = _content(family, files, ONNX_FILE)
        check_onnx(content, f"{family}: {ONNX_FILE}", inputs=(INPUT,), outputs=(OUTPUT,))
        return OnnxModel(*common, session=open_session(family, content, threads, device))
    if header["format"] == "lightgbm":
        booster = _booster(family, _content(family, files, LIGHTGBM_FILE))
        return LightGBMModel(*common, booster=booster, imputed=np.array(header["imputed"], np.float32), threads=threads)
    raise ArtifactError(
        f"{family}: format {header['format']!r} is unknown; this version reads constant, onnx, lightgbm"
    )


@dataclass(frozen=True, slots=True)
class _Loaded:
    family: str
    task: Task
    digest: str
    n_features: int
    length: int
    context: tuple[str, ...]

    def predict(self, X: Any) -> FloatArray:
        """(R,) sigmas or probabilities; NaN where the row abstains; :class:`ModelFailure` if the runtime fails."""
        if isinstance(X, WindowView):
            parts = [self.predict(window) for _, window in X.batches(BATCH)]
            return np.concatenate(parts) if parts else np.empty(0)
        x = clean(X)
        self._check(x)
        return abstaining(self._run(x), x[:, -1, :-1] if self.length else x, len(self.context))

    def _check(self, x: Float32Array) -> None:
        width = self.n_features + len(self.context)
        want = (self.length, width + 1) if self.length else (width,)
        if x.shape[1:] != want:
            raise DataError(f"{self.family} takes rows of shape {want}, got {x.shape[1:]}: another schema or window")

    def _run(self, x: Float32Array) -> Any:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class ConstantModel(_Loaded):
    """A model that learned nothing: it has the same view of every row."""

    value: float = 0.0

    def _run(self, x: Float32Array) -> Any:
        return np.full(len(x), self.value)


@dataclass(frozen=True, slots=True)
class OnnxModel(_Loaded):
    """An ONNX Runtime session of its own."""

    session: Any = None

    def _run(self, x: Float32Array) -> Any:
        try:
            return self.session.run(None, {INPUT: x})[0]
        except onnx_errors() as error:
            raise ModelFailure(f"{self.family}: ONNX Runtime failed on {x.shape}: {error}") from error


@dataclass(frozen=True, slots=True)
class LightGBMModel(_Loaded):
    """A booster read from LightGBM's own text. `imputed` (F,): NaN where the trees know what to do with NaN."""

    booster: Any = None
    imputed: Any = None
    threads: int = 1

    def _run(self, x: Float32Array) -> Any:
        from lightgbm.basic import LightGBMError

        try:
            return self.booster.predict(fill(x, self.imputed), num_threads=self.threads)
        except LightGBMError as error:
            raise ModelFailure(f"{self.family}: LightGBM failed on {x.shape}: {error}") from error


@dataclass(frozen=True, slots=True)
class PooledModel(_Loaded):
    """A model of several horizons asked about one of them (see :mod:`workbench.models.pooled`)."""

    pool: Any = None
    c: float = 0.0
    interacted: bool = False

    def _run(self, x: Float32Array) -> Any:
        return self.pool.predict(design(x, self.c, self.interacted))


def _pooled(family: str, header: dict[str, Any], files: Mapping[str, bytes], threads: int, device: str) -> RuntimeModel:
    about = header.pop("pooled")
    if not isinstance(about, dict) or set(about) != {"c", "interacted"}:
        raise ArtifactError(f"{family}: {HEADER} holds pooled {about!r}; it must name c and interacted")
    width = header["n_features"]
    inner = {**header, "n_features": (2 * width if about["interacted"] else width) + 1}
    pool = load_fitted(family, {**files, HEADER: json.dumps(inner).encode()}, threads=threads, device=device)
    return PooledModel(family, pool.task, digest(dict(files)), width, 0, (), pool=pool, c=float(about["c"]),
                       interacted=bool(about["interacted"]))  # fmt: skip


def check_device(device: str) -> None:
    """ConfigError unless `device` is cpu, or cuda with its provider installed."""
    if device not in _PROVIDERS:
        raise ConfigError(f"device {device!r} is unknown: choose cpu or cuda")
    if device == "cpu":
        return
    import onnxruntime

    if _PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise ConfigError(
            "device 'cuda' needs ONNX Runtime's CUDA provider, which is not installed: replace onnxruntime by the "
            "extra (pip uninstall onnxruntime; pip install 'ib-workbench[cuda]'), or set device to 'cpu'"
        )


def open_session(family: str, content: bytes, threads: int, device: str) -> Any:
    """An ONNX Runtime session of a file that passed :func:`check_onnx`."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(content, options, providers=[(_PROVIDERS[device], _OPTIONS[device])])
    except onnx_errors() as error:
        raise ArtifactError(f"{family}: {ONNX_FILE} cannot be loaded: {error}") from error
    if session.get_providers()[0] != _PROVIDERS[device]:
        raise ConfigError(
            f"{family}: device {device!r} was asked for, ONNX Runtime offers {session.get_providers()[0]}"
        )
    return session


def _booster(family: str, content: bytes) -> Any:
    import lightgbm
    from lightgbm.basic import LightGBMError

    try:
        return lightgbm.Booster(model_str=content.decode())
    except (LightGBMError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{family}: {LIGHTGBM_FILE} cannot be loaded: {error}") from error


def onnx_errors() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    names = ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "RuntimeException", "EPFail",
             "NotImplemented", "NoModel", "NoSuchFile", "ModelLoaded", "EngineError")  # fmt: skip
    return tuple(getattr(state, name) for name in names if hasattr(state, name))


def _header(family: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    try:
        header: Any = json.loads(_content(family, files, HEADER))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{family}: {HEADER} is not JSON: {error}") from error
    for name, kind in _REQUIRED.items():
        if not isinstance(header, dict) or not isinstance(header.get(name), kind):
            raise ArtifactError(f"{family}: {HEADER} has no {kind.__name__} {name!r}")
    if header["family"] != family:
        raise ArtifactError(f"{HEADER} belongs to family {header['family']}, not to {family}")
    return dict(header)


def _content(family: str, files: Mapping[str, bytes], name: str) -> bytes:
    if name not in files:
        raise ArtifactError(
            f"{family}: file {name} is missing; the model holds {', '.join(sorted(files)) or 'nothing'}"
        )
    return files[name]
