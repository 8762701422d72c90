"""What RewardBased, VAE, GAN, MetaLearning and MultiTask do that other families do not."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch

from workbench.models import neural
from workbench.models.base import Budget, Family
from workbench.models.fitted import ONNX_FILE
from workbench.models.networks import meta
from workbench.models.networks.gan import Critic, Generator
from workbench.models.networks.layers import Batch
from workbench.models.networks.meta import CODE, SymbolHeads
from workbench.models.networks.multi_task import SharedTrunk
from workbench.models.networks.reward import Trader
from workbench.models.networks.vae import Autoencoder
from workbench.models.prepare import Sample
from workbench.models.registry import FAMILIES
from workbench.models.runtime import load_fitted

NAMES = ("RewardBased", "VAE", "GAN", "MetaLearning", "MultiTask")
BUDGET = Budget(epochs=4)
every = pytest.mark.parametrize("family", [FAMILIES[n] for n in NAMES], ids=NAMES)


def planted(rows: int, ic: float, seed: int = 0, features: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, signal): the signal is in two of the features."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((rows, features))
    signal = (x[:, 0] - x[:, 1]) / np.sqrt(2)
    return x, ic * signal + rng.standard_normal(rows), signal


def beside(y: np.ndarray, cost: float = 0.02) -> dict[str, np.ndarray]:
    """All that a family may learn from beside y: a barrier at 1, excursions a little beyond the return, the cost."""
    known = np.where(np.isfinite(y), 0.0, np.nan)
    return {
        "peak": (y < -1) + known, "valley": (y > 1) + known, "highest": np.maximum(y, 0) + 0.3,
        "lowest": np.minimum(y, 0) - 0.3, "cost": cost + known,
    }  # fmt: skip


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a, b)[0, 1])


@every
def test_a_weak_signal_is_found_among_noise(family: Family):
    x, y, signal = planted(16_000, ic=0.08)
    fitted = family.fit(x[:10_000], y[:10_000], seed=0, budget=BUDGET, auxiliary=beside(y[:10_000]))
    out = fitted.predict(x[10_000:])
    assert correlation(out, signal[10_000:]) > 0.5
    assert 0.2 < (out * y[10_000:]).mean() / (out**2).mean() < 3  # as large as it says
    assert out.std() < 0.12


@every
def test_tasks_with_missing_labels_share_a_network(family: Family):
    x, y, signal = planted(7000, ic=0.3)
    rng = np.random.default_rng(1)
    labels = np.column_stack([y, -0.5 * y, np.full(7000, np.nan)])
    labels[rng.random(labels.shape) < 0.2] = np.nan
    train, test = slice(0, 4000), slice(4000, None)
    how = {"seed": 0, "budget": BUDGET, "auxiliary": beside(labels[train])}
    models = family.fit_tasks(x[train], labels[train], np.where(np.isfinite(labels[train]), 0.5, 0.0), **how)
    out = [m.predict(x[test]) for m in models]
    assert correlation(out[0], signal[test]) > 0.8
    assert correlation(out[1], signal[test]) < -0.8
    assert models[2].info["constant"] == 1
    for model, native in zip(models, out):
        np.testing.assert_allclose(load_fitted(family.name, model.files()).predict(x[test]), native, atol=1e-5)


@every
def test_a_file_is_small_and_holds_only_what_predicts(family: Family):
    x, y, _ = planted(1000, ic=0.5, features=66)
    fitted = family.fit(x, y, seed=0, budget=BUDGET, auxiliary=beside(y))
    content = fitted.files()[ONNX_FILE]
    assert len(content) < 60_000
    operators = {node.op_type for node in onnx.load_from_string(content).graph.node}
    assert not operators & {"RandomNormal", "RandomNormalLike", "RandomUniform", "Exp", "Sigmoid"}


# RewardBased


def test_flipped_labels_give_flipped_forecasts():
    x, y, _ = planted(2000, ic=0.3)
    one, other = (
        FAMILIES["RewardBased"].fit(x, sign * y, seed=4, budget=BUDGET, auxiliary=beside(y)).predict(x)
        for sign in (1, -1)
    )
    assert one.std() > 0.1
    np.testing.assert_allclose(other, -one, atol=1e-3)


def test_a_cost_above_the_edge_shrinks_the_position_and_leaves_the_forecast():
    x, y, signal = planted(16_000, ic=0.08)
    train, test = slice(0, 10_000), slice(10_000, None)
    family = FAMILIES["RewardBased"]
    out = family.fit(x[train], y[train], seed=0, budget=BUDGET, auxiliary=beside(y[train], cost=0.4)).predict(x[test])
    assert correlation(out, signal[test]) > 0.5


def test_the_reward_is_what_the_position_earns():
    trader = Trader(1, (4,), 1, 0.0, risk=0.2, ramp=1)
    with torch.no_grad():
        trader.head.bias.fill_(float(np.arctanh(0.5)))
    y, weight = torch.tensor([[1.0], [-2.0], [7.0]]), torch.tensor([[1.0], [1.0], [0.0]])
    cost = torch.tensor([[0.3], [np.nan], [0.3]])
    batch = Batch(torch.zeros(3, 1), y, weight, {"cost": cost})
    gross = (0.5 * (1 - 2) - 0.1 * 0.25 * (1 + 4)) / 3
    assert trader.loss(batch).item() == pytest.approx(-gross)  # no cost at first
    paid = 2 * 0.3 * (np.sqrt(0.25 + 0.01) - 0.1) / 3  # an unknown cost is that of the others
    assert trader.loss(batch).item() == pytest.approx(-gross + paid)


def test_a_position_stays_within_one_and_its_scale_is_the_forecasts():
    trader = Trader(1, (4,), 2, 0.0, risk=0.2, ramp=1)
    with torch.no_grad():
        trader.head.bias.fill_(9.0)
    trader.scale(np.array([0.25, 0.0]))
    assert trader(torch.zeros(1, 1)).tolist()[0] == pytest.approx([0.25, 0.0], abs=1e-6)


# VAE


def test_the_code_rebuilds_what_features_share():
    """Eight features made of two: the decoder, from the code's mean, explains most of them."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy((rng.standard_normal((2000, 2)) @ rng.standard_normal((2, 8))).astype(np.float32))
    x = x / x.std(dim=0)
    with neural.deterministic(0, 1):
        network = Autoencoder(8, 32, 16, 1, 0.0, False, weight=1.0, beta=0.1)
        batch = Batch(x, torch.zeros(2000, 1), torch.ones(2000, 1))
        optimisers = network.optimisers(3e-3, 0.0)
        for _ in range(200):
            network.update(batch, optimisers)
        with torch.no_grad():
            rebuilt = network.decoder(network.mean(network.trunk(x)))
    assert float(((rebuilt - x) ** 2).mean()) < 0.2


def test_the_evidence_bound_is_exact_where_it_is_known():
    """A decoder that gives 0 and a code that is standard normal: |z|^2 / 2F, no divergence; the head gives 0."""
    network = Autoencoder(3, 4, 2, 1, 0.0, False, weight=0.5, beta=7.0)
    with torch.no_grad():
        for layer in (network.mean, network.decoder[2]):
            layer.weight.zero_()
            layer.bias.zero_()
    x, y = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0]])
    assert network.loss(Batch(x, y, torch.ones(1, 1))).item() == pytest.approx(4.0 + 0.5 * 7.0 / 3)
    with torch.no_grad():
        network.mean.bias.fill_(1.0)
    assert network.loss(Batch(x, y, torch.ones(1, 1))).item() == pytest.approx(4.0 + 0.5 * (7.0 + 7.0) / 3)


# GAN


def generator(**changes: float) -> Generator:
    how = {"draws": 16, "noise": 8, "anchor": 1.0, "pressure": 1.0, **changes}
    return Generator(3, (16,), 8, 1, 0.0, **how)


def test_a_forecast_is_the_mean_of_the_fixed_draws():
    with neural.deterministic(0, 1):
        network = generator()
        torch.nn.init.normal_(network.head.weight)
        x = torch.randn(5, 3)
    with torch.no_grad():
        known = network.mix(network.trunk(x))
        draws = [network.head(torch.relu(known + network.stir(e))) + network.spread(e) for e in network.noise]
        np.testing.assert_allclose(network(x), torch.stack(draws).mean(dim=0), atol=1e-6)
        assert float(torch.stack(draws).std(dim=0).min()) > 0.1
    assert network.noise.sum().abs() < 1e-5
    assert len({tuple(e) for e in network.noise.tolist()}) == 16


def test_the_critic_alone_moves_the_draws_to_the_labels():
    """Without the anchor: labels are 1.5 * sign of the first feature plus a little noise."""
    with neural.deterministic(0, 1):
        network = generator(anchor=0.0)
        x = torch.randn(512, 3)
        y = 1.5 * torch.sign(x[:, :1]) + 0.3 * torch.randn(512, 1)
        optimisers = network.optimisers(3e-3, 0.0)
        for _ in range(300):
            network.update(Batch(x, y, torch.ones(512, 1)), optimisers)
        with torch.no_grad():
            assert correlation(network(x)[:, 0].numpy(), y[:, 0].numpy()) > 0.8


def test_the_critic_sees_each_task_alone():
    with neural.deterministic(0, 1):
        critic = Critic(3, 8, 4, 2, 0.0)
        x, y = torch.randn(4, 3), torch.randn(4, 2)
    with torch.no_grad():
        before = critic(x, y)
        y[:, 1] += 1.0
        after = critic(x, y)
    assert (before[:, 0] == after[:, 0]).all()
    assert (before[:, 1] != after[:, 1]).all()


def test_another_seed_draws_other_noise():
    noises = []
    for seed in (0, 0, 1):
        with neural.deterministic(seed, 1):
            noises.append(generator().noise)
    assert (noises[0] == noises[1]).all()
    assert (noises[0] != noises[2]).any()


# MultiTask


def shared(**changes: float) -> SharedTrunk:
    how = {"mean": [[0.2], [0.2], [0.5], [-0.5]], "spread": [[1.0]] * 4, "event": 0.1, "excursion": 0.1, **changes}
    return SharedTrunk(2, (4,), 1, 0.0, False, **how)


def test_losses_of_all_heads_are_added_and_the_unknown_left_out():
    network = shared(event=0.5, excursion=0.25)
    y, weight = torch.tensor([[1.0], [3.0]]), torch.ones(2, 1)
    nothing = {name: torch.full((2, 1), np.nan) for name in ("peak", "valley", "highest", "lowest")}
    x = torch.zeros(2, 2)
    assert network.loss(Batch(x, y, weight, nothing)).item() == pytest.approx((1 + 9) / 2)
    known = {**nothing, "peak": torch.tensor([[1.0], [np.nan]]), "lowest": torch.tensor([[np.nan], [-1.5]])}
    extra = 0.5 * -np.log(0.2) / 2 + 0.25 * 1.0 / 2
    assert network.loss(Batch(x, y, weight, known)).item() == pytest.approx(5 + extra)
    network.loss(Batch(x, y, weight, known)).backward()
    assert all(p.grad is None or bool(p.grad.isfinite().all()) for p in network.parameters())


def test_the_other_targets_shape_the_trunk():
    """A return that is almost silent, excursions that are loud: their trunk carries the signal to the return."""
    x, y, signal = planted(2000, ic=0.3)
    quiet = FAMILIES["MultiTask"].fit(x, y, seed=0, budget=BUDGET, auxiliary=dict.fromkeys(
        ("peak", "valley", "highest", "lowest"), np.full(2000, np.nan)))  # fmt: skip
    loud = FAMILIES["MultiTask"].fit(x, y, seed=0, budget=BUDGET, auxiliary={
        "peak": (signal < -1) * 1.0, "valley": (signal > 1) * 1.0, "highest": signal, "lowest": signal})  # fmt: skip
    other, _, hidden = planted(3000, ic=0.3, seed=9)
    assert correlation(quiet.predict(other), hidden) > 0.8
    assert correlation(loud.predict(other), hidden) > correlation(quiet.predict(other), hidden)


def test_a_barrier_classifier_learns_from_the_others_too():
    x, y, _ = planted(4000, ic=0.5)
    valley = (y > 1).astype(float)
    fitted = FAMILIES["MultiTask"].fit(
        x[:3000], valley[:3000], seed=0, classify=True, budget=BUDGET, auxiliary=beside(y[:3000])
    )
    p, event = fitted.predict(x[3000:]), valley[3000:]
    assert np.mean((p - event) ** 2) < np.mean((event.mean() - event) ** 2)


# MetaLearning


def symbols(rows: int, n: int, ic: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(x, y, signal) with the symbol's number last: the first feature counts up in even symbols, down in odd ones."""
    rng = np.random.default_rng(seed)
    x = np.column_stack([rng.standard_normal((rows, 6)), np.arange(rows) % n])
    signal = x[:, 0] * np.where(x[:, 6] % 2, -1, 1)
    return x, ic * signal + rng.standard_normal(rows), signal


def test_heads_adapt_to_symbols_that_differ():
    x, y, signal = symbols(9000, 6, ic=0.4)
    train, test = slice(0, 6000), slice(6000, None)
    family = FAMILIES["MetaLearning"]
    fitted = family.fit(x[train], y[train], seed=0, budget=BUDGET, context=("symbol",))
    out = fitted.predict(x[test])
    assert correlation(out, signal[test]) > 0.6
    pooled = family.fit(x[train, :6], y[train], seed=0, budget=BUDGET).predict(x[test, :6])
    assert pooled.std() < 0.1  # what all symbols share is nothing


def test_a_symbol_not_met_before_takes_the_start():
    x, y, _ = symbols(6000, 6, ic=0.4)
    fitted = FAMILIES["MetaLearning"].fit(x, y, seed=0, budget=BUDGET, context=("symbol",))
    model = load_fitted("MetaLearning", fitted.files())
    rows = np.repeat(x[:50], 9, axis=0)
    rows[:, 6] = np.tile([-1, 6, 7, 1000, 2.0**22, 1e30, 0, 1, 5], 50)
    native, exported = fitted.predict(rows).reshape(50, 9), model.predict(rows).reshape(50, 9)
    np.testing.assert_allclose(exported, native, atol=1e-5)
    for out in (native, exported):
        assert np.ptp(out[:, :6], axis=1).max() < 1e-6
        assert np.abs(out[:, 6:] - out[:, :1]).max() > 0.1  # known ones have heads of their own
    unknown = rows[:3].copy()
    unknown[:, 6] = np.nan
    assert np.isnan(model.predict(unknown)).all()


def test_without_differences_heads_stay_at_the_start():
    x = symbols(6000, 6, ic=0.0)[0]
    rng = np.random.default_rng(5)
    y = 0.1 * x[:, 1] + rng.standard_normal(6000)
    fitted = FAMILIES["MetaLearning"].fit(x, y, seed=0, budget=BUDGET, context=("symbol",))
    moved = x.copy()
    moved[:, 6] = -1
    np.testing.assert_array_equal(fitted.predict(moved), fitted.predict(x))
    assert correlation(fitted.predict(x), x[:, 1]) > 0.5


def test_the_symbol_stands_behind_other_context():
    x, y, signal = symbols(6000, 6, ic=0.4)
    x = np.column_stack([x[:, :6], np.full(6000, 0.3), np.full(6000, 0.4), x[:, 6]])
    fitted = FAMILIES["MetaLearning"].fit(x, y, seed=0, budget=BUDGET, context=("p_peak", "p_valley", "symbol"))
    assert correlation(fitted.predict(x), signal) > 0.6


def heads(n: int) -> SymbolHeads:
    with neural.deterministic(0, 1):
        return SymbolHeads(3, (8, 4), 1, 0.0, False, symbol=2, groups=n + 1)


def table(rows: int = 600, n: int = 3) -> tuple[Sample, torch.Tensor]:
    """Rows of n symbols, standardised, whose label is the first feature times the symbol's number minus 1."""
    rng = np.random.default_rng(0)
    x = np.column_stack([rng.standard_normal((rows, 2)), np.arange(rows) % n]).astype(np.float32)
    y = (x[:, :1] * (x[:, 2:] - 1)).astype(float)
    z = x.copy()
    z[:, 2] *= CODE
    return Sample(x, y, np.ones_like(y), 0.0, "regress", "MetaLearning", 10, context=("symbol",)), torch.from_numpy(z)


class Given:
    """A feed of rows that are standardised already."""

    def __init__(self, z: torch.Tensor) -> None:
        self.z = z

    def __len__(self) -> int:
        return len(self.z)

    def inputs(self, index: torch.Tensor) -> torch.Tensor:
        return self.z[index]


def test_an_episode_holds_rows_of_one_symbol_per_task():
    sample, z = table()
    rows = meta.Rows(heads(3), Given(z), sample, "cpu")
    with neural.deterministic(0, 1):
        episode = rows.episode(20)
    code = (episode.x[..., 2] / CODE).reshape(20, -1)
    assert (code == code[:, :1]).all()
    assert set(code[:, 0].tolist()) == {0.0, 1.0, 2.0}
    np.testing.assert_allclose(episode.y, episode.x[..., :1] * (code[:, :1, None, None] - 1)[:, 0][:, None], atol=1e-6)


def test_an_adapted_head_fits_its_symbol_better_and_shrinks_with_few_rows():
    network = heads(3)
    errors = {}
    for size in (600, 60):
        sample, z = table(size)
        with torch.no_grad():
            meta.adapt(network, meta.Rows(network, Given(z), sample, "cpu"))
            assert not network.moves[0].any()
            errors[size] = float(((network.eval()(z) - torch.from_numpy(sample.y)) ** 2).mean() / (sample.y**2).mean())
    assert errors[600] < errors[60] < 1


def test_the_outer_gradient_points_away_from_where_the_tasks_end():
    """Against one network per task, taken down its own rows by plain gradient descent."""
    sample, z = table()
    network = heads(3)
    torch.nn.init.normal_(network.head.weight)
    with neural.deterministic(0, 1):
        episode = meta.Rows(network, Given(z), sample, "cpu").episode(3)
    start, ends = [p.detach().clone() for p in network.parameters()], []
    for task in range(3):
        one = copy.deepcopy(network)
        descent = torch.optim.SGD(one.parameters(), lr=meta.INNER_RATE)
        for step in range(meta.STEPS):
            descent.zero_grad()
            one.loss(Batch(*(a[task, step] for a in (episode.x, episode.y, episode.weight)))).backward()
            descent.step()
        ends.append(list(one.parameters()))
    away = [(p - sum(e) / 3).detach() / (meta.STEPS * meta.INNER_RATE) for p, *e in zip(start, *ends)]
    away = [p / max(1.0, torch.sqrt(sum((q**2).sum() for q in away))) for p in away]
    meta.reptile(network, torch.optim.SGD(network.parameters(), lr=1.0), episode)
    for parameter, before, want in zip(network.parameters(), start, away):
        np.testing.assert_allclose(before - parameter.detach(), want, atol=1e-4)


def test_evidence_is_a_t_statistic():
    rng = np.random.default_rng(0)
    y = rng.standard_normal((4000, 1))
    sample = Sample(np.zeros((4000, 1), np.float32), y, np.ones_like(y), 0.0, "regress", "MetaLearning", 10)
    nothing = np.zeros((4000, 1))
    noise = [meta.evidence(nothing, rng.standard_normal((4000, 1)), sample) for _ in range(200)]
    assert np.std(noise) == pytest.approx(1.0, abs=0.15)
    assert meta.evidence(nothing, 0.1 * y + rng.standard_normal((4000, 1)), sample) > 4
    assert abs(meta.evidence(y, 0.1 * y, sample)) < 1e-6  # explained already


def test_evidence_is_not_made_by_labels_that_overlap_and_share_the_market():
    rng = np.random.default_rng(1)
    bars, symbols, length = 800, 10, 24
    passed = 0
    for _ in range(60):
        steps = rng.standard_normal((bars + length, symbols)) + rng.standard_normal((bars + length, 1))
        level = np.vstack([np.zeros((1, symbols)), steps.cumsum(axis=0)])
        change = rng.standard_normal((bars // 40, symbols)).repeat(40, axis=0)  # slow, as features are
        y = (level[length : length + bars] - level[:bars]).reshape(-1, 1)
        sample = Sample(np.zeros((len(y), 1), np.float32), y, np.ones_like(y), 0.0, "regress", "MetaLearning", 10)
        passed += meta.evidence(np.zeros_like(y), change.reshape(-1, 1), sample) > meta.EVIDENCE
    assert passed <= 5  # 2 % are due; row by row it was a third
