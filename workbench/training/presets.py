"""Training profiles: how much work a run does. What a profile caps, the run reports."""

from __future__ import annotations

from typing import Any

from workbench.config import Settings, TrainingSettings
from workbench.core.errors import ConfigError, nearest_name

PROFILES: dict[str, dict[str, Any]] = {
    "demo": {"segments": 4, "max_rows": 80_000, "max_rows_slow": 15_000, "max_rows_sequential": 6_000},
    "default": {},
    "full": {"max_rows": 5_000_000, "max_rows_slow": 500_000, "max_rows_sequential": 200_000},
}
"""Profile -> the training settings that it changes, unless they were set otherwise than by default."""


def profile_settings(settings: Settings, profile: str) -> Settings:
    """`settings` under `profile`; what was set explicitly, that is otherwise than by default, stays.

    >>> profile_settings(Settings(), "demo").training.segments
    4
    """
    if profile not in PROFILES:
        raise ConfigError(
            f"profile {profile!r} is unknown: choose from {', '.join(PROFILES)}.{nearest_name(profile, PROFILES)}"
        )
    default, now = TrainingSettings(), settings.training
    changed = {k: v for k, v in PROFILES[profile].items() if getattr(now, k) == getattr(default, k)}
    return settings.change(training={**changed, "profile": profile})
