"""ONNX graphs written node by node: exact, deterministic bytes, and milliseconds instead of a framework's seconds.

Every graph takes `x` (R, F) or (R, L, F + 1) float32, NaN allowed, and gives `prediction` (R,) float32. The weights
are initialisers inside the file. Operators: ONNX opset 21, and ai.onnx.ml 5 for trees.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.models.prepare import Standardiser

IR_VERSION, OPSET, ML_OPSET, ML_DOMAIN = 10, 21, 5, "ai.onnx.ml"
INPUT, OUTPUT = "x", "prediction"


class Graph:
    """A growing graph; every method that adds a node returns the name of its result."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape  # of one row of the input: (F,) or (L, F + 1)
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """An initialiser."""
        from onnx import numpy_helper

        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(values, dtype=dtype), name))
        return name

    def add(self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """A node; its results are named after its number, and the last one is returned."""
        from onnx import helper

        names = [f"n{len(self._nodes)}_{i}" if i else f"n{len(self._nodes)}" for i in range(outputs)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return names[-1]

    def last(self, x: str, axis: int) -> str:
        """x at its last place along `axis`, which goes away."""
        kept = self.add("Gather", x, self.constant([-1], np.int64), axis=axis)
        return self.add("Squeeze", kept, self.constant([axis], np.int64))

    def filled(self, x: str, values: Any) -> str:
        """x with NaN replaced by `values` along the last axis."""
        return self.add("Where", self.add("IsNaN", x), self.constant(values), x)

    def standardised(self, x: str, standardiser: Standardiser) -> str:
        """clip((x - mean) * inverse), NaN -> 0: the same operations as :meth:`Standardiser.apply`."""
        known = self.filled(x, standardiser.mean)
        z = self.add(
            "Mul", self.add("Sub", known, self.constant(standardiser.mean)), self.constant(standardiser.inverse)
        )
        return self.add("Clip", z, self.constant(-standardiser.clip), self.constant(standardiser.clip))

    def affine(self, x: str, weight: Any, bias: Any, *, half: bool = False) -> str:
        """x @ weight + bias; `half` stores a weight that is exact in float16 in half of the space."""
        w = self.constant(weight, np.float16 if half else np.float32)
        if half:
            w = self.add("Cast", w, to=1)  # 1: float32
        return self.add("Add", self.add("MatMul", x, w), self.constant(bias))

    def finish(self, column: str) -> bytes:
        """The model file, its output being `column` (R, 1) as a vector."""
        from onnx import TensorProto, helper

        axis = self.constant([-1], np.int64)
        self._nodes.append(helper.make_node("Squeeze", [column, axis], [OUTPUT]))
        x = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["rows", *self.shape])
        y = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows"])
        graph = helper.make_graph(self._nodes, "model", [x], [y], self._constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="workbench")
        return bytes(model.SerializeToString(deterministic=True))


@dataclass(frozen=True, slots=True)
class Tree:
    """A binary regression tree of n nodes, root first: go `left` where x[feature] <= threshold.

    `left`, `right` (n,) node numbers, negative at a leaf; `value` (n,) used at leaves.
    """

    feature: NDArray[Any]
    threshold: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    value: NDArray[Any]


def float32_below(values: Any) -> NDArray[np.float32]:
    """The largest float32 not above each value: for float32 x, ``x <= value`` and ``x <= result`` always agree.

    >>> float(float32_below(0.1)) <= 0.1, float(np.float32(0.1)) <= 0.1
    (True, False)
    """
    exact = np.asarray(values, np.float64)
    near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)


def add_trees(graph: Graph, x: str, trees: list[Tree], offset: float) -> str:
    """(R, 1) offset + sum of the trees' leaf values, as one TreeEnsemble node. x must not hold NaN."""
    grown = [tree for tree in trees if tree.left[0] >= 0]
    offset += sum(float(tree.value[0]) for tree in trees if tree.left[0] < 0)
    if not grown:
        zero = graph.add("Mul", graph.add("ReduceSum", x, graph.constant([1], np.int64)), graph.constant(0.0))
        return graph.add("Add", zero, graph.constant([offset]))
    total = graph.add("TreeEnsemble", x, domain=ML_DOMAIN, **_tree_attributes(grown))
    return graph.add("Add", total, graph.constant([offset]))


def _tree_attributes(trees: list[Tree]) -> dict[str, Any]:
    from onnx import numpy_helper

    names = ("nodes_featureids", "nodes_truenodeids", "nodes_falsenodeids", "nodes_trueleafs", "nodes_falseleafs")
    rows: dict[str, list[int]] = {name: [] for name in names}
    splits: list[float] = []
    leaves: list[float] = []
    roots: list[int] = []
    for tree in trees:
        inner = np.flatnonzero(tree.left >= 0)
        outer = np.flatnonzero(tree.left < 0)
        number = np.empty(len(tree.left), np.int64)
        number[inner] = np.arange(len(inner)) + len(splits)
        number[outer] = np.arange(len(outer)) + len(leaves)
        roots.append(len(splits))
        rows["nodes_featureids"] += tree.feature[inner].tolist()
        for side, ids, flags in ((tree.left, names[1], names[3]), (tree.right, names[2], names[4])):
            rows[ids] += number[side[inner]].tolist()
            rows[flags] += (tree.left[side[inner]] < 0).astype(int).tolist()
        splits += float32_below(tree.threshold[inner]).tolist()
        leaves += tree.value[outer].tolist()
    return {
        **rows,
        "tree_roots": roots,
        "nodes_splits": numpy_helper.from_array(np.array(splits, np.float32)),
        "nodes_modes": numpy_helper.from_array(np.zeros(len(splits), np.uint8)),  # 0: branch to true if x <= split
        "leaf_weights": numpy_helper.from_array(np.array(leaves, np.float32)),
        "leaf_targetids": [0] * len(leaves),
        "aggregate_function": 1,  # sum
        "n_targets": 1,
        "post_transform": 0,
    }
