"""An ONNX file of the user's, brought into the workbench's form and proved.

The file maps float32 rows (R, f) of its own features to one value per row, (R,) or (R, 1). What comes out is::

    x (R, F) -> the f columns that it knows -> the user's graph -> NaN where those are unknown -> prediction (R,)
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import ArtifactError
from workbench.models.base import ModelFailure, RuntimeModel
from workbench.models.export import INPUT, IR_VERSION, OPSET, OUTPUT
from workbench.models.fitted import HEADER, ONNX_FILE
from workbench.models.onnx_guard import check_onnx
from workbench.models.runtime import load_fitted, onnx_errors, open_session
from workbench.models.windows import Float32Array

OWN = "own."
"""Stands before every name of the user's graph, so that it meets none of ours."""

COLUMNS = "columns"
MIN_OPSET = 9
"""The first opset that knows IsNaN and Where."""

PROOF_ROWS = 256
ROW_TOLERANCE = 1e-5
"""Largest difference, in deviations of the output, between a row asked alone and among others."""


def header_of_width(name: str, width: int) -> dict[str, Any]:
    """The header of a model that takes rows of `width` features."""
    return {"format": "onnx", "family": name, "task": "regress", "n_features": width, "length": 0, "context": []}


def files_of(name: str, content: bytes, width: int) -> dict[str, bytes]:
    """The model as files that :func:`load_fitted` reads."""
    return {HEADER: json.dumps(header_of_width(name, width), sort_keys=True, indent=1).encode(), ONNX_FILE: content}


def taking(content: bytes, columns: Sequence[int], width: int) -> bytes:
    """A normalised graph that takes `columns` of rows of `width`."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load_model_from_string(content)
    place = next(i for i, t in enumerate(model.graph.initializer) if t.name == COLUMNS)
    model.graph.initializer[place].CopyFrom(numpy_helper.from_array(np.array(columns, np.int64), COLUMNS))
    model.graph.input[0].CopyFrom(helper.make_tensor_value_info(INPUT, onnx.TensorProto.FLOAT, ["rows", width]))
    return bytes(model.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user's file says about itself: its input and output, its width (0: any) and its metadata."""

    input: str
    output: str
    width: int
    metadata: Mapping[str, str]


def asked(content: bytes, what: str) -> Asked:
    """The interface of a user's file, guarded; :class:`ArtifactError` unless it maps float rows to float values."""
    import onnx

    check_onnx(content, what)
    graph = (model := onnx.load_model_from_string(content)).graph
    weights = {t.name for t in graph.initializer}
    free = [v for v in graph.input if v.name not in weights]
    for kind, values in (("input", free), ("output", graph.output)):
        if len(values) != 1:
            names = ", ".join(v.name for v in values) or "none"
            raise ArtifactError(f"{what} has {len(values)} {kind}s ({names}); it must have one {kind}: export it so")
        if values[0].type.tensor_type.elem_type != onnx.TensorProto.FLOAT:
            got = onnx.TensorProto.DataType.Name(values[0].type.tensor_type.elem_type).lower()
            raise ArtifactError(
                f"{what}: {kind} {values[0].name!r} is of type {got}, must be float (32 bit): export it so"
            )
    old = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx") and o.version < MIN_OPSET]
    if old:
        raise ArtifactError(f"{what} is of opset {old[0]}, must be at least {MIN_OPSET}: export it with a later opset")
    rows, width = _shape(free[0], what)
    if rows:
        raise ArtifactError(
            f"{what}: input {free[0].name!r} takes exactly {rows} row(s) at a time; export it with a dynamic first "
            "dimension (torch: dynamic_axes or dynamic_shapes; skl2onnx: FloatTensorType([None, F]))"
        )
    return Asked(free[0].name, graph.output[0].name, width, {p.key: p.value for p in model.metadata_props})


def _shape(value: Any, what: str) -> tuple[int, int]:
    """(rows, width) of an input, 0 where the file leaves it open."""
    tensor = value.type.tensor_type
    dims = [d.dim_value for d in tensor.shape.dim] if tensor.HasField("shape") else [0, 0]
    if len(dims) != 2:
        raise ArtifactError(f"{what}: input {value.name!r} has {len(dims)} dimensions; it must be rows x features")
    return dims[0], dims[1]


def normalise(content: bytes, what: str, width: int, *, every: bool = False) -> bytes:
    """The user's file as a graph x (R, width) -> prediction (R,), proved on random rows and on unknown values.

    A row abstains (NaN) where all of its values are unknown; with `every`, where any is.
    """
    about = asked(content, what)
    if about.width not in (0, width):
        raise ArtifactError(
            f"{what} takes {about.width} features, its feature schema names {width}; bring the schema it was fitted on"
        )
    rows = proof_rows(width)
    plain = _run_raw(content, what, about.input, rows)
    made = _wrapped(content, about, width, every)
    check_onnx(made, what, inputs=(INPUT,), outputs=(OUTPUT,))
    model = load_fitted(what, files_of(what, made, width))
    _prove(model, what, rows, plain)
    return made


def proof_rows(width: int, unknown: float = 0.0, seed: int = 0) -> Float32Array:
    """(PROOF_ROWS, width) random rows of the size of the workbench's features; a share of them `unknown`."""
    rng = np.random.default_rng(seed)
    rows = np.clip(rng.standard_normal((PROOF_ROWS, width)) * 1.5, -5, 5).astype(np.float32)
    rows[rng.random(rows.shape) < unknown] = np.nan
    return rows


def _run_raw(content: bytes, what: str, name: str, rows: Float32Array) -> FloatArray:
    """(R,) what the user's file answers, NaN where it is not finite."""
    session = open_session(what, content, 1, "cpu")
    try:
        out = session.run(None, {name: rows})[0]
    except onnx_errors() as error:
        raise ArtifactError(
            f"{what} cannot be asked about {rows.shape[0]} rows of {rows.shape[1]} features: {error}"
        ) from None
    if out.dtype != np.float32 or out.shape not in ((len(rows),), (len(rows), 1)):
        raise ArtifactError(
            f"{what} answers {out.dtype} of shape {out.shape} to {len(rows)} rows; it must give one float32 per row, "
            "the expected return in sigmas: keep that output alone"
        )
    plain: FloatArray = np.where(np.isfinite(out), out, np.nan).reshape(-1).astype(np.float64)
    if np.isnan(plain).all():
        raise ArtifactError(f"{what} answers NaN to every one of {len(rows)} rows of known values; check its weights")
    return plain


def _prove(model: RuntimeModel, what: str, rows: Float32Array, plain: FloatArray) -> None:
    """The graph answers as the file did, row by row, twice the same, and lives with unknown values."""
    try:
        whole, again = model.predict(rows), model.predict(rows)
        parts = np.concatenate([model.predict(rows[i:j]) for i, j in ((0, 1), (1, 8), (8, len(rows)))])
        model.predict(proof_rows(rows.shape[1], 0.3))
    except ModelFailure as error:
        raise ArtifactError(f"{what} fails on other numbers of rows, or on unknown values: {error}") from None
    bound = ROW_TOLERANCE * max(float(np.nanstd(plain)), float(np.finfo(np.float32).eps))
    for got, problem in (
        (whole, "does not answer twice the same: it draws random numbers"),
        (again, "does not answer twice the same: it draws random numbers"),
        (parts, "answers a row by the rows beside it (as batch normalisation does in training)"),
    ):
        if not np.allclose(got, plain, rtol=ROW_TOLERANCE, atol=bound, equal_nan=True):
            raise ArtifactError(f"{what} {problem}; export it for inference")


def _wrapped(content: bytes, about: Asked, width: int, every: bool) -> bytes:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    model = onnx.load_model_from_string(content)
    _prefix(model.graph)
    constants = {
        COLUMNS: np.arange(width, dtype=np.int64), "ones": np.ones((width, 1), np.float32),
        "vector": np.array([-1], np.int64), "most": np.float32(0.5 if every else width - 0.5),
        "nan": np.float32(np.nan),
    }  # fmt: skip
    taken = OWN + about.input
    before = [helper.make_node("Gather", [INPUT, COLUMNS], [taken], axis=1)]
    after = [
        helper.make_node("IsNaN", [taken], ["unknown"]),
        helper.make_node("Cast", ["unknown"], ["unknown_one"], to=TensorProto.FLOAT),
        helper.make_node("MatMul", ["unknown_one", "ones"], ["unknown_count"]),
        helper.make_node("Reshape", ["unknown_count", "vector"], ["count"]),
        helper.make_node("Greater", ["count", "most"], ["silent"]),
        helper.make_node("Reshape", [OWN + about.output, "vector"], ["answer"]),
        helper.make_node("Where", ["silent", "nan", "answer"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        [*before, *model.graph.node, *after], "model",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows"])],
        [*model.graph.initializer, *(numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items())],
        sparse_initializer=list(model.graph.sparse_initializer),
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=_opsets(model), producer_name="workbench")
    made.ir_version = max(model.ir_version, IR_VERSION)
    return bytes(made.SerializeToString(deterministic=True))


def _opsets(model: Any) -> list[Any]:
    """The imports that the file needs, and ai.onnx for our own nodes."""
    from onnx import helper

    versions = {"" if o.domain == "ai.onnx" else o.domain: o.version for o in model.opset_import}
    versions.setdefault("", OPSET)
    used = {"", *("" if n.domain == "ai.onnx" else n.domain for g in _all_graphs(model.graph) for n in g.node)}
    return [helper.make_opsetid(domain, versions[domain]) for domain in sorted(used)]


def _all_graphs(graph: Any) -> list[Any]:
    """The graph and those inside its nodes."""
    inner = [g for node in graph.node for a in node.attribute for g in ([a.g] if a.HasField("g") else [*a.graphs])]
    return [graph, *(deep for g in inner for deep in _all_graphs(g))]


def _prefix(model_graph: Any) -> None:
    """OWN before every name; what only describes (documentation, source paths, shapes between) is dropped."""
    for graph in _all_graphs(model_graph):
        for node in graph.node:
            node.input[:] = [OWN + name if name else "" for name in node.input]
            node.output[:] = [OWN + name if name else "" for name in node.output]
            for text in ("doc_string", "metadata_props"):
                node.ClearField(text)
        for named in (*graph.input, *graph.output, *graph.initializer, *(s.values for s in graph.sparse_initializer)):
            named.name = OWN + named.name
            named.ClearField("doc_string")
        for text in ("doc_string", "metadata_props", "value_info", "quantization_annotation"):
            graph.ClearField(text)
