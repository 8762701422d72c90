"""The frame of the families that are networks: standardise, train, silence what has no skill, write as ONNX."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.models.export import INPUT, Graph
from workbench.models.fitted import ONNX_FILE, FittedModel, constant_model, header_of
from workbench.models.learner import Effort, Learner
from workbench.models.prepare import Sample, Standardiser

if TYPE_CHECKING:
    from workbench.models.networks.layers import Network
    from workbench.models.neural import Best, Feed, Recipe

NO_SKILL = "no epoch beats the constant on later rows"


@dataclass(frozen=True, slots=True)
class NeuralLearner(Learner):
    """A network with one output per task. A subclass says which `network`, and how it is trained by its `recipe`."""

    shares: bool = True
    neural: bool = True
    rate: float = 3e-4
    decay: float = 0.1
    batch: int = 1024

    def network(self, sample: Sample, n_channels: int, outputs: int) -> Network:
        """The untrained network for inputs of `n_channels` (features, context and, of a window, the marker)."""
        raise NotImplementedError

    def recipe(self) -> Recipe:
        """How the network is trained."""
        from workbench.models.neural import Recipe

        return Recipe(self.rate, self.decay, self.batch)

    def learn_tasks(self, sample: Sample, how: Effort) -> tuple[FittedModel, ...]:
        """See :class:`~workbench.models.learner.Learner`."""
        from workbench.models import neural

        early, late = sample.as_tasks().split(how.gap)
        standardiser = self.standardiser(early)
        epochs = how.budget.sequence_epochs if self.sequential else how.budget.epochs
        with neural.deterministic(how.seed, how.threads, how.device):
            n_channels = early.x.shape[1] + int(self.sequential)
            network = self.network(sample, n_channels, early.y.shape[1]).to(how.device)
            feeds = tuple(neural.feed(part, standardiser, how.device) for part in (early, late))
            best = self.train(network, early, late, feeds, epochs, how.device)
            if best is None:
                return tuple(constant_model(sample, NO_SKILL) for _ in range(early.y.shape[1]))
            network.round_hidden()
            skilled = network.classify | (neural.slopes(neural.predict(network, feeds[1], how.device), late) > 0)
        info = {"rows": len(sample), "score": best.score, "updates": best.updates}
        return tuple(
            fitted_network(sample, standardiser, network, how, info, k)
            if skilled[k]
            else constant_model(sample, NO_SKILL)
            for k in range(early.y.shape[1])
        )

    def train(
        self, network: Any, early: Sample, late: Sample, feeds: tuple[Feed, ...], epochs: int, device: str
    ) -> Best | None:
        """Train in place; None if nothing beats the constant on the later rows."""
        from workbench.models import neural

        return neural.train(network, early, late, feeds, self.recipe(), epochs, device)

    def standardiser(self, early: Sample) -> Standardiser:
        """Learned on the early rows."""
        return Standardiser.fit(early.x)


def fitted_network(
    sample: Sample, standardiser: Standardiser, network: Network, how: Effort, info: dict[str, Any], task: int
) -> FittedModel:
    """Output `task` of a trained network as a model of its own."""
    from workbench.models import neural

    classify, windows = sample.task == "classify", sample.windows

    def native(x: Any) -> Any:
        with neural.deterministic(0, how.threads, how.device):
            data = neural.TableFeed(x, standardiser, how.device) if windows is None else neural.WindowFeed(
                x, standardiser, how.device)  # fmt: skip
            raw = neural.predict(network, data, how.device)[:, task]
        return 0.5 * (1 + np.tanh(0.5 * raw)) if classify else raw

    content = {ONNX_FILE: write_onnx(sample, standardiser, network, task)}
    return FittedModel(sample.family, sample.task, header_of(sample, "onnx"), content, native, dict(info))


def write_onnx(sample: Sample, standardiser: Standardiser, network: Network, task: int) -> bytes:
    """The model file of output `task`: standardise (a window's marker passes through), network, sigmoid of a logit."""
    width, windows = sample.x.shape[1], sample.windows
    graph = Graph((width,) if windows is None else (windows.length, width + 1))
    z = graph.standardised(INPUT, standardiser if windows is None else standardiser.with_marker())
    out = network.emit(graph, z)
    if network.head.out_features > 1:
        out = graph.add("Gather", out, graph.constant([task], np.int64), axis=1)
    return graph.finish(graph.add("Sigmoid", out) if sample.task == "classify" else out)
