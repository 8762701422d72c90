"""A model that the user brings as an ONNX file: checked, brought into our form, and asked like any family.

It forecasts the expected return in sigmas of the horizon from features that it names.
:func:`workbench.models.brought_form.normalise` makes our graph of the user's; :class:`Brought` is that as a family.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from workbench.core.arrays import FloatArray, check_shape
from workbench.core.calendar import iso_time
from workbench.core.digest import digest
from workbench.core.errors import ConfigError, DataError, nearest_name
from workbench.models.base import DEFAULT_BUDGET, Budget, Fitted, Inputs
from workbench.models.brought_form import files_of, header_of_width, taking
from workbench.models.fitted import ONNX_FILE, FittedModel
from workbench.models.runtime import load_fitted
from workbench.models.windows import WindowView


@dataclass(frozen=True, slots=True, repr=False)
class Brought:
    """A family made of one file. `fit` returns the file; nothing is learned from the rows it is shown.

    `horizons`: labels it forecasts. `content`: what :func:`normalise` made, with `features` as its own columns.
    `fitted_until` (ns): last moment that it knows of, as its owner says; it must not be asked about earlier rows.
    `schema`: names of the columns that it is asked with (see :meth:`on`); its own features where nothing was said.
    """

    name: str
    horizons: tuple[str, ...]
    content: bytes
    features: tuple[str, ...]
    fitted_until: int
    schema: tuple[str, ...] = ()

    sequential: ClassVar[bool] = False
    slow: ClassVar[bool] = False
    classifies: ClassVar[bool] = False
    shares: ClassVar[bool] = False
    linear: ClassVar[bool] = False
    neural: ClassVar[bool] = False
    per_symbol: ClassVar[bool] = False
    needs: ClassVar[tuple[str, ...]] = ()
    min_rows: ClassVar[int] = 0

    def __repr__(self) -> str:
        """All that decides its predictions; the content by its digest."""
        return (
            f"Brought({self.name!r}, {self.horizons}, {digest(self.content)}, {self.features}, {self.fitted_until}, "
            f"{self.schema})"
        )

    @property
    def knows_until(self) -> int:
        """Last moment (ns) that it may know of: segments whose cutoff is earlier are not asked."""
        return self.fitted_until

    def on(self, names: Sequence[str]) -> Brought:
        """The same, asked with rows of `names`; :class:`DataError` where a feature is missing among them."""
        missing = [f for f in self.features if f not in names]
        if missing:
            raise DataError(
                f"{self.name} reads the feature {missing[0]!r}, which these data do not have ({len(names)} features)."
                f"{nearest_name(missing[0], names)} Bring a model of the features that there are (`workbench zoo add`)"
            )
        return replace(self, schema=tuple(names))

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
        """The file, taking the columns of X (see `schema`) that it knows."""
        if classify:
            raise ConfigError(f"{self.name} has no classifier: a model that was brought forecasts returns")
        if len(context):
            raise ConfigError(f"{self.name} was brought and knows no {context[0]}: it runs under single_task only")
        names = self.schema or self.features
        if isinstance(X, WindowView):
            raise ValueError(f"{self.name} takes a (R, F) array, got WindowView")
        check_shape(f"{self.name}: X", np.asarray(X), (-1, len(names)))
        files = files_of(
            self.name, taking(self.content, [names.index(f) for f in self.features], len(names)), len(names)
        )
        loaded = load_fitted(self.name, files, threads=threads)
        info: dict[str, float | int | str] = {"brought": 1, "rows": 0, "features": len(self.features),
                                              "knows_until": iso_time(self.fitted_until)}  # fmt: skip
        return FittedModel(self.name, "regress", header_of_width(self.name, len(names)), {ONNX_FILE: files[ONNX_FILE]},
                           loaded.predict, info)  # fmt: skip

    def fit_tasks(self, X: Inputs, Y: FloatArray, weight: FloatArray | None = None, **how: Any) -> tuple[Fitted, ...]:
        """A file answers one question."""
        raise ConfigError(
            f"{self.name} was brought and does not learn several labels at once: it runs under single_task"
        )
