"""Units of the house: returns, alphas and costs are decimals; basis points only in names that end in ``_bps``."""

BPS = 1e-4
"""One basis point as a decimal: ``x_bps = x / BPS``."""

NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
NS_PER_DAY = 86_400 * NS_PER_SECOND

SESSION_MINUTES = 390
"""Trading minutes of a full regular US equity session (09:30 to 16:00)."""

BAR_MINUTES = 5
"""Length of the bar on which decisions are made."""

BARS_PER_SESSION = SESSION_MINUTES // BAR_MINUTES

SESSIONS_PER_YEAR = 252
