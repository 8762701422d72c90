"""Every model of every horizon against chance: IC, skip-one-bar IC, intervals, tests corrected for multiplicity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from workbench.core.horizon import horizon
from workbench.core.types import OofForecasts
from workbench.stats.bootstrap import Estimate
from workbench.stats.ic import MIN_NAMES, InformationCoefficient, Kind, information_coefficient
from workbench.stats.multiplicity import holm

LEAK_BOUND = 0.05
LEAK_LEVEL = 0.99
SIMULATED = "embedded"


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One cell. `ic` from a tradable entry, `skip` entered one bar later, `naive` entered at the signal's own close
    (not tradable: what a careless study would show). `lower_99`: one-sided bound of `ic`. `p_holm`: p-value of
    "IC is zero", corrected over all cells of the table. `rows` pairs, `sessions` days behind them."""

    family: str
    strategy: str
    horizon: str
    ic: Estimate
    skip: Estimate
    naive: Estimate
    lower_99: float
    p_value: float
    p_holm: float
    rows: int
    sessions: int
    leak: bool


@dataclass(frozen=True, slots=True)
class ModelTable:
    """`rows` by horizon, then family; `kind` of the correlation; `leaks`: warnings to print in full."""

    rows: tuple[ModelRow, ...]
    kind: Kind
    level: float
    leaks: tuple[str, ...]

    @property
    def horizons(self) -> tuple[str, ...]:
        """Labels in order of length."""
        return tuple(sorted({r.horizon for r in self.rows}, key=lambda label: horizon(label).order))

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the models (with the strategy where it is not single_task), in order of appearance."""
        return tuple(dict.fromkeys(model_name(r.family, r.strategy) for r in self.rows))

    def cell(self, family: str, label: str) -> ModelRow | None:
        """The row of one model (as named in :attr:`families`) and horizon."""
        for r in self.rows:
            if model_name(r.family, r.strategy) == family and r.horizon == label:
                return r
        return None


def model_name(family: str, strategy: str) -> str:
    """What a reader calls a model.

    >>> model_name("MLP", "single_task"), model_name("MLP", "cascade")
    ('MLP', 'MLP (cascade)')
    """
    return family if strategy == "single_task" else f"{family} ({strategy})"


def model_table(
    oofs: Mapping[str, OofForecasts], *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> ModelTable:
    """The table over all horizons in `oofs` (label -> forecasts made out of fold).

    Cross-sectional IC where there are at least 5 symbols, otherwise pooled over time. Bootstrap blocks are one session,
    n sessions for n-day labels. A lower 99 % bound above 0.05 on data that is not simulated is a leak until proven
    otherwise, and gives a warning.
    """
    symbols = max((len(o.symbols) for o in oofs.values()), default=0)
    kind: Kind = "cross_section" if symbols >= MIN_NAMES else "pooled"
    rows = [
        row
        for label in sorted(oofs, key=lambda label: horizon(label).order)
        for row in _rows_of(oofs[label], kind, level, draws, seed)
    ]
    corrected = holm([r.p_value for r in rows]) if rows else np.array([])
    rows = [_with_holm(r, float(p)) for r, p in zip(rows, corrected)]
    return ModelTable(tuple(rows), kind, level, tuple(leak_text(r) for r in rows if r.leak))


def _rows_of(oof: OofForecasts, kind: Kind, level: float, draws: int, seed: int) -> list[ModelRow]:
    def ic(label: np.ndarray) -> InformationCoefficient:
        return information_coefficient(
            oof.forecast, label, oof.known_at, oof.session, sigma=oof.sigma_h, kind=kind,
            block=max(1, oof.horizon.days), draws=draws, seed=seed,
        )  # fmt: skip

    tradable, skip, naive = ic(oof.label), ic(oof.skip_label), ic(oof.naive_label)
    lower, p = tradable.overall.lower(LEAK_LEVEL), tradable.overall.p_value()
    real = oof.data_origin != SIMULATED
    return [
        ModelRow(
            key.family, key.strategy, key.horizon,
            *(_estimate(x, m, level) for x in (tradable, skip, naive)),
            float(lower[m]), float(p[m]), float("nan"),
            int(tradable.pairs[m]), int(np.isfinite(tradable.by_session[:, m]).sum()),
            bool(real and lower[m] > LEAK_BOUND),
        )
        for m, key in enumerate(oof.keys)
    ]  # fmt: skip


def _estimate(ic: InformationCoefficient, m: int, level: float) -> Estimate:
    if ic.pairs[m] == 0:
        reason = "no row has both a forecast and this label"
    elif not np.isfinite(ic.value[m]):
        reason = "no decision time has enough names with differing forecasts"
    else:
        reason = "fewer than two independent blocks of sessions"
    return ic.overall.scalar(level, m, reason)


def _with_holm(row: ModelRow, p_holm: float) -> ModelRow:
    values = {name: getattr(row, name) for name in row.__slots__}
    return ModelRow(**{**values, "p_holm": p_holm})


def leak_text(row: ModelRow) -> str:
    """The warning for one suspicious cell."""
    return (
        f"{model_name(row.family, row.strategy)} at {row.horizon}: out-of-sample IC {row.ic.value:.3f} with a lower "
        f"99 % bound of {row.lower_99:.3f}, above {LEAK_BOUND}. On real bars that is a leak until proven otherwise: "
        f"run the truncation probe, compare with the skip-one-bar IC ({row.skip.value:.3f}) and check how entries and "
        f"labels are timed."
    )
