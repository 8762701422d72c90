"""The networks over windows: what they compute, what they can and cannot see, and what they learn."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from workbench.models.base import Budget
from workbench.models.export import INPUT, Graph
from workbench.models.networks.attention import Attention, Block, Encoder, sinusoids
from workbench.models.networks.convolution import Convolutions
from workbench.models.networks.fusion import Body, Fusion, Reader
from workbench.models.networks.recurrent import Recurrence
from workbench.models.registry import FAMILIES
from workbench.models.runtime import load_fitted
from workbench.models.windows import WindowView

SEQUENTIAL = ["CNN1D", "Transformer", "TabCNN", "TabLSTM", "TabTransformer", "LSTM"]
FUSED = {"TabCNN": Convolutions, "TabLSTM": Recurrence, "TabTransformer": Encoder}
BUDGET = Budget(sequence_epochs=4)
LENGTH, CHANNELS = 20, 5

every = pytest.mark.parametrize("name", SEQUENTIAL)
bodies = pytest.mark.parametrize("body", [Convolutions, Recurrence, lambda: Encoder(LENGTH)],
                                 ids=["convolution", "recurrence", "attention"])  # fmt: skip


def scrambled(module: nn.Module, seed: int = 0) -> Any:
    """`module` at rest, every parameter drawn anew: nothing is 0 by its start."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return module.eval()


def windows(rows: int = 6, channels: int = CHANNELS, seed: int = 1) -> Tensor:
    return torch.randn(rows, LENGTH, channels, generator=torch.Generator().manual_seed(seed))


def written(network: Any, x: Tensor) -> np.ndarray:
    """What ONNX Runtime makes of the network's graph; one output."""
    graph = Graph(tuple(x.shape[1:]))
    session = onnxruntime.InferenceSession(graph.finish(network.emit(graph, INPUT)), providers=["CPUExecutionProvider"])
    return session.run(None, {INPUT: x.numpy()})[0]


def panel(rows: int, seed: int = 0, symbols: int = 3, features: int = 4) -> tuple[np.ndarray, WindowView]:
    """Independent normal features (T, N, F), and one window of LENGTH bars per bar and symbol."""
    values = np.random.default_rng(seed).standard_normal((rows // symbols, symbols, features))
    bar, column = np.divmod(np.arange(values.shape[0] * symbols), symbols)
    return values, WindowView(values, np.arange(len(values)) % 26, bar, column, LENGTH)


def labelled(signal: np.ndarray, seed: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """(label, signal) by row: half a sigma of signal in noise."""
    signal = (signal / signal.std()).ravel()
    return 0.5 * signal + 0.85 * np.random.default_rng(seed).standard_normal(len(signal)), signal


@bodies
@pytest.mark.parametrize("kind", [Reader, Fusion])
def test_graph_and_network_agree_with_any_weights(body: Any, kind: Any):
    network = scrambled(kind(CHANNELS, body(), 1, 0.1, False))
    x = windows()
    with torch.inference_mode():
        expected = network(x)[:, 0].numpy()
    scale = expected.std()
    assert scale > 0.05
    np.testing.assert_allclose(written(network, x) / scale, expected / scale, atol=1e-5)


@bodies
def test_one_row_or_many_say_the_same(body: Any):
    network = scrambled(Reader(CHANNELS, body(), 1, 0.1, False))
    x = windows(300)
    with torch.inference_mode():
        many, one = network(x), torch.cat([network(row) for row in x[250:].split(1)])
    torch.testing.assert_close(many[250:] / many.std(), one / many.std(), atol=1e-5, rtol=0)


@bodies
def test_the_order_of_bars_matters(body: Any):
    network = scrambled(Reader(CHANNELS, body(), 1, 0.1, False))
    x = windows()
    shuffled = torch.cat([x[:, torch.randperm(LENGTH - 1, generator=torch.Generator().manual_seed(0))], x[:, -1:]], 1)
    with torch.inference_mode():
        assert (network(x) - network(shuffled)).abs().max() > 1e-3


def test_convolutions_see_15_bars_back_at_the_last_position():
    body = scrambled(Convolutions())
    x = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        base = body(x)[:, :16]
        for age, seen in ((0, True), (14, True), (15, False), (39, False)):
            changed = x.clone()
            changed[:, 39 - age] += 3.0
            assert bool((body(changed)[:, :16] != base).any()) is seen


def test_attention_by_hand():
    """One head of 2 channels, all maps the identity: softmax(q k' / sqrt 2) v, worked out on paper."""
    attention = Attention(2, 1)
    with torch.no_grad():
        for layer in (attention.query, attention.key, attention.value, attention.out):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        out = attention(torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[1.0, 0.0], [0.0, 3.0]]]))
    first = np.exp(1 / np.sqrt(2)) / (np.exp(1 / np.sqrt(2)) + 1)
    np.testing.assert_allclose(out.numpy(), [[[first, 3 * (1 - first)]]], rtol=1e-6)


def test_attention_is_that_of_pytorch():
    mine = scrambled(Attention(8, 2))
    theirs = nn.MultiheadAttention(8, 2, batch_first=True).eval()
    with torch.no_grad():
        parts = (mine.query, mine.key, mine.value)
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
        theirs.out_proj.load_state_dict(mine.out.state_dict())
        x = windows(channels=8)
        torch.testing.assert_close(mine(x[:, -1:], x), theirs(x[:, -1:], x, x)[0], atol=1e-5, rtol=0)


def test_the_last_block_computes_the_last_position_of_a_whole_block():
    last, whole = scrambled(Block(16, 2, 0.1, last=True)), Block(16, 2, 0.1, last=False).eval()
    whole.load_state_dict(last.state_dict())
    x = windows(channels=16)
    with torch.inference_mode():
        assert last(x).shape == (6, 1, 16)
        torch.testing.assert_close(last(x)[:, 0], whole(x)[:, -1], atol=1e-5, rtol=0)


def test_sinusoids_start_at_the_latest_bar_and_tell_ages_apart():
    positions = sinusoids(64, 16)
    np.testing.assert_allclose(positions[-2, [0, 8]], [np.sin(1.0), np.cos(1.0)], rtol=1e-6)
    np.testing.assert_allclose(positions[0, [7, 15]], [np.sin(63 / 64), np.cos(63 / 64)], rtol=1e-5)
    distances = torch.cdist(positions, positions) + 10 * torch.eye(64)
    assert distances.min() > 0.3


def test_fusion_is_a_body_beside_a_perceptron():
    class Last(Body):
        projection, width = 3, 3

        def forward(self, bars: Tensor) -> Tensor:
            return bars[:, -1]

    network = scrambled(Fusion(CHANNELS, Last(), 2, 0.5, False, hidden=(4,)))
    x = windows()
    with torch.inference_mode():
        w = {name: value.numpy().astype(float) for name, value in network.state_dict().items()}
        latest = x[:, -1].numpy().astype(float)
        dense = np.maximum(latest @ w["dense.0.weight"].T + w["dense.0.bias"], 0)
        both = np.hstack([latest @ w["project.weight"].T + w["project.bias"], dense])
        np.testing.assert_allclose(network(x), both @ w["head.weight"].T + w["head.bias"], atol=1e-5)


@pytest.mark.parametrize("name", FUSED)
def test_fused_families_hold_the_body_of_their_kind_and_a_dense_branch(name: str):
    network = built(name)
    assert type(network) is Fusion
    assert type(network.body) is FUSED[name]
    assert network.head.in_features == network.body.width + 32


def built(name: str, features: int = 4, outputs: int = 1) -> Any:
    from workbench.models.prepare import make_sample

    _, view = panel(600, features=features)
    sample = make_sample(FAMILIES[name], view, np.arange(600) % 7)
    return FAMILIES[name].network(sample, features + 1, outputs)


@every
def test_small_enough_for_hundreds_of_models(name: str):
    """At 66 features and 9 horizons: parameters, the positions included."""
    assert sum(p.numel() for p in built(name, 66, 9).parameters()) < 15_000


@every
def test_learns_what_only_older_bars_tell(name: str):
    """The sum of one feature over the three bars before the latest: the latest row knows nothing of it."""
    values, view = panel(3600)
    a = values[:, :, 1]
    y, signal = labelled(np.roll(a, 1, axis=0) + np.roll(a, 2, axis=0) + np.roll(a, 3, axis=0))
    fitted = FAMILIES[name].fit(view.take(slice(0, 2700)), y[:2700], seed=2, budget=BUDGET)
    test = view.take(slice(2750, None))
    out = fitted.predict(test)
    assert np.corrcoef(out, signal[2750:])[0, 1] > 0.5
    np.testing.assert_allclose(load_fitted(name, fitted.files()).predict(test), out, atol=1e-5)


@pytest.mark.parametrize("name", ["CNN1D", "Transformer", "TabLSTM"])
def test_learns_from_the_session_marker(name: str):
    """Whether the session is younger than 6 bars: no feature tells. Learned faster than usual, to be quick."""
    _, view = panel(2700)
    y, signal = labelled(np.repeat(np.where(view.bar_of_session < 6, 2.0, -0.6), 3))
    family = replace(FAMILIES[name], rate=6e-3)
    fitted = family.fit(view.take(slice(0, 2100)), y[:2100], seed=2, budget=Budget(sequence_epochs=7))
    assert np.corrcoef(fitted.predict(view.take(slice(2150, None))), signal[2150:])[0, 1] > 0.5
