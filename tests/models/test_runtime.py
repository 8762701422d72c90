import json

import numpy as np
import onnxruntime
import pytest

from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.models.base import ModelFailure, RuntimeModel
from workbench.models.registry import FAMILIES
from workbench.models.runtime import check_device, load_fitted


@pytest.fixture
def files(problem, quick):
    data = problem(FAMILIES["FTRLProximal"], 1500)
    return FAMILIES["FTRLProximal"].fit(data.x, data.y, seed=0, budget=quick).files()


def test_a_loaded_model_says_what_it_is(files):
    model = load_fitted("FTRLProximal", files)
    assert isinstance(model, RuntimeModel)
    assert (model.family, model.task, model.n_features, model.length) == ("FTRLProximal", "regress", 7, 0)
    assert model.digest == load_fitted("FTRLProximal", dict(reversed(files.items()))).digest
    changed = {**files, "model.json": files["model.json"] + b" "}
    assert model.digest != load_fitted("FTRLProximal", changed).digest


def header(files, **changes):
    return {**files, "model.json": json.dumps({**json.loads(files["model.json"]), **changes}).encode()}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: {"model.onnx": f["model.onnx"]}, "file model.json is missing; the model holds model.onnx"),
        (lambda f: {"model.json": f["model.json"]}, "file model.onnx is missing"),
        (lambda f: {**f, "model.json": b"\xff"}, "model.json is not JSON"),
        (lambda f: {**f, "model.json": b"[]"}, "model.json has no str 'format'"),
        (lambda f: {**f, "model.onnx": b"nonsense"}, "model.onnx cannot be loaded"),
        (lambda f: {**f, "model.onnx": f["model.onnx"][:200]}, "model.onnx cannot be loaded"),
        (lambda f: header(f, format="pickle"), "format 'pickle' is unknown"),
        (lambda f: header(f, n_features="7"), "has no int 'n_features'"),
        (lambda f: header(f, family="MLP"), "belongs to family MLP, not to FTRLProximal"),
        (lambda f: header({**f, "model.txt": b"tree"}, format="lightgbm", imputed=[0.0] * 7), "model.txt cannot be"),
    ],
)
def test_spoilt_files_are_refused(files, spoil, message):
    with pytest.raises(ArtifactError, match=message):
        load_fitted("FTRLProximal", spoil(files))


def test_other_widths_are_refused(files):
    with pytest.raises(DataError, match=r"FTRLProximal takes rows of shape \(7,\), got \(6,\)"):
        load_fitted("FTRLProximal", files).predict(np.zeros((2, 6)))


def test_a_runtime_error_is_a_model_failure(files):
    model = load_fitted("FTRLProximal", header(files, n_features=6))  # the header lies: ONNX Runtime refuses
    with pytest.raises(ModelFailure, match="ONNX Runtime failed"):
        model.predict(np.ones((2, 6)))


def test_cuda_without_its_provider_is_an_error(files, monkeypatch):
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(ConfigError, match=r"ib-workbench\[cuda\].*set device to 'cpu'"):
        load_fitted("FTRLProximal", files, device="cuda")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with (  # the provider is listed, but does not load: never a silent cpu
        pytest.warns(UserWarning, match="CUDAExecutionProvider"),
        pytest.raises(ConfigError, match="device 'cuda' was asked for, ONNX Runtime offers CPUExecutionProvider"),
    ):
        load_fitted("FTRLProximal", files, device="cuda")
    with pytest.raises(ConfigError, match="device 'gpu' is unknown: choose cpu or cuda"):
        check_device("gpu")
