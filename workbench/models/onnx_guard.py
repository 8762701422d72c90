"""What an ONNX file may hold before it is run: operators of the standard, its own weights, and nothing else.

An ONNX file is a program. The runtime would read weights from any path that the file names (external data), or run
operators that nobody here knows. So every file is looked through before a session is made of it.

The file is read with a schema of our own, which knows only what is checked: protobuf skips the rest at C speed, and
nothing live imports ``onnx``. Field numbers are those of onnx.proto.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from workbench.core.errors import ArtifactError, nearest_name

MAX_BYTES = 64 * 2**20
"""The largest model file that is read."""

DOMAINS = ("", "ai.onnx.ml")
"""The domains of the standard; "ai.onnx" is another name of the first."""

RANDOM = ("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike")
"""Operators that draw random numbers: a decision that rests on them cannot be repeated."""

FOREIGN = (
    "Affine", "Crop", "DisentangledAttention_TRT", "DynamicSlice", "EfficientNMS_TRT", "GRUUnit", "GivenTensorFill",
    "ImageScaler", "MemcpyFromHost", "MemcpyToHost", "MultilevelCropAndResize_TRT", "ParametricSoftplus",
    "PyramidROIAlign_TRT", "Scale", "ScaledTanh", "SimplifiedLayerNormalization",
)  # fmt: skip
"""What ONNX Runtime keeps in the standard's domain although the standard has no such operator."""

_ORT_MARK = b"ORTM"  # bytes 4 to 8 of ONNX Runtime's own format, which it would prefer over protobuf

_SCHEMA: dict[str, dict[str, tuple[int, str]]] = {  # message -> field -> (number, kind); * repeats
    "Model": {"graph": (7, "Graph"), "opset_import": (8, "*Opset"), "training_info": (20, "*Any"),
              "functions": (25, "*Any")},
    "Opset": {"domain": (1, "bytes"), "version": (2, "int")},
    "Graph": {"node": (1, "*Node"), "initializer": (5, "*Tensor"), "input": (11, "*Value"), "output": (12, "*Value"),
              "sparse_initializer": (15, "*Sparse")},
    "Value": {"name": (1, "bytes")},
    "Node": {"input": (1, "*bytes"), "name": (3, "bytes"), "op_type": (4, "bytes"), "attribute": (5, "*Attribute"),
             "domain": (7, "bytes"), "overload": (8, "bytes")},
    "Attribute": {"name": (1, "bytes"), "t": (5, "Tensor"), "g": (6, "Graph"), "tensors": (10, "*Tensor"),
                  "graphs": (11, "*Graph"), "sparse_tensor": (22, "Sparse"), "sparse_tensors": (23, "*Sparse")},
    "Sparse": {"values": (1, "Tensor"), "indices": (2, "Tensor")},
    "Tensor": {"name": (8, "bytes"), "external_data": (13, "*Entry"), "data_location": (14, "int")},
    "Entry": {"key": (1, "bytes"), "value": (2, "bytes")},
    "Any": {},
}  # fmt: skip


def check_onnx(
    content: bytes,
    what: str,
    *,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> None:
    """:class:`ArtifactError`, naming `what` and the finding, unless the file may be run.

    Refused: more than `max_bytes`, no protobuf, ONNX Runtime's own format, functions, training graphs, external data
    (in initialisers, attributes, sparse tensors and subgraphs alike), operators that are not of the standard at the
    imported opset, or that draw random numbers, and other names than `inputs` and `outputs`. Control flow passes if
    its subgraphs do.

    >>> check_onnx(b"", "empty.onnx")
    Traceback (most recent call last):
    workbench.core.errors.ArtifactError: empty.onnx cannot be loaded: it holds no graph; export the model again as ONNX
    """
    if len(content) > max_bytes:
        raise ArtifactError(f"{what} has {len(content):,} bytes, more than {max_bytes:,}; bring a smaller model")
    model = _parse(content, what)
    for parts, kind in ((model.functions, "functions"), (model.training_info, "training graphs")):
        if len(parts):
            raise ArtifactError(f"{what} holds {kind} of its own ({len(parts)}); export it with its operators inlined")
    versions = _imports(model, what)
    for graph in _graphs(model.graph):
        _check_tensors(graph, what)
        for node in graph.node:
            _check_node(node, versions, what)
    known = {t.name for t in model.graph.initializer}
    free = [_text(v.name) for v in model.graph.input if v.name not in known]
    for kind, wanted, got in (
        ("inputs", inputs, free),
        ("outputs", outputs, [_text(v.name) for v in model.graph.output]),
    ):
        if wanted is not None and list(wanted) != got:
            raise ArtifactError(
                f"{what} has the {kind} {', '.join(got) or 'none'}, expected {', '.join(wanted)}: it is not a model "
                "file of the workbench; `workbench zoo add` makes one of yours"
            )


@cache
def operators() -> dict[tuple[str, str], int]:
    """(domain, operator) -> the opset that brought it, for every operator of the standard that the runtime knows."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    first: dict[tuple[str, str], int] = {}
    for schema in runtime.get_all_operator_schema():
        if schema.domain in DOMAINS and schema.name not in FOREIGN:
            key = schema.domain, schema.name
            first[key] = min(first.get(key, schema.since_version), schema.since_version)
    return first


def _parse(content: bytes, what: str) -> Any:
    from google.protobuf.message import DecodeError

    if content[4:8] == _ORT_MARK:
        raise ArtifactError(f"{what} is in ONNX Runtime's own format (.ort), which is not checked; bring the ONNX file")
    try:
        model = _message_class("Model").FromString(content)
    except DecodeError as error:
        raise ArtifactError(
            f"{what} cannot be loaded: it is no ONNX ({error}); export the model again as ONNX"
        ) from None
    if not model.HasField("graph"):
        raise ArtifactError(f"{what} cannot be loaded: it holds no graph; export the model again as ONNX")
    return model


def _imports(model: Any, what: str) -> dict[str, int]:
    """Domain -> imported version."""
    versions: dict[str, int] = {}
    for entry in model.opset_import:
        domain = _domain(entry.domain)
        if versions.get(domain, entry.version) != entry.version:
            raise ArtifactError(
                f"{what} imports opsets {versions[domain]} and {entry.version} of {domain or 'ai.onnx'}; it must name "
                "one: export it again"
            )
        versions[domain] = entry.version
    return versions


def _graphs(graph: Any) -> Iterator[Any]:
    """The graph and every graph inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _graphs(attribute.g)
            for inner in attribute.graphs:
                yield from _graphs(inner)


def _check_node(node: Any, versions: dict[str, int], what: str) -> None:
    domain, operator = _domain(node.domain), _text(node.op_type)
    at = f"{what}: node {_text(node.name)!r}" if node.name else f"{what}: a node"
    if domain not in DOMAINS:
        raise ArtifactError(
            f"{at} is the operator {operator} of domain {domain!r}; only ai.onnx and ai.onnx.ml are run: "
            "export the model with operators of the standard"
        )
    if domain not in versions:
        raise ArtifactError(
            f"{at} is of domain {domain or 'ai.onnx'!r}, whose opset the file does not name; export it again"
        )
    since = operators().get((domain, operator))
    if since is None or since > versions[domain] or node.overload:
        known = [name for d, name in operators() if d == domain]
        hint = nearest_name(operator, known) if since is None else f" Opset {since} has it."
        raise ArtifactError(
            f"{at} is the operator {operator!r}, which opset {versions[domain]} of {domain or 'ai.onnx'} does not "
            f"hold: export the model with operators of the standard.{hint}"
        )
    if operator in RANDOM:
        raise ArtifactError(f"{at} is {operator}, which draws random numbers: a forecast must be the same every time")
    if operator == "Dropout" and len(node.input) > 2 and node.input[2]:
        raise ArtifactError(
            f"{at} is Dropout with an input for its training mode, in which it draws random numbers: export the model "
            "for inference"
        )


def _check_tensors(graph: Any, what: str) -> None:
    for tensor in _tensors(graph):
        if tensor.data_location or len(tensor.external_data):
            places = {_text(e.key): _text(e.value) for e in tensor.external_data}
            raise ArtifactError(
                f"{what}: tensor {_text(tensor.name)!r} lies outside the file (external data, location "
                f"{places.get('location', '')!r}); save the model with its weights inside, as one file"
            )


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    sparse = list(graph.sparse_initializer)
    for node in graph.node:
        for a in node.attribute:
            if a.HasField("t"):
                yield a.t
            if a.HasField("sparse_tensor"):
                sparse.append(a.sparse_tensor)
            yield from a.tensors
            sparse += a.sparse_tensors
    for s in sparse:
        yield s.values
        yield s.indices


def _domain(raw: bytes) -> str:
    return "" if raw == b"ai.onnx" else _text(raw)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


@cache
def _message_class(name: str) -> Any:
    """The protobuf class of a message of _SCHEMA."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="onnx_guard.proto", package="guard", syntax="proto2")
    for message, fields in _SCHEMA.items():
        made = file.message_type.add(name=message)
        for field, (number, kind) in fields.items():
            label = kinds.LABEL_REPEATED if kind.startswith("*") else kinds.LABEL_OPTIONAL
            one = made.field.add(name=field, number=number, label=label)
            one.type = {"bytes": kinds.TYPE_BYTES, "int": kinds.TYPE_INT64}.get(kind.lstrip("*"), kinds.TYPE_MESSAGE)
            if one.type == kinds.TYPE_MESSAGE:
                one.type_name = f".guard.{kind.lstrip('*')}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"guard.{name}"))
