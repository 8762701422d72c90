"""Asking loaded models: shared inputs, remembered answers, failures turned into abstention."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from workbench.core.arrays import BoolArray, FloatArray, readonly
from workbench.core.digest import digest
from workbench.core.errors import DataError
from workbench.core.types import Features
from workbench.models.base import ModelFailure, RuntimeModel
from workbench.models.prepare import clean, unknown_rows
from workbench.models.windows import with_marker


@dataclass(frozen=True, slots=True)
class Question:
    """One model and what it is asked: `x` (N, F + E) or (N, L, F + E + 1) float32, None where the snapshot lacks it.

    `known` (N,) symbols with at least one known feature and all of the context; `digest` of x.
    """

    x: Any
    known: BoolArray
    digest: str
    key: Any = None
    model: RuntimeModel | None = None

    @classmethod
    def of(
        cls, features: Features, context: FloatArray, length: int, bar_of_session: int, *, optional: bool
    ) -> Question:
        """The input for models with a `context` (N, E) and a window of `length` bars (0: the latest row).

        A window of another length than the snapshot's is a DataError; where windows are `optional` (day horizons), a
        snapshot without any means that the model abstains.
        """
        latest = clean(np.hstack([features.latest, context]))
        known = ~unknown_rows(latest, context.shape[1])
        if length == 0:
            return cls(latest, known, digest(latest))
        got = features.window.shape[1]
        if got == 0 and optional:
            return cls(None, known, "")
        if got < length:
            raise DataError(
                f"a sequential model reads {length} bars per symbol, the snapshot carries {got}: "
                f"ask for snapshots with window={length}"
            )
        x = with_marker(features.window[:, got - length :], bar_of_session, context)
        return cls(x, known, digest(x))

    def to(self, key: Any, model: RuntimeModel) -> Question:
        """The same input for `model`."""
        return replace(self, key=key, model=model)

    def ask(self) -> Answer:
        """The answer, None where the model fails or its input is missing, and how long it took."""
        start = time.perf_counter()
        if self.x is None or self.model is None:
            return Answer(None, 0.0)
        try:
            values = readonly(self.model.predict(self.x))
        except ModelFailure:
            values = None
        return Answer(values, time.perf_counter() - start)


class Answer(NamedTuple):
    """`values` (N,), read-only, or None; `seconds` that the model took, 0 where the answer was remembered."""

    values: FloatArray | None
    seconds: float


class Answers:
    """Answers by (digest of model, digest of input), the oldest forgotten beyond `size`. Failures are not kept."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: OrderedDict[tuple[str, str], FloatArray] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def of(self, questions: Sequence[Question], pool: ThreadPoolExecutor | None) -> list[Answer]:
        """The answer to each question, asked in `pool` where it is new."""
        names = [("" if q.model is None else q.model.digest, q.digest) for q in questions]
        new = [q for q, name in zip(questions, names, strict=True) if name not in self._kept]
        fresh = iter(list(map(Question.ask, new) if pool is None else pool.map(Question.ask, new)))
        out = [Answer(self._kept[name], 0.0) if name in self._kept else next(fresh) for name in names]
        for name, answer in zip(names, out, strict=True):
            self._keep(name, answer.values)
        return out

    def _keep(self, name: tuple[str, str], answer: FloatArray | None) -> None:
        if answer is None:
            return
        self._kept[name] = answer
        self._kept.move_to_end(name)
        while len(self._kept) > self._size:
            self._kept.popitem(last=False)
