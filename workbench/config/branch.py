"""What every branch of the settings is: frozen, typed, and closed to unknown keys."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from workbench.core.digest import digest
from workbench.core.horizon import HORIZONS

ALL_HORIZONS = tuple(h.label for h in HORIZONS)


class Branch(BaseModel):
    """A frozen branch of the tree that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @property
    def digest(self) -> str:
        """Content digest of the branch."""
        return digest(self.model_dump(mode="json"))
