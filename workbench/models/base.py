"""What every family of models promises: how it is fitted, asked and written down.

A family sees a table of features, a label in units of its own sigma, and weights. It knows no horizon, no symbol and
no calendar: rows come in time order, that is all. R rows, F features, L bars of a window.

Conventions shared by all families
----------------------------------
* `y` is the realised return divided by sigma_h (unit-ish), or 0/1 when ``classify=True``. Regressors predict the
  *deviation from the mean label*: a drift that all rows share is not a forecast, so a constant label gives 0.
* Features are cast to float32 before anything is learned; infinities count as unknown. NaN is imputed inside the
  fitted model. A row whose features are all NaN (of a window: of its latest bar) predicts NaN, which is abstention.
* Rows with an unknown label or a weight of 0 are left out of the fit. Fewer than `min_rows` such rows is an
  :class:`~workbench.core.errors.InsufficientDataError`.
* The same inputs, seed and threads give the same bytes in :meth:`Fitted.files`.
* The last columns of X may be *context*: not features of the schema but what else is known of the row, named by
  `context` (see CONTEXT). A row with an unknown context predicts NaN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from workbench.core.arrays import FloatArray
from workbench.core.errors import ConfigError, WorkbenchError, nearest_name
from workbench.core.types import OofForecasts
from workbench.models.windows import WindowView

Inputs: TypeAlias = FloatArray | WindowView
"""(R, F) features, or a view of R windows for a sequential family."""

CONTEXT = ("p_peak", "p_valley", "symbol")
"""What may stand behind the features: calibrated barrier probabilities, and the number of the symbol (-1 unknown)."""

AUXILIARY = ("peak", "valley", "highest", "lowest", "cost")
"""What a family may learn from beside the label, in sigmas where it is a return: which barrier was touched first, the
largest and smallest return on the way, and the cost of the round trip."""

Task = Literal["regress", "classify"]
Side = Literal["peak", "valley"]


class BarrierKey(NamedTuple):
    """One barrier classifier: P(the lower (`peak`) or upper (`valley`) barrier is touched first)."""

    family: str
    side: Side
    horizon: str

    def __str__(self) -> str:
        return f"{self.family}/{self.side}/{self.horizon}"


class ModelFailure(WorkbenchError, RuntimeError):
    """A loaded model could not answer: the predictor counts it and lets the model abstain."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The most work that one fit may do. Early stopping usually ends it sooner.

    `rounds` boosting rounds; `trees` of a forest; `epochs` of a tabular network; `sequence_epochs` of a sequential
    one; `passes` over the rows of an online learner.
    """

    rounds: int = 200
    trees: int = 60
    epochs: int = 6
    sequence_epochs: int = 3
    passes: int = 4

    @classmethod
    def named(cls, profile: str) -> Budget:
        """The budget of a training profile: ``demo``, ``default`` or ``full``.

        >>> Budget.named("demo").rounds < Budget.named("full").rounds
        True
        """
        if profile not in _PROFILES:
            known = ", ".join(_PROFILES)
            raise ConfigError(f"profile {profile!r} is unknown: choose from {known}.{nearest_name(profile, _PROFILES)}")
        return _PROFILES[profile]


_PROFILES: dict[str, Budget] = {
    "demo": Budget(rounds=100, trees=30, epochs=4, sequence_epochs=2, passes=3),
    "default": Budget(),
    "full": Budget(rounds=600, trees=200, epochs=20, sequence_epochs=8, passes=6),
}


DEFAULT_BUDGET = _PROFILES["default"]


@runtime_checkable
class Fitted(Protocol):
    """A family after its fit, still in the library that fitted it."""

    @property
    def family(self) -> str: ...

    @property
    def task(self) -> Task: ...

    @property
    def info(self) -> dict[str, float | int | str]:
        """For reports: rows used, best iteration, weights of a stack; ``constant`` 1 where nothing was learned."""
        ...

    def predict(self, X: Inputs) -> FloatArray:
        """(R,) float64: sigmas of expected return, or P(y = 1) for a classifier; NaN where the row abstains."""
        ...

    def files(self) -> dict[str, bytes]:
        """File name -> content; ``load_fitted(family, files)`` gives the same predictions to 1e-5, without torch."""
        ...


@runtime_checkable
class RuntimeModel(Protocol):
    """A fitted model as it runs live: ONNX Runtime or the library's own text format."""

    @property
    def family(self) -> str: ...

    @property
    def task(self) -> Task: ...

    @property
    def digest(self) -> str:
        """Content digest of the files it was loaded from."""
        ...

    @property
    def n_features(self) -> int:
        """F of the schema, without context and without the session marker of a window."""
        ...

    @property
    def context(self) -> tuple[str, ...]:
        """Names of CONTEXT that stand behind the F features of a row."""
        ...

    @property
    def length(self) -> int:
        """Bars of the window it wants; 0 for a tabular model."""
        ...

    def predict(self, X: Any) -> FloatArray:
        """(R,) for X (R, F + E) with E columns of context, a WindowView, or (R, L, F + E + 1) windows with the marker.

        Raises :class:`ModelFailure` when its runtime fails.
        """
        ...


@runtime_checkable
class Family(Protocol):
    """How one family learns. Families are stateless: `fit` returns what was learned."""

    @property
    def name(self) -> str: ...

    @property
    def sequential(self) -> bool:
        """Whether X is a :class:`~workbench.models.windows.WindowView`."""
        ...

    @property
    def slow(self) -> bool:
        """Whether ``max_rows_slow`` caps its training rows; a sequential family has ``max_rows_sequential``."""
        ...

    @property
    def classifies(self) -> bool:
        """Whether ``classify=True`` is supported."""
        ...

    @property
    def shares(self) -> bool:
        """Whether `fit_tasks` learns several labels at once (a shared trunk or vector leaves)."""
        ...

    @property
    def linear(self) -> bool:
        """Whether it cannot let one feature change the meaning of another: pooled tasks then need interactions."""
        ...

    @property
    def per_symbol(self) -> bool:
        """Whether it wants the context ``symbol``."""
        ...

    @property
    def neural(self) -> bool:
        """Whether it is trained on a `device`."""
        ...

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of AUXILIARY that it learns from."""
        ...

    @property
    def horizons(self) -> tuple[str, ...]:
        """Labels of the only horizons that it serves; empty: all."""
        ...

    @property
    def knows_until(self) -> int:
        """Last moment (ns) that it knows of before any fit; 0 for a family that knows only what it is given."""
        ...

    @property
    def min_rows(self) -> int: ...

    def fit(
        self,
        X: Inputs,
        y: FloatArray,
        weight: FloatArray | None = None,
        *,
        seed: int,
        classify: bool = False,
        threads: int = 1,
        budget: Budget = DEFAULT_BUDGET,
        gap: int | None = None,
        context: Sequence[str] = (),
        auxiliary: Mapping[str, FloatArray] | None = None,
        device: str = "cpu",
    ) -> Fitted:
        """Learn y (R,) from X; `weight` (R,) >= 0 (uniqueness), default 1.

        Rows come in time order. What is tuned inside (early stopping, stack weights) is tuned on later rows, with
        `gap` rows between (the rows of one label length; default 2 % of all), so that no label reaches across.
        `context` names the last columns of X; `auxiliary` name -> (R,) must hold what the family `needs`.
        `device`: where a network is trained.
        """
        ...

    def fit_tasks(
        self,
        X: Inputs,
        Y: FloatArray,
        weight: FloatArray | None = None,
        *,
        seed: int,
        threads: int = 1,
        budget: Budget = DEFAULT_BUDGET,
        gap: int | None = None,
        context: Sequence[str] = (),
        auxiliary: Mapping[str, FloatArray] | None = None,
        device: str = "cpu",
    ) -> tuple[Fitted, ...]:
        """One model per column of Y (R, K), learned together; NaN in Y is a label that is missing for that row.

        `weight` and `auxiliary` are (R, K). ConfigError where the family does not share.
        """
        ...


class Stack(Protocol):
    """What calibrates barrier classifiers: :class:`workbench.stats.stack.BarrierStack`."""

    families_: dict[str, tuple[str, ...]]

    def apply(
        self, raw_peak: Mapping[str, FloatArray], raw_valley: Mapping[str, FloatArray], n: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """(p_peak, p_valley), each (H, N), from label -> (B, N)."""
        ...

    def apply_rows(self, oof: OofForecasts) -> tuple[FloatArray, FloatArray]:
        """(p_peak, p_valley), each (R,)."""
        ...
