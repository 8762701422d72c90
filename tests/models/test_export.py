import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from workbench.models.export import INPUT, Graph, Tree, add_trees, float32_below
from workbench.models.prepare import Standardiser


def run(content, x):
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: x})[0]


def walk(tree, row):
    """The leaf value of one row, node by node, in double precision."""
    node = 0
    while tree.left[node] >= 0:
        node = tree.left[node] if float(row[tree.feature[node]]) <= tree.threshold[node] else tree.right[node]
    return tree.value[node]


@given(st.floats(-1e30, 1e30), st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_rounded_threshold_never_flips_a_branch(threshold, x):
    below = float(float32_below(threshold))
    assert below <= threshold
    assert (x <= threshold) == (x <= below)


def random_tree(rng, features, depth):
    nodes = 2 ** (depth + 1) - 1
    inner = np.arange(nodes) < 2**depth - 1
    left = np.where(inner, 2 * np.arange(nodes) + 1, -1)
    right = np.where(inner, 2 * np.arange(nodes) + 2, -1)
    return Tree(rng.integers(0, features, nodes), rng.standard_normal(nodes), left, right, rng.standard_normal(nodes))


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 4))
def test_trees_agree_with_walking_them(seed, count, depth):
    rng = np.random.default_rng(seed)
    trees = [random_tree(rng, 3, depth) for _ in range(count)]
    stump = Tree(*(np.array([v]) for v in (0, 0.0, -1, -1, 0.25)))
    x = rng.standard_normal((40, 3)).astype(np.float32)
    x[:5] = np.float32(trees[0].threshold[0])  # exactly on a threshold
    graph = Graph((3,))
    out = run(graph.finish(add_trees(graph, INPUT, [*trees, stump], 1.5)), x)
    expected = [1.75 + sum(walk(tree, row) for tree in trees) for row in x]
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_trees_that_never_split_are_a_constant():
    graph = Graph((2,))
    stump = Tree(*(np.array([v]) for v in (0, 0.0, -1, -1, 0.25)))
    out = run(graph.finish(add_trees(graph, INPUT, [stump, stump], 1.0)), np.ones((3, 2), np.float32))
    assert out.tolist() == [1.5] * 3


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (20, 3), elements=st.floats(-(2.0**66), 2.0**66, width=32) | st.just(float("nan"))))
def test_standardising_in_the_graph_is_bit_identical(x):
    rng = np.random.default_rng(0)
    standardiser = Standardiser.fit((rng.standard_normal((100, 3)) * [1e-3, 1, 1e4]).astype(np.float32))
    graph = Graph((3,))
    pick = graph.affine(graph.standardised(INPUT, standardiser), np.array([[0.0], [1.0], [0.0]]), [0.0])
    np.testing.assert_array_equal(run(graph.finish(pick), x), standardiser.apply(x)[:, 1])


def test_the_same_graph_has_the_same_bytes():
    def build():
        graph = Graph((2,))
        return graph.finish(graph.affine(INPUT, np.ones((2, 1)), [0.5]))

    assert build() == build()
    assert run(build(), np.ones((2, 2), np.float32)) == pytest.approx([2.5, 2.5])
