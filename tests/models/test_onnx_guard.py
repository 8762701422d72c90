"""What an ONNX file may not hold: each finding is refused by name, wherever in the file it hides."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, defs, helper, numpy_helper

from workbench.core.errors import ArtifactError
from workbench.models.onnx_guard import DOMAINS, FOREIGN, check_onnx, operators
from workbench.models.runtime import load_fitted

FLOAT = TensorProto.FLOAT


def graph(nodes, inputs=("x",), outputs=("prediction",), weights=(), **more):
    def info(names):
        return [helper.make_tensor_value_info(n, FLOAT, ["rows", 2]) for n in names]

    return helper.make_graph(list(nodes), "g", info(inputs), info(outputs), list(weights), **more)


def model(*nodes, opsets=(("", 21),), **more) -> onnx.ModelProto:
    made = graph(nodes or [helper.make_node("Relu", ["x"], ["prediction"])], **more)
    return helper.make_model(made, opset_imports=[helper.make_opsetid(*o) for o in opsets], ir_version=10)


def outside(name="w"):
    tensor = TensorProto(name=name, data_type=FLOAT, dims=[2], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../secret.bin")
    return tensor


def marked_only():
    """A tensor that names a place but does not say that it lies there."""
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def refuse(made: onnx.ModelProto, match: str, **how) -> None:
    with pytest.raises(ArtifactError, match=match) as error:
        check_onnx(made.SerializeToString(), "mine.onnx", **how)
    assert str(error.value).startswith("mine.onnx")


def branches(inner: onnx.GraphProto) -> onnx.NodeProto:
    plain = graph([helper.make_node("Identity", ["x"], ["b"])], (), ("b",))
    return helper.make_node("If", ["condition"], ["prediction"], then_branch=plain, else_branch=inner)


YES = numpy_helper.from_array(np.array(True), "condition")


def test_a_plain_model_passes_and_so_does_control_flow_whose_subgraphs_pass():
    check_onnx(model().SerializeToString(), "mine.onnx", inputs=["x"], outputs=["prediction"])
    inner = graph([helper.make_node("Neg", ["x"], ["b"])], (), ("b",))
    check_onnx(model(branches(inner), weights=[YES]).SerializeToString(), "mine.onnx", inputs=["x"])
    old = helper.make_node("Relu", ["x"], ["prediction"], domain="ai.onnx")  # another name of the standard's domain
    check_onnx(model(old).SerializeToString(), "mine.onnx")


def test_external_data_is_refused_wherever_it_hides():
    constant = helper.make_node("Constant", [], ["w"], value=outside())
    sparse = onnx.SparseTensorProto(values=outside("v"), indices=numpy_helper.from_array(np.array([0]), "i"), dims=[2])
    indices = onnx.SparseTensorProto(values=numpy_helper.from_array(np.ones(1, np.float32), "v"), indices=outside("i"))
    listed = helper.make_node("Relu", ["x"], ["prediction"])
    listed.attribute.add(name="many", type=onnx.AttributeProto.TENSORS).tensors.append(outside("t"))
    deep = graph([constant], (), ("w",))
    deeper = graph([branches(deep)], (), ("prediction",))
    relu = helper.make_node("Relu", ["x"], ["prediction"])
    hidden = {
        "'w'": [model(weights=[outside()]), model(weights=[marked_only()]), model(constant, relu),
                model(branches(deep), weights=[YES]), model(branches(deeper), weights=[YES])],
        "'v'": [model(sparse_initializer=[sparse]),
                model(helper.make_node("Constant", [], ["w"], sparse_value=sparse), relu)],
        "'i'": [model(sparse_initializer=[indices])],
        "'t'": [model(listed)],
    }  # fmt: skip
    for name, models in hidden.items():
        for made in models:
            refuse(
                made, rf"tensor {name} lies outside the file \(external data, location '(\.\./secret\.bin|/etc/pass)"
            )


def test_unknown_domains_and_operators_are_refused_by_name():
    foreign = helper.make_node("Gelu", ["x"], ["prediction"], "g1", domain="com.microsoft")
    refuse(
        model(foreign, opsets=[("", 21), ("com.microsoft", 1)]),
        r"node 'g1' is the operator Gelu of domain 'com\.microsoft'; only ai\.onnx and ai\.onnx\.ml are run",
    )
    refuse(model(helper.make_node("Reluu", ["x"], ["prediction"])), r"'Reluu', which opset 21 .*Did you mean 'Relu'\?")
    refuse(model(helper.make_node("Gelu", ["x"], ["prediction"]), opsets=[("", 19)]), r"'Gelu'.*opset 19.*Opset 20 has")
    refuse(model(helper.make_node("MemcpyToHost", ["x"], ["prediction"])), "'MemcpyToHost', which opset 21")
    refuse(
        model(helper.make_node("Scaler", ["x"], ["prediction"], domain="ai.onnx.ml")), "opset the file does not name"
    )
    refuse(model(opsets=[("", 21), ("ai.onnx", 7)]), "imports opsets 21 and 7 of ai.onnx")
    inner = graph([helper.make_node("Steal", ["x"], ["b"])], (), ("b",))
    refuse(model(branches(inner), weights=[YES]), "'Steal'")
    refuse(model(helper.make_node("RandomNormalLike", ["x"], ["prediction"])), "draws random numbers")


def test_dropout_passes_only_where_it_cannot_be_training():
    """In training mode it draws random numbers (ONNX Runtime does so too)."""
    ratio = numpy_helper.from_array(np.array(0.5, np.float32), "ratio")
    check_onnx(model(helper.make_node("Dropout", ["x", "ratio"], ["prediction"]), weights=[ratio]).SerializeToString(),
               "mine.onnx")  # fmt: skip
    training = helper.make_node("Dropout", ["x", "ratio", "condition"], ["prediction"], "d1")
    refuse(model(training, weights=[ratio, YES]), "node 'd1' is Dropout with an input for its training mode")


def test_functions_training_graphs_and_overloads_are_refused():
    body = [helper.make_node("Relu", ["a"], ["b"])]
    made = model()
    made.functions.append(helper.make_function("own", "F", ["a"], ["b"], body, [helper.make_opsetid("", 21)]))
    refuse(made, r"holds functions of its own \(1\)")
    made = model()
    made.training_info.add()
    refuse(made, "holds training graphs")
    node = helper.make_node("Relu", ["x"], ["prediction"])
    node.overload = "other"
    refuse(model(node), "'Relu'")


def test_the_interface_is_as_expected():
    expected = {"inputs": ["x"], "outputs": ["prediction"]}
    relu = helper.make_node("Relu", ["x"], ["prediction"])
    refuse(model(relu, inputs=("x", "more")), "has the inputs x, more, expected x", **expected)
    refuse(model(relu, outputs=("prediction", "x")), "has the outputs prediction, x, expected prediction", **expected)
    refuse(model(helper.make_node("Relu", ["y"], ["prediction"]), inputs=("y",)), "has the inputs y", **expected)
    weight = numpy_helper.from_array(
        np.zeros((1, 2), np.float32), "w"
    )  # an input with a default, as old files list them
    add = helper.make_node("Add", ["x", "w"], ["prediction"])
    check_onnx(model(add, inputs=("x", "w"), weights=[weight]).SerializeToString(), "old.onnx", **expected)


@pytest.mark.parametrize("content", [b"nonsense", b"\xff" * 40, model().SerializeToString()[:-5], b"\x80\x04K\x01."])
def test_garbage_is_no_onnx(content):
    with pytest.raises(ArtifactError, match=r"^mine\.onnx cannot be loaded: it"):
        check_onnx(content, "mine.onnx")


def test_size_and_the_runtimes_own_format_are_refused():
    content = model().SerializeToString()
    with pytest.raises(ArtifactError, match=rf"has {len(content)} bytes, more than 50"):
        check_onnx(content, "mine.onnx", max_bytes=50)
    # a valid protobuf whose bytes 4 to 8 make ONNX Runtime read it in another format, past every check
    polyglot = b"\xa2\x06\x0b\x00ORTM" + bytes(6) + content
    assert onnx.load_model_from_string(polyglot).graph.node[0].op_type == "Relu"
    with pytest.raises(ArtifactError, match=r"ONNX Runtime's own format"):
        check_onnx(polyglot, "mine.onnx")


def test_the_operators_are_those_of_the_standard():
    first: dict[tuple[str, str], int] = {}
    for schema in defs.get_all_schemas_with_history():
        key = schema.domain, schema.name
        first[key] = min(first.get(key, schema.since_version), schema.since_version)
    standard = {key: since for key, since in first.items() if key[0] in DOMAINS}
    assert set(operators()) == set(standard)
    assert {k for k in standard if operators()[k] != standard[k]} <= {  # the runtime knew these first
        ("", "ThresholdedRelu"), ("", "MeanVarianceNormalization"), ("", "LayerNormalization"),
    }  # fmt: skip
    assert not {name for _, name in operators()} & set(FOREIGN)


def test_loading_a_model_file_goes_through_the_guard():
    header = b'{"format": "onnx", "family": "Any", "task": "regress", "n_features": 2, "length": 0, "context": []}'
    sum_up = helper.make_node("ReduceSum", ["x", "axis"], ["prediction"], keepdims=0)
    axis = numpy_helper.from_array(np.array([1]), "axis")
    made = model(sum_up, weights=[axis])
    made.graph.output[0].type.tensor_type.shape.dim.pop()
    files = {"model.json": header, "model.onnx": made.SerializeToString()}
    np.testing.assert_array_equal(load_fitted("Any", files).predict(np.array([[1.0, 2.0]])), [3.0])
    made.graph.initializer.append(outside())
    with pytest.raises(ArtifactError, match=r"Any: model\.onnx: tensor 'w' lies outside the file"):
        load_fitted("Any", {**files, "model.onnx": made.SerializeToString()})


def test_looking_through_a_model_is_cheap():
    """Under a millisecond for 100 nodes and 100,000 weights (the best of many: machines are busy)."""
    weights = [numpy_helper.from_array(np.zeros((100, 10), np.float32), f"w{i}") for i in range(100)]
    nodes = [helper.make_node("Add", [f"n{i - 1}" if i else "x", f"w{i}"], [f"n{i}"], f"node{i}") for i in range(100)]
    content = model(*nodes, outputs=("n99",), weights=weights).SerializeToString()
    check_onnx(content, "mine.onnx")
    times = []
    for _ in range(50):
        start = time.perf_counter()
        check_onnx(content, "mine.onnx", inputs=["x"], outputs=["n99"])
        times.append(time.perf_counter() - start)
    assert min(times) < 1e-3


def test_the_guard_needs_no_onnx():
    code = "import sys; from workbench.models.onnx_guard import *; operators(); print('onnx' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"
