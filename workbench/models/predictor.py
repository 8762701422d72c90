"""Stage 3 live: every loaded model asked once for all symbols."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from workbench.core.arrays import FloatArray
from workbench.core.errors import ArtifactError, ConfigError, DataError
from workbench.core.horizon import N_HORIZONS, horizon
from workbench.core.types import Forecasts, ModelKey, Snapshot, schema_hash
from workbench.models.asking import Answers, Question
from workbench.models.base import BarrierKey, RuntimeModel, Side, Stack
from workbench.models.runtime import check_device
from workbench.models.strategies import context_columns, find_strategy

SIDES: tuple[Side, Side] = ("peak", "valley")


class ModelPredictor:
    """Forecasts of all symbols from models that are loaded already; it opens no files and reads no clock.

    First p_peak, p_valley = the stack of the barrier classifiers; then expected_return[m] = prediction_m * sigma_h of
    its horizon, where a cascade also sees these probabilities, and a model of single symbols their codes. Intraday
    horizons read `snapshot.features`, day horizons `snapshot.daily`. NaN, that is abstention, where a horizon is not
    open, a symbol has no features or no sigma, or a model fails or answers NaN.

    `models`, `barriers`: key -> loaded model; `stack` may be None without barriers; `intraday_names`, `daily_names`:
    the features that the models were trained on, in order; `symbols` those that a model may know by its code (a symbol
    that is not among them is unknown to it). `threads` asks models side by side. `cache_size` answers
    are kept, by (digest of the artifact, digest of its input): a cache that only saves time, never changes a value.

    `failed`, `silent`: str(key) -> how often a model failed, or answered NaN for a symbol whose features it knew;
    `asked`, `seconds`: how often it was asked anew, and how long that took in all.
    A snapshot with other features than trained is a :class:`DataError` that names the first difference.
    """

    def __init__(
        self,
        models: Mapping[ModelKey, RuntimeModel],
        barriers: Mapping[BarrierKey, RuntimeModel],
        stack: Stack | None,
        intraday_names: tuple[str, ...],
        daily_names: tuple[str, ...],
        symbols: tuple[str, ...] = (),
        *,
        device: str = "cpu",
        threads: int = 1,
        cache_size: int = 1024,
    ) -> None:
        check_device(device)
        for name, value in (("threads", threads), ("cache_size", cache_size)):
            if value < 1:
                raise ConfigError(f"{name} is {value}, must be at least 1")
        self.models = dict(models)
        self.barriers = dict(barriers)
        self.stack = stack
        self.names = {False: tuple(intraday_names), True: tuple(daily_names)}  # horizon is_day -> feature names
        self._code = {symbol: code for code, symbol in enumerate(symbols)}
        self._schema = {is_day: schema_hash(names) for is_day, names in self.names.items()}
        self._check_models()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="models") if threads > 1 else None
        self._answers = Answers(cache_size)
        self.failed: Counter[str] = Counter()
        self.silent: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.seconds: Counter[str] = Counter()

    @property
    def window(self) -> int:
        """Bars, and sessions, of history that snapshots must carry for every model to speak: the longest window."""
        return max((m.length for _, m in self._every()), default=0)

    def predict(self, snapshot: Snapshot) -> Forecasts:
        """(M, N) expected returns and (H, N) calibrated barrier probabilities."""
        self._check_schema(snapshot)
        n = len(snapshot.symbols)
        inputs = LiveInputs(snapshot, np.array([self._code.get(s, -1) for s in snapshot.symbols], np.float64))
        peak, valley = self._barriers(self._ask(self.barriers, inputs), n)
        inputs.tell(peak, valley)
        raw = self._ask(self.models, inputs)
        expected = np.full((len(self.models), n), np.nan)
        for row, key in enumerate(self.models):
            if key in raw:
                sigma = snapshot.sigma_h[horizon(key.horizon).order]
                expected[row] = find_strategy(key.strategy).expected_return(raw[key], sigma)
        return Forecasts(tuple(self.models), expected, peak, valley)

    def _ask(self, models: Mapping[Any, RuntimeModel], inputs: LiveInputs) -> dict[Any, FloatArray]:
        """Key -> (N,) raw answer of every model whose horizon is open; counts failures, silence and time."""
        questions = [inputs.question(key, model) for key, model in models.items() if inputs.is_open(key)]
        answers = self._answers.of(questions, self._pool)
        for question, (values, seconds) in zip(questions, answers, strict=True):
            name = str(question.key)
            self.failed[name] += values is None
            self.silent[name] += values is not None and bool(np.isnan(values[question.known]).any())
            self.asked[name] += seconds > 0
            self.seconds[name] += seconds  # type: ignore[assignment]
        return {q.key: a.values for q, a in zip(questions, answers, strict=True) if a.values is not None}

    def _barriers(self, raw: Mapping[Any, FloatArray], n: int) -> tuple[FloatArray, FloatArray]:
        if self.stack is None:
            return np.full((N_HORIZONS, n), np.nan), np.full((N_HORIZONS, n), np.nan)
        unknown = np.full(n, np.nan)
        peak, valley = (
            {
                label: np.array([raw.get(BarrierKey(family, side, label), unknown) for family in families])
                for label, families in self.stack.families_.items()
            }
            for side in SIDES
        )
        return self.stack.apply(peak, valley, n)

    def _every(self) -> Iterator[tuple[ModelKey | BarrierKey, RuntimeModel]]:
        yield from self.models.items()
        yield from self.barriers.items()

    def _check_models(self) -> None:
        for key, model in self._every():
            names = self.names[horizon(key.horizon).is_day]
            if model.n_features != len(names):
                raise ArtifactError(f"{key} was fitted on {model.n_features} features, its schema names {len(names)}")
        for key in self.models:
            find_strategy(key.strategy)

    def _check_schema(self, snapshot: Snapshot) -> None:
        for is_day, features in ((False, snapshot.features), (True, snapshot.daily)):
            used = any(horizon(key.horizon).is_day == is_day for key, _ in self._every())
            if used and features.schema != self._schema[is_day]:
                kind = "daily" if is_day else "intraday"
                raise DataError(
                    f"{kind} features differ from training: {difference(features.names, self.names[is_day])}"
                )


def difference(got: tuple[str, ...], wanted: tuple[str, ...]) -> str:
    """The first place where two lists of feature names differ.

    >>> difference(("a", "c"), ("a", "b"))
    "feature 1 is 'c', the models were trained on 'b'"
    >>> difference(("a",), ("a", "b"))
    "feature 1 is missing, the models were trained on 'b' (1 features, trained on 2)"
    """
    for i, (have, want) in enumerate(zip(got, wanted)):
        if have != want:
            return f"feature {i} is {have!r}, the models were trained on {want!r}"
    i = min(len(got), len(wanted))
    have, want = (repr(names[i]) if len(names) > i else "missing" for names in (got, wanted))
    counts = f"({len(got)} features, trained on {len(wanted)})"
    if want == "missing":
        return f"feature {i} is {have}, the models were trained without it {counts}"
    return f"feature {i} is {have}, the models were trained on {want} {counts}"


class LiveInputs:
    """What the models read of one snapshot, put together once. `code` (N,) of the symbols, -1 unknown."""

    def __init__(self, snapshot: Snapshot, code: FloatArray) -> None:
        self._snapshot = snapshot
        self._code = code
        self._peak = self._valley = np.full((N_HORIZONS, len(code)), np.nan)
        self._made: dict[Any, Question] = {}  # what decides the input -> what to ask with

    def tell(self, peak: FloatArray, valley: FloatArray) -> None:
        """The calibrated barrier probabilities (H, N), which cascades read."""
        self._peak, self._valley = peak, valley

    def is_open(self, key: Any) -> bool:
        """Whether the horizon of `key` ends before its session does."""
        return bool(self._snapshot.horizon_open[horizon(key.horizon).order])

    def question(self, key: Any, model: RuntimeModel) -> Question:
        """The input of `model`, shared with every other model that reads the same."""
        h = horizon(key.horizon)
        warned = h.order if "p_peak" in model.context or "p_valley" in model.context else -1
        kind = h.is_day, model.length, model.context, warned
        if kind not in self._made:
            features = self._snapshot.daily if h.is_day else self._snapshot.features
            context = context_columns(
                model.context, len(self._code), self._peak[h.order], self._valley[h.order], self._code
            )
            bar = 0 if h.is_day else self._snapshot.bar_of_session
            self._made[kind] = Question.of(features, context, model.length, bar, optional=h.is_day)
        return self._made[kind].to(key, model)
