"""The network of MetaLearning, and how it is trained: Reptile over symbols, then a head for each of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from workbench.core.arrays import FloatArray
from workbench.models import neural
from workbench.models.export import Graph
from workbench.models.losses import TINY
from workbench.models.networks.layers import Batch, Network, array, emit, perceptron, quiet
from workbench.models.prepare import Sample

CODE = 2.0**-20
"""A symbol's number comes in times this power of 2: exact, and below every clip."""
STEPS, ROWS, INNER_RATE = 2, 32, 0.02
ADAPTATION, PRIOR_ROWS = 5, 1000
STRENGTHS, EVIDENCE, BLOCKS = (0.0, 0.5, 1.0), 2.0, 40


class SymbolHeads(Network):
    """head(state) + moves[group] (state - centre), state = trunk(features); group 0, of every unknown symbol, has no
    move. `symbol` is the column of the symbol's number, None without one; number i is group i + 1 of `groups`."""

    moves: Tensor
    centre: Tensor

    def __init__(
        self, n_inputs: int, hidden: tuple[int, ...], outputs: int, dropout: float, classify: bool, *,
        symbol: int | None, groups: int,
    ) -> None:  # fmt: skip
        super().__init__(classify)
        self.symbol, self.features = symbol, [j for j in range(n_inputs) if j != symbol]
        self.trunk = perceptron(len(self.features), hidden, dropout)
        self.head = quiet(nn.Linear(hidden[-1], outputs))
        self.register_buffer("moves", torch.zeros(groups, outputs, hidden[-1]))
        self.register_buffer("centre", torch.zeros(hidden[-1]))

    def state(self, x: Tensor) -> Tensor:
        """(b, hidden)."""
        out: Tensor = self.trunk(x[:, self.features])
        return out

    def group(self, x: Tensor) -> Tensor:
        """(b,) whose head a row takes."""
        if self.symbol is None:
            return torch.zeros(len(x), dtype=torch.long, device=x.device)
        code = x[:, self.symbol] / CODE
        return torch.where((code >= 0) & (code < len(self.moves) - 1), code + 1, 0).long()

    def forward(self, x: Tensor) -> Tensor:
        state = self.state(x)
        out: Tensor = self.head(state)
        return out + self.moved(state, self.group(x))

    def moved(self, state: Tensor, group: Tensor) -> Tensor:
        """(b, K) what the moves add."""
        return (self.moves[group] * (state - self.centre)[:, None, :]).sum(dim=2)

    def scale(self, factors: Any) -> None:
        super().scale(factors)
        self.moves.mul_(torch.as_tensor(factors, dtype=torch.float32, device=self.moves.device)[:, None])

    def round_hidden(self) -> None:
        super().round_hidden()
        self.moves.copy_(self.moves.half())

    def emit(self, graph: Graph, x: str) -> str:
        features = graph.add("Gather", x, graph.constant(self.features, np.int64), axis=1)
        state = emit(graph, self.trunk, features)
        out = emit(graph, self.head, state)
        if self.symbol is None or not self.moves.any():
            return out
        table = graph.constant(array(self.moves), np.float16)
        moves = graph.add("Cast", graph.add("Gather", table, self._emit_group(graph, x)), to=1)
        centred = graph.add("Sub", state, graph.constant(array(self.centre)))
        product = graph.add("Mul", moves, graph.add("Unsqueeze", centred, graph.constant([1], np.int64)))
        return graph.add("Add", out, graph.add("ReduceSum", product, graph.constant([2], np.int64), keepdims=0))

    def _emit_group(self, graph: Graph, x: str) -> str:
        number = graph.add("Gather", x, graph.constant([self.symbol], np.int64), axis=1)
        code = graph.add("Div", graph.add("Squeeze", number, graph.constant([1], np.int64)), graph.constant([CODE]))
        known = graph.add("And", graph.add("GreaterOrEqual", code, graph.constant([0])),
                          graph.add("Less", code, graph.constant([len(self.moves) - 1])))  # fmt: skip
        group = graph.add("Where", known, graph.add("Add", code, graph.constant([1])), graph.constant([0]))
        return graph.add("Cast", group, to=7)  # 7: int64


class Rows:
    """Rows of all symbols, and those of each: what episodes are drawn from and heads are adapted to."""

    def __init__(self, network: SymbolHeads, data: neural.Feed, sample: Sample, device: str) -> None:
        self.x = data.inputs(torch.arange(len(data), device=device))
        self.y, self.weight = (torch.from_numpy(a.astype(np.float32)).to(device) for a in (sample.y, sample.weight))
        group = network.group(self.x)
        self.order = torch.argsort(group, stable=True)
        self.groups, self.count = torch.unique_consecutive(group[self.order], return_counts=True)
        self.start = torch.cumsum(self.count, 0) - self.count

    def episode(self, tasks: int) -> Batch:
        """(tasks, STEPS, ROWS, ...): rows of symbols drawn in proportion to their rows."""
        chosen = torch.multinomial(self.count.float(), tasks, replacement=True)
        draw = torch.rand(tasks, STEPS * ROWS, device=chosen.device) * self.count[chosen, None]
        at = torch.minimum(draw.long(), self.count[chosen, None] - 1) + self.start[chosen, None]
        rows = self.order[at].view(tasks, STEPS, ROWS)
        return Batch(self.x[rows], self.y[rows], self.weight[rows])


def train(
    network: SymbolHeads, early: Sample, late: Sample, feeds: tuple[neural.Feed, ...], recipe: neural.Recipe,
    epochs: int, device: str,
) -> neural.Best | None:  # fmt: skip
    """As :func:`workbench.models.neural.train`, by Reptile; the heads of the symbols are adapted at every look."""
    if network.classify:
        network.set_bias(float(np.log(early.center / (1 - early.center))))
    optimiser = network.optimisers(recipe.rate, recipe.decay)[0]
    rows = Rows(network, feeds[0], early, device)
    tasks = max(1, recipe.batch_of(len(early)) // (STEPS * ROWS))
    per_epoch = -(-len(early) // (tasks * STEPS * ROWS))
    best_score, best, best_step = neural.score(network, late, feeds[1], device), None, 0
    for step in range(1, epochs * per_epoch + 1):
        network.train()
        reptile(network, optimiser, rows.episode(tasks))
        if step % max(1, per_epoch // recipe.checks) == 0:
            now = look(network, rows, feeds[1], late, device)
            if now > best_score:
                best_score, best, best_step = now, copy.deepcopy(network.state_dict()), step
    if best is None:
        return None
    network.load_state_dict(best)
    if not network.classify:
        network.scale(neural.slopes(neural.predict(network, feeds[1], device), late))
    return neural.Best(best_score, best_step)


def reptile(network: SymbolHeads, optimiser: Any, episode: Batch) -> None:
    """One outer step: STEPS inner steps on each task from the same weights, then towards the mean of where they end."""
    plain = nn.Sequential(network.trunk, network.head)
    start = {name: value.detach() for name, value in plain.named_parameters()}

    def loss(weights: dict[str, Tensor], x: Tensor, y: Tensor, weight: Tensor) -> Tensor:
        return network.misfit(functional_call(plain, weights, (x[:, network.features],)), Batch(x, y, weight))

    slope = vmap(grad(loss), randomness="different")
    fast = {name: value.expand(len(episode.x), *value.shape) for name, value in start.items()}
    for step in range(STEPS):
        steep = slope(fast, episode.x[:, step], episode.y[:, step], episode.weight[:, step])
        fast = {name: value - INNER_RATE * steep[name] for name, value in fast.items()}
    for name, parameter in plain.named_parameters():
        parameter.grad = (start[name] - fast[name].mean(dim=0)) / (STEPS * INNER_RATE)
    nn.utils.clip_grad_norm_(list(plain.parameters()), 1.0)
    optimiser.step()


@torch.no_grad()
def look(network: SymbolHeads, rows: Rows, data: neural.Feed, late: Sample, device: str) -> float:
    """Adapt the heads, by the strength that is best on the later rows if the moves explain anything; the score."""
    network.eval()
    network.moves.zero_()
    plain = neural.predict(network, data, device)
    adapt(network, rows)
    change = neural.predict(network, data, device) - plain
    strengths = STRENGTHS if evidence(plain, change, late) > EVIDENCE else (0.0,)
    scores = {s: neural.measure(plain + s * change, late, network.classify) for s in strengths}
    strength = max(scores, key=lambda s: scores[s])
    network.moves.mul_(strength)
    return scores[strength]


def evidence(plain: FloatArray, change: FloatArray, late: Sample) -> float:
    """t statistic of the change (R, K) against what the plain outputs leave unexplained on the later rows.

    Its error comes from sums over BLOCKS stretches of time: rows of one moment share the market, and labels overlap, so
    that row by row the t of a worthless change would pass 2 one time in three.
    """
    if late.task == "classify":
        expected = 0.5 * (1 + np.tanh(0.5 * plain))
    else:
        expected = neural.slopes(plain, late) * plain
    gain = (late.weight * (late.y - expected) * change).sum(axis=1)
    edges = np.linspace(0, len(gain), min(BLOCKS, len(gain)) + 1).astype(int)
    block = np.add.reduceat(gain, edges[:-1])
    return float(block.sum() / np.sqrt((block**2).sum() + TINY))


def adapt(network: SymbolHeads, rows: Rows) -> None:
    """Set the move of each known symbol: ADAPTATION gradient steps on its rows, shrunk by n / (n + PRIOR_ROWS)."""
    state = torch.cat([network.state(part) for part in rows.x.split(neural.PREDICTION_BATCH)])
    network.centre.copy_(state.mean(dim=0))
    state = state - network.centre
    steepest = torch.linalg.eigvalsh(state.T @ state / len(state))[-1].clamp(min=1e-6)
    base = torch.nn.functional.linear(state + network.centre, network.head.weight, network.head.bias)
    for group, start, count in zip(rows.groups.tolist(), rows.start.tolist(), rows.count.tolist()):
        if group == 0:
            continue
        own = rows.order[start : start + count]
        s, y, weight = state[own], rows.y[own], rows.weight[own]
        total = weight.sum(dim=0).clamp(min=1e-6)
        move = torch.zeros_like(network.head.weight)
        for _ in range(ADAPTATION):
            out = base[own] + s @ move.T
            error = (torch.sigmoid(out) if network.classify else out) - y
            move -= ((weight * error) / total).T @ s / steepest
        network.moves[group] = move * (count / (count + PRIOR_ROWS))
